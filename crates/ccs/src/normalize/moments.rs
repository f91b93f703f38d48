//! Mean and spread of states. A dimension that does not vary among the training rows has no spread to scale by and is
//! only centred, as in scikit-learn's `StandardScaler`: dividing by a tiny floor would let any drift on other rows
//! drown every other dimension.

use tch::{Kind, Tensor};

use super::Normalization;
use crate::Result;

/// A dimension with a standard deviation below this is constant: it is centred, not scaled.
pub const SMALLEST_STD: f64 = 1e-6;

/// What one side's dimensions are centred and scaled by: (x − mean)/std.
#[derive(Debug)]
pub struct Moments {
    /// \[D\], f64.
    pub mean: Tensor,
    /// \[D\], f64; the population's standard deviation (ddof 0) where dimensions are scaled each, and 1 where that is
    /// below [`SMALLEST_STD`]; one number D times where one scales all.
    pub std: Tensor,
}

/// The moments of both sides. `plus`, `minus`: \[N, D\].
///
/// Two passes in f64: the difference of large squares that a single pass takes would cancel.
pub(super) fn fit(kind: Normalization, plus: &Tensor, minus: &Tensor) -> Result<(Moments, Moments)> {
    let (plus, plus_mean) = centre(plus)?;
    let (minus, minus_mean) = centre(minus)?;
    let (plus_std, minus_std) = match kind {
        Normalization::ElementWise => (spread(&plus)?, spread(&minus)?),
        Normalization::Burns => {
            let squares = |x: &Tensor| x.f_square()?.f_sum_dim_intlist(1, false, Kind::Double);
            let length = squares(&plus)?.f_add(&squares(&minus)?)?.f_sqrt()?.f_mean(Kind::Double)?; // of (φ⁺, φ⁻)
            let dim = plus_mean.size().first().copied().unwrap_or_default();
            let scale = length.f_double_value(&[])? / (2.0 * dim as f64).sqrt();
            let scale = if scale < SMALLEST_STD { 1.0 } else { scale };
            let std = plus_mean.f_full_like(scale)?;
            (std.f_alias()?, std)
        }
        Normalization::MeanOnly | Normalization::Leace | Normalization::Cluster => {
            (plus_mean.f_ones_like()?, minus_mean.f_ones_like()?)
        }
    };
    Ok((Moments { mean: plus_mean, std: plus_std }, Moments { mean: minus_mean, std: minus_std }))
}

fn centre(states: &Tensor) -> Result<(Tensor, Tensor)> {
    let states = states.f_to_kind(Kind::Double)?; // [N, D]
    let mean = states.f_mean_dim(0, false, Kind::Double)?; // [D]
    Ok((states.f_sub(&mean)?, mean))
}

fn spread(centred: &Tensor) -> Result<Tensor> {
    let std = centred.f_square()?.f_mean_dim(0, false, Kind::Double)?.f_sqrt()?; // [D]
    Ok(std.f_where_self(&std.f_ge(SMALLEST_STD)?, &std.f_ones_like()?)?)
}

impl Moments {
    /// (x − mean)/std in f64. `states`: \[N, D\].
    pub(super) fn apply(&self, states: &Tensor) -> Result<Tensor> {
        let device = states.device();
        let centred = states.f_to_kind(Kind::Double)?.f_sub(&self.mean.f_to_device(device)?)?;
        Ok(centred.f_div(&self.std.f_to_device(device)?)?)
    }

    pub(super) fn duplicate(&self) -> Result<Self> {
        Ok(Self { mean: self.mean.f_alias_copy()?, std: self.std.f_alias_copy()? })
    }

    /// Several \[D\] as one \[K, D\].
    pub(super) fn stack<'a>(several: impl Iterator<Item = &'a Self>) -> Result<Self> {
        let (means, stds): (Vec<&Tensor>, Vec<&Tensor>) = several.map(|m| (&m.mean, &m.std)).unzip();
        Ok(Self { mean: Tensor::f_stack(&means, 0)?, std: Tensor::f_stack(&stds, 0)? })
    }

    /// Each row's moments, from \[K, D\] with `pooled` at place K. `index`: \[N\]; the result: \[N, D\].
    pub(super) fn rows(&self, pooled: &Self, index: &Tensor) -> Result<Self> {
        let pick = |table: &Tensor, last: &Tensor| -> Result<Tensor> {
            let table = Tensor::f_cat(&[table, &last.f_unsqueeze(0)?], 0)?; // [K + 1, D]
            Ok(table.f_index_select(0, &index.f_to_device(table.device())?)?)
        };
        Ok(Self { mean: pick(&self.mean, &pooled.mean)?, std: pick(&self.std, &pooled.std)? })
    }
}
