//! What probes are measured by at their layer: the model's own answers, a constant guess, random directions.

use ccs::baselines::{Predictions, each_random_direction, majority_label};
use ccs_report::{Comparison, Method, MethodReport};
use indexmap::IndexMap;

use crate::Result;
use crate::engine::answers::{Reading, note};
use crate::engine::data::LayerData;
use crate::engine::evaluate::{BeyondRandom, Predicted, evaluate, of_directions};
use crate::engine::outcome::MethodOutcome;
use crate::engine::plan::Plan;

/// The model's own answers.
pub(crate) fn own_answers(plan: &Plan<'_>, method: Method, data: &LayerData<'_>) -> Result<MethodOutcome> {
    let settings = &plan.settings;
    let reading = Reading::of(method, settings);
    let [train, test] = reading.predictions(plan.source.rows(), settings.true_share, &plan.split.rows)?;
    let report = MethodReport {
        test: evaluate(&test, data.test.labels(), Some(&plan.split.clusters))?,
        train: evaluate(&train, data.train.labels(), None)?,
        note: Some(note(method, settings)),
        ..MethodReport::default()
    };
    Ok(MethodOutcome { report, predictions: test, probe: None })
}

/// The training rows' more frequent label for every row.
pub(crate) fn constant(plan: &Plan<'_>, data: &LayerData<'_>) -> Result<MethodOutcome> {
    let answer = majority_label(data.train.labels());
    let predictions = Predictions::constant(answer, data.test.rows());
    let on_train = Predictions::constant(answer, data.train.rows());
    let report = MethodReport {
        test: evaluate(&predictions, data.test.labels(), Some(&plan.split.clusters))?,
        train: evaluate(&on_train, data.train.labels(), None)?,
        note: Some(format!("always {answer}, the more frequent label of the training rows")),
        ..MethodReport::default()
    };
    Ok(MethodOutcome { report, predictions, probe: None })
}

/// Random directions, each with its sign from the training rows, and what `methods` have beyond them.
pub(crate) fn random(
    plan: &Plan<'_>,
    data: &LayerData<'_>,
    methods: &[(Method, Predicted)],
) -> Result<(MethodReport, IndexMap<Method, Comparison>)> {
    let stream = plan.stream_of(Method::RANDOM, data.layer);
    let (normalization, count) = (plan.settings.normalization, plan.settings.directions);
    let (mut on_train, mut on_test) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut beyond = BeyondRandom::new(data.layer.layer, methods);
    each_random_direction(normalization, &data.train, &data.test, count, &stream, |direction| {
        on_train.push(direction.train);
        on_test.push(direction.test);
        if let Some(placements) = &direction.placements {
            beyond.take(placements, &plan.split.clusters);
        }
        Ok(())
    })?;
    let states = if data.train.tokens().is_some() { " of the last token's states" } else { "" };
    let report = MethodReport {
        test: of_directions(&on_test),
        train: of_directions(&on_train),
        note: Some(format!(
            "median and central 95% of {count} random directions{states}, each with its sign from the training rows"
        )),
        ..MethodReport::default()
    };
    Ok((report, beyond.comparisons(plan.multiplicity(), &plan.split.clusters)))
}
