//! How a probe's number is read: as which score, and as which probability.

use serde::{Deserialize, Serialize};

use crate::stats::calibrate::Platt;

/// How a probe turns the normalized states φ⁺, φ⁻ of a pair into one score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeInput {
    /// p̃ = ½(p⁺ + 1 − p⁻) with p± = σ(wᵀφ± + b), as in CCS; true above ½.
    Pair,
    /// wᵀ(φ⁺ − φ⁻) + b, a logit, as in logistic regression on differences; true above 0.
    Difference,
    /// z⁺ − z⁻ with z± = wᵀφ± + b, the logit of "this statement is true", as in logistic regression on statements; true
    /// above 0. Given that one of the two is true, it is the logit of the plus side's being it.
    Statements,
    /// wᵀ\[φ⁺; φ⁻\] + b with 2D weights, a logit, as in logistic regression on concatenated pairs; true above 0.
    Concatenated,
    /// wᵀφ + b of one statement, the logit of "this statement is true", of a probe fitted on single statements; true above
    /// 0. Of a pair, z⁺ − z⁻, both sides normalized alike.
    Single,
}

impl ProbeInput {
    /// The score above which a pair counts as true.
    pub fn threshold(self) -> f64 {
        match self {
            Self::Pair => 0.5,
            Self::Difference | Self::Statements | Self::Concatenated | Self::Single => 0.0,
        }
    }

    /// The score of the opposite answer.
    pub(super) fn invert(self, score: f64) -> f64 {
        match self {
            Self::Pair => 1.0 - score,
            Self::Difference | Self::Statements | Self::Concatenated | Self::Single => -score,
        }
    }
}

/// What a score says of how probable it is that the plus side is the true one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Calibration {
    /// The fit gives probabilities of its own: CCS's p̃ as it is, σ of the logit of logistic regression, INLP and LDA.
    /// Other directions have scores of any scale, of which σ says nothing.
    pub own: bool,
    /// p(true) = σ(a·s + b) of a score s, the probe's sign applied; fitted on held-out training rows.
    pub platt: Option<Platt>,
}

impl Calibration {
    /// Scores of any scale.
    pub const NONE: Self = Self { own: false, platt: None };
    /// Probabilities by the fit itself, not calibrated.
    pub const OWN: Self = Self { own: true, platt: None };
}
