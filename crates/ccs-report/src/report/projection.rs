//! Statements on the plane of their first two principal components.

use serde::{Deserialize, Serialize};

use crate::method::Method;

/// Statements of test rows (both sides of a pair, or single ones) on the plane of the first two principal components of training statements,
/// layer by layer. States are centered a side and template, by means of training rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Projections {
    /// The training rows that the components were taken from.
    pub train_rows: usize,
    /// The test rows that are shown, by their numbers in the data: a seeded choice where there are more.
    pub rows: Vec<usize>,
    /// Whether each one's plus side, or statement, is true.
    pub labels: Vec<bool>,
    /// What the rows' marks tell apart, where there is something.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub marks: Option<PointMarks>,
    /// The layers that a picture of its own shows; the others are in the strip alone.
    pub main: Vec<usize>,
    /// Ascending.
    pub layers: Vec<Projection>,
}

/// A column of the data that marks of points tell: one that a probe follows, polarity, or else data set or template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointMarks {
    /// The column.
    pub column: String,
    /// Up to four values; of more, the most frequent, and all others together.
    pub values: Vec<String>,
    /// Of every row that is shown, the place of its value.
    pub of_row: Vec<usize>,
}

/// One layer. A layer that only the strip shows has the first of the rows alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// The layer.
    pub layer: usize,
    /// The share of the training statements' variance along either component.
    pub explained: [f64; 2],
    /// Coordinates of the plus statements along the first component, rounded.
    pub plus_x: Vec<f64>,
    /// And along the second.
    pub plus_y: Vec<f64>,
    /// Coordinates of the minus statements along the first component; empty in a run on single statements.
    pub minus_x: Vec<f64>,
    /// And along the second.
    pub minus_y: Vec<f64>,
    /// Of linear probes fitted here.
    pub directions: Vec<ProjectedDirection>,
}

/// The direction of a probe, of length 1 in the states, on the plane.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ProjectedDirection {
    /// The probe's method.
    pub method: Method,
    /// Along the first component; statements become true in the direction of the arrow.
    pub x: f64,
    /// Along the second.
    pub y: f64,
}

impl ProjectedDirection {
    /// The length of the direction's shadow on the plane, where the direction's own is 1.
    pub fn share(&self) -> f64 {
        self.x.hypot(self.y)
    }
}
