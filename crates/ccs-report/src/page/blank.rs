//! The control with blank passages.

use serde::Serialize;

use super::scores::{Metric, Scores, difference_in_points, difference_of_aurocs};
use crate::figures::Figure;
use crate::figures::dots::{self, Panel, Row, Shape};
use crate::figures::palette::{class, method_ink};
use crate::method::Method;
use crate::report::{Blank, Report};

/// With the passage and without.
#[derive(Debug, Serialize)]
pub(super) struct BlankView {
    rows: Vec<BlankRow>,
    figure: Figure,
}

#[derive(Debug, Serialize)]
struct BlankRow {
    method: String,
    class: &'static str,
    with: Scores,
    without: Scores,
    /// Paired, on the same rows: of accuracy in points, and of AUROC.
    change: Option<Metric>,
    change_of_auroc: Option<Metric>,
}

pub(super) fn blank(report: &Report) -> Option<BlankView> {
    let of = report.blank.as_ref().filter(|b| !b.is_empty())?;
    let row = |(&method, found): (&Method, &Blank)| BlankRow {
        method: report.title(method),
        class: class(method),
        with: Scores::new(&found.with),
        without: Scores::new(&found.without),
        change: difference_in_points(&found.change),
        change_of_auroc: difference_of_aurocs(&found.change),
    };
    let points = |(&method, found): (&Method, &Blank)| {
        let tests = [(&found.with, Shape::Full), (&found.without, Shape::Hollow)];
        Row::new(report.title(method), String::new(), method_ink(method), &tests)
    };
    let points: Vec<Row> = of.iter().map(points).collect();
    let panels = Panel::both(report.majority, of.values().any(|found| found.without.auroc.is_some()));
    let figure = dots::figure(&points, &panels, "With the passage and with a blank one");
    Some(BlankView { rows: of.iter().map(row).collect(), figure })
}
