//! Rows with labels that predictions are judged by, and random directions and answers to hold them against.

use rand::RngExt;
use rand_distr::StandardNormal;
use tch::{Device, Kind, Tensor};

use super::evaluate::{At, Resampled, compare, evaluate};
use super::{Difference, Evaluation};
use crate::baselines::{Band, Predictions, Quality, RandomBand};
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
        let accuracy = Band::of(test.iter().map(|q| q.accuracy).collect());
        let auroc = test.iter().map(|q| q.auroc).collect::<Option<Vec<f64>>>().and_then(Band::of);
        let found = Evaluation {
            accuracy: accuracy.map_or(0.0, |b| b.median),
            accuracy_ci: accuracy.map(|b| [b.low, b.high]),
            auroc: auroc.map(|b| b.median),
            auroc_ci: auroc.map(|b| [b.low, b.high]),
            confusion: None,
        };
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
    let mut rng = stream.rng();
    let gaussian: Vec<f32> = (0..directions * pairs.dim()).map(|_| rng.sample(StandardNormal)).collect();
    let gaussian = Tensor::f_from_slice(&gaussian)?.f_reshape([directions as i64, -1])?;
    let differences = normalizer.differences(pairs, Kind::Float)?; // [N, D]
    let gaussian = gaussian.f_to_device(differences.device())?;
    let scores = gaussian.f_mm(&differences.f_tr()?)?.f_to_device(Device::Cpu)?; // [directions, N]
    let scores = Vec::<f64>::try_from(scores.f_to_kind(Kind::Double)?.f_reshape([-1])?)?;
    let one = |scores: &[f64]| -> Result<Predictions> {
        let mut found = Predictions { scores: scores.to_vec(), threshold: 0.0 };
        if found.against(pairs.labels())?.auroc().is_some_and(|auroc| auroc < 0.5) {
            found.scores.iter_mut().for_each(|score| *score = -*score);
        }
        Ok(found)
    };
    scores.chunks(pairs.rows()).map(one).collect()
}
