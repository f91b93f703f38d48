//! Predictions against test labels: metrics with their intervals, and paired differences.

use crate::{Result, convert};
use ccs::Contrast;
use ccs::baselines::{Band, Predictions, Quality};
use ccs::probe::Probe;
use ccs::stats::clusters::Clusters;
use ccs::stats::intervals::{Interval, MISS};
use ccs::stats::metrics::Placements;
use ccs_report::{Comparison, Difference, Estimate, Evaluation, Intervals, Method};
use indexmap::IndexMap;

/// Metrics of predictions; with intervals where the rows' groups are given.
pub(crate) fn evaluate(
    predictions: &Predictions,
    labels: &[bool],
    clusters: Option<&Clusters>,
) -> Result<Evaluation> {
    let scored = predictions.against(labels)?;
    let predicted = Predicted::of(predictions, labels)?;
    let found = clusters.map(|clusters| predicted.intervals(clusters, MISS));
    let Intervals { accuracy_ci, auroc_ci } = found.unwrap_or_default();
    let confusion = Some(convert::confusion(scored.confusion()));
    Ok(Evaluation { accuracy: scored.accuracy(), accuracy_ci, auroc: scored.auroc(), auroc_ci, confusion })
}

/// The median and the central 95% of random directions.
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

/// What comparisons need of a method's predictions on labeled rows.
pub(crate) struct Predicted {
    accuracy: f64,
    /// Whether each row is predicted rightly.
    correct: Vec<bool>,
    /// None if the rows carry one label.
    placements: Option<Placements>,
}

impl Predicted {
    pub(crate) fn of(predictions: &Predictions, labels: &[bool]) -> Result<Self> {
        let scored = predictions.against(labels)?;
        let correct = scored.correct();
        Ok(Self { accuracy: scored.accuracy(), correct, placements: scored.placements() })
    }

    /// Intervals that miss with probability `miss`.
    pub(crate) fn intervals(&self, clusters: &Clusters, miss: f64) -> Intervals {
        let auroc_ci =
            self.placements.as_ref().and_then(|placements| clusters.auroc_interval(placements, miss));
        Intervals { accuracy_ci: clusters.accuracy_interval(&self.correct, miss), auroc_ci }
    }

    fn auroc(&self) -> Option<f64> {
        self.placements.as_ref().map(|placements| placements.auroc)
    }
}

/// How many results are to hold at once: intervals are given for one, for as many layers, and for as many methods.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Multiplicity {
    pub(crate) layers: usize,
    pub(crate) methods: usize,
}

impl Multiplicity {
    /// Of a single result.
    pub(crate) const ONE: Self = Self { layers: 1, methods: 1 };

    /// How often the interval of one result may miss: alone, and so that those of all layers or of all methods hold at once
    /// (Bonferroni).
    fn misses(self) -> [f64; 3] {
        [1, self.layers, self.methods].map(|results| MISS / results.max(1) as f64)
    }

    /// How often the interval of one method may miss, so that those of all methods hold at once.
    pub(crate) fn miss_of_methods(self) -> f64 {
        MISS / self.methods.max(1) as f64
    }
}

/// A method at a layer.
pub(crate) type At<'a> = (Method, usize, &'a Predicted);

/// `first` minus `second` on the same rows.
///
/// The majority class ranks nothing, so it is compared by accuracy alone. Random directions and the model's own answers have
/// no intercept that could learn the base rate, as some probes have: they are compared by AUROC alone.
pub(crate) fn compare(
    (first, first_layer, a): At<'_>,
    (second, second_layer, b): At<'_>,
    results: Multiplicity,
    clusters: &Clusters,
) -> Comparison {
    let ranks = second != Method::MAJORITY;
    let decides = !matches!(second, Method::ZERO_SHOT | Method::CALIBRATED_ZERO_SHOT | Method::RANDOM);
    let placements = a.placements.as_ref().zip(b.placements.as_ref()).filter(|_| ranks);
    let intervals = results.misses().map(|miss| Intervals {
        accuracy_ci: clusters.accuracy_difference(&a.correct, &b.correct, miss).filter(|_| decides),
        auroc_ci: placements.and_then(|(a, b)| clusters.auroc_difference(a, b, miss)),
    });
    let accuracy = decides.then_some(a.accuracy - b.accuracy);
    let auroc = a.auroc().zip(b.auroc()).filter(|_| ranks).map(|(a, b)| a - b);
    let difference = |plain: &Intervals| Difference {
        first,
        first_layer,
        second,
        second_layer,
        accuracy: accuracy.map(|value| Estimate { value, ci: plain.accuracy_ci }),
        auroc: auroc.map(|value| Estimate { value, ci: plain.auroc_ci }),
    };
    with_corrections(difference, intervals, results)
}

/// A method minus the median of random directions on the same rows; the interval covers the choice of a direction. None
/// if the rows carry one label.
pub(crate) fn beyond_random(
    (first, layer, a): At<'_>,
    directions: &RandomDirections,
    results: Multiplicity,
    clusters: &Clusters,
) -> Option<Comparison> {
    let found = a.placements.as_ref()?;
    let differences: Vec<[f64; 2]> =
        directions.placements.iter().map(|other| clusters.beyond_direction(found, other)).collect();
    let value = found.auroc - directions.median_auroc?;
    Some(beyond_median((first, layer), value, &differences, results, clusters))
}

