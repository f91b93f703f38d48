//! Mean and spread of states. A dimension that does not vary among the training rows has no spread to scale by and is
//! only centered, as in scikit-learn's `StandardScaler`: dividing by a tiny floor would let any drift on other rows
//! drown every other dimension.

use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::kind::Normalization;
use crate::Result;

/// A dimension with a standard deviation below this is constant: it is centered, not scaled.
pub const SMALLEST_STD: f64 = 1e-6;

/// What one side's dimensions are centered and scaled by: (x − mean)/std.
#[derive(Debug)]
pub struct Moments {
    /// \[D\], f64.
    pub mean: Tensor,
    /// \[D\], f64; the population's standard deviation (ddof 0) where dimensions are scaled each, and 1 where that is
    /// below [`SMALLEST_STD`]; one number D times where one scales all.
    pub std: Tensor,
}

/// What the spread of rows about their means is taken from.
#[derive(Debug)]
pub(super) enum Variation {
    /// The mean squares of either side's dimensions. \[D\], f64
    Squares(Tensor, Tensor),
    /// The mean length of (φ⁺, φ⁻).
    Length(f64),
    /// Nothing is scaled.
    None,
}

/// Some rows' means and variation.
#[derive(Debug)]
pub(super) struct Estimate {
    plus: Tensor,  // [D]
    minus: Tensor, // [D]
    pub(super) variation: Variation,
    pub(super) rows: usize,
}

/// The moments of both sides. `plus`, `minus`: \[N, D\].
pub(super) fn fit(kind: Normalization, plus: &Tensor, minus: &Tensor) -> Result<(Moments, Moments)> {
    let estimate = Estimate::of(kind, plus, minus)?;
    estimate.scaled_by(&estimate.variation)
}

impl Estimate {
    /// Two passes in f64: the difference of large squares that a single pass takes would cancel.
    pub(super) fn of(kind: Normalization, plus: &Tensor, minus: &Tensor) -> Result<Self> {
        let rows = plus.dims2("plus")?.0 as usize;
        // One side after the other where neither needs the other: either is as large in f64 as both are in f32.
        let squares = |x: &Tensor| -> Result<(Tensor, Tensor)> {
            let (mut x, mean) = center(x)?;
            Ok((x.f_square_()?.f_mean_dim(0, false, Kind::Double)?, mean))
        };
        let (plus, minus, variation) = match kind {
            Normalization::ElementWise => {
                let ((plus, plus_mean), (minus, minus_mean)) = (squares(plus)?, squares(minus)?);
                (plus_mean, minus_mean, Variation::Squares(plus, minus))
            }
            Normalization::Burns => {
                let ((plus, plus_mean), (minus, minus_mean)) = (center(plus)?, center(minus)?);
                (plus_mean, minus_mean, Variation::Length(length(&plus, &minus)?))
            }
            Normalization::MeanOnly | Normalization::Leace | Normalization::Cluster => {
                (center(plus)?.1, center(minus)?.1, Variation::None)
            }
        };
        Ok(Self { plus, minus, variation, rows })
    }

    /// The moments of both sides with these means and that spread.
    pub(super) fn scaled_by(&self, variation: &Variation) -> Result<(Moments, Moments)> {
        let (plus_std, minus_std) = match variation {
            Variation::Squares(plus, minus) => (spread(plus)?, spread(minus)?),
            Variation::Length(length) => {
                let dim = self.plus.dims1("mean")?;
                let std = self.plus.f_full_like(scale(*length, dim as f64))?;
                (std.f_alias()?, std)
            }
            Variation::None => (self.plus.f_ones_like()?, self.minus.f_ones_like()?),
        };
        let moments = |mean: &Tensor, std| -> Result<Moments> { Ok(Moments { mean: mean.f_alias()?, std }) };
        Ok((moments(&self.plus, plus_std)?, moments(&self.minus, minus_std)?))
    }
}

impl Variation {
    /// That of all parts' deviations from their own means; a square is counted n/(n − 1) times, since the mean of n
    /// rows takes that much of it away. Parts have two rows or more.
    pub(super) fn of_all(parts: &[Estimate]) -> Result<Self> {
        let rows: f64 = parts.iter().map(|part| part.rows as f64).sum();
        let mut all = Self::None;
        for part in parts {
            let n = part.rows as f64;
            let (share, lost) = (n / rows, n / (n - 1.0).max(1.0));
            all = match (&part.variation, all) {
                (Self::Squares(plus, minus), all) => {
                    let (plus, minus) = (plus.f_mul_scalar(share * lost)?, minus.f_mul_scalar(share * lost)?);
                    match all {
                        Self::Squares(p, m) => Self::Squares(p.f_add(&plus)?, m.f_add(&minus)?),
                        _ => Self::Squares(plus, minus),
                    }
                }
                (Self::Length(length), Self::Length(sum)) => Self::Length(sum + share * lost.sqrt() * length),
                (Self::Length(length), _) => Self::Length(share * lost.sqrt() * length),
                (Self::None, _) => Self::None,
            };
        }
        Ok(all)
    }
}

/// The mean length of (φ⁺, φ⁻) of centered states. `plus`, `minus`: \[N, D\].
pub(super) fn length(plus: &Tensor, minus: &Tensor) -> Result<f64> {
    let squares = |x: &Tensor| x.f_square()?.f_sum_dim_intlist(1, false, Kind::Double);
    let length = squares(plus)?.f_add(&squares(minus)?)?.f_sqrt()?.f_mean(Kind::Double)?;
    Ok(length.f_double_value(&[])?)
}

/// What makes √(2D) of a mean length.
pub(super) fn scale(length: f64, dim: f64) -> f64 {
    let scale = length / (2.0 * dim).sqrt();
    if scale < SMALLEST_STD { 1.0 } else { scale }
}

fn center(states: &Tensor) -> Result<(Tensor, Tensor)> {
    let mut states = own_double(states)?; // [N, D]
    let mean = states.f_mean_dim(0, false, Kind::Double)?; // [D]
    let _ = states.f_sub_(&mean)?;
    Ok((states, mean))
}

/// The same in f64, in memory of its own: what is written once need not be allocated for every operation.
fn own_double(states: &Tensor) -> Result<Tensor> {
    if states.kind() == Kind::Double {
        return Ok(states.f_alias_copy()?);
    }
    Ok(states.f_to_kind(Kind::Double)?)
}

/// The root of mean squares \[D\], 1 where it is no spread.
fn spread(squares: &Tensor) -> Result<Tensor> {
    let std = squares.f_sqrt()?;
    Ok(std.f_where_self(&std.f_ge(SMALLEST_STD)?, &std.f_ones_like()?)?)
}

impl Moments {
    /// (x − mean)/std in f64. `states`: \[N, D\].
    pub(super) fn apply(&self, states: &Tensor) -> Result<Tensor> {
        let device = states.device();
        let mut states = own_double(states)?;
        let _ = states.f_sub_(&self.mean.f_to_device(device)?)?;
        let _ = states.f_div_(&self.std.f_to_device(device)?)?;
        Ok(states)
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
