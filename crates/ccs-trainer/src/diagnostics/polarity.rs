//! Affirmative and negated rows: a probe on either, fitted on either, and on both of a statement and its negation.

use ccs::Contrast;
use ccs::baselines::Predictions;
use ccs::pick;
use ccs::probe::Probe;
use ccs_report::{Method, MethodPolarity, NegationConsistency, OnPolarity, PolarityReport, WithinPolarity};
use indexmap::IndexMap;

use crate::Result;
use crate::control::{RunControl, Work};
use crate::engine::data::LayerData;
use crate::engine::evaluate::{Multiplicity, Predicted, compare, evaluate, predict};
use crate::engine::negations::Negations;
use crate::engine::on_polarity::LabeledRows;
use crate::engine::plan::Plan;
use crate::engine::polarity::Polarity;
use crate::engine::recipe::{Recipe, possible};

/// The rows of either polarity on both sides of the split, by their places there: affirmative, negated.
pub(crate) struct Sides {
    train: [Vec<usize>; 2],
    test: [Vec<usize>; 2],
}

impl Sides {
    /// Of a layer's rows; none unless there are rows of both polarities on both sides.
    pub(crate) fn of(data: &LayerData<'_>) -> Option<Self> {
        let both = |rows: &Contrast| {
            let affirmative = rows.polarity()?;
            let of =
                |polarity| (0..rows.rows()).filter(|&row| affirmative.get(row) == Some(&polarity)).collect();
            let both: [Vec<usize>; 2] = [true, false].map(of);
            both.iter().all(|rows| !rows.is_empty()).then_some(both)
        };
        Some(Self { train: both(&data.train)?, test: both(&data.test)? })
    }
}

/// What a run's probe makes of both polarities, and probes of one polarity of the other.
pub(crate) fn of_method(
    plan: &Plan<'_>,
    recipe: Recipe<'_>,
    data: &LayerData<'_>,
    sides: &Sides,
    probe: &Probe,
    control: RunControl<'_>,
) -> Work<MethodPolarity> {
    let (method, layer) = (recipe.method, data.layer.layer);
    control.begin(method, layer, "affirmative and negated rows")?;
    let predictions = predict(probe, &data.test)?;
    let on = |rows: &Vec<usize>| on_rows(plan, data, &predictions, rows);
    let [affirmative, negated] = [on(&sides.test[0])?, on(&sides.test[1])?];
    let mut fitted = [None, None];
    for (place, name) in ["affirmative", "negated"].into_iter().enumerate() {
        control.begin(method, layer, &format!("fitted on {name} rows"))?;
        fitted[place] = fitted_on(plan, recipe, data, sides, place, name)?;
    }
    let [of_affirmative, of_negated] = fitted;
    let consistency = plan.negations.as_ref().map(|by| between(plan, data, by, &predictions)).transpose()?;
    let within_polarity = if method == Method::CCS {
        control.begin(method, layer, "normalized within polarity")?;
        within(plan, recipe, data, sides, &predictions)?
    } else {
        None
    };
    let consistency = consistency.flatten();
    Ok(MethodPolarity {
        layer,
        affirmative,
        negated,
        of_affirmative,
        of_negated,
        consistency,
        within_polarity,
    })
}

/// Predictions of some of the test rows.
fn on_rows(plan: &Plan<'_>, data: &LayerData<'_>, all: &Predictions, rows: &[usize]) -> Result<OnPolarity> {
    labeled(data).on(all, rows, results(plan))
}

fn labeled<'a>(data: &'a LayerData<'_>) -> LabeledRows<'a> {
    LabeledRows { labels: data.test.labels(), groups: data.test.groups() }
}

/// How many results joint intervals hold for.
fn results(plan: &Plan<'_>) -> usize {
    2 * plan.multiplicity().methods.max(1)
}

