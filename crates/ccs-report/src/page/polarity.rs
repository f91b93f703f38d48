//! Affirmative and negated rows.

use serde::Serialize;

use super::scores::{Metric, Scores, auroc, auroc_less, share_of};
use crate::figures::palette::class;
use crate::figures::{Figure, truth_plane};
use crate::method::Method;
use crate::report::{MethodPolarity, OnPolarity, Report, TruthPlane};

/// The section.
#[derive(Debug, Serialize)]
pub(super) struct PolarityView {
    column: String,
    values: String,
    by_name: bool,
    /// Affirmative, negated.
    train: [usize; 2],
    test: [usize; 2],
    matched_by: Option<String>,
    /// Pairs of a row and its negation.
    pairs: Option<usize>,
    rows: Vec<MethodView>,
    /// What the verdicts say of the transfer from either polarity to the other.
    said: Vec<String>,
    within: Vec<WithinView>,
    plane: Option<PlaneView>,
}

/// AUROCs of one method.
#[derive(Debug, Serialize)]
struct MethodView {
    method: String,
    class: &'static str,
    layer: usize,
    affirmative: Option<Metric>,
    negated: Option<Metric>,
    /// Fitted on affirmative rows: on either; then fitted on negated rows.
    transfer: [Option<Metric>; 4],
    turned: Option<Metric>,
    right: Option<Metric>,
    /// Accuracies and AUROCs of the run's probe on either.
    scores: [Scores; 2],
}

/// The fit whose normalization knows polarity, beside the plain one.
#[derive(Debug, Serialize)]
struct WithinView {
    method: String,
    class: &'static str,
    layer: usize,
    scores: [Scores; 3],
    change: Option<Metric>,
}

#[derive(Debug, Serialize)]
struct PlaneView {
    layer: usize,
    rows: usize,
    cosine: String,
    figure: Figure,
}

pub(super) fn polarity(report: &Report) -> Option<PolarityView> {
    let of = report.polarity.as_ref()?;
    let pairs = of.methods.values().find_map(|found| Some(found.consistency.as_ref()?.pairs));
    let within = |(&method, found): (&Method, &MethodPolarity)| {
        let within = found.within_polarity.as_ref()?;
        Some(WithinView {
            method: report.title(method),
            class: class(method),
            layer: found.layer,
            scores: [&within.test, &within.affirmative, &within.negated].map(Scores::new),
            change: within.change.as_ref().map(auroc_less),
        })
    };
    Some(PolarityView {
        column: of.column.clone(),
        values: of.values.join(", "),
        by_name: of.by_name,
        train: of.train,
        test: of.test,
        matched_by: pairs.map(|_| of.matched_by.join(", ")),
        pairs,
        rows: of.methods.iter().map(|(method, found)| view(report, *method, found)).collect(),
        said: report
            .verdicts
            .iter()
            .filter(|v| v.finding.is_about_transfer())
            .map(|v| v.text.clone())
            .collect(),
        within: of.methods.iter().filter_map(within).collect(),
        plane: of.plane.as_ref().map(plane),
    })
}

fn view(report: &Report, method: Method, found: &MethodPolarity) -> MethodView {
    let of = |pair: Option<&[OnPolarity; 2]>, at: usize| pair.and_then(|pair| auroc(&pair.get(at)?.test));
    let [first, second] = [found.of_affirmative.as_ref(), found.of_negated.as_ref()];
    let consistency = found.consistency.as_ref();
    MethodView {
        method: report.title(method),
        class: class(method),
        layer: found.layer,
        affirmative: auroc(&found.affirmative.test),
        negated: auroc(&found.negated.test),
        transfer: [of(first, 0), of(first, 1), of(second, 0), of(second, 1)],
        turned: consistency.map(|c| share_of(&c.turned)),
        right: consistency.map(|c| share_of(&c.right)),
        scores: [&found.affirmative.test, &found.negated.test].map(Scores::new),
    }
}

fn plane(of: &TruthPlane) -> PlaneView {
    PlaneView {
        layer: of.layer,
        rows: of.rows.len(),
        cosine: format!("{:.2}", of.cosine),
        figure: truth_plane::figure(of),
    }
}
