//! Several layers together: the mean of what their probes say, and one probe on their states side by side. The layers are
//! those that cross-validation inside the training rows ranks highest.

use ccs::Contrast;
use ccs::baselines::Predictions;
use ccs::ensemble::mean_over_layers;
use ccs_report::{Chosen, Method, SeveralLayers, Together};

use crate::Result;
use crate::engine::choose_layer::highest_ranked;
use crate::engine::data::load;
use crate::engine::evaluate::{Multiplicity, Predicted, compare, evaluate, predict};
use crate::engine::outcome::LayerOutcome;
use crate::engine::plan::Plan;
use crate::engine::recipe::{Recipe, possible};
use crate::source::Layer;

/// Methods that are fitted on states side by side: the two that others are measured by.
const SIDE_BY_SIDE: [Method; 2] = [Method::CCS, Method::LR];

/// A method on as many layers as the settings say; none where fewer than two have a probe.
pub(crate) fn several_layers(
    plan: &Plan<'_>,
    method: Method,
    choice: &Chosen,
    outcomes: &[LayerOutcome],
) -> Result<Option<SeveralLayers>> {
    let reports: Vec<_> = outcomes.iter().map(|outcome| &outcome.report).collect();
    let mut layers = highest_ranked(method, &reports, plan.settings.ensemble_layers);
    layers.sort_unstable();
    let (Some(alone), true) = (choice.layer, layers.len() > 1) else { return Ok(None) };
    let of_layers: Vec<&LayerOutcome> =
        outcomes.iter().filter(|outcome| layers.contains(&outcome.report.layer)).collect();
    let chosen = outcomes.iter().find(|outcome| outcome.report.layer == alone);
    let chosen = chosen.map(|outcome| outcome.predicted(method, &plan.split)).transpose()?.flatten();
    let Some(chosen) = chosen else { return Ok(None) };
    let judge = |found: Option<Predictions>| {
        found.map(|found| together(plan, (method, alone), &found, &chosen)).transpose()
    };
    let mean = judge(mean(method, &of_layers)?)?;
    let concatenated = if SIDE_BY_SIDE.contains(&method) {
        let layers: Vec<&Layer> = plan.layers.iter().filter(|l| layers.contains(&l.layer)).collect();
        judge(side_by_side(plan, method, &layers)?)?
    } else {
        None
    };
    Ok(Some(SeveralLayers { layers, mean, concatenated }))
}

fn together(
    plan: &Plan<'_>,
    (method, layer): (Method, usize),
    found: &Predictions,
    chosen: &Predicted,
) -> Result<Together> {
    let (labels, clusters) = (&plan.split.test_labels, &plan.split.clusters);
    let predicted = Predicted::of(found, labels)?;
    let both = ((method, layer, &predicted), (method, layer, chosen));
    let beyond = compare(both.0, both.1, Multiplicity::ONE, clusters).difference;
    Ok(Together {
        test: evaluate(found, labels, Some(clusters))?,
        accuracy_beyond_chosen: beyond.accuracy,
        auroc_beyond_chosen: beyond.auroc,
    })
}

/// The mean of the layers' calibrated probabilities; none where a layer's probe has no Platt scaling.
fn mean(method: Method, layers: &[&LayerOutcome]) -> Result<Option<Predictions>> {
    let probabilities = |outcome: &&LayerOutcome| -> Option<Vec<f64>> {
        let (_, probe) = outcome.probes.iter().find(|(m, _)| *m == method)?;
        let scores = &outcome.predictions.get(&method)?.scores;
        Some(probe.calibration().platt?.probabilities(scores))
    };
    let found: Option<Vec<Vec<f64>>> = layers.iter().map(probabilities).collect();
    let mean = |found: Vec<Vec<f64>>| mean_over_layers(&found.iter().map(Vec::as_slice).collect::<Vec<_>>());
    Ok(found.map(mean).transpose()?)
}

/// A probe fitted on the training rows' states of all the layers; none where it cannot be fitted.
fn side_by_side(plan: &Plan<'_>, method: Method, layers: &[&Layer]) -> Result<Option<Predictions>> {
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for layer in layers {
        let data = load(plan, layer)?;
        // Residual streams grow from layer to layer: unscaled, the last layer would be all that a penalty leaves.
        let spread = data.train.spread()?;
        train.push(data.train.scaled(1.0 / spread)?);
        test.push(data.test.scaled(1.0 / spread)?);
    }
    let beside = |parts: &[Contrast]| Contrast::concatenate(&parts.iter().collect::<Vec<_>>());
    let (train, test) = (beside(&train)?, beside(&test)?);
    let recipe = Recipe::new(method, &plan.settings, &train, &plan.split.folds)?;
    let stream = plan.stream.child(method.name()).child("layers side by side");
    match possible(recipe.briefly().fit(&train, &stream))? {
        Ok(fit) => Ok(Some(predict(&fit.probe, &test)?)),
        Err(_) => Ok(None),
    }
}
