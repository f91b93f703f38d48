//! `split.json`: which rows trained and which tested.

use serde::{Deserialize, Serialize};

/// `split.json`: which rows trained and which tested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitReport {
    /// A hash of everything below.
    pub id: String,
    /// The run's seed.
    pub seed: u64,
    /// The share of rows that was to be kept for testing.
    pub test_fraction: f64,
    /// What the training rows are.
    pub train: SplitRows,
    /// What the test rows are.
    pub test: SplitRows,
}

/// Rows of one side of a split, one entry each in every list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRows {
    /// Row numbers in the data.
    pub row: Vec<usize>,
    /// The rows' own names.
    pub id: Vec<String>,
    /// Their groups.
    pub group: Vec<String>,
}
