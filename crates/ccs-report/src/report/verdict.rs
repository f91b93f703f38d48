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

/// What a verdict says. Claims against chance, random directions, the model's own answers, and fixed tokens go by intervals that hold for
/// all methods of the run at once; those on logistic regression and on passages by plain 95% intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// The AUROC interval lies above 0.5, and the run has no random directions to compare with.
    AboveChance,
    /// The AUROC interval lies above 0.5, and above that of random directions.
    BetterThanRandom,
    /// The AUROC interval lies above 0.5, but not above that of random directions.
    NoBetterThanRandom,
    /// The AUROC interval contains 0.5.
    NotShown,
    /// The AUROC interval lies below 0.5: the sign chosen on the training rows is wrong on the test rows.
    BelowChance,
    /// Too few test groups of the rarer label for a conclusion.
    TooFewGroups,
    /// Nothing could be fitted.
    NothingToFit,
    /// Above chance, and better than the model's own answers.
    BetterThanZeroShot,
    /// Above chance, but not better than the model's own answers.
    NoBetterThanZeroShot,
    /// The probe follows a column of the data, and is not shown to follow truth more closely.
    ExplainedByColumn,
    /// Among affirmative rows or among negated ones the AUROC interval lies below 0.5: the ranking turns round with negation.
    TurnsWithNegation,
    /// Fitted on one polarity alone, it predicts the labels of the other, in either direction that is spoken of.
    CrossesNegation,
    /// Fitted on one polarity alone, it is not shown to predict the labels of the other, or predicts their opposite, in one
    /// direction at least.
    CrossingNotShown,
    /// Fewer training rows than dimensions.
    Underdetermined,
    /// Worse than logistic regression.
    BelowSupervised,
    /// How far apart logistic regression and CCS may be, where neither is shown to be better.
    NearSupervised,
    /// Better than logistic regression.
    AboveSupervised,
    /// Worse without passages: part of what is found is read from them.
    ReadsPassages,
    /// Not shown to be worse without passages.
    PassagesNotShown,
    /// Better than the last token and than the mean of all: where to look was learned.
    PlaceLearned,
    /// Not shown to be better than both.
    PlaceNotShown,
    /// Most random directions rank the test rows better than chance: finding one says little.
    ManyDirections,
    /// Some random directions do, or none is shown to and some direction stands out in the spectrum.
    FewDirections,
    /// No more random directions than by chance are shown to, and no direction to stand out.
    NoDirectionsShown,
}

impl Finding {
    /// Whether it says that a method predicts the labels.
    pub fn is_above_chance(self) -> bool {
        matches!(self, Self::AboveChance | Self::BetterThanRandom | Self::NoBetterThanRandom)
    }

    /// Whether it is about probes of one polarity on the other.
    pub fn is_about_transfer(self) -> bool {
        matches!(self, Self::CrossesNegation | Self::CrossingNotShown)
    }

    /// Whether it is about the directions of a layer, and not about a method.
    pub fn is_about_directions(self) -> bool {
        matches!(self, Self::ManyDirections | Self::FewDirections | Self::NoDirectionsShown)
    }
}
