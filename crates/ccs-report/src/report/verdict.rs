//! A sentence about the results, and what it says in one word.

use serde::{Deserialize, Serialize};

use crate::method::Method;

/// A sentence about the results, and what it is computed from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verdict {
    /// About this method.
    pub method: Method,
    /// At this layer; none if it is about the whole run.
    pub layer: Option<usize>,
    /// The finding in one word.
    pub finding: Finding,
    /// The finding in a sentence, with its numbers.
    pub text: String,
}

/// What a verdict says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// Both intervals lie above chance.
    AboveChance,
    /// The AUROC interval lies above 0.5, but accuracy is no better than the majority class.
    RanksOnly,
    /// The AUROC interval contains 0.5; or, without an AUROC, accuracy is no better than the majority class.
    AtChance,
    /// The AUROC interval lies below 0.5: the sign chosen on the training rows is wrong on the test rows.
    BelowChance,
    /// The test rows come from too few groups for a reliable interval.
    TooFewGroups,
    /// Nothing could be fitted.
    NothingToFit,
    /// No better than random directions.
    NoBetterThanRandom,
    /// Better than random directions.
    BetterThanRandom,
    /// Better than the model's own answers.
    BetterThanZeroShot,
    /// No better than the model's own answers.
    NoBetterThanZeroShot,
    /// Fewer training rows than dimensions.
    Underdetermined,
    /// Worse than logistic regression.
    BelowSupervised,
    /// Not distinguishable from logistic regression, or better.
    ReachesSupervised,
    /// Neither CCS nor logistic regression does better than chance.
    NeitherFinds,
}
