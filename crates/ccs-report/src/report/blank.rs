//! The control with blank passages.

use serde::{Deserialize, Serialize};

use super::evaluation::{Difference, Evaluation};

/// A probe, or the model's own answers, with and without the passage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blank {
    /// On test questions with the passage left blank.
    #[serde(flatten)]
    pub without: Evaluation,
    /// On the same rows with their passages.
    pub with: Evaluation,
    /// `without` minus `with`, paired: the same method at the same layer on both sides.
    pub change: Difference,
}
