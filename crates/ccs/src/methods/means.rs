//! Supervised directions from class means of the differences d = φ⁺ − φ⁻: mean difference and LDA.
//!
//! On centered differences the mean true statement less the mean false one, Σ±dᵢ/N, has the direction of
//! E\[d | true\] − E\[d | false\], so that both ways of counting give one probe.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::centered::Train;
use super::fit::{Fit, Fitted};
use crate::normalize::Normalization;
use crate::probe::{Calibration, Probe};
use crate::{Contrast, Error, Result, SeedTree};

/// Mean difference, the difference-in-means or mass-mean direction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MeanDifference {
    /// How states are normalized.
    pub normalization: Normalization,
}

impl Fit for MeanDifference {
    fn fits_statements(&self) -> bool {
        true
    }

    fn fit_checked(&self, train: &Contrast, _seeds: &SeedTree) -> Result<Fitted> {
        let probe = mean_difference(train, self.normalization)?;
        Ok(Fitted::new(probe, 0.0, json!({ "normalization": self.normalization })))
    }
}

/// Fits w = E\[d | true\] − E\[d | false\]; the boundary is at the mean of all training differences.
///
/// ```
/// use ccs::Contrast;
/// use ccs::methods::means::mean_difference;
/// use ccs::normalize::Normalization;
/// use tch::Tensor;
///
/// let plus = Tensor::from_slice(&[1.0, 0.0, -1.0, 0.0, 2.0, 1.0, -2.0, -1.0]).reshape([4, 2]);
/// let groups = (0..4).map(|i| i.to_string()).collect();
/// let pairs = Contrast::new(plus.copy(), -plus, vec![true, false, true, false], groups)?;
/// let probe = mean_difference(&pairs, Normalization::MeanOnly)?;
/// assert_eq!(Vec::<f64>::try_from(probe.weight())?, [6.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// Training rows of one label.
pub fn mean_difference(train: &Contrast, normalization: Normalization) -> Result<Probe> {
    let data = Train::new(train, normalization)?;
    let classes = Classes::new(&data)?;
    let weight = classes.mean_true.f_sub(&classes.mean_false)?;
    data.supervised(&weight, 0.0)
}

/// How the covariance within classes is estimated: (1 − s)·Σ + s·(tr Σ / D)·I.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shrinkage {
    /// s by the rule of Ledoit and Wolf 2004.
    #[default]
    LedoitWolf,
    /// This s, from 0 to 1; with fewer rows than dimensions it must not be 0.
    Fixed(f64),
}

/// Linear discriminant analysis.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Lda {
    /// How the covariance within classes is estimated.
    pub shrinkage: Shrinkage,
    /// How states are normalized.
    pub normalization: Normalization,
}

impl Fit for Lda {
    fn fits_statements(&self) -> bool {
        true
    }

    fn fit_checked(&self, train: &Contrast, _seeds: &SeedTree) -> Result<Fitted> {
        let fit = lda(train, self.shrinkage, self.normalization)?;
        let about = json!({ "shrinkage": fit.shrinkage, "normalization": self.normalization });
        Ok(Fitted::new(fit.probe, 0.0, about))
    }
}

/// A fitted LDA.
#[derive(Debug)]
#[non_exhaustive]
pub struct LdaFit {
    /// The probe; its sign is always plus.
    pub probe: Probe,
    /// s.
    pub shrinkage: f64,
}

/// Fits linear discriminant analysis, w = Σ⁻¹(E\[d | true\] − E\[d | false\]), with the classes' training shares as
/// priors in the bias (scikit-learn's `lsqr` solver).
///
/// With fewer rows than dimensions the inverse is taken in the span of the rows, which is exact (Woodbury).
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// Training rows of one label, an s outside \[0, 1\], or a covariance without inverse.
pub fn lda(train: &Contrast, shrinkage: Shrinkage, normalization: Normalization) -> Result<LdaFit> {
    if let Shrinkage::Fixed(s) = shrinkage
        && !(0.0..=1.0).contains(&s)
    {
        return Err(Error::Setting {
            name: "shrinkage",
            value: s.to_string(),
            reason: "it mixes the covariance with a multiple of the identity",
            hint: "give a number from 0 to 1",
        });
    }
    let data = Train::new(train, normalization)?;
    let classes = Classes::new(&data)?;
    let within = Within::new(&classes.centered)?;
    let s = match shrinkage {
        Shrinkage::LedoitWolf => within.ledoit_wolf()?,
        Shrinkage::Fixed(s) => s,
    };
    let weight = within.solve(s, &classes.mean_true.f_sub(&classes.mean_false)?)?;
    let middle = classes.mean_true.f_add(&classes.mean_false)?.f_dot(&weight)?.f_double_value(&[])? / 2.0;
    let bias = (classes.count_true / classes.count_false).ln() - middle;
    // Its score is the log odds of two normal distributions.
    let probe = Probe { calibration: Calibration::OWN, ..data.supervised(&weight, bias)? };
    Ok(LdaFit { probe, shrinkage: s })
}

