//! The figures, as SVG: one canvas, one palette. On the page colors are variables of its style sheet; files of their own
//! are dark on white.

mod axes;
pub(crate) mod bars;
pub(crate) mod by_layer;
mod canvas;
pub(crate) mod dots;
pub(crate) mod heat;
mod legend;
mod marks;
pub(crate) mod palette;
pub(crate) mod plane;
mod series;
mod text;
pub(crate) mod truth_plane;

pub(crate) use canvas::Figure;
pub(crate) use series::Quantity;

use crate::report::Report;

/// Test accuracy by layer as an SVG file, dark on white: CCS and logistic regression with their 95% intervals and their
/// chosen layers ringed, zero-shot, the band of random directions, and the majority class.
pub fn accuracy_svg(report: &Report) -> String {
    svg(report, Quantity::Accuracy)
}

/// Test AUROC by layer, as [`accuracy_svg`]. A layer whose test rows carry one label has no point.
pub fn auroc_svg(report: &Report) -> String {
    svg(report, Quantity::Auroc)
}

/// Names in a report come from data: control and bidi characters in them are written out.
fn svg(report: &Report, quantity: Quantity) -> String {
    host::text::shown(&by_layer::file(report, quantity)).into_owned()
}
