//! Cells colored by their numbers.

use serde::Serialize;

use crate::figures::heat::Scale;

/// A cell with a color.
#[derive(Debug, Serialize)]
pub(super) struct HeatCell {
    pub(super) text: String,
    pub(super) ci: Option<String>,
    pub(super) auroc: Option<String>,
    /// Points of accuracy against the probe fitted there, with their interval.
    pub(super) change: Option<String>,
    pub(super) style: String,
    /// The chosen layer, or the same data set on both sides.
    pub(super) marked: bool,
}

impl HeatCell {
    pub(super) fn new(text: String, style: String) -> Self {
        Self { text, ci: None, auroc: None, change: None, style, marked: false }
    }

    /// The legend of a table: numbers from one end of the colors to the other.
    pub(super) fn key(scale: &Scale, show: fn(f64) -> String) -> Vec<Self> {
        scale.key().map(|v| Self::new(show(v), scale.style(v))).collect()
    }
}
