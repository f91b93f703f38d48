//! Columns of the data that explain a probe's decisions as well as truth does.

use super::numbers::difference_in;
use crate::method::Method;
use crate::numbers::{decimal, from_to, percent};
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
    let by = difference_in("agreement", found.truth_over_column, None, 1);
    let by = by.map(|by| format!("; {by}")).unwrap_or_default();
    let within = within.as_ref().map_or_else(
        || format!("no value of `{column}` has rows of both labels"),
        |within| format!("within values of `{column}` its AUROC is {}", shown(within, decimal)),
    );
    format!(
        "{title}'s decisions at layer {layer} follow the column `{column}` as well as they follow truth: a rule from that \
         column alone gives {} of them, the labels {}{by}; {within}.",
        shown(agreement, percent),
        percent(*accuracy)
    )
}
