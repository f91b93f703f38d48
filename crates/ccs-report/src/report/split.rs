//! `split.json`: which rows are for training and which for testing.

use serde::{Deserialize, Serialize};

/// `split.json`: which rows are for training and which for testing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitReport {
    /// A hash of everything below.
    pub id: String,
    /// The run's seed.
    pub seed: u64,
    /// The requested share of test rows.
    pub test_fraction: f64,
    /// The training rows.
    pub train: SplitRows,
    /// The test rows.
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
