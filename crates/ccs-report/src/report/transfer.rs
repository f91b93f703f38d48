//! Transfer from data set to data set.

use serde::{Deserialize, Serialize};

use super::evaluation::{Difference, Evaluation};

/// Probes of one method, fitted on one data set (the row) and tested on another (the column).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// The names of the data sets.
    pub datasets: Vec<String>,
    /// The layer chosen on each row's data set; none where the method could not be fitted to it.
    pub layers: Vec<Option<usize>>,
    /// `cells[fitted on][tested on]`, on test rows; none in a row without a layer.
    pub cells: Vec<Vec<Option<Evaluation>>>,
    /// What each cell is compared with.
    pub against: Vec<Vec<Option<Against>>>,
    /// By data set: the probe fitted on all the others together. Without the column of all data sets; empty for two, where
    /// the one other is all others.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left_out: Vec<Option<LeftOut>>,
    /// How the directions of the data sets' probes lie to each other, where they are linear.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub directions: Option<DirectionCosines>,
}

impl Transfer {
    /// What the probe is called that was fitted on all data sets but one.
    pub fn all_but(dataset: &str) -> String {
        format!("all but {dataset}")
    }
}

/// A probe fitted on all data sets but one, and tested on that one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The layer chosen on the training rows of the others.
    pub layer: usize,
    /// On the test rows of the data set that was left out.
    pub test: Evaluation,
    /// What that is compared with; random directions are normalized and signed by the training rows of the others.
    pub against: Against,
}

/// Cosines between the directions of one method's linear probes, each fitted on a data set of its own, at one layer: the
/// one chosen for all data sets together. A direction is the gradient of the probe's logit with respect to the states as
/// they are (w/σ with the sign of the probe, the mean of both sides' and of all templates'), so that the data sets' own
/// normalization is taken out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DirectionCosines {
    /// The layer.
    pub layer: usize,
    /// Those of the data sets, and of all of them, that have a linear probe there.
    pub datasets: Vec<String>,
    /// aᵀb/(|a||b|), `cosine[i][j]` between `datasets[i]` and `datasets[j]`.
    pub cosine: Vec<Vec<f64>>,
    /// aᵀΣb/√(aᵀΣa · bᵀΣb), where Σ is the covariance of all data sets' training states about the mean of each data set,
    /// template, and side: how much the scores of the two probes correlate there.
    pub mahalanobis: Vec<Vec<f64>>,
}

/// What a transferred probe is compared with, on the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// Random directions at the probe's layer, with normalization and signs from the training rows of the data set that
    /// the probe was fitted on. Median and central 95%.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub random: Option<Evaluation>,
    /// The probe minus random directions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub over_random: Option<Difference>,
    /// The probe minus the one fitted on the tested data set, at that one's layer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub over_own: Option<Difference>,
    /// The probe minus the model's own answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub over_zero_shot: Option<Difference>,
}
