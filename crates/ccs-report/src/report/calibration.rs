//! How calibrated a probe's probabilities are.

use serde::{Deserialize, Serialize};

/// Platt scaling fitted on training rows, as saved with the probe, evaluated on test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The scaling.
    pub platt: Platt,
    /// What it was fitted on, in words.
    pub fitted_on: String,
    /// The reliability diagram of the test rows after scaling.
    pub reliability: Reliability,
    /// The expected calibration error of the test rows before scaling; none where scores are not probabilities.
    pub ece_before: Option<f64>,
}

/// Platt scaling: p(true) = σ(a·score + b).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Platt {
    /// The slope.
    pub a: f64,
    /// The intercept.
    pub b: f64,
}

/// A reliability diagram: predicted probability against the observed share of true rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Equal intervals of probability, from 0 to 1.
    pub bins: Vec<Bin>,
    /// The expected calibration error: the mean |share − probability| over rows.
    pub ece: f64,
}

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Its lower end.
    pub low: f64,
    /// Its upper end, exclusive unless it is 1.
    pub high: f64,
    /// Its rows.
    pub rows: usize,
    /// Their mean predicted probability; none without rows.
    pub probability: Option<f64>,
    /// The share of them that is labeled true; none without rows.
    pub share: Option<f64>,
}

/// Test rows by the predicted probability that the plus statement is true, in equal bins from 0 to 1: the fit's own
/// probability, or that after Platt scaling where it has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Whether these are probabilities after Platt scaling.
    pub calibrated: bool,
    /// Rows labeled true in each bin.
    pub positives: Vec<usize>,
    /// Rows labeled false in each bin.
    pub negatives: Vec<usize>,
}
