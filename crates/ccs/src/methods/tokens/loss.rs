//! The mean log loss as a function of every token's logits and values.
//!
//! With `o_h` = Σₜ `a_ht`·`w_ht` over a prompt's tokens and the score s = Σₕ `o_h`, the derivatives are ∂s/∂`w_ht` = `a_ht`
//! and, of attention logits u with a = softmax(u), ∂s/∂`u_ht` = `a_ht`·(`w_ht` − `o_h`). Of the largest value, a is 1 for
//! its token and 0 elsewhere, and nothing is differentiated but w.

use tch::{Kind, Tensor};

use crate::Result;
use crate::methods::lbfgs::{Loss, numbers};
use crate::tokens::Segments;

/// How a head weighs a prompt's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heads {
    /// By a softmax of logits of its own: a token has H logits and then H values.
    Attention,
    /// The largest value alone: a token has H values.
    MultiMax,
}

/// The loss of N rows, whose plus sides' prompts come before their minus sides'.
pub(super) struct TokenLoss {
    pub(super) kind: Heads,
    pub(super) segments: Segments,
    /// 1 for true and −1 for false. \[N, 1\]
    pub(super) signs: Tensor,
    /// Whether rows have two sides.
    pub(super) pairs: bool,
    /// N.
    pub(super) rows: i64,
    /// M.
    pub(super) tokens: i64,
    /// H.
    pub(super) heads: i64,
    /// R.
    pub(super) probes: i64,
}

/// What the loss is computed from, on the way back too.
struct Forward {
    /// a. \[M, H·R\]
    weights: Tensor,
    /// w. \[M, H·R\]
    values: Tensor,
    /// o. \[S, H·R\]
    heads: Tensor,
    /// y·z. \[N, R\]
    margins: Tensor,
}

impl TokenLoss {
    fn forward(&self, z: &Tensor) -> Result<Forward> {
        let width = self.heads * self.probes;
        let of_tokens = z.f_narrow(0, 0, z.size()[0] - 1)?.f_reshape([self.tokens, -1])?; // [M, K·R]
        let bias = z.f_narrow(0, z.size()[0] - 1, 1)?; // [1, R]
        let (weights, values) = match self.kind {
            Heads::Attention => {
                let logits = of_tokens.f_narrow(1, 0, width)?;
                (self.segments.shares(&logits)?, of_tokens.f_narrow(1, width, width)?)
            }
            Heads::MultiMax => (self.segments.hard_max(&of_tokens)?, of_tokens),
        };
        let heads = self.segments.sum(&weights.f_mul(&values)?)?; // [S, H·R]
        let sums = heads.f_reshape([-1, self.heads, self.probes])?;
        let sums = sums.f_sum_dim_intlist(1, false, heads.kind())?; // [S, R]
        let plus = sums.f_narrow(0, 0, self.rows)?;
        let scores = if self.pairs { plus.f_sub(&sums.f_narrow(0, self.rows, self.rows)?)? } else { plus };
        let margins = scores.f_add(&bias)?.f_mul(&self.signs)?;
        Ok(Forward { weights, values, heads, margins })
    }
}

/// `z`: \[M·K + 1, R\].
impl Loss for TokenLoss {
    fn values(&self, z: &Tensor) -> Result<Vec<f64>> {
        self.forward(z)?.losses()
    }

    fn slopes(&self, z: &Tensor) -> Result<Tensor> {
        self.backward(self.forward(z)?)
    }

    fn values_and_slopes(&self, z: &Tensor) -> Result<(Vec<f64>, Tensor)> {
        let forward = self.forward(z)?;
        Ok((forward.losses()?, self.backward(forward)?))
    }
}

impl Forward {
    /// The mean log loss. R
    fn losses(&self) -> Result<Vec<f64>> {
        numbers(&self.margins.f_neg()?.f_softplus()?.f_mean_dim(0, false, Kind::Double)?)
    }
}

impl TokenLoss {
    /// The derivatives by what is linear in the parameters. \[M·K + 1, R\]
    fn backward(&self, forward: Forward) -> Result<Tensor> {
        let Forward { weights, values, heads, margins } = forward;
        // −y·σ(−y·z)/N
        let of_rows =
            margins.f_neg()?.f_sigmoid()?.f_mul(&self.signs)?.f_mul_scalar(-1.0 / self.rows as f64)?;
        let bias = of_rows.f_sum_dim_intlist(0, true, of_rows.kind())?; // [1, R]
        let of_sides =
            if self.pairs { Tensor::f_cat(&[of_rows.f_alias()?, of_rows.f_neg()?], 0)? } else { of_rows };
        let of_heads = of_sides.f_repeat([1, self.heads])?; // [S, H·R]
        let of_values = self.segments.expand(&of_heads)?.f_mul(&weights)?; // [M, H·R]
        let of_tokens = match self.kind {
            Heads::Attention => {
                let of_logits = of_values.f_mul(&values.f_sub(&self.segments.expand(&heads)?)?)?;
                Tensor::f_cat(&[of_logits, of_values], 1)?
            }
            Heads::MultiMax => of_values,
        };
        Ok(Tensor::f_cat(&[of_tokens.f_reshape([-1, self.probes])?, bias], 0)?)
    }
}
