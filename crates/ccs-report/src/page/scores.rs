//! Metrics, differences and choices of layers, as the page's tables hold them.

use serde::Serialize;

use super::number::{decimal, decimals, difference, interval, percent, percents, points};
use crate::{Comparison, Difference, Evaluation, Method, Report};

/// A metric with its interval.
#[derive(Debug, Serialize)]
pub(super) struct Metric {
    value: String,
    ci: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Scores {
    accuracy: Metric,
    auroc: Option<Metric>,
}

impl Scores {
    pub(super) fn new(test: &Evaluation) -> Self {
        Self {
            accuracy: accuracy(test),
            auroc: test.auroc.map(|v| Metric { value: decimal(v), ci: test.auroc_ci.map(decimals) }),
        }
    }
}

pub(super) fn accuracy(test: &Evaluation) -> Metric {
    Metric { value: percent(test.accuracy), ci: test.accuracy_ci.map(percents) }
}

/// A plot, once for each width of page.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) wide: String,
    pub(super) narrow: String,
}

impl From<[String; 2]> for Figure {
    fn from([wide, narrow]: [String; 2]) -> Self {
        Self { wide, narrow }
    }
}

/// What is said of CCS and logistic regression first, and of every other method for who asks.
#[derive(Debug, Serialize)]
pub(super) struct Parted<T> {
    pub(super) first: Vec<T>,
    pub(super) others: Vec<T>,
}

impl<T> Parted<T> {
    pub(super) fn new(items: impl IntoIterator<Item = (Method, T)>) -> Self {
        let (first, others): (Vec<_>, Vec<_>) = items.into_iter().partition(|(method, _)| leads(*method));
        let [first, others] =
            [first, others].map(|of| of.into_iter().map(|(_, item)| item).collect::<Vec<_>>());
        if first.is_empty() { Self { first: others, others: first } } else { Self { first, others } }
    }
}

/// Whether the page speaks of a method first.
pub(super) fn leads(method: Method) -> bool {
    matches!(method, Method::CCS | Method::LR)
}

/// Whether there is a number for each layer; the others are the same at every one.
pub(super) fn has_layers(report: &Report, method: Method) -> bool {
    report.fits_probes(method) || method == Method::RANDOM
}

/// What Platt scaling was fitted on, where there is one.
pub(super) fn calibrated(report: &Report) -> Option<String> {
    let found = report.close_ups.values().find_map(|c| c.calibration.as_ref())?;
    let said = Some(found.fitted_on.clone()).filter(|text| !text.is_empty());
    Some(said.unwrap_or_else(|| "labels and scores of the training rows it was fitted on".to_owned()))
}

/// The layer that stands for a method in comparisons: probes at their chosen layers, random directions at that of CCS, and
/// any layer for what is the same at all.
pub(super) fn stands(report: &Report, method: Method) -> Option<usize> {
    let first = || report.layers.first().map(|l| l.layer);
    if report.fits_probes(method) {
        return report.chosen_layer(method);
    }
    if method == Method::RANDOM {
        let choices = || report.chosen.values().find_map(|c| c.layer);
        return [Method::CCS, Method::LR]
            .into_iter()
            .find_map(|m| report.chosen_layer(m))
            .or_else(choices)
            .or_else(first);
    }
    first()
}

/// Of accuracies.
pub(super) fn difference_in_points(d: &Difference) -> Metric {
    Metric { value: points(d.accuracy.value), ci: d.accuracy.ci.map(|ci| interval(ci, points)) }
}

/// Of AUROCs.
pub(super) fn difference_of_aurocs(d: &Difference) -> Option<Metric> {
    d.auroc.map(|e| Metric { value: difference(e.value), ci: e.ci.map(|ci| interval(ci, difference)) })
}

fn side(report: &Report, method: Method, layer: usize) -> String {
    match method {
        Method::RANDOM => "random directions".to_owned(),
        Method::LR => format!("LR (layer {layer})"),
        method if report.fits_probes(method) => format!("{} (layer {layer})", report.title(method)),
        method => report.title(method).to_lowercase(),
    }
}

/// A method at its layer minus another: random directions there, or a method at its own. In points of accuracy.
pub(super) fn over(report: &Report, first: Method, second: Method) -> Option<Metric> {
    let layer = report.chosen_layer(first)?;
    let there = report.layer(layer).map(|l| l.differences.as_slice()).unwrap_or_default();
    let beside = there.iter().filter(|_| second == Method::RANDOM);
    let compared = report.comparisons.iter().chain(beside).map(|c| &c.difference);
    compared
        .chain(&report.chosen_difference)
        .find(|d| d.first == first && d.first_layer == layer && d.second == second)
        .map(difference_in_points)
}

/// A difference with its plain intervals, and with those of as many layers as were looked at.
#[derive(Debug, Serialize)]
pub(super) struct ComparisonView {
    text: String,
    accuracy: Metric,
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

/// Methods at their chosen layers; of a run of before there were such comparisons, CCS against logistic regression.
pub(super) fn comparisons(report: &Report) -> Parted<ComparisonView> {
    let view = |c: &Comparison| (c.difference.first, ComparisonView::new(report, c));
    if report.comparisons.is_empty() {
        let plain = |d: &Difference| {
            let (difference, layers) = (d.clone(), report.layers.len());
            Comparison { difference, layers, accuracy_ci: None, auroc_ci: None }
        };
        return Parted::new(report.chosen_difference.iter().map(|d| view(&plain(d))));
    }
    Parted::new(report.comparisons.iter().map(view))
}

/// CCS and logistic regression at every layer.
pub(super) fn at_every_layer(report: &Report) -> Vec<ComparisonView> {
    report.layers.iter().flat_map(|l| &l.differences).map(|c| ComparisonView::new(report, c)).collect()
}
