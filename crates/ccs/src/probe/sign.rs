//! Which end of a direction is truth: a sign, chosen on training rows.

use serde::{Deserialize, Serialize};

use super::Probe;
use crate::{Contrast, Result};

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

impl Probe {
    /// Sets the sign under which at least half of the training rows are judged right.
    ///
    /// # Errors
    /// As [`Probe::score_pairs`].
    pub fn orient(&mut self, train: &Contrast) -> Result<()> {
        self.sign = Sign::Plus;
        if self.accuracy(train)? < 0.5 {
            self.sign = Sign::Minus;
        }
        Ok(())
    }
}
