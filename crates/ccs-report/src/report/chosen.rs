//! The layer that stands for a method, and how it was chosen.

use serde::{Deserialize, Serialize};

use super::evaluation::Evaluation;

/// The layer that stands for a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// None if no layer could be fitted.
    pub layer: Option<usize>,
    /// How it was chosen.
    pub rule: String,
    /// Whether labels (of training rows) had a say.
    pub uses_labels: bool,
    /// The method at that layer, as under `layers`.
    pub test: Option<Evaluation>,
    /// What choosing by the test rows would have given. Not a result: it has seen the answers.
    pub oracle: Option<Oracle>,
}

/// The layer with the best test accuracy, which no honest rule can know.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Oracle {
    /// That layer.
    pub layer: usize,
    /// Its test accuracy.
    pub accuracy: f64,
    /// How much of it the honest choice misses.
    pub gap: f64,
}
