//! The CCS loss or a relative as L-BFGS minimizes it: a function of both sides' logits.

use tch::{Kind, Tensor};

use crate::Result;
use crate::loss::{Questions, Weights};
use crate::methods::lbfgs::{Loss, numbers};

/// The mean over pairs, in logits of plus and then minus sides.
pub(super) struct PairLoss<'a> {
    pub(super) weights: Weights,
    pub(super) questions: Option<&'a Questions>,
    /// N.
    pub(super) pairs: i64,
}

impl PairLoss<'_> {
    fn sides(&self, z: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((z.f_narrow(0, 0, self.pairs)?, z.f_narrow(0, self.pairs, self.pairs)?))
    }
}

/// `z`: \[2N, R\].
impl Loss for PairLoss<'_> {
    fn values(&self, z: &Tensor) -> Result<Vec<f64>> {
        let (plus, minus) = self.sides(z)?;
        numbers(&self.weights.values(&plus, &minus, self.questions)?.f_mean_dim(0, false, Kind::Double)?)
    }

    fn slopes(&self, z: &Tensor) -> Result<Tensor> {
        let (plus, minus) = self.sides(z)?;
        let (plus, minus) = self.weights.slopes(&plus, &minus, self.questions)?;
        Ok(Tensor::f_cat(&[plus, minus], 0)?.f_mul_scalar(1.0 / self.pairs as f64)?)
    }
}
