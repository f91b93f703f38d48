//! Every method at its chosen layer.

use serde::Serialize;

use super::differences::over;
use super::scores::{Metric, Parted, Scores, has_layers};
use crate::figures::Figure;
use crate::figures::dots::{self, Panel, Row, Shape};
use crate::figures::palette::{class, method_ink};
use crate::method::Method;
use crate::report::{Chosen, Confusion, Evaluation, Report, Sign};

/// A method at its layer, compared with random directions and logistic regression.
#[derive(Debug, Serialize)]
pub(super) struct KeyNumber {
    method: String,
    class: &'static str,
    layer: Option<usize>,
    scores: Scores,
    over_random: Option<Metric>,
    over_lr: Option<Metric>,
    note: Option<String>,
}

/// Every method of the run with its layer, in the report's order.
fn standing(report: &Report) -> impl Iterator<Item = (Method, usize)> {
    let here = |method: &Method| {
        let layer = key_layer(report, *method)?;
        report.layer(layer)?.methods.contains_key(method).then_some((*method, layer))
    };
    report.methods.keys().filter_map(here)
}

pub(super) fn key_numbers(report: &Report) -> Vec<KeyNumber> {
    let number = |(method, layer): (Method, usize)| {
        let found = report.layer(layer)?.methods.get(&method)?;
        Some(KeyNumber {
            method: report.title(method),
            class: class(method),
            layer: has_layers(report, method).then_some(layer),
            scores: Scores::new(&found.test),
            over_random: over(report, method, Method::RANDOM),
            over_lr: over(report, method, report.main()[1]),
            note: found.note.clone(),
        })
    };
    standing(report).filter_map(number).collect()
}

/// The layer of a method's key numbers: probes at their chosen layers, random directions at that of the leading method, and the first
/// layer for what is the same at all of them.
fn key_layer(report: &Report, method: Method) -> Option<usize> {
    let first = || report.layers.first().map(|l| l.layer);
    if report.fits_probes(method) {
        return report.chosen_layer(method);
    }
    if method == Method::RANDOM {
        let choices = || report.chosen.values().find_map(|c| c.layer);
        return report
            .main()
            .into_iter()
            .find_map(|m| report.chosen_layer(m))
            .or_else(choices)
            .or_else(first);
    }
    first()
}

/// The key numbers as points.
pub(super) fn forest(report: &Report) -> Option<Figure> {
    let tests: Vec<(Method, usize, &Evaluation)> = standing(report)
        .filter(|(method, _)| *method != Method::MAJORITY)
        .filter_map(|(m, layer)| Some((m, layer, &report.layer(layer)?.methods.get(&m)?.test)))
        .collect();
    let row = |&(method, layer, test): &(Method, usize, &Evaluation)| {
        let detail = if has_layers(report, method) { format!("layer {layer}") } else { String::new() };
        Row::new(report.title(method), detail, method_ink(method), &[(test, Shape::Full)])
    };
    let rows: Vec<Row> = tests.iter().map(row).collect();
    let panels = Panel::both(report.majority, tests.iter().any(|t| t.2.auroc.is_some()));
    (!rows.is_empty()).then(|| dots::figure(&rows, &panels, "Methods at their chosen layers"))
}

/// A confusion matrix.
#[derive(Debug, Serialize)]
pub(super) struct ConfusionView {
    method: String,
    layer: usize,
    counts: Confusion,
    /// Rows labeled true, labeled false, predicted true, predicted false, all.
    sums: [usize; 5],
    inverted: bool,
}

pub(super) fn confusions(report: &Report) -> Parted<ConfusionView> {
    let of = |method: Method, chosen: &Chosen| {
        let layer = chosen.layer?;
        let found = report.layer(layer)?.methods.get(&method)?;
        let counts = found.test.confusion?;
        let Confusion { true_positive: tp, false_positive: fp, true_negative: tn, false_negative: false_n } =
            counts;
        let sums = [tp + false_n, fp + tn, tp + fp, false_n + tn, counts.rows()];
        let inverted = found.sign == Some(Sign::Minus);
        Some((method, ConfusionView { method: report.title(method), layer, counts, sums, inverted }))
    };
    Parted::new(report.chosen.iter().filter_map(|(&method, chosen)| of(method, chosen)))
}
