//! Mass-mean probing with covariance (Marks & Tegmark 2023, "The Geometry of Truth", §5): θ = Σ⁺(μ⁺ − μ⁻).
//!
//! μ⁺ and μ⁻ are the means of true and false rows, Σ the covariance within them, Σ⁺ its pseudo-inverse. p(true) = σ(θᵀx) of
//! centered x. Without covariance it is [`super::means::MeanDifference`]; with an inverse that shrinks instead of cutting off,
//! and with the labels' shares, it is [`super::means::Lda`].

use serde_json::json;
use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::centered::Train;
use super::fit::{Fit, Fitted};
use crate::normalize::Normalization;
use crate::probe::{Calibration, Probe};
use crate::{Contrast, Error, Result, SeedTree};

/// Mass-mean probing with covariance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MassMean {
    /// Eigenvalues of Σ up to this count as 0. The authors' 1e-3, of states as they are; here of normalized states.
    pub atol: f64,
    /// How states are normalized.
    pub normalization: Normalization,
}

impl Default for MassMean {
    fn default() -> Self {
        Self { atol: 1e-3, normalization: Normalization::default() }
    }
}

impl Fit for MassMean {
    fn fit_checked(&self, train: &Contrast, _seeds: &SeedTree) -> Result<Fitted> {
        let probe = mass_mean(train, self)?;
        Ok(Fitted::new(probe, 0.0, json!({ "atol": self.atol, "normalization": self.normalization })))
    }

    fn fits_statements(&self) -> bool {
        true
    }
}

/// Fits θ = Σ⁺(μ⁺ − μ⁻); the boundary is at the mean of all training rows.
///
/// # Shapes
/// `train`: N rows of length D, pairs or single statements.
///
/// # Errors
/// Training rows of one label, or a tolerance that is negative.
pub fn mass_mean(train: &Contrast, options: &MassMean) -> Result<Probe> {
    if !(options.atol.is_finite() && options.atol >= 0.0) {
        return Err(Error::Setting {
            name: "atol",
            value: options.atol.to_string(),
            reason: "eigenvalues up to it count as 0",
            hint: "the authors' is 0.001",
        });
    }
    let data = Train::new(train, options.normalization)?;
    let (rows, labels) = (data.differences()?, data.labels()?);
    let others = labels.f_neg()?.f_add_scalar(1.0)?;
    let mean = |of: &Tensor| -> Result<Tensor> {
        Ok(rows.f_tr()?.f_mv(of)?.f_div_scalar(of.f_sum(Kind::Double)?.f_double_value(&[])?)?)
    };
    let (trues, falses) = (mean(&labels)?, mean(&others)?);
    let within = rows.f_sub(&labels.f_outer(&trues)?.f_add(&others.f_outer(&falses)?)?)?; // W, [N, D]
    let weight = pseudo_inverse_times(&within, &trues.f_sub(&falses)?, options.atol)?;
    Ok(Probe { calibration: Calibration::OWN, ..data.supervised(&weight, 0.0)? })
}

/// (`WᵀW`/N)⁺x through the smaller of `WᵀW` and `WWᵀ`. W: \[N, D\]; x: \[D\], as the result.
fn pseudo_inverse_times(w: &Tensor, x: &Tensor, atol: f64) -> Result<Tensor> {
    let (count, dim) = w.dims2("rows")?;
    let wide = count < dim;
    let gram = if wide { w.f_mm(&w.f_tr()?)? } else { w.f_tr()?.f_mm(w)? };
    let (values, vectors) = gram.f_div_scalar(count as f64)?.f_linalg_eigh("L")?;
    // Of a wide W, eigenvalues of rounding's size must not count, whatever the tolerance.
    let rounding = values.f_max()?.f_double_value(&[])? * count.max(dim) as f64 * f64::EPSILON;
    let kept = values.f_gt(atol.max(rounding))?;
    let power = if wide { -2.0 } else { -1.0 };
    let inverse = values.f_pow_tensor_scalar(power)?.f_where_self(&kept, &values.f_zeros_like()?)?;
    let apply = |x: &Tensor| vectors.f_mv(&vectors.f_tr()?.f_mv(x)?.f_mul(&inverse)?);
    if !wide {
        return Ok(apply(x)?);
    }
    // Σ⁺ = WᵀUΛ⁻²UᵀW/N with WWᵀ/N = UΛUᵀ
    Ok(w.f_tr()?.f_mv(&apply(&w.f_mv(x)?)?)?.f_div_scalar(count as f64)?)
}
