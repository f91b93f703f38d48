//! The tables of every layer, and the loss of CCS.

use serde::Serialize;

use super::controls::terms;
use super::number::decimal;
use super::scores::Scores;
use super::svg::class;
use crate::{LayerReport, LossReport, Method, Report};

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

/// The methods of the table with intervals; it has no room for more.
pub(super) fn columns(report: &Report) -> Vec<Method> {
    [Method::CCS, Method::LR, Method::RANDOM]
        .into_iter()
        .filter(|m| report.layers.iter().any(|l| l.methods.contains_key(m)))
        .collect()
}

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
    /// A constant guess stands in for a fit.
    failed: bool,
}

/// Whether any layer carries a mark, and what was said of the first that does.
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
                    layer.methods.iter().find(|(method, _)| failed(report, layer, **method))?;
                let why = found.note.as_deref().unwrap_or("could not be fitted, a constant guess stands in");
                Some(format!("{} at layer {}: {why}", report.title(*method), layer.layer))
            }),
        }
    }
}

/// Whether a method's numbers are a constant guess's at a layer that other methods can be fitted to.
pub(super) fn failed(report: &Report, layer: &LayerReport, method: Method) -> bool {
    !layer.degenerate && report.lacks_fit(layer, method)
}

pub(super) fn layer_view(report: &Report, layer: &LayerReport, columns: &[Method]) -> LayerView {
    let cell = |method: &Method| {
        let found = layer.methods.get(method)?;
        let chosen = report.chosen.get(method).is_some_and(|c| c.layer == Some(layer.layer));
        Some(Cell { scores: Scores::new(&found.test), chosen, failed: failed(report, layer, *method) })
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

#[derive(Debug, Serialize)]
pub(super) struct LossView {
    layer: usize,
    /// Consistency, confidence and their sum.
    train: [String; 3],
    test: [String; 3],
    /// Counted from 1.
    kept: usize,
    starts: usize,
    /// Lowest, median and highest final training loss.
    spread: [String; 3],
}

pub(super) fn loss(layer: &LayerReport) -> Option<LossView> {
    let LossReport { train, test, restart, restarts } = layer.methods.get(&Method::CCS)?.loss.as_ref()?;
    let mut sorted: Vec<f64> = restarts.iter().copied().flatten().collect();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().map_or_else(String::new, decimal);
    Some(LossView {
        layer: layer.layer,
        train: terms(train),
        test: terms(test),
        kept: restart + 1,
        starts: restarts.len(),
        spread: [at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))],
    })
}
