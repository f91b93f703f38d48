//! Tables whose cells are coloured by their numbers: every method at every layer, and from data set to data set.

use serde::Serialize;

use super::layers::failed;
use super::number::{decimal, interval, percent, percents, points};
use super::scores::{Metric, Parted, accuracy, difference_in_points, has_layers};
use super::svg::class;
use crate::{Evaluation, Method, Report, Transfer};

/// Percent of the strongest colour, so that text stays legible on it.
const STRONGEST: f64 = 72.0;
/// What is at least this far from the middle may have the strongest colour.
const FAR: f64 = 0.15;

/// The colour of a number from 0 to 1.
pub(super) fn share_style(value: f64) -> String {
    Scale { middle: 0.0, far: 1.0 }.style(value)
}

/// Colours on both sides of a middle; the numbers furthest from it have the strongest.
struct Scale {
    middle: f64,
    far: f64,
}

impl Scale {
    fn new(middle: f64, values: impl Iterator<Item = f64>) -> Self {
        let far = values.map(|v| (v - middle).abs()).filter(|d| d.is_finite()).fold(FAR, f64::max);
        Self { middle, far }
    }

    /// A style; nothing for what is no number.
    fn style(&self, value: f64) -> String {
        if !value.is_finite() {
            return String::new();
        }
        let side = if value < self.middle { "below" } else { "above" };
        let strength = ((value - self.middle).abs() / self.far).min(1.0) * STRONGEST;
        format!("background: color-mix(in srgb, var(--{side}) {strength:.0}%, var(--paper))")
    }

    /// Five numbers from one end of the colours to the other.
    fn key(&self, show: fn(f64) -> String) -> Vec<Heat> {
        [-1.0, -0.5, 0.0, 0.5, 1.0]
            .into_iter()
            .map(|step| self.middle + step * self.far)
            .filter(|v| (0.0..=1.0).contains(v))
            .map(|v| Heat::new(show(v), self.style(v)))
            .collect()
    }
}

/// A cell.
#[derive(Debug, Serialize)]
struct Heat {
    text: String,
    ci: Option<String>,
    auroc: Option<String>,
    /// Points of accuracy less than what was fitted there, with their interval.
    change: Option<String>,
    style: String,
    /// Chosen, or of the same data set.
    marked: bool,
}

impl Heat {
    fn new(text: String, style: String) -> Self {
        Self { text, ci: None, auroc: None, change: None, style, marked: false }
    }
}