/// Differences by label.
struct Classes {
    mean_true: Tensor,  // [D]
    mean_false: Tensor, // [D]
    centered: Tensor,   // each row less its class's mean, [N, D]
    count_true: f64,
    count_false: f64,
}

impl Classes {
    fn new(data: &Train) -> Result<Self> {
        let (differences, labels) = (data.differences()?, data.labels()?);
        let others = labels.f_neg()?.f_add_scalar(1.0)?;
        let count = |of: &Tensor| -> Result<f64> { Ok(of.f_sum(Kind::Double)?.f_double_value(&[])?) };
        let (count_true, count_false) = (count(&labels)?, count(&others)?);
        let mean = |of: &Tensor, count: f64| differences.f_tr()?.f_mv(of)?.f_div_scalar(count);
        let (mean_true, mean_false) = (mean(&labels, count_true)?, mean(&others, count_false)?);
        let own = labels.f_outer(&mean_true)?.f_add(&others.f_outer(&mean_false)?)?;
        Ok(Self { centered: differences.f_sub(&own)?, mean_true, mean_false, count_true, count_false })
    }
}

/// The covariance within classes, Σ = `WᵀW`/N, through `WᵀW` or `WWᵀ`, whichever is smaller.
struct Within<'a> {
    rows: &'a Tensor, // W, [N, D]
    gram: Tensor,
    count: f64,
    dim: f64,
    trace: f64, // tr Σ
}

impl<'a> Within<'a> {
    fn new(rows: &'a Tensor) -> Result<Self> {
        let (count, dim) = rows.dims2("rows")?;
        let gram = if count < dim { rows.f_mm(&rows.f_tr()?)? } else { rows.f_tr()?.f_mm(rows)? };
        let trace = gram.f_trace()?.f_double_value(&[])? / count as f64;
        Ok(Self { rows, gram, count: count as f64, dim: dim as f64, trace })
    }

    /// s = min(β, δ)/δ with μ = tr Σ / D, δ = ‖Σ − μI‖²/D and β = (Σᵢ‖wᵢ‖⁴/N − ‖Σ‖²)/(ND).
    fn ledoit_wolf(&self) -> Result<f64> {
        let number = |t: Tensor| -> Result<f64> { Ok(t.f_sum(Kind::Double)?.f_double_value(&[])?) };
        let lengths = self.rows.f_square()?.f_sum_dim_intlist(1, false, Kind::Double)?; // ‖wᵢ‖², [N]
        let square = number(self.gram.f_square()?)? / self.count.powi(2); // ‖Σ‖²
        let delta = (square - self.trace.powi(2) / self.dim) / self.dim;
        let beta = (number(lengths.f_square()?)? / self.count - square) / (self.count * self.dim);
        // One dimension, or rows without spread: nothing to shrink toward.
        Ok(if delta > 0.0 && beta > 0.0 { beta.min(delta) / delta } else { 0.0 })
    }

    /// ((1 − s)Σ + s·tr Σ/D·I)⁻¹x. `x`: \[D\], as the result.
    fn solve(&self, s: f64, x: &Tensor) -> Result<Tensor> {
        let (a, b) = ((1.0 - s) / self.count, s * self.trace / self.dim);
        let singular = || Error::Singular { what: "the covariance within classes".to_owned() };
        let wide = self.count < self.dim;
        if self.trace <= 0.0 || (wide && b <= 0.0) {
            return Err(singular());
        }
        let (size, _) = self.gram.dims2("gram")?;
        let eye = Tensor::f_eye(size, (Kind::Double, self.gram.device()))?;
        let matrix = self.gram.f_mul_scalar(a)?.f_add(&eye.f_mul_scalar(b)?)?;
        let (factor, info) = matrix.f_linalg_cholesky_ex(false, false)?;
        // Rounding can hide a missing dimension from Cholesky: its pivot is then nothing but rounding.
        let pivots = factor.f_diagonal(0, 0, 1)?.f_square()?;
        let (least, most) = (pivots.f_min()?.f_double_value(&[])?, pivots.f_max()?.f_double_value(&[])?);
        if info.f_int64_value(&[])? != 0 || least <= most * self.dim * f64::EPSILON {
            return Err(singular());
        }
        let solve = |x: &Tensor| x.f_unsqueeze(1)?.f_cholesky_solve(&factor, false)?.f_squeeze_dim(1);
        if !wide {
            return Ok(solve(x)?);
        }
        // (aWᵀW + bI)⁻¹x = (x − aWᵀ(aWWᵀ + bI)⁻¹Wx)/b
        let inner = self.rows.f_tr()?.f_mv(&solve(&self.rows.f_mv(x)?)?)?;
        Ok(x.f_sub(&inner.f_mul_scalar(a)?)?.f_div_scalar(b)?)
    }
}
