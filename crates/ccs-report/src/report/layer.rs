//! One layer, and every method at it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::evaluation::{Comparison, CrossValidation, Evaluation, Sign, Terms};
use crate::method::Method;

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerReport {
    /// 0 is the embedding, l ≥ 1 the residual stream after block l − 1.
    pub layer: usize,
    /// The hook point's name.
    pub hook: String,
    /// D, the length of a state.
    pub dim: usize,
    /// The states are identical in all training rows, or in all of a template: nothing can be fitted, and a constant guess
    /// takes the place of every probe.
    pub degenerate: bool,
    /// Fewer training rows than dimensions, overall or in a fold of the cross-validation: CCS reaches zero loss along almost
    /// any direction.
    pub underdetermined: bool,
    /// Caveats about this layer.
    pub notes: Vec<String>,
    /// By method.
    pub methods: IndexMap<Method, MethodReport>,
    /// Paired differences between methods at this layer: CCS and logistic regression against each other, random directions,
    /// the model's own answers and (accuracy alone) the majority class.
    pub differences: Vec<Comparison>,
}

/// One method at one layer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MethodReport {
    /// On the test rows.
    pub test: Evaluation,
    /// On the training rows. It says little where there are fewer rows than dimensions.
    pub train: Evaluation,
    /// Within the training rows; the basis of choosing a layer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cross_validation: Option<CrossValidation>,
    /// The loss, for CCS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loss: Option<LossReport>,
    /// Whether a high score means true, according to the training rows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sign: Option<Sign>,
    /// Logistic regression: the largest gradient entry at the solution.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gradient: Option<f64>,
    /// Logistic regression: Newton iterations.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iterations: Option<usize>,
    /// Logistic regression: the penalty λ of mean log loss + ½λ‖w‖² that cross-validation within the training rows chose.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub l2: Option<f64>,
    /// INLP: every direction on the test rows, in the order found; the first is the probe's.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub directions: Vec<Evaluation>,
    /// The saved probe, relative to the run's folder.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub probe: Option<String>,
    /// How to read the numbers, where the method needs it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// The CCS loss of the selected start, and of all starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossReport {
    /// On training rows.
    pub train: Terms,
    /// On test rows.
    pub test: Terms,
    /// The selected start, counted from 0.
    pub restart: usize,
    /// The final training loss of every start; none where it is not a number.
    pub restarts: Vec<Option<f64>>,
}
