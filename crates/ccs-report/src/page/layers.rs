//! The tables of every layer.

use serde::Serialize;

use super::heat::HeatCell;
use super::scores::{Scores, has_layers};
use crate::figures::heat::Scale;
use crate::figures::palette::class;
use crate::method::Method;
use crate::numbers::decimal;
use crate::report::{Evaluation, LayerReport, Report};

/// A method of the table.
#[derive(Debug, Serialize)]
pub(super) struct Column {
    title: String,
    class: &'static str,
}

impl Column {
    pub(super) fn new(report: &Report, method: Method) -> Self {
        Self { title: report.title(method), class: class(method) }
    }
}

/// The methods of the table with intervals, which has no room for more.
pub(super) fn columns(report: &Report) -> Vec<Method> {
    let [leading, second] = report.main();
    [leading, second, Method::RANDOM]
        .into_iter()
        .filter(|m| report.layers.iter().any(|l| l.methods.contains_key(m)))
        .collect()
}

/// A row of the table.
#[derive(Debug, Serialize)]
pub(super) struct LayerView {
    layer: usize,
    hook: String,
    dim: usize,
    degenerate: bool,
    underdetermined: bool,
    cells: Vec<Option<Cell>>,
}

#[derive(Debug, Serialize)]
struct Cell {
    scores: Scores,
    chosen: bool,
    /// A constant guess, not a fit.
    failed: bool,
}

/// The marks that layers carry, each with its explanation at the first that has it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Marks {
    degenerate: Option<String>,
    underdetermined: Option<String>,
    failed: Option<String>,
}

impl Marks {
    pub(super) fn new(report: &Report) -> Self {
        let marked = |marked: fn(&LayerReport) -> bool| {
            let first = report.layers.iter().find(|l| marked(l));
            first.map(|l| format!("layer {}: {}", l.layer, l.notes.join("; ")))
        };
        Self {
            degenerate: marked(|l| l.degenerate),
            underdetermined: marked(|l| l.underdetermined && !l.degenerate),
            failed: report.layers.iter().find_map(|layer| {
                let (method, found) =
                    layer.methods.iter().find(|(method, _)| report.failed(layer, **method))?;
                let why = found.note.iter().map(|why| format!(": {why}"));
                Some(format!("{} at layer {}{}", report.title(*method), layer.layer, why.collect::<String>()))
            }),
        }
    }
}

pub(super) fn layer_view(report: &Report, layer: &LayerReport, columns: &[Method]) -> LayerView {
    let cell = |method: &Method| {
        let found = layer.methods.get(method)?;
        let chosen = report.chosen_layer(*method) == Some(layer.layer);
        Some(Cell { scores: Scores::new(&found.test), chosen, failed: report.failed(layer, *method) })
    };
    LayerView {
        layer: layer.layer,
        hook: layer.hook.clone(),
        dim: layer.dim,
        degenerate: layer.degenerate,
        underdetermined: layer.underdetermined && !layer.degenerate,
        cells: columns.iter().map(cell).collect(),
    }
}

/// A cell for each layer and method.
#[derive(Debug, Serialize)]
pub(super) struct LayerHeat {
    title: &'static str,
    columns: Vec<(String, &'static str)>,
    rows: Vec<(usize, Vec<Option<HeatCell>>)>,
    key: Vec<HeatCell>,
}

/// Accuracies and AUROCs of every method, where the table with intervals lacks some.
pub(super) fn heats(report: &Report, shown_elsewhere: &[Method]) -> Vec<LayerHeat> {
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
    let value = |layer: &LayerReport, method: &Method| of(&layer.methods.get(method)?.test);
    let all = report.layers.iter().flat_map(|l| methods.iter().filter_map(move |m| value(l, m)));
    let scale = Scale::new(middle, all);
    let row = |layer: &LayerReport| {
        let cell = |method: &Method| {
            let value = value(layer, method)?;
            let marked = report.chosen_layer(*method) == Some(layer.layer);
            // A constant guess is no result of the method.
            let text =
                if report.failed(layer, *method) { format!("{} †", show(value)) } else { show(value) };
            Some(HeatCell { marked, ..HeatCell::new(text, scale.style(value)) })
        };
        (layer.layer, methods.iter().map(cell).collect())
    };
    LayerHeat {
        title,
        columns: methods.iter().map(|m| (report.title(*m), class(*m))).collect(),
        rows: report.layers.iter().map(row).collect(),
        key: HeatCell::key(&scale, show),
    }
}