/// A probe fitted on the training rows of one polarity, on the test rows of either; none where it cannot be fitted.
fn fitted_on(
    plan: &Plan<'_>,
    recipe: Recipe<'_>,
    data: &LayerData<'_>,
    sides: &Sides,
    place: usize,
    name: &str,
) -> Result<Option<[OnPolarity; 2]>> {
    let Some(rows) = sides.train.get(place) else { return Ok(None) };
    let stream = plan.stream_of(recipe.method, data.layer).child(name);
    let Ok(fit) = possible(recipe.fit(&data.train.select(rows)?, &stream))? else { return Ok(None) };
    let predictions = predict(&fit.probe, &data.test)?;
    let on = |rows: &Vec<usize>| on_rows(plan, data, &predictions, rows);
    Ok(Some([on(&sides.test[0])?, on(&sides.test[1])?]))
}

/// Decisions on test rows and on their negations; none where no negation of a test row tests too.
fn between(
    plan: &Plan<'_>,
    data: &LayerData<'_>,
    by: &Negations,
    predictions: &Predictions,
) -> Result<Option<NegationConsistency>> {
    let Some(affirmative) = data.test.polarity() else { return Ok(None) };
    let keys = pick(&by.keys, &plan.split.rows.test)?;
    labeled(data).beside_negations(predictions, affirmative, &keys)
}

/// The same fit with each polarity's rows normalized by statistics of their own.
fn within(
    plan: &Plan<'_>,
    recipe: Recipe<'_>,
    data: &LayerData<'_>,
    sides: &Sides,
    plain: &Predictions,
) -> Result<Option<WithinPolarity>> {
    let (train, test) = (data.train.by_polarity()?, data.test.by_polarity()?);
    // The plain fit's own starts: what differs is the normalization.
    let stream = plan.stream_of(recipe.method, data.layer);
    let Ok(fit) = possible(recipe.fit(&train, &stream))? else { return Ok(None) };
    let predictions = predict(&fit.probe, &test)?;
    let on = |rows: &Vec<usize>| Ok::<_, crate::Error>(on_rows(plan, data, &predictions, rows)?.test);
    let (labels, clusters, layer) = (data.test.labels(), &plan.split.clusters, data.layer.layer);
    let of = |predictions| Predicted::of(predictions, labels);
    let (own, other) = (of(&predictions)?, of(plain)?);
    let (method, one) = (recipe.method, Multiplicity::ONE);
    let change = compare((method, layer, &own), (method, layer, &other), one, clusters).difference.auroc;
    Ok(Some(WithinPolarity {
        test: evaluate(&predictions, labels, Some(clusters))?,
        affirmative: on(&sides.test[0])?,
        negated: on(&sides.test[1])?,
        change,
    }))
}

/// The section of a report; none without methods.
pub(crate) fn report(
    plan: &Plan<'_>,
    polarity: &Polarity,
    methods: IndexMap<Method, MethodPolarity>,
    plane: Option<ccs_report::TruthPlane>,
) -> Result<Option<PolarityReport>> {
    if methods.is_empty() {
        return Ok(None);
    }
    let rows = plan.source.rows();
    let of = |side: &[usize], wanted: bool| -> Vec<usize> {
        side.iter().copied().filter(|&row| polarity.affirmative.get(row) == Some(&wanted)).collect()
    };
    let (train, test) = (&plan.split.rows.train, &plan.split.rows.test);
    let all = LabeledRows { labels: &rows.labels, groups: &rows.groups };
    let rarer = |wanted: bool| all.groups_of_rarer_label(&of(test, wanted));
    Ok(Some(PolarityReport {
        column: polarity.column.clone(),
        values: polarity.negated.clone(),
        by_name: polarity.by_name,
        train: [true, false].map(|wanted| of(train, wanted).len()),
        test: [true, false].map(|wanted| of(test, wanted).len()),
        groups_of_rarer_label: [rarer(true)?, rarer(false)?],
        matched_by: plan.negations.as_ref().map(|by| by.by.clone()).unwrap_or_default(),
        results: results(plan),
        methods,
        plane,
    }))
}
