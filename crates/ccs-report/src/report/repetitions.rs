//! Controls that repeat fits: other seeds, shuffled labels.

use serde::{Deserialize, Serialize};

use super::evaluation::Interval;

/// The same fit several times: under other seeds, or with shuffled labels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Repetitions {
    /// The layer of the fits.
    pub layer: usize,
    /// Test accuracy of each repetition.
    pub accuracies: Vec<f64>,
    /// Test AUROC of each repetition, where the test rows carry both labels.
    pub aurocs: Vec<Option<f64>>,
    /// How many were requested; fewer are listed where fits failed.
    pub asked: usize,
    /// Other seeds of CCS: how similar their directions are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cosines: Option<SeedCosines>,
    /// Shuffled labels: the results of random directions with such labels.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub band: Option<ShuffledBand>,
}

/// |cos| between the directions found from different seeds; 1 is the same direction every time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedCosines {
    /// The lowest between two different directions.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The mean.
    pub mean: f64,
    /// The highest.
    pub max: f64,
    /// Between every two seeds, the run's own first.
    pub matrix: Vec<Vec<f64>>,
}

/// The null distribution of results with shuffled labels: random directions, each with its sign from shuffled training
/// labels, evaluated on shuffled test labels, with a new shuffle for each. An interval leaves out 0.05 / (2 × `results`)
/// of them at either end (Bonferroni), so all results lie inside at once with a probability of at least 95%.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShuffledBand {
    /// Results compared with such bands: methods times shuffles.
    pub results: usize,
    /// Random directions behind the band.
    pub draws: usize,
    /// Of accuracies. Where labels are unbalanced, a method that learns only the class frequencies leaves it toward the
    /// majority class.
    pub accuracy: Interval,
    /// Of AUROCs; none where the test rows carry one label.
    pub auroc: Option<Interval>,
    /// Results outside: by AUROC where there is one, else by accuracy.
    pub outside: usize,
}
