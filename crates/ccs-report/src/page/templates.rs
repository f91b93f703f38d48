//! Templates at the chosen layers.

use serde::Serialize;

use super::scores::{Parted, Scores};
use crate::figures::Figure;
use crate::figures::dots::{self, Panel, Row, Shape};
use crate::figures::palette::{class, method_ink};
use crate::method::Method;
use crate::report::{Diagnostics, EnsembleReport, Ensembling, Report, TemplateReport};

/// The templates of one method.
#[derive(Debug, Serialize)]
pub(super) struct Templates {
    method: String,
    class: &'static str,
    layer: usize,
    figure: Option<Figure>,
    rows: Vec<TemplateRow>,
    ensembles: Vec<EnsembleRow>,
}

#[derive(Debug, Serialize)]
struct TemplateRow {
    name: String,
    rows: usize,
    pooled: Scores,
    own: Option<Scores>,
}

#[derive(Debug, Serialize)]
struct EnsembleRow {
    name: &'static str,
    scores: Scores,
}

pub(super) fn templates(report: &Report) -> Parted<Templates> {
    let of = |(&method, found): (&Method, &Diagnostics)| {
        let view = Templates {
            method: report.title(method),
            class: class(method),
            layer: found.layer,
            figure: figure(report, method, &found.templates),
            rows: found.templates.iter().map(template_row).collect(),
            ensembles: found.ensembles.iter().map(ensemble_row).collect(),
        };
        (!view.rows.is_empty() || !view.ensembles.is_empty()).then_some((method, view))
    };
    Parted::new(report.diagnostics.iter().filter_map(of))
}

fn template_row(found: &TemplateReport) -> TemplateRow {
    TemplateRow {
        name: found.template.clone(),
        rows: found.rows,
        pooled: Scores::new(&found.pooled),
        own: found.own.as_ref().map(Scores::new),
    }
}

fn ensemble_row(found: &EnsembleReport) -> EnsembleRow {
    let name = match found.ensembling {
        Ensembling::None => "none: each statement alone",
        Ensembling::Partial => "partial: each pair of statements",
        Ensembling::Full => "full: each question, over its templates",
    };
    EnsembleRow { name, scores: Scores::new(&found.test) }
}

fn figure(report: &Report, method: Method, templates: &[TemplateReport]) -> Option<Figure> {
    let row = |t: &TemplateReport| {
        let own = t.own.as_ref().map(|own| (own, Shape::Hollow));
        let tests: Vec<_> = [(&t.pooled, Shape::Full)].into_iter().chain(own).collect();
        Row::new(t.template.clone(), String::new(), method_ink(method), &tests)
    };
    let rows: Vec<Row> = templates.iter().map(row).collect();
    let panels = Panel::both(report.majority, templates.iter().any(|t| t.pooled.auroc.is_some()));
    let label = format!("{} by template", report.title(method));
    (!rows.is_empty()).then(|| dots::figure(&rows, &panels, &label))
}
