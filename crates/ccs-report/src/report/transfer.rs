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
