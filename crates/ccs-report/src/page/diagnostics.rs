//! What was looked at more closely at the chosen layers: probabilities, and templates.

use serde::Serialize;

use super::bars;
use super::compare::{any_auroc, cells};
use super::dots::{self, Panel, Row, Shape};
use super::number::decimal;
use super::scores::{Figure, Parted, Scores};
use super::svg::{class, paint};
use crate::Ensembling;
use crate::Method;
use crate::{CloseUp, EnsembleReport, Report, TemplateReport};

/// How sure a method is, and how rightly.
#[derive(Debug, Serialize)]
pub(super) struct Sureness {
    method: String,
    class: &'static str,
    layer: usize,
    histogram: Option<String>,
    reliability: Option<String>,
    /// Before, where there are probabilities before, and after.
    ece: Option<(Option<String>, String)>,
}

pub(super) fn sureness(report: &Report) -> Parted<Sureness> {
    let of = |(&method, found): (&Method, &CloseUp)| {
        let title = report.title(method);
        let (histogram, calibration) = (found.histogram.as_ref(), found.calibration.as_ref());
        let view = Sureness {
            method: title.clone(),
            class: class(method),
            layer: found.layer,
            histogram: histogram
                .map(|h| bars::histogram(h, paint(method), &format!("{title}: probabilities by label"))),
            reliability: calibration.map(|c| {
                bars::reliability(&c.reliability, paint(method), &format!("{title}: reliability diagram"))
            }),
            ece: calibration.map(|c| (c.ece_before.map(decimal), decimal(c.reliability.ece))),
        };
        (histogram.is_some() || calibration.is_some()).then_some((method, view))
    };
    Parted::new(report.close_ups.iter().filter_map(of))
}

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
    let of = |(&method, found): (&Method, &CloseUp)| {
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
    Parted::new(report.close_ups.iter().filter_map(of))
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
        Ensembling::None => "none: each statement by itself",
        Ensembling::Partial => "partial: each pair of statements",
        Ensembling::Full => "full: each question, over its templates",
    };
    EnsembleRow { name, scores: Scores::new(&found.test) }
}

fn figure(report: &Report, method: Method, templates: &[TemplateReport]) -> Option<Figure> {
    let row = |t: &TemplateReport| {
        let own = t.own.as_ref().map(|own| (own, Shape::Hollow));
        let tests: Vec<_> = [(&t.pooled, Shape::Full)].into_iter().chain(own).collect();
        Row { label: t.template.clone(), detail: String::new(), cells: cells(method, &tests) }
    };
    let rows: Vec<Row> = templates.iter().map(row).collect();
    let panels = Panel::both(report.majority, any_auroc(templates.iter().map(|t| &t.pooled)));
    let label = format!("{} template by template", report.title(method));
    (!rows.is_empty()).then(|| dots::figure(&rows, &panels, &label).into())
}
