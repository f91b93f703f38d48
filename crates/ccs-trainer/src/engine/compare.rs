//! Which methods are compared, at every layer and at those that were chosen.

use indexmap::IndexMap;

use ccs_report::{Chosen, Comparison, Difference, Method};

use crate::Result;
use crate::engine::bar::Bar;
use crate::engine::evaluate::compare;
use crate::engine::outcome::LayerOutcome;
use crate::engine::plan::Plan;

/// What probes are compared with at their own layer, random directions apart.
const BESIDE: [Method; 3] = [Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT, Method::MAJORITY];

/// The choices compared.
pub(crate) struct Choices {
    /// CCS, of statements mass mean, at its chosen layer minus logistic regression at its own.
    pub(crate) leading_and_lr: Option<Difference>,
    /// Every chosen probe against random directions and [`BESIDE`] at its layer, and logistic regression at its own; of all
    /// tokens, [`LEARNED`] against [`POOLED`] at their own.
    pub(crate) comparisons: Vec<Comparison>,
}

/// Methods that learn which tokens to read, and what they must beat.
const LEARNED: [Method; 2] = [Method::ATTENTION, Method::MULTI_MAX];
const POOLED: [Method; 2] = [Method::MEAN, Method::LAST];

/// Compares methods at their chosen layers, and gives every choice the intervals that hold for all methods at once; every
/// probe is measured by the bar, too.
pub(crate) fn between_choices(
    plan: &Plan<'_>,
    chosen: &mut IndexMap<Method, Chosen>,
    outcomes: &[LayerOutcome],
    mut bar: Option<&mut Bar>,
) -> Result<Choices> {
    let (split, results) = (&plan.split, plan.multiplicity());
    let mut at_choice = IndexMap::new();
    for (&method, choice) in chosen {
        let outcome = choice.layer.and_then(|layer| outcomes.iter().find(|o| o.report.layer == layer));
        if let Some(outcome) = outcome
            && let Some(predicted) = outcome.predicted(method, split)?
        {
            choice.of_methods = Some(predicted.intervals(&split.clusters, results.miss_of_methods()));
            at_choice.insert(method, (outcome, predicted));
        }
    }
    let lr = at_choice.get(&Method::LR).map(|(outcome, p)| (Method::LR, outcome.report.layer, p));
    let mut choices = Choices { leading_and_lr: None, comparisons: Vec::new() };
    for (&method, (outcome, predicted)) in &at_choice {
        let layer = outcome.report.layer;
        choices.comparisons.extend(outcome.beyond_random.get(&method).cloned());
        if let Some(bar) = &mut bar {
            bar.measure(plan, (method, layer, predicted));
        }
        let mut beside = Vec::new();
        for other in BESIDE {
            beside.extend(outcome.predicted(other, split)?.map(|p| (other, p)));
        }
        let beside = beside.iter().map(|(other, p)| (*other, layer, p));
        for second in beside.chain(lr.filter(|_| method != Method::LR)) {
            let comparison = compare((method, layer, predicted), second, results, &split.clusters);
            if (method, second.0) == (plan.source.kind().leading(), Method::LR) {
                choices.leading_and_lr = Some(comparison.difference.clone());
            }
            choices.comparisons.push(comparison);
        }
        for second in POOLED.iter().filter(|_| LEARNED.contains(&method)) {
            if let Some((outcome, other)) = at_choice.get(second) {
                let second = (*second, outcome.report.layer, other);
                let compared = compare((method, layer, predicted), second, results, &split.clusters);
                choices.comparisons.push(compared);
            }
        }
    }
    Ok(choices)
}

/// CCS (of statements, mass mean) and logistic regression against each other and what else there is, and of all tokens
/// methods that learn where to look against those that do not; other methods are compared at their chosen layers.
pub(crate) fn at_layer(plan: &Plan<'_>, outcome: &LayerOutcome) -> Result<Vec<Comparison>> {
    let (split, layer) = (&plan.split, outcome.report.layer);
    let mut found = Vec::new();
    let leading = [(plan.source.kind().leading(), &[Method::LR][..]), (Method::LR, &[])];
    let learned = LEARNED.map(|method| (method, &POOLED[..]));
    for (first, others) in leading.into_iter().chain(learned) {
        let Some(own) = outcome.predicted(first, split)? else { continue };
        found.extend(outcome.beyond_random.get(&first).cloned());
        for &second in others.iter().chain(&BESIDE) {
            if let Some(other) = outcome.predicted(second, split)? {
                let (own, other) = ((first, layer, &own), (second, layer, &other));
                found.push(compare(own, other, plan.multiplicity(), &split.clusters));
            }
        }
    }
    Ok(found)
}
