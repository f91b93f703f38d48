//! The control without passages.

use serde::{Deserialize, Serialize};

use super::evaluation::{Difference, Evaluation};

/// A probe, or the model's own answer, without the passage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blank {
    /// On test questions with the passage left blank.
    #[serde(flatten)]
    pub without: Evaluation,
    /// On the same rows with their passages; none in reports of older versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub with: Option<Evaluation>,
    /// The former minus the latter, paired: both sides of it are the same method at the same layer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub change: Option<Difference>,
}
