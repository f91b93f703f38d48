//! What a run was asked to do, as far as a report speaks of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A run's settings as they are recorded: those that the page names, and all others by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordedSettings {
    /// Random directions in the band.
    pub directions: usize,
    /// Folds of the cross-validation inside the training rows.
    pub folds: usize,
    /// Resamples behind each interval.
    pub resamples: usize,
    /// What everything random follows from.
    pub seed: u64,
    /// The others.
    #[serde(flatten)]
    pub others: BTreeMap<String, serde_json::Value>,
}

/// What of an answer's log-probability decides which of the two answers the model prefers.
///
/// The sum is what a model says: which of the two texts is the likelier one to follow. The longer of two answers is the less
/// likely one by that, so evaluation harnesses offer the mean too (accuracy normalised by length).
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
    /// The name in reports and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Mean => "mean",
        }
    }

    /// What it is of an answer, in words.
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

/// How the model's own answers were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZeroShot {
    /// What decided.
    pub score: AnswerScore,
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
