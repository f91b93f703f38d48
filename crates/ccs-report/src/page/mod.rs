//! The page of a run, `report.html`, made from nothing but the [`Report`].
//!
//! It is one file with nothing to load; the same report gives the same bytes. Its script adds buttons that save figures and
//! copy tables, and is not needed to read it.
//!
//! ```no_run
//! let report = ccs_report::Report::from_json(&std::fs::read("run/report.json")?)?;
//! std::fs::write("report.html", ccs_report::page::html(&report)?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blank;
mod calibration;
mod choices;
mod differences;
mod directions;
mod examples;
mod heat;
mod layers;
mod loss;
mod methods;
mod own_answers;
mod polarity;
mod projections;
mod random_directions;
mod recursive;
mod repetitions;
mod scores;
mod several_layers;
mod strata;
mod templates;
mod token_places;
mod transfer;
mod view;

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{HtmlEscape, Value};

use crate::error::{Error, Result};
use crate::report::Report;
use view::View;

/// Its name ends in `.html.j2`, so that everything in it is escaped.
const TEMPLATE: &str = "report.html.j2";
/// Its parts, in their order on the page.
const SOURCE: &str = concat!(
    include_str!("template/macros.html.j2"),
    include_str!("template/head.html.j2"),
    include_str!("template/results.html.j2"),
    include_str!("template/diagnostics.html.j2"),
    include_str!("template/rows.html.j2"),
    include_str!("template/layers.html.j2"),
    include_str!("template/details.html.j2"),
);

/// The report as one HTML page: verdicts, methods against each other, figures by layer, whatever diagnostics and controls
/// the run has (calibration, templates, seeds, shuffled labels, random directions, recursive CCS, blank passages, transfer), tables of every
/// layer, and what was chosen on which rows. Light or dark as the reader's system is; printable.
///
/// # Errors
/// None for a report made by this crate.
pub fn html(report: &Report) -> Result<String> {
    let view = View::new(report)?;
    // Names in a report come from data: control and bidi characters in them are written out. The template has none.
    render(view)
        .map(|page| host::text::shown(&page).into_owned())
        .map_err(|e| Error::Write { what: "report.html", reason: e.to_string() })
}

/// A sentence whose names stand between backticks, for terminals: here they are code.
fn said(text: &str) -> Value {
    let escaped = HtmlEscape(text).to_string();
    let parts: Vec<&str> = escaped.split('`').collect();
    // Names may have backticks of their own; then nobody knows where they end.
    if parts.len().is_multiple_of(2) {
        return Value::from_safe_string(escaped);
    }
    let part = |(at, part): (usize, &str)| {
        if at.is_multiple_of(2) { part.to_owned() } else { format!("<code>{part}</code>") }
    };
    Value::from_safe_string(parts.into_iter().enumerate().map(part).collect())
}

fn render(view: View) -> std::result::Result<String, minijinja::Error> {
    let syntax =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment.add_filter("said", said);
    environment.add_template(TEMPLATE, SOURCE)?;
    environment.get_template(TEMPLATE)?.render(Serde(view))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_between_backticks_are_code_and_nothing_else_is() {
        let of = |text| said(text).to_string();
        assert_eq!(
            of("it follows `a<b>` and `c`."),
            "it follows <code>a&lt;b&gt;</code> and <code>c</code>."
        );
        assert_eq!(of("a ` alone <i>"), "a ` alone &lt;i&gt;");
        assert_eq!(of("none"), "none");
    }
}
