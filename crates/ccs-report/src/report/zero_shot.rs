//! The model's own answers: how they can be read, and which reading is the bar that probes are to pass.

use serde::{Deserialize, Serialize};

use super::evaluation::{Comparison, Evaluation};
use super::settings::AnswerScore;
use crate::method::Method;

/// The model's own answers to a run's rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZeroShot {
    /// What the methods `zero_shot` and `calibrated_zero_shot` go by.
    pub score: AnswerScore,
    /// Every reading that the data allow.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub readings: Vec<AnswerReading>,
    /// The place in `readings` of the one that ranks the training rows best: the bar that probes are to pass.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bar: Option<usize>,
    /// The place of the one that ranks the test rows best. An oracle, not a result: it uses the test labels.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oracle: Option<usize>,
    /// Every method that fits probes, at its chosen layer, minus the bar.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub beyond: Vec<Comparison>,
}

/// One way to read the model's answers, and how well it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerReading {
    /// Which log-probabilities of the two answers are compared.
    pub score: AnswerScore,
    /// Whether their difference is taken against a threshold for each template, at which a given share of the training
    /// rows is true; otherwise against zero.
    pub calibrated: bool,
    /// On the training rows.
    pub train: Evaluation,
    /// On the test rows, with intervals.
    pub test: Evaluation,
}

impl ZeroShot {
    /// The reading that is the bar.
    pub fn bar_reading(&self) -> Option<&AnswerReading> {
        self.readings.get(self.bar?)
    }
}

impl AnswerReading {
    /// The method that reads answers so.
    pub fn method(&self) -> Method {
        if self.calibrated { Method::CALIBRATED_ZERO_SHOT } else { Method::ZERO_SHOT }
    }

    /// `mean log-probability, calibrated`.
    pub fn describe(&self) -> String {
        let score = match self.score {
            AnswerScore::Sum => "log-probability",
            AnswerScore::Mean => "mean log-probability",
        };
        format!("{score}{}", if self.calibrated { ", calibrated" } else { "" })
    }
}
