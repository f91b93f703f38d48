//! Shuffled labels: what every method finds at its chosen layer when labels say nothing.
//!
//! The labels of the training rows and those of the test rows are shuffled, each among the rows of their own side. A method that fits to labels is fitted anew, its penalty chosen anew too; one that fits without keeps its
//! direction and takes a sign from the shuffled labels. Whatever is right then is right by luck.

use indexmap::IndexMap;
use std::collections::BTreeMap;

use rand::seq::SliceRandom;
use rayon::prelude::*;
use tch::Kind;

use crate::Result;
use crate::control::{RunControl, Work};
use crate::diagnostics::seeds::add;
use crate::engine::data::LayerData;
use crate::engine::evaluate::predict;
use crate::engine::plan::Plan;
use crate::engine::recipe::{Recipe, possible};
use crate::method::Ask as _;
use ccs::Contrast;
use ccs::SeedTree;
use ccs::baselines::{Directions, Predictions};
use ccs::methods::Fitted;
use ccs::normalize::Normalizer;
use ccs::probe::Probe;
use ccs::stats::intervals::Interval;
use ccs_report::Method;
use ccs_report::Repetitions;
use ccs_report::ShuffledBand;

/// The share of bands that may miss one of all results.
const MISS: f64 = 0.05;
/// Directions scored at once.
const BATCH: usize = 64;

/// Rows that share their label, whatever it is: a passage's where all of them do, else a question's, else single ones.
struct Units(Vec<(Vec<usize>, bool)>);

impl Units {
    fn of(pairs: &Contrast) -> Self {
        let labels = pairs.labels();
        let label = |rows: &[usize]| -> Option<bool> {
            let mut found = rows.iter().filter_map(|&row| labels.get(row).copied());
            let first = found.next()?;
            found.all(|label| label == first).then_some(first)
        };
        let agreeing = |units: Vec<Vec<usize>>| -> Option<Vec<(Vec<usize>, bool)>> {
            units.into_iter().map(|rows| label(&rows).map(|label| (rows, label))).collect()
        };
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (row, group) in pairs.groups().iter().enumerate() {
            groups.entry(group).or_default().push(row);
        }
        let questions = || pairs.rows_by_question().into_iter().map(|(_, rows)| rows).collect();
        let single = || labels.iter().enumerate().map(|(row, &label)| (vec![row], label)).collect();
        let units = agreeing(groups.into_values().collect()).or_else(|| agreeing(questions()));
        Self(units.unwrap_or_else(single))
    }

    /// The rows' labels with those of the units in another order.
    fn shuffled(&self, stream: &SeedTree) -> Vec<bool> {
        let mut labels: Vec<bool> = self.0.iter().map(|unit| unit.1).collect();
        labels.shuffle(&mut stream.rng());
        let mut found = vec![false; self.0.iter().map(|unit| unit.0.len()).sum()];
        for ((rows, _), label) in self.0.iter().zip(labels) {
            for &row in rows {
                if let Some(shuffled) = found.get_mut(row) {
                    *shuffled = label;
                }
            }
        }
        found
    }
}

/// Labels of both sides of a layer that mean nothing.
pub(crate) struct Shuffler {
    train: Units,
    test: Units,
}

impl Shuffler {
    pub(crate) fn of(data: &LayerData<'_>) -> Self {
        Self { train: Units::of(&data.train), test: Units::of(&data.test) }
    }

    /// Of the training rows and of the test rows.
    fn labels(&self, stream: &SeedTree) -> [Vec<bool>; 2] {
        [self.train.shuffled(&stream.child("train")), self.test.shuffled(&stream.child("test"))]
    }
}

/// Random directions under shuffled labels.
pub(crate) struct RandomShuffles {
    accuracies: Vec<f64>,
    aurocs: Option<Vec<f64>>,
    /// Results of all methods, which are to lie in the band at once.
    results: usize,
}

impl RandomShuffles {
    /// The band that all results lie in at once, and how many of a method's lie outside.
    fn band(&self, found: &Repetitions) -> Option<ShuffledBand> {
        let results = self.results;
        let ends = |sorted: &[f64]| order_statistics(sorted, MISS / (2.0 * results.max(1) as f64));
        let accuracy: Interval = ends(&self.accuracies)?;
        let auroc = self.aurocs.as_deref().and_then(ends);
        let is_outside = |value: f64, [low, high]: Interval| value < low || value > high;
        let outside = found.accuracies.iter().zip(&found.aurocs).filter(|(a, auc)| match auc.zip(auroc) {
            Some((auc, band)) => is_outside(auc, band),
            None => is_outside(**a, accuracy),
        });
        Some(ShuffledBand {
            results,
            draws: self.accuracies.len(),
            accuracy,
            auroc,
            outside: outside.count(),
        })
    }
}

