//! Iterative null-space projection (Ravfogel et al. 2020): logistic regression on differences, again and again, each
//! time without the directions found before, until labels can be told no better than by their shares.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Kind, Tensor};

use super::centered::Train;
use super::fit::{Fit, Fitted};
use super::logistic::{self, LrOptions};
use crate::normalize::Normalization;
use crate::probe::Probe;
use crate::{Contrast, Error, Result, SeedTree};

/// INLP: when it stops, and how each regression is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inlp {
    /// Stop at a mean log loss of at least (1 − ε)·H, H being the entropy of the labels.
    pub epsilon: f64,
    /// Stop after this many directions in any case.
    pub max_directions: usize,
    /// The regression, and how states are normalized.
    pub regression: LrOptions,
}

impl Default for Inlp {
    fn default() -> Self {
        Self { epsilon: 0.01, max_directions: 100, regression: LrOptions::default() }
    }
}

impl Inlp {
    /// The same on states normalized in this way.
    #[must_use]
    pub fn normalized(mut self, normalization: Normalization) -> Self {
        self.regression.normalization = normalization;
        self
    }
}

impl Fit for Inlp {
    fn fits_statements(&self) -> bool {
        true
    }

    fn fit_checked(&self, train: &Contrast, _seeds: &SeedTree) -> Result<Fitted> {
        let fit = inlp(train, self)?;
        let about = json!({
            "c": self.regression.c, "epsilon": self.epsilon, "losses": fit.losses, "entropy": fit.entropy,
            "normalization": self.regression.normalization,
        });
        let note = if fit.exhausted {
            format!(
                "the first of {} directions, of which the last tells labels no better than their shares do",
                fit.probes.len()
            )
        } else {
            format!("the first of {} directions; more would follow", fit.probes.len())
        };
        let objective = fit.losses.first().copied().ok_or(Error::Constant)?;
        let mut probes = fit.probes.into_iter();
        let probe = probes.next().ok_or(Error::Constant)?;
        Ok(Fitted { further: probes.collect(), note: Some(note), ..Fitted::new(probe, objective, about) })
    }

    fn probe_only(&self) -> Option<Box<dyn Fit>> {
        Some(Box::new(Self { max_directions: 1, ..self.clone() }))
    }
}

/// What INLP found.
#[derive(Debug)]
#[non_exhaustive]
pub struct InlpFit {
    /// One probe per direction, in the order found; the first is plain logistic regression. Their weights are
    /// orthogonal to each other.
    pub probes: Vec<Probe>,
    /// Each regression's mean log loss on the training rows, in nats, without the penalty.
    pub losses: Vec<f64>,
    /// H, the entropy of the training labels, in nats.
    pub entropy: f64,
    /// The directions, orthonormal; a probe whose weight is zero has none. \[K, D\], f64
    pub directions: Tensor,
    /// Whether the loss reached the entropy, so that the last probe finds nothing.
    pub exhausted: bool,
}

/// Runs INLP on training rows.
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// Those of [`logistic::logistic`].
pub fn inlp(train: &Contrast, options: &Inlp) -> Result<InlpFit> {
    logistic::check(&options.regression)?;
    let data = Train::new(train, options.regression.normalization)?;
    let labels = data.labels()?;
    let share = labels.f_mean(Kind::Double)?.f_double_value(&[])?;
    let entropy = -(share * share.ln() + (1.0 - share) * (1.0 - share).ln());
    let mut rows = data.differences()?; // [N, D]
    let (mut probes, mut losses, mut directions): (Vec<Probe>, Vec<f64>, Vec<Tensor>) = Default::default();
    let limit = options.max_directions.min(train.dim()).max(1);
    let mut exhausted = false;
    while probes.len() < limit && !exhausted {
        let (weight, bias) = logistic::solve(&rows, &labels, &options.regression)?;
        let weight = weight.f_to_kind(Kind::Double)?;
        let loss = log_loss(&rows, &labels, &weight, bias)?;
        exhausted = loss >= (1.0 - options.epsilon) * entropy;
        // The weight lies in the span of the projected rows; what rounding left of earlier directions goes too.
        let mut direction = weight.f_alias()?;
        for known in &directions {
            direction = direction.f_sub(&known.f_mul(&known.f_dot(&direction)?)?)?;
        }
        let length = direction.f_norm()?.f_double_value(&[])?;
        probes.push(data.another(&weight, bias)?);
        losses.push(loss);
        if length <= f64::MIN_POSITIVE {
            exhausted = true; // the regression gives every row the labels' shares
            break;
        }
        let direction = direction.f_div_scalar(length)?;
        rows = rows.f_sub(&rows.f_mv(&direction)?.f_outer(&direction)?)?;
        directions.push(direction);
    }
    let none = rows.f_narrow(0, 0, 0)?; // [0, D]
    let directions: Vec<Tensor> = directions.iter().map(|d| d.f_unsqueeze(0)).collect::<Result<_, _>>()?;
    let directions = Tensor::f_cat(&std::iter::once(none).chain(directions).collect::<Vec<_>>(), 0)?;
    let directions = directions.f_to_device(tch::Device::Cpu)?;
    Ok(InlpFit { probes, losses, entropy, directions, exhausted })
}

/// mean(log(1 + exp z) − y·z)
fn log_loss(rows: &Tensor, labels: &Tensor, weight: &Tensor, bias: f64) -> Result<f64> {
    let z = rows.f_mv(weight)?.f_add_scalar(bias)?;
    let softplus = z.f_clamp_min(0.0)?.f_add(&z.f_abs()?.f_neg()?.f_exp()?.f_log1p()?)?;
    Ok(softplus.f_sub(&labels.f_mul(&z)?)?.f_mean(Kind::Double)?.f_double_value(&[])?)
}
