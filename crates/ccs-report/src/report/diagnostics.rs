//! What a run looks at more closely, at the layers that were chosen: calibration, templates, seeds, shuffled labels,
//! further directions. Parts of `report.json`.

use serde::{Deserialize, Serialize};

use super::controls::Untrained;
use super::evaluation::{Evaluation, Interval, Terms};

/// One method's probe at its chosen layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloseUp {
    /// The layer.
    pub layer: usize,
    /// How well its probabilities agree with how often it is right.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calibration: Option<Calibration>,
    /// How its probabilities lie; none where it has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub histogram: Option<Histogram>,
    /// Each template by itself; empty where there is one.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub templates: Vec<TemplateReport>,
    /// Templates brought together; empty where there is one.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ensembles: Vec<EnsembleReport>,
}

/// Platt scaling fitted on training rows, as it is saved with the probe, judged on test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The scaling.
    pub platt: Platt,
    /// What it was fitted on, in words.
    pub fitted_on: String,
    /// Test rows in bins of probability after it.
    pub reliability: Reliability,
    /// The expected calibration error of the test rows before it; none where scores are of any scale.
    pub ece_before: Option<f64>,
}

/// Test rows by the probability that the plus side is the true one, in equal bins from 0 to 1: as the fit gives it, or
/// after Platt scaling where it gives none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Whether these are probabilities after Platt scaling.
    #[serde(default)]
    pub calibrated: bool,
    /// Rows labelled true in each bin.
    pub positives: Vec<usize>,
    /// Rows labelled false in each bin.
    pub negatives: Vec<usize>,
}

/// The test rows of one template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TemplateReport {
    /// Its name.
    pub template: String,
    /// Its test rows.
    pub rows: usize,
    /// The probe of all templates, on them.
    pub pooled: Evaluation,
    /// A probe fitted on this template's training rows alone, on them.
    pub own: Option<Evaluation>,
}

/// One way to bring the templates of a question together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnsembleReport {
    /// The way.
    pub ensembling: Ensembling,
    /// On test rows.
    pub test: Evaluation,
}

/// Recursive CCS at CCS's chosen layer: directions one after the other, each orthogonal to those before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecursiveReport {
    /// The layer.
    pub layer: usize,
    /// One after the other.
    pub iterations: Vec<RecursiveIteration>,
    /// Random directions, untrained, on the test rows: the central 95 % of accuracy.
    pub random_accuracy: Option<Interval>,
    /// The loss of the best constant guess.
    pub constant_guess: f64,
    /// Why it ended, in words.
    pub stop: String,
    /// The mean |cosine| between first directions found from different seeds; 1 is the same direction each time.
    pub seeds_cosine: Option<f64>,
    /// Directions that nothing was fitted to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub untrained: Option<Untrained>,
}

/// One direction of recursive CCS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecursiveIteration {
    /// On test rows.
    pub test: Evaluation,
    /// The loss on training rows.
    pub train_loss: Terms,
    /// The loss on test rows.
    pub test_loss: Terms,
}

/// Platt scaling: p(true) = σ(a·score + b).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Platt {
    /// The slope.
    pub a: f64,
    /// The intercept.
    pub b: f64,
}

/// How well probabilities agree with how often they are right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Equal intervals of probability, from 0 to 1.
    pub bins: Vec<Bin>,
    /// The expected calibration error: the mean |share − probability| over rows.
    pub ece: f64,
}

/// The rows whose probability lies in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// From this probability,
    pub low: f64,
    /// up to this one, exclusive but for 1.
    pub high: f64,
    /// Rows.
    pub rows: usize,
    /// Their mean probability; none without rows.
    pub probability: Option<f64>,
    /// The share of them that is true; none without rows.
    pub share: Option<f64>,
}

/// How the templates of a question are brought together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ensembling {
    /// Each statement by itself.
    None,
    /// Each row by the difference of its statements.
    Partial,
    /// Each question by the mean over its rows.
    Full,
}
