//! The layer chosen for a method, and how it was chosen.

use serde::{Deserialize, Serialize};

use super::evaluation::{Evaluation, Intervals};

/// The layer chosen for a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// None if no layer could be fitted.
    pub layer: Option<usize>,
    /// How it was chosen.
    pub rule: String,
    /// Whether the choice uses labels (of training rows).
    pub uses_labels: bool,
    /// The method's test result at that layer, as in `layers`.
    pub test: Option<Evaluation>,
    /// Its intervals at level 1 − 0.05/(number of methods with a chosen layer): with 95% probability, those of all methods
    /// hold at once. Verdicts go by these.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub of_methods: Option<Intervals>,
    /// The choice that the test rows would have made. An oracle, not a result: it uses the test labels.
    pub oracle: Option<Oracle>,
}

/// The layer with the best test accuracy, which cannot be known without the test labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Oracle {
    /// That layer.
    pub layer: usize,
    /// Its test accuracy.
    pub accuracy: f64,
    /// How much higher it is than at the chosen layer.
    pub gap: f64,
}
