//! Controls that repeat fits: other seeds, shuffled labels.

use indexmap::IndexMap;
use serde::Serialize;

use crate::figures::Figure;
use crate::figures::dots::{self, Cell, Mark, Panel, Row, Shape};
use crate::figures::heat::Scale;
use crate::figures::palette::{TEXT, class, method_ink};
use crate::method::Method;
use crate::numbers::{decimal, decimals, low_median_high, percent, percents};
use crate::report::{Evaluation, Interval, Repetitions, Report};

/// A control that repeats fits.
#[derive(Debug, Serialize)]
pub(super) struct RepetitionsView {
    rows: Vec<RepeatedRow>,
    figure: Figure,
    /// How many results the bands hold at once, where they are corrected for that.
    joint: Option<usize>,
    cosines: Vec<CosineView>,
}

/// How similar the directions of different seeds are.
#[derive(Debug, Serialize)]
struct CosineView {
    method: String,
    /// Lowest, median and highest.
    numbers: [String; 3],
    /// Text and style.
    rows: Vec<Vec<(String, String)>>,
}

impl CosineView {
    fn of(report: &Report, method: Method, found: &Repetitions) -> Option<Self> {
        let found = found.cosines.as_ref()?;
        let cell = |&v: &f64| (format!("{v:.2}"), Scale::share().style(v));
        Some(Self {
            method: report.title(method),
            numbers: [found.min, found.median, found.max].map(decimal),
            rows: found.matrix.iter().map(|row| row.iter().map(cell).collect()).collect(),
        })
    }
}

#[derive(Debug, Serialize)]
struct RepeatedRow {
    method: String,
    class: &'static str,
    layer: usize,
    count: usize,
    /// Lowest, median and highest.
    accuracy: [String; 3],
    auroc: Option<[String; 3]>,
    /// Of random directions at the layer: the central 95% of accuracy, or the band that holds all results at once.
    band: Option<String>,
    outside: Option<usize>,
}

pub(super) fn repetitions(
    report: &Report,
    of: &IndexMap<Method, Repetitions>,
    label: &str,
) -> Option<RepetitionsView> {
    let rows: Vec<RepeatedRow> = of.iter().filter_map(|(&m, r)| repeated_row(report, m, r)).collect();
    let points: Vec<Row> = of
        .iter()
        .filter(|(_, r)| low_median_high(r.accuracies.iter().copied()).is_some())
        .map(|(&m, r)| strip(report, m, r))
        .collect();
    let auroc = of.values().any(|r| r.aurocs.iter().any(Option::is_some));
    let figure = dots::figure(&points, &Panel::both(report.majority, auroc), label);
    let joint = of.values().find_map(|r| Some(r.band.as_ref()?.results));
    let cosines = of.iter().filter_map(|(&m, r)| CosineView::of(report, m, r)).collect();
    (!rows.is_empty()).then_some(RepetitionsView { rows, figure, joint, cosines })
}

fn repeated_row(report: &Report, method: Method, found: &Repetitions) -> Option<RepeatedRow> {
    let (band, outside) = if let Some(own) = &found.band {
        (Some(own.auroc.map_or_else(|| percents(own.accuracy), decimals)), Some(own.outside))
    } else {
        let band = random(report, found.layer).and_then(|r| r.accuracy_ci);
        let is_outside =
            |[low, high]: Interval| found.accuracies.iter().filter(|a| **a < low || **a > high).count();
        (band.map(percents), band.map(is_outside))
    };
    Some(RepeatedRow {
        method: report.title(method),
        class: class(method),
        layer: found.layer,
        count: found.accuracies.len(),
        accuracy: low_median_high(found.accuracies.iter().copied())?.map(percent),
        auroc: low_median_high(found.aurocs.iter().copied().flatten()).map(|s| s.map(decimal)),
        band,
        outside,
    })
}

fn random(report: &Report, layer: usize) -> Option<&Evaluation> {
    report.layer(layer)?.methods.get(&Method::RANDOM).map(|found| &found.test)
}

/// A point for each repetition and a line at their median, on the band of random directions.
fn strip(report: &Report, method: Method, found: &Repetitions) -> Row {
    let bands = match (&found.band, random(report, found.layer)) {
        (Some(own), _) => [Some(own.accuracy), own.auroc],
        (None, Some(all)) => [all.accuracy_ci, all.auroc_ci],
        (None, None) => [None, None],
    };
    let cell = |values: Vec<f64>, band: Option<Interval>| {
        let mark = |value, shape, ink| Mark { value, ci: None, shape, ink };
        let median = low_median_high(values.iter().copied()).map(|[_, median, _]| mark(median, Shape::Bar, TEXT));
        let each = values.into_iter().map(|v| mark(v, Shape::Faint, method_ink(method)));
        Cell { band, marks: each.chain(median).collect() }
    };
    let aurocs = found.aurocs.iter().copied().flatten().collect();
    Row {
        label: report.title(method),
        detail: format!("layer {}", found.layer),
        cells: vec![cell(found.accuracies.clone(), bands[0]), cell(aurocs, bands[1])],
    }
}
