//! Columns of the data that a probe follows at least as closely as truth.

use crate::method::Method;
use crate::numbers::{decimal, from_to, percent};
use crate::report::{ColumnReport, Estimate, Finding, Report, Verdict};

/// A warning for each column that a method follows, the one that it follows most first.
pub(super) fn explained(report: &Report, method: Method, layer: usize) -> Vec<Verdict> {
    let columns = report.diagnostics.get(&method).map(|of| of.columns.as_slice()).unwrap_or_default();
    let mut explaining: Vec<&ColumnReport> = columns.iter().filter(|column| column.explains).collect();
    let followed = |column: &ColumnReport| column.beyond_labels.map_or(f64::NEG_INFINITY, |of| of.value);
    explaining.sort_by(|a, b| followed(b).total_cmp(&followed(a)));
    let warning = |column: &ColumnReport| {
        let text = sentence(&report.title(method), layer, column);
        Verdict { method, layer: Some(layer), finding: Finding::ExplainedByColumn, text }
    };
    explaining.into_iter().map(warning).collect()
}

fn sentence(title: &str, layer: usize, found: &ColumnReport) -> String {
    let column = &found.column;
    let jointly = if found.results > 1 { " for all columns and methods at once" } else { "" };
    let auroc = |of: Option<Estimate>, jointly: &str| {
        let ci = |ci| format!(" (95% interval {}{jointly})", from_to(ci, decimal));
        of.map(|of| decimal(of.value) + &of.ci.map(ci).unwrap_or_default()).unwrap_or_default()
    };
    let relation = match found.within_over_beyond.and_then(|of| of.ci) {
        Some([_, high]) if high < 0.0 => " more closely than truth",
        _ => ", and is not shown to follow truth more closely",
    };
    format!(
        "{title} at layer {layer} follows the column `{column}`{relation}: among rows with the same label, its scores tell \
         the values of `{column}` that score high from the others with AUROC {}; within values of `{column}` its AUROC is {}. \
         A rule from that column alone gives {} of its decisions, the labels {}.",
        auroc(found.beyond_labels, jointly),
        auroc(found.within, ""),
        percent(found.agreement.value),
        percent(found.accuracy)
    )
}