/// The values between which one more draw lies, but for a share `tail` at either end. Of n draws and one more, each is as
/// likely to be the lowest: one more lies below the k-th lowest with probability k/(n + 1). None where n is too small for
/// such a tail.
fn order_statistics(sorted: &[f64], tail: f64) -> Option<Interval> {
    let below = ((sorted.len() + 1) as f64 * tail * (1.0 + 1e-12)) as usize; // k, however the product is rounded
    let low = below.checked_sub(1)?;
    Some([*sorted.get(low)?, *sorted.get(sorted.len().checked_sub(below)?)?])
}

/// Random directions at a layer, as many as a joint band of `results` results needs: one of them at least lies beyond
/// either end.
pub(crate) fn random_directions(
    plan: &Plan<'_>,
    data: &LayerData<'_>,
    shuffler: &Shuffler,
    results: usize,
) -> Result<RandomShuffles> {
    let needed = (2.0 * results as f64 / MISS).ceil() as usize;
    let draws = plan.settings.directions.max(needed - 1);
    let stream = plan.stream.child("random directions, shuffled labels").indexed("layer", data.layer.layer);
    let normalizer = Normalizer::fit_as(plan.settings.normalization, &data.train)?;
    let train = normalizer.differences(&data.train, Kind::Float)?;
    let test = normalizer.differences(&data.test, Kind::Float)?;
    let dim = data.train.dim();
    let (mut accuracies, mut aurocs) = (Vec::with_capacity(draws), Vec::with_capacity(draws));
    let mut rng = stream.child("directions").rng();
    for first in (0..draws).step_by(BATCH) {
        let count = BATCH.min(draws - first);
        let directions = Directions::draw(count, dim, &mut rng, train.device())?;
        let scores = directions.scores(&train)?.into_iter().zip(directions.scores(&test)?);
        for (draw, (on_train, on_test)) in (first..).zip(scores) {
            let [train_labels, test_labels] = shuffler.labels(&stream.indexed("shuffle", draw));
            let on_test = oriented(&on_train, &train_labels, on_test)?;
            let scored = on_test.against(&test_labels)?;
            accuracies.push(scored.accuracy());
            aurocs.push(scored.auroc());
        }
    }
    accuracies.sort_unstable_by(f64::total_cmp);
    let mut aurocs = aurocs.into_iter().collect::<Option<Vec<f64>>>();
    if let Some(values) = &mut aurocs {
        values.sort_unstable_by(f64::total_cmp);
    }
    Ok(RandomShuffles { accuracies, aurocs, results })
}

/// A method under every shuffle, against random directions.
pub(crate) fn shuffled_labels(
    plan: &Plan<'_>,
    recipe: Recipe<'_>,
    data: &LayerData<'_>,
    probe: &Probe,
    shuffler: &Shuffler,
    random: &RandomShuffles,
    control: RunControl<'_>,
) -> Work<Repetitions> {
    let shuffles = plan.settings.shuffles;
    let mut found = Repetitions { layer: data.layer.layer, asked: shuffles, ..Repetitions::default() };
    let (on_train, on_test) = (predict(probe, &data.train)?, predict(probe, &data.test)?);
    // The same for every method and layer.
    let labels = |shuffle| shuffler.labels(&plan.stream.child("shuffled labels").indexed("shuffle", shuffle));
    if !(recipe.method.is_supervised() || plan.settings.removes_mean_difference(recipe.method)) {
        for [train_labels, test_labels] in (0..shuffles).map(labels) {
            add(&mut found, &oriented(&on_train, &train_labels, on_test.clone())?, &test_labels)?;
        }
        found.band = random.band(&found);
        return Ok(found);
    }
    let (mut tasks, mut test_labels) = (Vec::new(), Vec::new());
    for (shuffle, [of_train, of_test]) in (0..shuffles).map(labels).enumerate() {
        tasks.push((shuffle, data.train.relabeled(of_train)?));
        test_labels.push(of_test);
    }
    let stream = plan.stream_of(recipe.method, data.layer);
    let layer = data.layer.layer;
    let fit = |(shuffle, train): (usize, Contrast)| -> Work<Option<Fitted>> {
        control.begin(recipe.method, layer, &format!("shuffle {} of {shuffles}", shuffle + 1))?;
        let stream = stream.indexed("shuffle", shuffle);
        let fit = Recipe::new(recipe.method, &plan.settings, &train, &plan.split.folds)
            .and_then(|recipe| recipe.briefly().fit(&train, &stream));
        Ok(possible(fit)?.ok())
    };
    let fits: Vec<Work<Option<Fitted>>> = tasks.into_par_iter().map(fit).collect();
    for (fit, test_labels) in fits.into_iter().zip(test_labels) {
        if let Some(fit) = fit? {
            add(&mut found, &predict(&fit.probe, &data.test)?, &test_labels)?;
        }
    }
    found.band = random.band(&found);
    Ok(found)
}

