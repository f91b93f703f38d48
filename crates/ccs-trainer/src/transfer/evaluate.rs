//! Evaluating predictions on other data than a run's, and random directions to compare them with.

use tch::Kind;

use crate::Result;
use crate::engine::evaluate::{At, Resampled, compare, evaluate, of_directions};
use ccs::Contrast;
use ccs::SeedTree;
use ccs::baselines::{Directions, Predictions, Quality, RandomBand};
use ccs::normalize::Normalizer;
use ccs::stats::intervals::Resamples;
use ccs_report::Difference;
use ccs_report::Evaluation;

/// Labels with the resamples of their groups: one set for all predictions, so that differences are paired.
pub(crate) struct Evaluator {
    labels: Vec<bool>,
    resamples: Resamples,
}

impl Evaluator {
    /// Of rows with these labels and groups, at least one; the resamples are those of a run with these test rows.
    pub(crate) fn new(labels: &[bool], groups: &[String], resamples: usize, seed: u64) -> Result<Self> {
        let resamples = Resamples::draw(labels, groups, resamples, &SeedTree::new(seed).child("bootstrap"))?;
        Ok(Self { labels: labels.to_vec(), resamples })
    }

    pub(crate) fn test(&self, predictions: &Predictions) -> Result<Evaluation> {
        evaluate(predictions, &self.labels, Some(&self.resamples))
    }

    pub(crate) fn resampled(&self, predictions: &Predictions) -> Result<Resampled> {
        Resampled::of(predictions, &self.labels, &self.resamples)
    }

    pub(crate) fn difference(&self, first: At<'_>, second: At<'_>) -> Difference {
        compare(first, second, 1, &self.resamples).difference
    }

    /// The median and the central 95 % of directions, and the directions in every resample.
    pub(crate) fn band(&self, directions: Vec<Predictions>) -> Result<(Evaluation, Resampled)> {
        let quality = |predictions: &Predictions| -> Result<Quality> {
            let scored = predictions.against(&self.labels)?;
            Ok(Quality { accuracy: scored.accuracy(), auroc: scored.auroc() })
        };
        let test: Vec<Quality> = directions.iter().map(quality).collect::<Result<_>>()?;
        let found = of_directions(&test);
        let band = RandomBand { train: Vec::new(), test, predictions: directions };
        Ok((found, Resampled::of_directions(&band, &self.labels, &self.resamples)?))
    }
}

/// Rows' scores by `directions` Gaussian directions on differences that `normalizer` gives, each the way round that ranks
/// these rows better: there are no training rows to give the sign, so this errs in favor of the directions.
///
/// # Shapes
/// The result: `directions` times N scores.
pub(crate) fn directions_at_their_best(
    normalizer: &Normalizer,
    pairs: &Contrast,
    directions: usize,
    stream: &SeedTree,
) -> Result<Vec<Predictions>> {
    let differences = normalizer.differences(pairs, Kind::Float)?; // [N, D]
    let drawn = Directions::draw(directions, pairs.dim(), &mut stream.rng(), differences.device())?;
    let best = |found: Predictions| -> Result<Predictions> {
        let backwards = found.against(pairs.labels())?.auroc().is_some_and(|auroc| auroc < 0.5);
        Ok(if backwards { found.turned() } else { found })
    };
    drawn.scores(&differences)?.into_iter().map(best).collect()
}

/// How well predictions agree with labels, with intervals from resampled groups as in a run: `resamples` of them, drawn
/// from `seed`.
///
/// # Shapes
/// N predictions, `labels` and `groups`, at least 1.
///
/// # Errors
/// Different lengths, no rows, or a score that is NaN.
pub fn evaluation(
    predictions: &Predictions,
    labels: &[bool],
    groups: &[String],
    resamples: usize,
    seed: u64,
) -> Result<Evaluation> {
    Evaluator::new(labels, groups, resamples, seed)?.test(predictions)
}
