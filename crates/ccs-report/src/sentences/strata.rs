//! Columns of the data that explain a probe's decisions as well as truth does.

use crate::method::Method;
use crate::numbers::{decimal, from_to, percent, points};
use crate::report::{ColumnReport, Estimate, Finding, Report, Verdict};

/// A warning for each column that explains a method's decisions, the one that explains most first.
pub(super) fn explained(report: &Report, method: Method, layer: usize) -> Vec<Verdict> {
    let columns = report.diagnostics.get(&method).map(|of| of.columns.as_slice()).unwrap_or_default();
    let mut explaining: Vec<&ColumnReport> = columns.iter().filter(|column| column.explains).collect();
    explaining.sort_by(|a, b| b.agreement.value.total_cmp(&a.agreement.value));
    let warning = |column: &ColumnReport| {
        let text = sentence(&report.title(method), layer, column);
        Verdict { method, layer: Some(layer), finding: Finding::ExplainedByColumn, text }
    };
    explaining.into_iter().map(warning).collect()
}

fn sentence(title: &str, layer: usize, found: &ColumnReport) -> String {
    let ColumnReport { column, agreement, accuracy, within, .. } = found;
    let shown = |of: &Estimate, show: fn(f64) -> String| {
        let ci = of.ci.map(|ci| format!(" (95% interval {})", from_to(ci, show)));
        show(of.value) + &ci.unwrap_or_default()
    };
    let by = found.truth_over_column.ci.map(|ci| {
        let (value, ci) = (points(found.truth_over_column.value), from_to(ci, points));
        let jointly = if found.results > 1 { " for all columns and methods at once" } else { "" };
        format!("; the difference is {value} points (95% interval {ci}{jointly})")
    });
    let by = by.unwrap_or_default();
    let relation = match found.truth_over_column.ci {
        Some([_, high]) if high < 0.0 => " more closely than they follow truth",
        _ => ", and are not shown to follow truth more closely",
    };
    let within = within.as_ref().map_or_else(
        || format!("no value of `{column}` has rows of both labels"),
        |within| format!("within values of `{column}` its AUROC is {}", shown(within, decimal)),
    );
    format!(
        "{title}'s decisions at layer {layer} follow the column `{column}`{relation}: a rule from that column alone \
         gives {} of them, the labels {}{by}; {within}.",
        shown(agreement, percent),
        percent(*accuracy)
    )
}