/// A cell for each layer and method.
#[derive(Debug, Serialize)]
pub(super) struct LayerHeat {
    title: &'static str,
    columns: Vec<(String, &'static str)>,
    rows: Vec<(usize, Vec<Option<Heat>>)>,
    key: Vec<Heat>,
}

/// Accuracies and AUROCs, where there are methods that no other table of layers has.
pub(super) fn layers(report: &Report, shown_elsewhere: &[Method]) -> Vec<LayerHeat> {
    let there =
        |m: &Method| has_layers(report, *m) && report.layers.iter().any(|l| l.methods.contains_key(m));
    let methods: Vec<Method> = report.methods.keys().copied().filter(there).collect();
    if methods.iter().all(|m| shown_elsewhere.contains(m)) {
        return Vec::new();
    }
    let share = |v: f64| format!("{:.1}", 100.0 * v);
    let accuracy = |test: &Evaluation| Some(test.accuracy);
    let tables = [
        layer_heat(report, &methods, "Accuracy, %", report.majority, accuracy, share),
        layer_heat(report, &methods, "AUROC", 0.5, |test| test.auroc, decimal),
    ];
    tables.into_iter().filter(|t| t.rows.iter().any(|(_, cells)| cells.iter().any(Option::is_some))).collect()
}

fn layer_heat(
    report: &Report,
    methods: &[Method],
    title: &'static str,
    middle: f64,
    of: fn(&Evaluation) -> Option<f64>,
    show: fn(f64) -> String,
) -> LayerHeat {
    let value = |layer: &crate::LayerReport, method: &Method| of(&layer.methods.get(method)?.test);
    let all = report.layers.iter().flat_map(|l| methods.iter().filter_map(move |m| value(l, m)));
    let scale = Scale::new(middle, all);
    let row = |layer: &crate::LayerReport| {
        let cell = |method: &Method| {
            let value = value(layer, method)?;
            let marked = report.chosen.get(method).is_some_and(|c| c.layer == Some(layer.layer));
            // A constant guess stands in: no result of the method's.
            let text =
                if failed(report, layer, *method) { format!("{} †", show(value)) } else { show(value) };
            Some(Heat { marked, ..Heat::new(text, scale.style(value)) })
        };
        (layer.layer, methods.iter().map(cell).collect())
    };
    LayerHeat {
        title,
        columns: methods.iter().map(|m| (report.title(*m), class(*m))).collect(),
        rows: report.layers.iter().map(row).collect(),
        key: scale.key(show),
    }
}

/// From data set to data set by one method.
#[derive(Debug, Serialize)]
pub(super) struct TransferView {
    method: String,
    class: &'static str,
    columns: Vec<String>,
    rows: Vec<TransferRow>,
    key: Vec<Heat>,
    /// Every cell against what else there is for its rows; empty in older reports.
    against: Vec<AgainstRow>,
}

#[derive(Debug, Serialize)]
struct AgainstRow {
    from: String,
    to: String,
    /// The median and the central 95 % of random directions.
    random: Option<Metric>,
    /// Paired, in points: minus random directions, minus what was fitted there, minus the model's own answer.
    over: [Option<Metric>; 3],
}

#[derive(Debug, Serialize)]
struct TransferRow {
    name: String,
    layer: Option<usize>,
    cells: Vec<Option<Heat>>,
}

/// Intervals only where a page is wide enough for them.
const MOST_WITH_INTERVALS: usize = 6;

pub(super) fn transfers(report: &Report) -> Parted<TransferView> {
    let table = |(&method, found): (&Method, &Transfer)| {
        let answers = report.transfer_answers.values().flatten();
        let all = found.cells.iter().flatten().chain(answers).flatten().map(|e| e.accuracy);
        let scale = Scale::new(0.5, all);
        let intervals = found.datasets.len() <= MOST_WITH_INTERVALS;
        let cell = |e: &Evaluation| Heat {
            ci: e.accuracy_ci.filter(|_| intervals).map(percents),
            auroc: e.auroc.map(decimal),
            ..Heat::new(percent(e.accuracy), scale.style(e.accuracy))
        };
        let change = |row: usize, column: usize| {
            let over = found.against.get(row)?.get(column)?.as_ref()?.over_own.as_ref()?;
            let ci = over.accuracy.ci.filter(|_| intervals).map(|ci| format!(" {}", interval(ci, points)));
            Some(points(over.accuracy.value) + &ci.unwrap_or_default())
        };
        let within = |row: usize, (column, e): (usize, &Option<Evaluation>)| {
            let e = e.as_ref()?;
            Some(Heat { marked: row == column, change: change(row, column), ..cell(e) })
        };
        let rows = found.cells.iter().zip(&found.datasets).enumerate().map(|(row, (cells, name))| {
            let layer = found.layers.get(row).copied().flatten();
            let cells = cells.iter().enumerate().map(|e| within(row, e)).collect();
            TransferRow { name: name.clone(), layer, cells }
        });
        let answers = report.transfer_answers.iter().map(|(answer, of)| TransferRow {
            name: report.title(*answer),
            layer: None,
            cells: of.iter().map(|e| e.as_ref().map(cell)).collect(),
        });
        let view = TransferView {
            method: report.title(method),
            class: class(method),
            columns: found.datasets.clone(),
            rows: rows.chain(answers).collect(),
            key: scale.key(percent),
            against: against(found),
        };
        (method, view)
    };
    Parted::new(report.transfer.iter().map(table))
}

fn against(found: &Transfer) -> Vec<AgainstRow> {
    let mut rows = Vec::new();
    for (from, cells) in found.datasets.iter().zip(&found.against) {
        for (to, cell) in found.datasets.iter().zip(cells) {
            let Some(cell) = cell else { continue };
            let over = [&cell.over_random, &cell.over_own, &cell.over_zero_shot];
            rows.push(AgainstRow {
                from: from.clone(),
                to: to.clone(),
                random: cell.random.as_ref().map(accuracy),
                over: over.map(|difference| difference.as_ref().map(difference_in_points)),
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_strongest_far_from_the_middle_and_weak_numbers_stay_pale() {
        let scale = Scale::new(0.5, [0.52, 0.9].into_iter());
        assert!(scale.style(0.9).contains("--above) 72%") && scale.style(0.1).contains("--below) 72%"));
        assert!(scale.style(0.5).contains(" 0%") && scale.style(f64::NAN).is_empty());
        let noise = Scale::new(0.5, [0.51].into_iter());
        assert!(noise.style(0.51).contains(" 5%"));
    }
}
