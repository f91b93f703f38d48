//! How well labels are predicted, and how two methods differ: numbers with their intervals.

use serde::{Deserialize, Serialize};

use crate::method::Method;

/// A closed interval, lower end first.
pub type Interval = [f64; 2];

/// How well labels are predicted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Share of rows classified correctly.
    pub accuracy: f64,
    /// 95% interval that takes groups for independent; for random directions, the central 95% of directions.
    pub accuracy_ci: Option<Interval>,
    /// Area under the ROC curve; none if the rows carry one label.
    pub auroc: Option<f64>,
    /// As `accuracy_ci`.
    pub auroc_ci: Option<Interval>,
    /// Predictions by label.
    pub confusion: Option<Confusion>,
}

/// Predictions by label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Labeled true, predicted true.
    pub true_positive: usize,
    /// Labeled false, predicted true.
    pub false_positive: usize,
    /// Labeled false, predicted false.
    pub true_negative: usize,
    /// Labeled true, predicted false.
    pub false_negative: usize,
}

impl Confusion {
    /// All rows.
    pub fn rows(&self) -> usize {
        self.true_positive + self.false_positive + self.true_negative + self.false_negative
    }
}

/// Cross-validation within the training rows: means over its folds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    /// Folds.
    pub folds: usize,
    /// Mean accuracy on held-out folds.
    pub accuracy: f64,
    /// Mean AUROC on held-out folds; none if a fold carries one label.
    pub auroc: Option<f64>,
    /// Mean loss of the fits.
    pub loss: f64,
}

/// The two terms of the CCS loss (Burns et al. 2022, equations 1 and 2).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// Mean of (p⁺ − (1 − p⁻))².
    pub consistency: f64,
    /// Mean of min(p⁺, p⁻)².
    pub confidence: f64,
}

impl Terms {
    /// The CCS loss: the sum of both terms.
    pub fn total(&self) -> f64 {
        self.consistency + self.confidence
    }
}

/// Whether a high score means true; 1 or −1 in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "i8", try_from = "i8")]
pub enum Sign {
    /// A high score means true.
    Plus,
    /// A high score means false.
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

    fn try_from(sign: i8) -> Result<Self, String> {
        match sign {
            1 => Ok(Self::Plus),
            -1 => Ok(Self::Minus),
            other => Err(format!("a sign is 1 or -1, not {other}")),
        }
    }
}

/// A number and its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// On the test rows.
    pub value: f64,
    /// The interval; it takes groups for independent.
    pub ci: Option<Interval>,
}

/// `first` minus `second` on the same test rows. The interval of a difference from random directions covers the choice of a
/// direction as well as that of the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The minuend.
    pub first: Method,
    /// The layer of the minuend.
    pub first_layer: usize,
    /// The subtrahend.
    pub second: Method,
    /// The layer of the subtrahend.
    pub second_layer: usize,
    /// Of accuracies; none where accuracies do not compare: random directions and the model's own answers have no intercept
    /// that could learn the base rate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accuracy: Option<Estimate>,
    /// Of AUROCs; none against the majority class, which ranks nothing, and where the test rows carry one label.
    pub auroc: Option<Estimate>,
}

/// Intervals of accuracy and AUROC, or of differences between two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Of accuracy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accuracy_ci: Option<Interval>,
    /// Of AUROC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auroc_ci: Option<Interval>,
}

/// A difference, with intervals corrected for the number of layers and of methods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// With its uncorrected 95% intervals.
    #[serde(flatten)]
    pub difference: Difference,
    /// How many layers were evaluated.
    pub layers: usize,
    /// Of accuracies, at level 1 − 0.05/`layers` (Bonferroni): with 95% probability, the intervals of all layers hold at
    /// once.
    pub accuracy_ci: Option<Interval>,
    /// The same for AUROCs.
    pub auroc_ci: Option<Interval>,
    /// How many methods have a chosen layer in this run.
    pub methods: usize,
    /// At level 1 − 0.05/`methods`: with 95% probability, the intervals of all methods hold at once. Verdicts go by these.
    pub of_methods: Intervals,
}
