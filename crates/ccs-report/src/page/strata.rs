//! Columns of the data beside each probe.

use serde::Serialize;

use super::scores::{Metric, Parted, auroc_less, auroc_of, points_of, share_of};
use crate::figures::palette::class;
use crate::method::Method;
use crate::numbers::percent;
use crate::report::{ColumnReport, Diagnostics, Report, Stratum};

/// The columns beside one method.
#[derive(Debug, Serialize)]
pub(super) struct ColumnsView {
    method: String,
    class: &'static str,
    layer: usize,
    /// The share of decisions that the labels give.
    accuracy: String,
    /// How many results the joint intervals hold for.
    results: usize,
    rows: Vec<ColumnView>,
}

#[derive(Debug, Serialize)]
struct ColumnView {
    name: String,
    warned: bool,
    agreement: Metric,
    over_column: Metric,
    label_accuracy: String,
    beyond_labels: Option<Metric>,
    within: Option<Metric>,
    within_over_beyond: Option<Metric>,
    strata: Vec<StratumView>,
}

#[derive(Debug, Serialize)]
struct StratumView {
    value: String,
    rows: usize,
    positives: usize,
    predicted: usize,
    auroc: Option<Metric>,
}

pub(super) fn columns(report: &Report) -> Parted<ColumnsView> {
    let of = |(&method, found): (&Method, &Diagnostics)| {
        let first = found.columns.first()?;
        let view = ColumnsView {
            method: report.title(method),
            class: class(method),
            layer: found.layer,
            accuracy: percent(first.accuracy),
            results: first.results,
            rows: found.columns.iter().map(column).collect(),
        };
        Some((method, view))
    };
    Parted::new(report.diagnostics.iter().filter_map(of))
}

fn column(found: &ColumnReport) -> ColumnView {
    ColumnView {
        name: found.column.clone(),
        warned: found.explains,
        agreement: share_of(&found.agreement),
        over_column: points_of(&found.truth_over_column),
        label_accuracy: percent(found.label_accuracy),
        beyond_labels: found.beyond_labels.as_ref().map(auroc_of),
        within: found.within.as_ref().map(auroc_of),
        within_over_beyond: found.within_over_beyond.as_ref().map(auroc_less),
        strata: found.strata.iter().map(stratum).collect(),
    }
}

fn stratum(found: &Stratum) -> StratumView {
    StratumView {
        value: found.value.clone(),
        rows: found.rows,
        positives: found.positives,
        predicted: found.predicted,
        auroc: found.auroc.as_ref().map(auroc_of),
    }
}