/// Whether any result leaves its band, in a sentence.
pub(crate) fn note(found: &IndexMap<Method, Repetitions>) -> Option<String> {
    let outside = |(method, repeated): (&Method, &Repetitions)| {
        let count = repeated.band.as_ref()?.outside;
        (count > 0).then(|| format!("{} {count} of {} times", method.title(), repeated.accuracies.len()))
    };
    let names: Vec<String> = found.iter().filter_map(outside).collect();
    (!names.is_empty()).then(|| {
        format!(
            "with shuffled labels, which say nothing, results lie outside what random directions give (all of them \
             together should with 5 %): {}; rows of different passages may not be independent",
            names.join(", ")
        )
    })
}

/// The answers, or the opposite ones where those are wrong on most training rows.
fn oriented(on_train: &Predictions, labels: &[bool], on_test: Predictions) -> Result<Predictions> {
    let wrong = on_train.against(labels)?.accuracy() < 0.5;
    Ok(if wrong { on_test.turned() } else { on_test })
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    use super::*;

    /// Rows with these labels, groups and questions.
    fn pairs(labels: &[bool], groups: &[usize], questions: &[usize]) -> Contrast {
        let rows = labels.len();
        let states = Tensor::from_slice(&vec![1.0f32; rows]).reshape([rows as i64, 1]);
        let names = |of: &[usize]| of.iter().map(ToString::to_string).collect::<Vec<_>>();
        let templates = (0..rows).map(|row| format!("template {row}")).collect();
        let made = Contrast::new(states.copy(), states, labels.to_vec(), names(groups)).unwrap();
        made.with_variants(names(questions), templates).unwrap()
    }

    #[test]
    fn what_shares_a_label_keeps_sharing_it() {
        let (t, f) = (true, false);
        let units = |pairs: &Contrast| Units::of(pairs).0.len();
        let groups = [0, 0, 1, 1, 2, 2];
        assert_eq!(units(&pairs(&[t, t, f, f, t, t], &groups, &[0, 1, 2, 2, 3, 4])), 3, "by passage");
        assert_eq!(units(&pairs(&[t, f, f, f, t, t], &groups, &[0, 1, 2, 2, 3, 3])), 4, "by question");
        assert_eq!(units(&pairs(&[t, f, f, f, t, t], &groups, &[0, 0, 2, 2, 3, 3])), 6, "row by row");

        let all = pairs(&[t, t, f, f, t, t], &groups, &[0, 1, 2, 2, 3, 4]);
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let labels = Units::of(&all).shuffled(&SeedTree::new(seed));
            assert!(labels.chunks(2).all(|pair| pair[0] == pair[1]));
            assert_eq!(labels.iter().filter(|&&l| l).count(), 4);
            seen.insert(labels);
        }
        assert_eq!(seen.len(), 3, "every order occurs");
    }

    #[test]
    fn one_more_draw_leaves_the_band_as_often_as_it_may() {
        // 39 draws: the lowest and the highest leave out 1/40 at either end.
        let of = |draws: u32| (1..=draws).map(f64::from).collect::<Vec<_>>();
        assert_eq!(order_statistics(&of(39), 0.025), Some([1.0, 39.0]));
        assert_eq!(order_statistics(&of(38), 0.025), None);
        assert_eq!(order_statistics(&of(1000), 0.025), Some([25.0, 976.0]));
        for results in 1..200usize {
            let draws = (2.0 * results as f64 / MISS).ceil() as u32 - 1;
            let band = order_statistics(&of(draws), MISS / (2.0 * results as f64));
            assert_eq!(band, Some([1.0, f64::from(draws)]), "{results}");
        }
    }

    #[test]
    fn a_band_of_many_results_is_wider_and_auroc_decides() {
        let values: Vec<f64> = (1..=999).map(|i| f64::from(i) / 1000.0).collect();
        let random = RandomShuffles { accuracies: values.clone(), aurocs: Some(values), results: 1 };
        let found = Repetitions {
            accuracies: vec![0.999, 0.5, 0.5],
            aurocs: vec![Some(0.5), Some(0.99), Some(0.9999)],
            ..Repetitions::default()
        };
        let band = random.band(&found).unwrap();
        assert!((band.accuracy[0] - 0.025).abs() < 1e-12 && band.outside == 2, "{band:?}");
        let random = RandomShuffles { results: 10, ..random };
        let band = random.band(&found).unwrap();
        assert!((band.auroc.unwrap()[1] - 0.998).abs() < 1e-12 && band.outside == 1, "{band:?}");
        let no_auroc = RandomShuffles { aurocs: None, ..random };
        assert_eq!(no_auroc.band(&found).unwrap().outside, 1, "by accuracy: the first");
    }
}
