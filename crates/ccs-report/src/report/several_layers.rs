//! Several layers together, beside the one chosen.

use serde::{Deserialize, Serialize};

use super::evaluation::{Estimate, Evaluation};

/// A method with several layers together, on the test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeveralLayers {
    /// The layers, ascending: those with the highest accuracy in cross-validation inside the training rows.
    pub layers: Vec<usize>,
    /// The mean of the layers' probabilities, each scaled on held-out training rows (Platt).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mean: Option<Together>,
    /// A probe fitted on the layers' states side by side, each layer scaled to the same spread.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub concatenated: Option<Together>,
}

/// How well several layers do, and how much better than the chosen one alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Together {
    /// On the test rows.
    pub test: Evaluation,
    /// Accuracy minus that of the chosen layer, paired.
    pub accuracy_beyond_chosen: Option<Estimate>,
    /// AUROC minus that of the chosen layer, paired.
    pub auroc_beyond_chosen: Option<Estimate>,
}
