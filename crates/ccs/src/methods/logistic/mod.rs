//! Logistic regression, the supervised ceiling: Newton's method to a small gradient, on differences of normalized states, on
//! single statements or on concatenated pairs.
//!
//! Minimizes ½‖w‖² + C·Σ log(1 + exp(−yᵢ(wᵀxᵢ + b))) with yᵢ = ±1; b is not penalized (scikit-learn's objective). With
//! C = 1/(nλ) that is elk's: mean log loss + ½λ‖w‖².
//!
//! The three inputs do not compare one to one: differences and concatenated pairs have one row a pair, and their model says
//! which side is true; statements have two rows a pair, and their model says whether a statement is true.

mod curvature;
mod cv;
mod design;
mod newton;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

pub(super) use cv::choose;
pub use cv::{GRID, Penalty, PenaltyChoice, cross_validated, penalized};

use super::fit::Precision;
use crate::contrast::both_labels;
use crate::normalize::{Normalization, Normalizer};
use crate::probe::{Calibration, HiddenLayers, Probe, ProbeInput, Sign};
use crate::{Contrast, Error, Result};
use curvature::Curvature;
use design::{span, to_full};
use newton::{Newton, Problem};

/// How logistic regression is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LrOptions {
    /// C, the weight of the data against the penalty.
    pub c: f64,
    /// Done when no entry of the gradient is larger.
    pub tolerance: f64,
    /// Newton iterations before giving up.
    #[serde(rename = "max_iterations")]
    pub max_iter: usize,
    /// What the fit computes in; f32 does not reach the default tolerance on every data set.
    pub precision: Precision,
    /// How states are normalized.
    #[serde(default)]
    pub normalization: Normalization,
}

impl Default for LrOptions {
    fn default() -> Self {
        Self {
            c: 0.1,
            tolerance: 1e-6,
            max_iter: 100,
            precision: Precision::F64,
            normalization: Normalization::default(),
        }
    }
}

/// A fitted logistic regression and how well it converged.
#[derive(Debug)]
#[non_exhaustive]
pub struct LrFit {
    /// The probe; its sign is always plus.
    pub probe: Probe,
    /// The largest absolute entry of the gradient, bias included, in the probe's own coordinates.
    pub gradient: f64,
    /// Newton iterations done.
    pub iterations: usize,
    /// The objective at the solution.
    pub objective: f64,
}

/// What a logistic regression sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LrInput {
    /// φ⁺ − φ⁻ of each pair, labeled by whether the plus side is true.
    #[default]
    Differences,
    /// φ⁺ and φ⁻ as rows of their own, labeled by whether that statement is true.
    Statements,
    /// \[φ⁺; φ⁻\] of each pair, 2D numbers, labeled by whether the plus side is true.
    Concatenated,
}

impl LrInput {
    fn probe_input(self, single: bool) -> ProbeInput {
        match self {
            Self::Differences | Self::Statements if single => ProbeInput::Single,
            Self::Differences => ProbeInput::Difference,
            Self::Statements => ProbeInput::Statements,
            Self::Concatenated => ProbeInput::Concatenated,
        }
    }

    /// The rows that it sees of normalized states, f64, and their labels as 0 and 1. Single statements are rows as they are.
    fn rows(self, plus: Tensor, minus: Tensor, pairs: &Contrast) -> Result<(Tensor, Tensor)> {
        let labels = targets(pairs)?.f_to_device(plus.device())?; // [N]
        Ok(match self {
            Self::Differences | Self::Statements if pairs.is_single() => (plus, labels),
            Self::Differences => (plus.f_sub(&minus)?, labels),
            Self::Statements => {
                let opposite = labels.f_neg()?.f_add_scalar(1.0)?;
                (Tensor::f_cat(&[plus, minus], 0)?, Tensor::f_cat(&[labels, opposite], 0)?)
            }
            Self::Concatenated => (Tensor::f_cat(&[plus, minus], 1)?, labels),
        })
    }
}

/// Labels as 0 and 1. \[N\]
fn targets(pairs: &Contrast) -> Result<Tensor> {
    let labels: Vec<f64> = pairs.labels().iter().map(|&l| f64::from(u8::from(l))).collect();
    Ok(Tensor::f_from_slice(&labels)?)
}

/// Fits logistic regression on the differences of training rows.
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// Training rows of one label, a setting that cannot be used, or a gradient that stays above the tolerance.
pub fn logistic(train: &Contrast, options: &LrOptions) -> Result<LrFit> {
    logistic_on(train, LrInput::Differences, options)
}

/// Fits logistic regression on training rows.
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// As [`logistic`].
pub fn logistic_on(train: &Contrast, input: LrInput, options: &LrOptions) -> Result<LrFit> {
    check(options)?;
    both_labels(train.labels(), "the training rows")?;
    let (mut rows, normalizer) = Rows::of(train, input, options)?;
    let newton = rows.fit(1.0, options.c, options)?;
    rows.probe(&newton, input, normalizer)
}

