//! Predictions against test labels: metrics with their intervals, and paired differences.

use serde::{Deserialize, Serialize};

use crate::{Result, convert};
use ccs::Contrast;
use ccs::baselines::{Band, Predictions, Quality, RandomBand};
use ccs::probe::Probe;
use ccs::stats::intervals::{Interval, Resamples};
use ccs_report::Method;
use ccs_report::{Comparison, Difference, Estimate, Evaluation};

/// Metrics of predictions; with intervals where resamples are given.
pub(crate) fn evaluate(
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
        confusion: Some(convert::confusion(scored.confusion())),
    })
}

/// The median and the central 95 % of random directions.
pub(crate) fn of_directions(qualities: &[Quality]) -> Evaluation {
    let accuracy = Band::of(qualities.iter().map(|q| q.accuracy).collect());
    let auroc = qualities.iter().map(|q| q.auroc).collect::<Option<Vec<f64>>>().and_then(Band::of);
    Evaluation {
        accuracy: accuracy.map_or(0.0, |b| b.median),
        accuracy_ci: accuracy.map(|b| [b.low, b.high]),
        auroc: auroc.map(|b| b.median),
        auroc_ci: auroc.map(|b| [b.low, b.high]),
        confusion: None,
    }
}

/// A probe's predictions.
pub(crate) fn predict(probe: &Probe, pairs: &Contrast) -> Result<Predictions> {
    Ok(Predictions { scores: probe.score_pairs(pairs)?, threshold: probe.input().threshold() })
}

/// Accuracy and AUROC of predictions in every resample, and on the rows as they are.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Resampled {
    accuracy: f64,
    accuracies: Vec<f64>,
    auroc: Option<f64>,
    aurocs: Option<Vec<f64>>,
}

impl Resampled {
    pub(crate) fn of(predictions: &Predictions, labels: &[bool], resamples: &Resamples) -> Result<Self> {
        let scored = predictions.against(labels)?;
        Ok(Self {
            accuracy: scored.accuracy(),
            accuracies: resamples.accuracies(&scored.correct()),
            auroc: scored.auroc(),
            aurocs: resamples.aurocs(&scored.ranking()),
        })
    }

    /// Of random directions: the median direction's value, and in resample k that of direction k.
    pub(crate) fn of_directions(band: &RandomBand, labels: &[bool], resamples: &Resamples) -> Result<Self> {
        let mut accuracies = Vec::with_capacity(resamples.len());
        let mut aurocs = Vec::with_capacity(resamples.len());
        let mut scored = Vec::with_capacity(band.predictions.len());
        for predictions in band.predictions.iter().take(resamples.len()) {
            let found = predictions.against(labels)?;
            scored.push((found.correct(), found.ranking())); // sorted once, however many resamples there are
        }
        for (resample, (correct, ranking)) in (0..resamples.len()).zip(scored.iter().cycle()) {
            accuracies.push(resamples.accuracy(resample, correct));
            aurocs.extend(resamples.auroc(resample, ranking));
        }
        let aurocs = (aurocs.len() == resamples.len()).then_some(aurocs);
        let Evaluation { accuracy, auroc, .. } = of_directions(&band.test);
        Ok(Self { accuracy, accuracies, auroc, aurocs })
    }

    /// The central 1 − `miss` of this less `other` over resamples: of accuracies, and of AUROCs.
    fn intervals(&self, other: &Self, miss: f64, resamples: &Resamples) -> [Option<Interval>; 2] {
        let interval = |a: &[f64], b: &[f64]| {
            resamples.interval_missing(miss, a.iter().zip(b).map(|(a, b)| a - b).collect())
        };
        let aurocs = self.aurocs.as_ref().zip(other.aurocs.as_ref());
        [interval(&self.accuracies, &other.accuracies), aurocs.and_then(|(a, b)| interval(a, b))]
    }
}

/// A method at a layer, in every resample.
pub(crate) type At<'a> = (Method, usize, &'a Resampled);

/// `first` minus `second`, where `layers` layers were evaluated. The majority ranks nothing, so it is compared by accuracy alone.
pub(crate) fn compare(
    (first, first_layer, a): At<'_>,
    (second, second_layer, b): At<'_>,
    layers: usize,
    resamples: &Resamples,
) -> Comparison {
    let ranks = second != Method::MAJORITY;
    let [plain, wide] = [1, layers.max(1)].map(|layers| {
        let [accuracy, auroc] = a.intervals(b, 0.05 / layers as f64, resamples);
        [accuracy, auroc.filter(|_| ranks)]
    });
    let accuracy = Estimate { value: a.accuracy - b.accuracy, ci: plain[0] };
    let auroc = a.auroc.zip(b.auroc).filter(|_| ranks);
    let auroc = auroc.map(|(a, b)| Estimate { value: a - b, ci: plain[1] });
    let difference = Difference { first, first_layer, second, second_layer, accuracy, auroc };
    Comparison { difference, layers, accuracy_ci: wide[0], auroc_ci: wide[1] }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;
    use ccs::SeedTree;

    #[test]
    fn a_method_differs_from_itself_by_exactly_nothing() {
        let labels: Vec<bool> = (0..40).map(|i| i % 3 == 0).collect();
        let groups: Vec<String> = (0..40).map(|i| (i / 2).to_string()).collect();
        let resamples = Resamples::draw(&labels, &groups, 100, &SeedTree::new(0)).unwrap();
        let scores = (0..40).map(|i| f64::from(i * 7 % 11)).collect();
        let same = Predictions { scores, threshold: 5.0 };
        let same = Resampled::of(&same, &labels, &resamples).unwrap();
        let found = compare((Method::CCS, 1, &same), (Method::LR, 2, &same), 5, &resamples);
        let nothing = Estimate { value: 0.0, ci: Some([0.0, 0.0]) };
        assert_eq!((found.difference.accuracy, found.difference.auroc), (nothing, Some(nothing)));
        assert_eq!((found.layers, found.auroc_ci), (5, Some([0.0, 0.0])));
        let majority = compare((Method::CCS, 1, &same), (Method::MAJORITY, 1, &same), 5, &resamples);
        assert_eq!((majority.difference.auroc, majority.auroc_ci), (None, None));
    }
}
