//! From data set to data set.

use serde::{Deserialize, Serialize};

use super::evaluation::{Difference, Evaluation};

/// Probes of one method fitted on one data set and judged on another: rows are what they were fitted on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// The names of the data sets.
    pub datasets: Vec<String>,
    /// The layer that stands for each row's data set; none where the method could not be fitted to it.
    pub layers: Vec<Option<usize>>,
    /// `cells[fitted on][judged on]`, on test rows; none in a row without a layer.
    pub cells: Vec<Vec<Option<Evaluation>>>,
    /// What each cell is held against; empty in reports of older versions.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub against: Vec<Vec<Option<Against>>>,
}

/// What a probe fitted on one data set and judged on another is held against, on the same rows and resamples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// Random directions at the probe's layer: normalised, and each with its sign, by the training rows of the data set
    /// that the probe was fitted on. Median and central 95 %.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub random: Option<Evaluation>,
    /// The probe minus those.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub over_random: Option<Difference>,
    /// The probe minus the one of the data set that it is judged on, at that one's layer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub over_own: Option<Difference>,
    /// The probe minus the model's own answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub over_zero_shot: Option<Difference>,
}
