//! What finding a direction says at a layer: how many random ones do, and how many stand out.

use serde::{Deserialize, Serialize};

use crate::method::Method;

/// Random directions and spectra at one layer: CCS's chosen one, or the first probe's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DirectionsReport {
    /// The layer.
    pub layer: usize,
    /// Random directions, each with its sign from the training rows.
    pub directions: usize,
    /// Those whose AUROC on test rows is above the threshold.
    pub above: usize,
    /// The same as a share.
    pub share: f64,
    /// The AUROC that a direction exceeds by chance with the probability `expected`.
    pub threshold: f64,
    /// The share that is expected by chance.
    pub expected: f64,
    /// The share that shuffled labels exceed with a probability of 5%.
    pub chance_high: f64,
    /// Whether the share is above `chance_high`.
    pub more_than_chance: bool,
    /// Of DRC, RRC and VINC on training pairs, without labels.
    pub spectra: Vec<SpectrumReport>,
}

/// The largest eigenvalues of what a method maximizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpectrumReport {
    /// The method.
    pub method: Method,
    /// What it is called in sentences; it need not be a method of the run.
    pub title: String,
    /// The leading principal directions of the states in which eigenvalues were computed.
    pub dimensions: usize,
    /// Largest first, at most 20.
    pub eigenvalues: Vec<f64>,
    /// The median of the largest eigenvalue of pairs with shuffled partners, among directions that do not stand out.
    pub null_median: f64,
    /// Its 95% quantile.
    pub null_high: f64,
    /// Eigenvalues above that. Where nothing stands out, this is above 0 with a probability of at most 5%.
    pub standing_out: usize,
}
