//! What the rows of a run are.

use serde::{Deserialize, Serialize};

use crate::method::Method;

/// What the rows of a run are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// Contrast pairs: a statement and its opposite, of which one is true.
    #[default]
    Pairs,
    /// Single statements, true or false.
    Statements,
}

impl RowKind {
    /// Whether they are pairs.
    pub fn is_pairs(&self) -> bool {
        *self == Self::Pairs
    }

    /// The method that a run on such rows is about first, beside logistic regression.
    pub fn leading(self) -> Method {
        match self {
            Self::Pairs => Method::CCS,
            Self::Statements => Method::MASS_MEAN,
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pairs => "contrast pairs",
            Self::Statements => "single statements",
        }
    }
}
