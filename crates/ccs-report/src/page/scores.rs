//! Metrics with their intervals, as the page's tables hold them.

use serde::Serialize;

use crate::method::Method;
use crate::numbers::{decimal, decimals, difference, interval, percent, percents, points};
use crate::report::{Difference, Estimate, Evaluation, Report, Terms};

/// A metric with its interval.
#[derive(Debug, Serialize)]
pub(super) struct Metric {
    value: String,
    ci: Option<String>,
}

/// Accuracy and AUROC.
#[derive(Debug, Serialize)]
pub(super) struct Scores {
    accuracy: Metric,
    auroc: Option<Metric>,
}

impl Scores {
    pub(super) fn new(test: &Evaluation) -> Self {
        Self { accuracy: accuracy(test), auroc: auroc(test) }
    }
}

pub(super) fn auroc(test: &Evaluation) -> Option<Metric> {
    test.auroc.map(|value| Metric { value: decimal(value), ci: test.auroc_ci.map(decimals) })
}

fn accuracy(test: &Evaluation) -> Metric {
    Metric { value: percent(test.accuracy), ci: test.accuracy_ci.map(percents) }
}

/// CCS and logistic regression first, of statements mass mean, logistic regression and TTPD; the other methods behind a click.
/// Where the run has none of these, all come first.
#[derive(Debug, Serialize)]
pub(super) struct Parted<T> {
    pub(super) first: Vec<T>,
    pub(super) others: Vec<T>,
}

impl<T> Parted<T> {
    pub(super) fn new(items: impl IntoIterator<Item = (Method, T)>) -> Self {
        let (first, others): (Vec<_>, Vec<_>) = items.into_iter().partition(|(method, _)| method.is_main());
        let [first, others] =
            [first, others].map(|of| of.into_iter().map(|(_, item)| item).collect::<Vec<_>>());
        if first.is_empty() { Self { first: others, others: first } } else { Self { first, others } }
    }
}

/// Whether a method has a number for each layer; the others are the same at every layer.
pub(super) fn has_layers(report: &Report, method: Method) -> bool {
    report.fits_probes(method) || method == Method::RANDOM
}

/// A share of rows.
pub(super) fn share_of(e: &Estimate) -> Metric {
    Metric { value: percent(e.value), ci: e.ci.map(percents) }
}

/// An AUROC.
pub(super) fn auroc_of(e: &Estimate) -> Metric {
    Metric { value: decimal(e.value), ci: e.ci.map(decimals) }
}

/// A difference of two AUROCs.
pub(super) fn auroc_less(e: &Estimate) -> Metric {
    Metric { value: difference(e.value), ci: e.ci.map(|ci| interval(ci, difference)) }
}

/// A difference of two shares, in points.
pub(super) fn points_of(e: &Estimate) -> Metric {
    Metric { value: points(e.value), ci: e.ci.map(|ci| interval(ci, points)) }
}

/// A difference of accuracies, in points.
pub(super) fn difference_in_points(d: &Difference) -> Option<Metric> {
    d.accuracy.as_ref().map(points_of)
}

/// A difference of AUROCs.
pub(super) fn difference_of_aurocs(d: &Difference) -> Option<Metric> {
    d.auroc.as_ref().map(auroc_less)
}

/// Consistency, confidence and their sum.
pub(super) fn terms(terms: &Terms) -> [String; 3] {
    [terms.consistency, terms.confidence, terms.total()].map(decimal)
}
