//! Which methods are compared, at every layer and at those that were chosen.

use indexmap::IndexMap;

use ccs_report::{Chosen, Comparison, Difference, Method};

use crate::Result;
use crate::engine::evaluate::compare;
use crate::engine::outcome::LayerOutcome;
use crate::engine::split::DataSplit;

/// What probes are compared with at their own layer.
const BESIDE: [Method; 4] =
    [Method::RANDOM, Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT, Method::MAJORITY];

/// The choices compared.
pub(crate) struct Choices {
    /// CCS at its chosen layer minus logistic regression at its own.
    pub(crate) ccs_and_lr: Option<Difference>,
    /// Every chosen probe against [`BESIDE`] at its layer and logistic regression at its own.
    pub(crate) comparisons: Vec<Comparison>,
}

/// Compares methods at their chosen layers.
pub(crate) fn between_choices(
    split: &DataSplit,
    chosen: &IndexMap<Method, Chosen>,
    outcomes: &[LayerOutcome],
) -> Result<Choices> {
    let mut at_choice = IndexMap::new();
    for (&method, choice) in chosen {
        let outcome = choice.layer.and_then(|layer| outcomes.iter().find(|o| o.report.layer == layer));
        if let Some(outcome) = outcome
            && let Some(resampled) = outcome.resampled(method, split)?
        {
            at_choice.insert(method, (outcome, resampled));
        }
    }
    let lr = at_choice.get(&Method::LR).map(|(outcome, r)| (Method::LR, outcome.report.layer, r));
    let mut choices = Choices { ccs_and_lr: None, comparisons: Vec::new() };
    for (&method, (outcome, resampled)) in &at_choice {
        let layer = outcome.report.layer;
        let mut beside = Vec::new();
        for other in BESIDE {
            beside.extend(outcome.resampled(other, split)?.map(|r| (other, r)));
        }
        let beside = beside.iter().map(|(other, r)| (*other, layer, r));
        for second in beside.chain(lr.filter(|_| method != Method::LR)) {
            let comparison = compare((method, layer, resampled), second, outcomes.len(), &split.resamples);
            if (method, second.0) == (Method::CCS, Method::LR) {
                choices.ccs_and_lr = Some(comparison.difference.clone());
            }
            choices.comparisons.push(comparison);
        }
    }
    Ok(choices)
}

/// CCS and logistic regression against each other and what else there is; other methods are compared at their
/// chosen layers.
pub(crate) fn at_layer(outcome: &LayerOutcome, split: &DataSplit, layers: usize) -> Result<Vec<Comparison>> {
    let layer = outcome.report.layer;
    let mut found = Vec::new();
    for (first, others) in [(Method::CCS, &[Method::LR][..]), (Method::LR, &[])] {
        let Some(own) = outcome.resampled(first, split)? else { continue };
        for &second in others.iter().chain(&BESIDE) {
            if let Some(other) = outcome.resampled(second, split)? {
                let (own, other) = ((first, layer, &own), (second, layer, &other));
                found.push(compare(own, other, layers, &split.resamples));
            }
        }
    }
    Ok(found)
}
