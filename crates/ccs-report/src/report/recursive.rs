//! Recursive CCS.

use serde::{Deserialize, Serialize};

use super::evaluation::{Evaluation, Interval, Terms};

/// Recursive CCS at CCS's chosen layer: one direction after another, each orthogonal to all before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecursiveReport {
    /// The layer.
    pub layer: usize,
    /// In the order found.
    pub iterations: Vec<RecursiveIteration>,
    /// The central 95% of test accuracies of untrained random directions.
    pub random_accuracy: Option<Interval>,
    /// The loss of the best constant guess.
    pub constant_guess: f64,
    /// Why it stopped, in words.
    pub stop: String,
    /// The mean |cos| between first directions found from different seeds; 1 is the same direction every time.
    pub seeds_cosine: Option<f64>,
    /// The null distribution of the loss.
    pub untrained: Untrained,
}

/// One direction of recursive CCS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecursiveIteration {
    /// On test rows.
    pub test: Evaluation,
    /// The loss on training rows.
    pub train_loss: Terms,
    /// The loss on test rows.
    pub test_loss: Terms,
}

/// Random directions without any fitting, scored as CCS's are.
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
    /// Two standard deviations on either side of the mean.
    pub fn two_sd(&self) -> Interval {
        [self.mean - 2.0 * self.sd, self.mean + 2.0 * self.sd]
    }
}
