//! What controls at the chosen layers found, beside the fits themselves. Parts of `report.json`.

use serde::{Deserialize, Serialize};

use super::evaluation::{Interval, Sign};

/// A control that is a handful of numbers: the same fit under other seeds, or with labels that mean nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Repeated {
    /// Its layer.
    pub layer: usize,
    /// Test accuracy of each repetition.
    pub accuracies: Vec<f64>,
    /// Test AUROC of each repetition, where the test rows carry both labels.
    pub aurocs: Vec<Option<f64>>,
    /// How many were asked for: more than there are where some could not be fitted.
    #[serde(default)]
    pub asked: usize,
    /// Other seeds of CCS: how alike their directions are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cosines: Option<SeedCosines>,
    /// Shuffled labels: what random directions give with such labels.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub band: Option<ShuffledBand>,
}

/// |cos| between directions found from different seeds; 1 is the same direction each time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedCosines {
    /// The least of two different directions.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The mean.
    pub mean: f64,
    /// The greatest.
    pub max: f64,
    /// Each with each, the run's own first.
    pub matrix: Vec<Vec<f64>>,
}

/// Where results with shuffled labels lie if labels say nothing: random directions, each with its sign from shuffled
/// training labels and judged by shuffled test labels, a shuffle of its own for each. An interval leaves out 0.05 /
/// (2 × `results`) of them at either end (Bonferroni): all results at once lie inside with at least 95 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShuffledBand {
    /// Results held against such bands at once: methods times shuffles.
    pub results: usize,
    /// Random directions behind the band.
    pub draws: usize,
    /// Of accuracies. A method that learns how many rows are true leaves it towards the majority's share without
    /// knowing anything of truth, where labels are unbalanced.
    pub accuracy: Interval,
    /// Of AUROCs; none where the test rows carry one label.
    pub auroc: Option<Interval>,
    /// Results outside: by AUROC where there is one, else by accuracy.
    pub outside: usize,
}

/// Directions that nothing was fitted to, read as CCS's are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Untrained {
    /// How many.
    pub directions: usize,
    /// Their accuracy on test rows, each with its sign from the training rows.
    pub accuracy: Spread,
    /// The consistency of their test loss.
    pub consistency: Spread,
    /// The confidence of their test loss.
    pub confidence: Spread,
    /// The sum of both.
    pub loss: Spread,
}

/// Mean and standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of the sample (n − 1).
    pub sd: f64,
}

impl Spread {
    /// Two standard deviations to either side.
    pub fn two_sd(&self) -> Interval {
        [self.mean - 2.0 * self.sd, self.mean + 2.0 * self.sd]
    }
}

/// CCS at its chosen layer: the sign and the start that were kept, beside those that the test rows would have chosen.
/// The latter are no results: they have seen the answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WithinLayer {
    /// The layer.
    pub layer: usize,
    /// Test accuracy with the sign and the start that were kept.
    pub accuracy: f64,
    /// How the sign was chosen.
    pub sign_rule: String,
    /// The sign that was kept.
    pub sign: Sign,
    /// The better sign on the test rows.
    pub oracle_sign: OracleSign,
    /// How the start was chosen.
    pub restart_rule: String,
    /// The best start on the test rows, each with its sign from the training rows; none for probes with hidden layers.
    pub oracle_restart: Option<OracleRestart>,
}

impl WithinLayer {
    /// All of it in two sentences, starts counted from 1.
    pub fn sentence(&self) -> String {
        let sign = &self.oracle_sign;
        let sign = if sign.sign == self.sign {
            "the sign is the oracle's".to_owned()
        } else {
            format!("the oracle's sign is the other, {:.3} ({:.3} more)", sign.accuracy, sign.gap)
        };
        let start = match &self.oracle_restart {
            Some(best) if best.restart == best.kept => "; so is the start".to_owned(),
            Some(best) => format!(
                "; the oracle's start is number {} instead of {}, {:.3} ({:.3} more)",
                best.restart + 1,
                best.kept + 1,
                best.accuracy,
                best.gap
            ),
            None => String::new(),
        };
        let Self { layer, accuracy, sign_rule, restart_rule, .. } = self;
        format!(
            "CCS at layer {layer}, accuracy {accuracy:.3}: its sign was kept because {sign_rule}, its start for the \
             {restart_rule}. By the test rows {sign}{start}."
        )
    }
}

/// The sign with the better test accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OracleSign {
    /// It.
    pub sign: Sign,
    /// Its test accuracy.
    pub accuracy: f64,
    /// How much of it the honest sign misses.
    pub gap: f64,
}

/// The start with the best test accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OracleRestart {
    /// The start that was kept, counted from 0.
    pub kept: usize,
    /// The one with the best test accuracy; the kept one among equals.
    pub restart: usize,
    /// Its test accuracy.
    pub accuracy: f64,
    /// How much of it the honest choice misses.
    pub gap: f64,
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_what_the_oracle_would_have_kept() {
        let mut within = WithinLayer {
            layer: 7,
            accuracy: 0.4,
            sign_rule: "of a rule".to_owned(),
            sign: Sign::Plus,
            oracle_sign: OracleSign { sign: Sign::Minus, accuracy: 0.6, gap: 0.2 },
            restart_rule: "rule".to_owned(),
            oracle_restart: Some(OracleRestart { kept: 1, restart: 1, accuracy: 0.4, gap: 0.0 }),
        };
        assert!(within.sentence().ends_with("the other, 0.600 (0.200 more); so is the start."));
        within.oracle_sign.sign = Sign::Plus;
        within.oracle_restart = Some(OracleRestart { kept: 1, restart: 4, accuracy: 0.5, gap: 0.1 });
        let text = within.sentence();
        assert!(text.ends_with(
            "the sign is the oracle's; the oracle's start is number 5 instead of 2, 0.500 (0.100 more)."
        ));
    }
}
