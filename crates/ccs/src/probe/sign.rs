//! Which end of a direction is truth: a sign, chosen on training rows.

use serde::{Deserialize, Serialize};

/// Whether a high score means true. A fit without labels finds a direction but not which end of it is truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "i8", try_from = "i8")]
pub enum Sign {
    /// High means true.
    Plus,
    /// High means false: scores are inverted.
    Minus,
}

impl From<Sign> for i8 {
    fn from(sign: Sign) -> i8 {
        match sign {
            Sign::Plus => 1,
            Sign::Minus => -1,
        }
    }
}

impl TryFrom<i8> for Sign {
    type Error = String;

    fn try_from(value: i8) -> Result<Self, String> {
        match value {
            1 => Ok(Self::Plus),
            -1 => Ok(Self::Minus),
            other => Err(format!("a sign is 1 or -1, not {other}")),
        }
    }
}

impl Sign {
    /// The sign under which at least half of the training rows are judged right, of the accuracy with [`Sign::Plus`].
    pub(super) fn of_accuracy(accuracy: f64) -> Self {
        if accuracy < 0.5 { Self::Minus } else { Self::Plus }
    }
}
