//! Predictions against test labels: metrics with their intervals, and paired differences.

use std::collections::BTreeMap;

use super::layer::{Context, LayerOutcome};
use super::report::{Chosen, Difference, Estimate, Evaluation};
use crate::baselines::{Predictions, Quality, RandomBand};
use crate::bootstrap::Resamples;
use crate::{Error, Method, Result};

/// Metrics of predictions; with intervals where resamples are given.
pub(super) fn evaluate(
    predictions: &Predictions,
    labels: &[bool],
    resamples: Option<&Resamples>,
) -> Result<Evaluation> {
    let scored = predictions.against(labels)?;
    Ok(Evaluation {
        accuracy: scored.accuracy(),
        accuracy_ci: resamples.and_then(|r| r.interval(r.accuracies(&scored.correct()))),
        auroc: scored.auroc(),
        auroc_ci: resamples.and_then(|r| r.interval(r.aurocs(&scored.ranking())?)),
        confusion: Some(scored.confusion()),
    })
}

/// Accuracy and AUROC of predictions in every resample, and on the rows as they are.
struct Resampled {
    accuracy: f64,
    accuracies: Vec<f64>,
    auroc: Option<f64>,
    aurocs: Option<Vec<f64>>,
}

impl Resampled {
    fn of(predictions: &Predictions, labels: &[bool], resamples: &Resamples) -> Result<Self> {
        let scored = predictions.against(labels)?;
        Ok(Self {
            accuracy: scored.accuracy(),
            accuracies: resamples.accuracies(&scored.correct()),
            auroc: scored.auroc(),
            aurocs: resamples.aurocs(&scored.ranking()),
        })
    }

    /// Of random directions: the median direction's value, and in resample k that of direction k.
    fn of_directions(band: &RandomBand, labels: &[bool], resamples: &Resamples) -> Result<Self> {
        let mut accuracies = Vec::with_capacity(resamples.len());
        let mut aurocs = Vec::with_capacity(resamples.len());
        for (resample, predictions) in (0..resamples.len()).zip(band.predictions.iter().cycle()) {
            let scored = predictions.against(labels)?;
            accuracies.push(resamples.accuracy(resample, &scored.correct()));
            aurocs.extend(resamples.auroc(resample, &scored.ranking()));
        }
        let aurocs = (aurocs.len() == resamples.len()).then_some(aurocs);
        let median = |values: Vec<f64>| crate::baselines::Band::of(values).map(|b| b.median);
        let accuracy = median(band.test.iter().map(|q: &Quality| q.accuracy).collect()).unwrap_or_default();
        let auroc = band.test.iter().map(|q| q.auroc).collect::<Option<Vec<f64>>>().and_then(median);
        Ok(Self { accuracy, accuracies, auroc, aurocs })
    }

    fn minus(self, other: Self, resamples: &Resamples) -> (Estimate, Option<Estimate>) {
        let interval =
            |a: Vec<f64>, b: Vec<f64>| resamples.interval(a.iter().zip(b).map(|(a, b)| a - b).collect());
        let accuracy = Estimate {
            value: self.accuracy - other.accuracy,
            ci: interval(self.accuracies, other.accuracies),
        };
        let ci = self.aurocs.zip(other.aurocs).and_then(|(a, b)| interval(a, b));
        let auroc = self.auroc.zip(other.auroc).map(|(a, b)| Estimate { value: a - b, ci });
        (accuracy, auroc)
    }
}

/// `first` minus `second`.
pub(super) fn difference(
    (first, first_layer, a): (Method, usize, &Predictions),
    (second, second_layer, b): (Method, usize, &Predictions),
    labels: &[bool],
    resamples: &Resamples,
) -> Result<Difference> {
    let b = Resampled::of(b, labels, resamples)?;
    let (accuracy, auroc) = Resampled::of(a, labels, resamples)?.minus(b, resamples);
    Ok(Difference { first, first_layer, second, second_layer, accuracy, auroc })
}

/// `first` minus random directions at the same layer.
pub(super) fn difference_from_random(
    (first, layer, a): (Method, usize, &Predictions),
    band: &RandomBand,
    labels: &[bool],
    resamples: &Resamples,
) -> Result<Difference> {
    let b = Resampled::of_directions(band, labels, resamples)?;
    let (accuracy, auroc) = Resampled::of(a, labels, resamples)?.minus(b, resamples);
    Ok(Difference { first, first_layer: layer, second: Method::Random, second_layer: layer, accuracy, auroc })
}

/// CCS at its chosen layer minus logistic regression at its own.
pub(super) fn between_choices(
    context: &Context<'_>,
    chosen: &BTreeMap<Method, Chosen>,
    outcomes: &[LayerOutcome],
) -> Result<Option<Difference>> {
    let find = |method: Method| {
        let layer = chosen.get(&method)?.layer?;
        let outcome = outcomes.iter().find(|o| o.report.layer == layer)?;
        Some((method, layer, outcome.predictions.get(&method)?))
    };
    match (find(Method::Ccs), find(Method::Lr)) {
        (Some(ccs), Some(lr)) => difference(ccs, lr, context.test_labels, context.resamples).map(Some),
        _ => Ok(None),
    }
}

pub(super) fn write_error(what: &'static str, reason: &dyn std::fmt::Display) -> Error {
    Error::Write { what, reason: reason.to_string() }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;
    use crate::rng::Stream;

    #[test]
    fn a_method_differs_from_itself_by_exactly_nothing() {
        let labels: Vec<bool> = (0..40).map(|i| i % 3 == 0).collect();
        let groups: Vec<String> = (0..40).map(|i| (i / 2).to_string()).collect();
        let resamples = Resamples::draw(&labels, &groups, 100, &Stream::new(0)).unwrap();
        let scores = (0..40).map(|i| f64::from(i * 7 % 11)).collect();
        let same = Predictions { scores, threshold: 5.0 };
        let found = difference((Method::Ccs, 1, &same), (Method::Lr, 2, &same), &labels, &resamples).unwrap();
        let nothing = Estimate { value: 0.0, ci: Some([0.0, 0.0]) };
        assert_eq!((found.accuracy, found.auroc), (nothing, Some(nothing)));
    }
}
