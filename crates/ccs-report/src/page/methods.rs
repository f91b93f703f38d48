//! Methods against each other at the layers that stand for them.

use serde::Serialize;

use super::dots::{self, Cell, Mark, Panel, Row, Shape};
use super::number::percent;
use super::scores::{Figure, Metric, Parted, Scores, has_layers, over, stands};
use super::svg::{class, paint};
use crate::Confusion;
use crate::Method;
use crate::Sign;
use crate::{Chosen, Evaluation, Report};

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

/// Every method of the run with its layer, in the order of reports.
fn standing(report: &Report) -> impl Iterator<Item = (Method, usize)> {
    let here = |method: &Method| {
        let layer = stands(report, *method)?;
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
            over_lr: over(report, method, Method::LR),
            note: found.note.clone(),
        })
    };
    standing(report).filter_map(number).collect()
}

/// A point with its interval, for accuracy and AUROC.
pub(super) fn cells(method: Method, tests: &[(&Evaluation, Shape)]) -> Vec<Cell> {
    let paint = paint(method);
    let accuracies = tests
        .iter()
        .map(|&(test, shape)| Mark { value: test.accuracy, ci: test.accuracy_ci, shape, paint })
        .collect();
    let aurocs = tests
        .iter()
        .filter_map(|&(test, shape)| Some(Mark { value: test.auroc?, ci: test.auroc_ci, shape, paint }))
        .collect();
    [accuracies, aurocs].map(|marks| Cell { band: None, marks }).into()
}

/// Whether anything ranks.
pub(super) fn any_auroc<'a>(mut tests: impl Iterator<Item = &'a Evaluation>) -> bool {
    tests.any(|t| t.auroc.is_some())
}

/// The key numbers as points.
pub(super) fn forest(report: &Report) -> Option<Figure> {
    let tests: Vec<(Method, usize, &Evaluation)> = standing(report)
        .filter(|(method, _)| *method != Method::MAJORITY)
        .filter_map(|(m, layer)| Some((m, layer, &report.layer(layer)?.methods.get(&m)?.test)))
        .collect();
    let row = |&(method, layer, test): &(Method, usize, &Evaluation)| Row {
        label: report.title(method),
        detail: if has_layers(report, method) { format!("layer {layer}") } else { String::new() },
        cells: cells(method, &[(test, Shape::Full)]),
    };
    let rows: Vec<Row> = tests.iter().map(row).collect();
    let panels = Panel::both(report.majority, any_auroc(tests.iter().map(|t| t.2)));
    (!rows.is_empty()).then(|| dots::figure(&rows, &panels, "Methods at their chosen layers").into())
}

#[derive(Debug, Serialize)]
pub(super) struct ConfusionView {
    method: String,
    layer: usize,
    counts: Confusion,
    /// Rows labelled true, labelled false, judged true, judged false, all.
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
        let sums = [tp + false_n, fp + tn, tp + fp, false_n + tn, tp + false_n + fp + tn];
        let inverted = found.sign == Some(Sign::Minus);
        Some((method, ConfusionView { method: report.title(method), layer, counts, sums, inverted }))
    };
    Parted::new(report.chosen.iter().filter_map(|(&method, chosen)| of(method, chosen)))
}

/// Directions that a method found one after the other at its chosen layer.
#[derive(Debug, Serialize)]
pub(super) struct Directions {
    method: String,
    class: &'static str,
    layer: usize,
    rows: Vec<Scores>,
}

pub(super) fn directions(report: &Report) -> Vec<Directions> {
    let of = |&method: &Method| {
        let layer = report.chosen_layer(method)?;
        let found = &report.layer(layer)?.methods.get(&method)?.directions;
        let rows: Vec<Scores> = found.iter().map(Scores::new).collect();
        let view = Directions { method: report.title(method), class: class(method), layer, rows };
        (!view.rows.is_empty()).then_some(view)
    };
    report.chosen.keys().filter_map(of).collect()
}

#[derive(Debug, Serialize)]
pub(super) struct Choice {
    method: String,
    /// Beside the method's own choice.
    without_labels: bool,
    class: &'static str,
    layer: Option<usize>,
    uses_labels: bool,
    cross_validation: Option<String>,
    test: Option<String>,
    oracle: Option<OracleView>,
}

#[derive(Debug, Serialize)]
struct OracleView {
    layer: usize,
    accuracy: String,
    gap: String,
}

/// Layers, and the rules behind them with the methods that follow each.
#[derive(Debug, Serialize)]
pub(super) struct Choices {
    rows: Vec<Choice>,
    rules: Vec<(String, Vec<String>)>,
    /// Penalties that cross-validation inside the training rows chose.
    penalties: Vec<(String, String)>,
}

impl Choices {
    pub(super) fn new(report: &Report) -> Self {
        let all = || {
            let beside = report.chosen_without_labels.iter().map(|(&m, c)| (m, c, true));
            report.chosen.iter().map(|(&m, c)| (m, c, false)).chain(beside)
        };
        let mut rules: Vec<(String, Vec<String>)> = Vec::new();
        for (method, chosen, without_labels) in all() {
            let name = report.title(method) + if without_labels { " without labels" } else { "" };
            match rules.iter_mut().find(|(rule, _)| *rule == chosen.rule) {
                Some((_, methods)) => methods.push(name),
                None => rules.push((chosen.rule.clone(), vec![name])),
            }
        }
        let penalty = |&method: &Method| {
            let found = report.layer(report.chosen_layer(method)?)?.methods.get(&method)?;
            Some((report.title(method), significant(found.l2?)))
        };
        Self {
            rows: all().map(|(m, c, without)| choice(report, m, c, without)).collect(),
            rules,
            penalties: report.chosen.keys().filter_map(penalty).collect(),
        }
    }
}

/// Three digits of a positive number.
fn significant(value: f64) -> String {
    let place = value.abs().log10().floor();
    if (-5.0..3.0).contains(&place) {
        format!("{value:.0$}", (2.0 - place) as usize)
    } else {
        format!("{value:.2e}")
    }
}

fn choice(report: &Report, method: Method, chosen: &Chosen, without_labels: bool) -> Choice {
    let found = chosen.layer.and_then(|l| report.layer(l)?.methods.get(&method));
    Choice {
        method: report.title(method),
        without_labels,
        class: class(method),
        layer: chosen.layer,
        uses_labels: chosen.uses_labels,
        cross_validation: found.and_then(|f| f.cross_validation).map(|cv| percent(cv.accuracy)),
        test: found.map(|f| percent(f.test.accuracy)),
        oracle: chosen.oracle.map(|o| OracleView {
            layer: o.layer,
            accuracy: percent(o.accuracy),
            gap: format!("{:.1}", 100.0 * o.gap),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::significant;

    #[test]
    fn penalties_have_three_digits() {
        let shown = [0.005_994_8, 100.0, 1e-9, 0.0, 2.5].map(significant);
        assert_eq!(shown, ["0.00599", "100", "1.00e-9", "0.00e0", "2.50"]);
    }
}
