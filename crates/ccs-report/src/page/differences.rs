//! Paired differences between methods.

use serde::Serialize;

use super::scores::{Metric, Parted, difference_in_points, difference_of_aurocs};
use crate::method::Method;
use crate::numbers::{difference, interval, points};
use crate::report::{Comparison, Report};

/// A method as one side of a difference.
fn side(report: &Report, method: Method, layer: usize) -> String {
    match method {
        Method::RANDOM => "random directions".to_owned(),
        Method::LR => format!("LR (layer {layer})"),
        method if report.fits_probes(method) => format!("{} (layer {layer})", report.title(method)),
        method => report.title(method).to_lowercase(),
    }
}

/// A method at its chosen layer minus another one, in AUROC: random directions at the same layer, another method at its own.
pub(super) fn over(report: &Report, first: Method, second: Method) -> Option<Metric> {
    let layer = report.chosen_layer(first)?;
    let there = report.layer(layer)?.differences.iter();
    let of_layer = there.filter(|_| second == Method::RANDOM);
    let compared = report.comparisons.iter().chain(of_layer).map(|c| &c.difference);
    compared
        .chain(&report.chosen_difference)
        .find(|d| d.first == first && d.first_layer == layer && d.second == second)
        .and_then(difference_of_aurocs)
}

/// A difference with its uncorrected intervals, and with those corrected for the number of layers.
#[derive(Debug, Serialize)]
pub(super) struct ComparisonView {
    text: String,
    accuracy: Option<Metric>,
    accuracy_of_all: Option<String>,
    auroc: Option<Metric>,
    auroc_of_all: Option<String>,
}

impl ComparisonView {
    fn new(report: &Report, c: &Comparison) -> Self {
        let d = &c.difference;
        Self {
            text: format!(
                "{} \u{2212} {}",
                side(report, d.first, d.first_layer),
                side(report, d.second, d.second_layer)
            ),
            accuracy: difference_in_points(d),
            accuracy_of_all: c.accuracy_ci.map(|ci| interval(ci, points)),
            auroc: difference_of_aurocs(d),
            auroc_of_all: c.auroc_ci.map(|ci| interval(ci, difference)),
        }
    }
}

/// Methods at their chosen layers.
pub(super) fn comparisons(report: &Report) -> Parted<ComparisonView> {
    let view = |c: &Comparison| (c.difference.first, ComparisonView::new(report, c));
    Parted::new(report.comparisons.iter().map(view))
}

/// CCS and logistic regression at every layer.
pub(super) fn at_every_layer(report: &Report) -> Vec<ComparisonView> {
    report.layers.iter().flat_map(|l| &l.differences).map(|c| ComparisonView::new(report, c)).collect()
}