/// Refuses settings that cannot be used.
pub fn check(options: &LrOptions) -> Result<()> {
    if options.c.is_finite() && options.c > 0.0 {
        return check_tolerance(options);
    }
    Err(Error::Setting {
        name: "c",
        value: options.c.to_string(),
        reason: "it weighs the data against the penalty",
        hint: "the default is 0.1",
    })
}

/// Refuses a tolerance that no gradient, or every one, would meet.
fn check_tolerance(options: &LrOptions) -> Result<()> {
    if options.tolerance.is_finite() && options.tolerance > 0.0 {
        return Ok(());
    }
    Err(Error::Setting {
        name: "tolerance",
        value: options.tolerance.to_string(),
        reason: "the fit ends when no entry of the gradient is larger",
        hint: "the default is 1e-6",
    })
}

/// The regression of `targets` (0 or 1, \[N\]) on `rows` \[N, D\]: weights \[D\] and bias.
pub(super) fn solve(rows: &Tensor, targets: &Tensor, options: &LrOptions) -> Result<(Tensor, f64)> {
    let kind = options.precision.kind();
    let mut rows = Rows::new(&rows.f_to_kind(kind)?, targets.f_to_kind(kind)?)?;
    let newton = rows.fit(1.0, options.c, options)?;
    rows.weights(&newton)
}

/// A logit that the next step would move further is on its way to infinity: without a minimum it moves by about 1, with
/// one, at a small gradient, by far less.
const STILL_MOVING: f64 = 0.1;

/// Training rows, in the basis of their span.
struct Rows {
    x: Tensor,       // [N, K]
    targets: Tensor, // [N]
    basis: Option<Tensor>,
    curvature: Curvature,
    /// Where the last fit ended.
    last: Option<Tensor>,
    /// Whether they are single statements.
    single: bool,
}

impl Rows {
    fn of(train: &Contrast, input: LrInput, options: &LrOptions) -> Result<(Self, Normalizer)> {
        let (normalizer, x, targets) =
            if input == LrInput::Differences && options.normalization != Normalization::Cluster {
                // Without both sides in f64 beside their differences.
                let normalizer = Normalizer::fit_as(options.normalization, train)?;
                let x = normalizer.differences(train, Kind::Double)?;
                let targets = targets(train)?.f_to_device(x.device())?;
                (normalizer, x, targets)
            } else {
                let (normalizer, plus, minus) =
                    Normalizer::fit_transform(options.normalization, train, Kind::Double)?;
                let (x, targets) = input.rows(plus, minus, train)?;
                (normalizer, x, targets)
            };
        let kind = options.precision.kind();
        let rows = Self::new(&x.f_to_kind(kind)?, targets.f_to_kind(kind)?)?;
        Ok((Self { single: train.is_single(), ..rows }, normalizer))
    }

    fn new(x: &Tensor, targets: Tensor) -> Result<Self> {
        let (x, basis) = span(x)?;
        Ok(Self { curvature: Curvature::new(&x)?, x, targets, basis, last: None, single: false })
    }

    /// The minimum of ½κ‖w‖² + c·Σ log loss, sought from where the last fit ended.
    fn fit(&mut self, penalized: f64, c: f64, options: &LrOptions) -> Result<Newton> {
        let problem = Problem::new(&self.x, &self.targets, self.basis.as_ref(), penalized, c)?;
        let start = match self.last.take() {
            Some(theta) => theta,
            None => problem.zero()?,
        };
        self.curvature.begin();
        let newton = problem.minimize(start, penalized, options, &mut self.curvature)?;
        let is_separable =
            newton.separates || (penalized <= 0.0 && problem.next_move(&newton.theta)? > STILL_MOVING);
        if is_separable {
            return Err(Error::Separable);
        }
        self.last = Some(newton.theta.f_alias()?);
        Ok(newton)
    }

    /// Weights \[D\] and the bias.
    fn weights(&self, newton: &Newton) -> Result<(Tensor, f64)> {
        Ok((to_full(&newton.theta, self.basis.as_ref())?, newton.theta.f_double_value(&[-1])?))
    }

    fn probe(&self, newton: &Newton, input: LrInput, normalizer: Normalizer) -> Result<LrFit> {
        let (weight, bias) = self.weights(newton)?;
        let probe = Probe {
            weight: weight.f_to_device(Device::Cpu)?,
            bias,
            hidden_layers: HiddenLayers::Linear,
            sign: Sign::Plus,
            input: input.probe_input(self.single),
            calibration: Calibration::OWN,
            normalizer,
            meta: BTreeMap::new(),
        };
        Ok(LrFit {
            probe,
            gradient: newton.gradient,
            iterations: newton.iterations,
            objective: newton.objective,
        })
    }
}

#[cfg(test)]
mod tests;