/// A method minus the median of random directions, from what [`Clusters::beyond_direction`] says of each.
fn beyond_median(
    (first, layer): (Method, usize),
    value: f64,
    differences: &[[f64; 2]],
    results: Multiplicity,
    clusters: &Clusters,
) -> Comparison {
    let misses = results.misses();
    let cis = clusters.interval_beyond_directions(differences, &misses);
    let ci = |at: usize| cis.as_ref().and_then(|cis: &Vec<Interval>| cis.get(at).copied());
    let intervals = [0, 1, 2].map(|at| Intervals { accuracy_ci: None, auroc_ci: ci(at) });
    let difference = |plain: &Intervals| Difference {
        first,
        first_layer: layer,
        second: Method::RANDOM,
        second_layer: layer,
        accuracy: None,
        auroc: Some(Estimate { value, ci: plain.auroc_ci }),
    };
    with_corrections(difference, intervals, results)
}

/// Methods at a layer against its random directions, which are taken in one after the other.
pub(crate) struct BeyondRandom<'a> {
    layer: usize,
    methods: Vec<(Method, &'a Placements, Vec<[f64; 2]>)>,
    aurocs: Vec<f64>,
}

impl<'a> BeyondRandom<'a> {
    /// Those of `methods` that rank test rows.
    pub(crate) fn new(layer: usize, methods: &'a [(Method, Predicted)]) -> Self {
        let ranking = |(method, predicted): &'a (Method, Predicted)| {
            Some((*method, predicted.placements.as_ref()?, Vec::new()))
        };
        Self { layer, methods: methods.iter().filter_map(ranking).collect(), aurocs: Vec::new() }
    }

    pub(crate) fn take(&mut self, direction: &Placements, clusters: &Clusters) {
        self.aurocs.push(direction.auroc);
        for (_, found, differences) in &mut self.methods {
            differences.push(clusters.beyond_direction(found, direction));
        }
    }

    /// What every method has beyond the median direction; none without directions.
    pub(crate) fn comparisons(
        self,
        results: Multiplicity,
        clusters: &Clusters,
    ) -> IndexMap<Method, Comparison> {
        let Some(median) = Band::of(self.aurocs).map(|band| band.median) else { return IndexMap::new() };
        let compared = self.methods.into_iter().map(|(method, found, differences)| {
            let value = found.auroc - median;
            (method, beyond_median((method, self.layer), value, &differences, results, clusters))
        });
        compared.collect()
    }
}

fn with_corrections(
    difference: impl Fn(&Intervals) -> Difference,
    [plain, of_layers, of_methods]: [Intervals; 3],
    Multiplicity { layers, methods }: Multiplicity,
) -> Comparison {
    let Intervals { accuracy_ci, auroc_ci } = of_layers;
    Comparison { difference: difference(&plain), layers, accuracy_ci, auroc_ci, methods, of_methods }
}

/// Random directions on labeled rows.
pub(crate) struct RandomDirections {
    /// Of each direction; none if the rows carry one label.
    placements: Vec<Placements>,
    median_auroc: Option<f64>,
}

impl RandomDirections {
    pub(crate) fn of(directions: &[Predictions], labels: &[bool]) -> Result<Self> {
        let mut placements = Vec::with_capacity(directions.len());
        for predictions in directions {
            placements.extend(predictions.against(labels)?.placements());
        }
        let median_auroc = Band::of(placements.iter().map(|p| p.auroc).collect()).map(|band| band.median);
        Ok(Self { placements, median_auroc })
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_method_differs_from_itself_by_nothing_that_is_known() {
        let labels: Vec<bool> = (0..40).map(|i| i % 3 == 0).collect();
        let groups: Vec<String> = (0..40).map(|i| (i / 2).to_string()).collect();
        let clusters = Clusters::new(&labels, &groups).unwrap();
        let scores = (0..40).map(|i| f64::from(i * 7 % 11)).collect();
        let same = Predicted::of(&Predictions { scores, threshold: 5.0 }, &labels).unwrap();
        let results = Multiplicity { layers: 5, methods: 3 };
        let of = |second| compare((Method::CCS, 1, &same), (second, 2, &same), results, &clusters);
        let found = of(Method::LR);
        for estimate in [found.difference.accuracy.unwrap(), found.difference.auroc.unwrap()] {
            let [low, high] = estimate.ci.unwrap();
            assert!(
                estimate.value == 0.0 && low < 0.0 && high > 0.0 && (low + high).abs() < 1e-9,
                "{estimate:?}"
            );
        }
        let width = |ci: Option<Interval>| ci.map(|[low, high]| high - low).unwrap();
        let plain = width(found.difference.auroc.unwrap().ci);
        assert!(
            width(found.of_methods.auroc_ci) > plain
                && width(found.auroc_ci) > width(found.of_methods.auroc_ci)
        );
        let majority = of(Method::MAJORITY);
        assert_eq!((majority.difference.auroc, majority.auroc_ci), (None, None));
        assert!(majority.difference.accuracy.is_some());
        let own = of(Method::ZERO_SHOT);
        assert_eq!(
            (own.difference.accuracy, own.accuracy_ci, own.of_methods.accuracy_ci),
            (None, None, None)
        );
        assert!(own.difference.auroc.is_some());
    }
}
