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
    /// The layers that a picture of its own shows; the others are in the strip alone.
    pub main: Vec<usize>,
    /// Ascending.
    pub layers: Vec<Projection>,
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
