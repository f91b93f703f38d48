//! A run's settings, as a report records them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A run's settings: those that the page names, and all others by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecordedSettings {
    /// Random directions in the band.
    pub directions: usize,
    /// Folds of the cross-validation within the training rows.
    pub folds: usize,
    /// The seed of all randomness.
    pub seed: u64,
    /// The others.
    #[serde(flatten)]
    pub others: BTreeMap<String, serde_json::Value>,
}

/// Which log-probability of an answer decides what the model prefers.
///
/// The sum is the model's own probability of the text. It favors the shorter of two answers, so evaluation harnesses also
/// offer the mean (length-normalized accuracy).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerScore {
    /// The log-probability of the whole answer: the sum over its tokens.
    #[default]
    Sum,
    /// Its mean over the answer's tokens.
    Mean,
}

impl AnswerScore {
    /// Its name in reports and settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
        }
    }

    /// What it measures, in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Sum => "the log-probability of the whole answer (the sum over its tokens)",
            Self::Mean => "the mean log-probability of the whole answer's tokens",
        }
    }
}

impl fmt::Display for AnswerScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AnswerScore {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Sum, Self::Mean]
            .into_iter()
            .find(|score| score.name() == name)
            .ok_or_else(|| format!("`{name}` is neither sum nor mean"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for score in [AnswerScore::Sum, AnswerScore::Mean] {
            assert_eq!(score.name().parse(), Ok(score));
            assert_eq!(serde_json::to_value(score).unwrap(), score.name());
        }
        assert_eq!("Sum".parse::<AnswerScore>(), Err("`Sum` is neither sum nor mean".to_owned()));
    }
}
