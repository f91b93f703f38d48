//! Evaluating predictions on other data than a run's, and random directions to compare them with.

use tch::Kind;

use crate::Result;
use crate::engine::evaluate::{
    At, Multiplicity, Predicted, RandomDirections, beyond_random, compare, evaluate, of_directions,
};
use ccs::Contrast;
use ccs::SeedTree;
use ccs::baselines::{Directions, Predictions, Quality};
use ccs::normalize::Normalizer;
use ccs::stats::clusters::Clusters;
use ccs_report::Difference;
use ccs_report::Evaluation;

/// Labels with their rows' groups, which intervals take for independent.
pub(crate) struct Evaluator {
    labels: Vec<bool>,
    clusters: Clusters,
}

impl Evaluator {
    /// Of rows with these labels and groups, at least one.
    pub(crate) fn new(labels: &[bool], groups: &[String]) -> Result<Self> {
        Ok(Self { labels: labels.to_vec(), clusters: Clusters::new(labels, groups)? })
    }

    pub(crate) fn test(&self, predictions: &Predictions) -> Result<Evaluation> {
        evaluate(predictions, &self.labels, Some(&self.clusters))
    }

    pub(crate) fn predicted(&self, predictions: &Predictions) -> Result<Predicted> {
        Predicted::of(predictions, &self.labels)
    }

    pub(crate) fn difference(&self, first: At<'_>, second: At<'_>) -> Difference {
        compare(first, second, Multiplicity::ONE, &self.clusters).difference
    }

    /// A method minus random directions; none if the rows carry one label.
    pub(crate) fn beyond_random(&self, first: At<'_>, directions: &RandomDirections) -> Option<Difference> {
        Some(beyond_random(first, directions, Multiplicity::ONE, &self.clusters)?.difference)
    }

    /// The median and the central 95% of directions, and the directions themselves.
    pub(crate) fn band(&self, directions: &[Predictions]) -> Result<(Evaluation, RandomDirections)> {
        let quality = |predictions: &Predictions| -> Result<Quality> {
            let scored = predictions.against(&self.labels)?;
            Ok(Quality { accuracy: scored.accuracy(), auroc: scored.auroc() })
        };
        let test: Vec<Quality> = directions.iter().map(quality).collect::<Result<_>>()?;
        Ok((of_directions(&test), RandomDirections::of(directions, &self.labels)?))
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

/// How well predictions agree with labels, with intervals as in a run.
///
/// # Shapes
/// N predictions, `labels` and `groups`, at least 1.
///
/// # Errors
/// Different lengths, no rows, or a score that is NaN.
pub fn evaluation(predictions: &Predictions, labels: &[bool], groups: &[String]) -> Result<Evaluation> {
    Evaluator::new(labels, groups)?.test(predictions)
}
