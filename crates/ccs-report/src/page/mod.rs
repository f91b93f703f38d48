//! The page and the plots of a run: `report.html` and `plots/*.svg`, made from nothing but the [`Report`].
//!
//! The page is one file without scripts and without anything to load; the same report gives the same bytes.
//!
//! ```no_run
//! let report = ccs::run::Report::read("run")?;
//! std::fs::write("report.html", ccs::page::html(&report)?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bars;
mod closer;
mod compare;
mod controls;
mod dots;
mod heat;
mod layers;
mod legend;
mod number;
mod plot;
#[cfg(test)]
mod sample;
mod scores;
mod svg;
#[cfg(test)]
mod tests;
mod view;

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;

use crate::Report;
use crate::{Error, Result};
use plot::Quantity;
use view::View;

/// Its name ends in `.html.j2`, so that whatever it is given is escaped.
const TEMPLATE: &str = "report.html.j2";
/// Its parts, in their order on the page.
const SOURCE: &str = concat!(
    include_str!("template/macros.html.j2"),
    include_str!("template/head.html.j2"),
    include_str!("template/results.html.j2"),
    include_str!("template/closer.html.j2"),
    include_str!("template/details.html.j2"),
);
/// What it is called in errors.
const PAGE: &str = "report.html";

/// The report as one HTML page: the findings in sentences, methods against each other, plots by layer, whatever the run
/// looked at more closely (calibration, templates, seeds, shuffled labels, recursive CCS, blank passages, transfer),
/// tables of every layer, and what was chosen on what. Light or dark as the reader's system is; printable.
///
/// # Errors
/// None that a report made by this crate gives.
pub fn html(report: &Report) -> Result<String> {
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .map_err(|e| failed(PAGE, &e))?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment.add_template(TEMPLATE, SOURCE).map_err(|e| failed(PAGE, &e))?;
    let view = View::new(report)?;
    let template = environment.get_template(TEMPLATE).map_err(|e| failed(PAGE, &e))?;
    template.render(Serde(view)).map(|page| legible(&page)).map_err(|e| failed(PAGE, &e))
}

/// Names in a report come from data and models, and characters in them that turn text around, or that no page may hold, are
/// written out. Our own text has none.
fn legible(page: &str) -> String {
    host::text::shown(page).into_owned()
}

/// Test accuracy by layer as an SVG file, dark on white: CCS and logistic regression with their 95 % intervals,
/// their chosen layers ringed, zero-shot, the band of random directions, and the majority's share.
///
/// # Errors
/// None that a report made by this crate gives.
pub fn accuracy_svg(report: &Report) -> Result<String> {
    plot::standalone(report, Quantity::Accuracy).map(|svg| legible(&svg))
}

/// Test AUROC by layer, as [`accuracy_svg`]; layers whose test rows carry one label have no point.
///
/// # Errors
/// None that a report made by this crate gives.
pub fn auroc_svg(report: &Report) -> Result<String> {
    plot::standalone(report, Quantity::Auroc).map(|svg| legible(&svg))
}

fn failed(what: &'static str, reason: &dyn std::fmt::Display) -> Error {
    Error::Write { what, reason: reason.to_string() }
}
