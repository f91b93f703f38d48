//! Rows with labels that predictions are judged by, and random directions and answers to hold them against.

use tch::Kind;

use super::evaluate::{At, Resampled, compare, evaluate};
use super::{Difference, Evaluation};
use crate::baselines::{Directions, Predictions, Quality, RandomBand};
use crate::bootstrap::Resamples;
use crate::normalize::Normalizer;
use crate::rng::Stream;
use crate::{Contrast, Result};

/// Labels with the resamples of their groups: one set for all that is judged, so that differences are paired.
pub(super) struct Judge {
    labels: Vec<bool>,
    resamples: Resamples,
}

impl Judge {
    /// Of rows with these labels and groups, at least one; the resamples are those of a run with these test rows.
    pub(super) fn new(labels: &[bool], groups: &[String], resamples: usize, seed: u64) -> Result<Self> {
        let resamples = Resamples::draw(labels, groups, resamples, &Stream::new(seed).child("bootstrap"))?;
        Ok(Self { labels: labels.to_vec(), resamples })
    }

    pub(super) fn test(&self, predictions: &Predictions) -> Result<Evaluation> {
        evaluate(predictions, &self.labels, Some(&self.resamples))
    }

    pub(super) fn resampled(&self, predictions: &Predictions) -> Result<Resampled> {
        Resampled::of(predictions, &self.labels, &self.resamples)
    }

    pub(super) fn difference(&self, first: At<'_>, second: At<'_>) -> Difference {
        compare(first, second, 1, &self.resamples).difference
    }

    /// The median and the central 95 % of directions, and the directions in every resample.
    pub(super) fn band(&self, directions: Vec<Predictions>) -> Result<(Evaluation, Resampled)> {
        let quality = |predictions: &Predictions| -> Result<Quality> {
            let scored = predictions.against(&self.labels)?;
            Ok(Quality { accuracy: scored.accuracy(), auroc: scored.auroc() })
        };
        let test: Vec<Quality> = directions.iter().map(quality).collect::<Result<_>>()?;
        let found = Evaluation::of_directions(&test);
        let band = RandomBand { train: Vec::new(), test, predictions: directions };
        Ok((found, Resampled::of_directions(&band, &self.labels, &self.resamples)?))
    }
}

/// Rows' scores by `directions` Gaussian directions on differences that `normalizer` gives, each the way round that ranks
/// these rows better: where training rows are not at hand to say which, this errs in favour of the directions.
///
/// # Shapes
/// The result: `directions` times N scores.
pub(super) fn directions_at_their_best(
    normalizer: &Normalizer,
    pairs: &Contrast,
    directions: usize,
    stream: &Stream,
) -> Result<Vec<Predictions>> {
    let differences = normalizer.differences(pairs, Kind::Float)?; // [N, D]
    let drawn = Directions::draw(directions, pairs.dim(), &mut stream.rng(), differences.device())?;
    let best = |found: Predictions| -> Result<Predictions> {
        let backwards = found.against(pairs.labels())?.auroc().is_some_and(|auroc| auroc < 0.5);
        Ok(if backwards { found.turned() } else { found })
    };
    drawn.scores(&differences)?.into_iter().map(best).collect()
}
