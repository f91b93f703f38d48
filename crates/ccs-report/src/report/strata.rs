//! What a probe's decisions have to do with a column of the data.

use serde::{Deserialize, Serialize};

use super::evaluation::Estimate;

/// A probe at its chosen layer beside one column of the data, on test rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnReport {
    /// The column.
    pub column: String,
    /// The share of decisions that the best rule from this column alone gives: for each value, the decision that is more
    /// frequent among training rows of that value.
    pub agreement: Estimate,
    /// The share of decisions that are the more frequent one of the training rows: what a rule from nothing gives.
    pub constant: f64,
    /// The share of decisions that the labels give: the probe's accuracy.
    pub accuracy: f64,
    /// `accuracy` minus `agreement`, paired.
    pub truth_over_column: Estimate,
    /// The accuracy of the best rule from this column alone to the labels.
    pub label_accuracy: f64,
    /// The AUROC within values: over pairs of a true and a false row with the same value. None if no value has both.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub within: Option<Estimate>,
    /// The AUROC with which scores tell the values that score high from the others, over pairs of rows with the same label:
    /// above 0.5 the probe follows the column beyond what column and labels have in common. A value scores high if most of its
    /// training rows are above the median. The interval holds for all columns and methods of the run at once. None if all rows
    /// of either label are alike.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub beyond_labels: Option<Estimate>,
    /// `within` minus `beyond_labels`, paired; its interval likewise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub within_over_beyond: Option<Estimate>,
    /// How many results, columns times methods, those intervals hold for at once.
    pub results: usize,
    /// Each value alone.
    pub strata: Vec<Stratum>,
    /// Whether scores follow the column, by `beyond_labels`, and are not shown to follow truth more closely, by
    /// `within_over_beyond`.
    pub explains: bool,
}

/// The test rows with one value of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    /// The value.
    pub value: String,
    /// Test rows.
    pub rows: usize,
    /// Those labeled true.
    pub positives: usize,
    /// Those predicted true.
    pub predicted: usize,
    /// The AUROC; none if they carry one label.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auroc: Option<Estimate>,
}
