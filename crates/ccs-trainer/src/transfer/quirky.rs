//! Does a probe say what the model knows where the model says something else? (Mallen et al. 2024, quirky models.)
//!
//! A quirky model answers truthfully in one context ("Alice") and with systematic errors in another ("Bob"). A probe
//! fitted in the first is judged in the second, against what is true. The gap that it could recover lies between the model's
//! own answers in the second context (the floor) and in the first (the ceiling), both as AUROC against what is true.

use std::collections::BTreeMap;
use std::path::Path;

use ccs::SeedTree;
use ccs::baselines::Predictions;
use ccs::pick;
use ccs_report::{AnswerScore, Estimate};
use indexmap::IndexSet;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::compute::one_thread;
use crate::run_dir::fitted::Fitted;
use crate::run_dir::reader::RunDir;
use crate::settings::Settings;
use crate::source::Source;
use crate::source::origin::layer_of;
use crate::source::subset::{labels, rows_where};
use crate::transfer::eligible::{all_trained, made_alike, untrained};
use crate::transfer::eval::{EvalOptions, asked};
use crate::transfer::target::{Target, unknown_templates};
use crate::{Error, Result};

/// Resamples behind the interval of the share recovered, a ratio without a closed form.
const RESAMPLES: usize = 2000;

/// Which rows are of which context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quirky {
    /// The column that says who speaks.
    pub speaker: String,
    /// Its value where the model is truthful, and where the run was fitted.
    pub truthful: String,
    /// Its value where the model errs.
    pub untruthful: String,
    /// The column with what is true; none is the label.
    pub truth: Option<String>,
}

/// How much of the gap between a model's truthful and untruthful contexts probes recover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuirkyReport {
    /// What the run was fitted on.
    pub fitted_on: Value,
    /// Rows of the untruthful context that probes are judged on, and of the truthful one that the ceiling is from: of groups
    /// (passages) that no probe was trained on.
    pub rows: [usize; 2],
    /// Groups of both together, which intervals resample.
    pub groups: usize,
    /// The AUROC of the model's own answers in the untruthful context against what is true.
    pub floor: Estimate,
    /// The same in the truthful context.
    pub ceiling: Estimate,
    /// What the model's answers go by.
    pub zero_shot_score: AnswerScore,
    /// By method.
    pub probes: BTreeMap<String, Recovered>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// One probe in the untruthful context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovered {
    /// Its layer.
    pub layer: usize,
    /// Its hook point.
    pub hook: String,
    /// Its AUROC against what is true.
    pub auroc: Estimate,
    /// (AUROC − floor)/(ceiling − floor). None where the ceiling's advantage over the floor has an interval that contains 0.
    pub gap_recovered: Option<Estimate>,
}

/// Judges a run's probes, fitted in the truthful context, in the untruthful one.
///
/// # Errors
/// As [`eval()`](crate::eval()); [`Error::Setting`] for columns that the data has not; [`Error::NoAnswerLogprob`] without
/// the model's answers; [`Error::NoRows`] where the rows of a context have one label.
pub fn quirky(
    run: impl AsRef<Path>,
    source: &dyn Source,
    asked_for: &Quirky,
    options: &EvalOptions,
) -> Result<QuirkyReport> {
    let run = RunDir::open(run)?;
    let report = run.report()?;
    source.rows().check()?;
    let settings = Settings::of(&report)?;
    let mut fitted = asked(&run, &report, options)?;
    fitted.sort_by_key(|one| (one.layer, one.method));
    let name = source.describe();
    let mut notes = made_alike(source, &name, &fitted)?;
    let only = format!("{}={}", asked_for.speaker, asked_for.truthful);
    if report.data.get("only").and_then(Value::as_str) != Some(&only) {
        notes.push(format!("the run does not say that it was fitted on the rows of {only} alone"));
    }
    let [judged, reliable] = contexts(source, asked_for, &fitted, options)?;
    let score = options.zero_shot.unwrap_or(settings.zero_shot);
    let target = |rows: &[usize]| Target::new(source, &name, rows.to_vec(), options.device);
    let answers = |rows: &[usize]| target(rows)?.zero_shot(score)?.ok_or(Error::NoAnswerLogprob);
    let (floor, ceiling) = (answers(&judged)?, answers(&reliable)?);

    let contexts = Contexts::new(source, [&judged, &reliable], asked_for.truth.as_deref())?;
    let draws = contexts.draws(RESAMPLES, settings.seed);
    let floor = contexts.auroc(0, &floor, &draws).ok_or_else(|| one_label(&name))?;
    let ceiling = contexts.auroc(1, &ceiling, &draws).ok_or_else(|| one_label(&name))?;
    let gap = ceiling.less(&floor);
    if !gap.is_positive() {
        let note = "the model's own answers are not distinguishably better in the truthful context: there is no gap to \
                    recover";
        notes.push(note.to_owned());
    }
    let target = target(&judged)?;
    let recovered = |scores: Vec<f64>| -> Result<(Estimate, Option<Estimate>)> {
        let scores = Predictions { scores, threshold: 0.0 };
        let auroc = contexts.auroc(0, &scores, &draws).ok_or_else(|| one_label(&name))?;
        let recovered = gap.is_positive().then(|| auroc.less(&floor).over(&gap).estimate());
        Ok((auroc.estimate(), recovered))
    };
    let probes = one_thread(|| probes(&target, &fitted, &recovered, &mut notes))?;
    notes.sort();
    notes.dedup();
    Ok(QuirkyReport {
        fitted_on: report.data,
        rows: [judged.len(), reliable.len()],
        groups: contexts.count,
        floor: floor.estimate(),
        ceiling: ceiling.estimate(),
        zero_shot_score: score,
        probes,
        notes,
    })
}

/// The rows of the untruthful context and of the truthful one whose groups trained no probe.
fn contexts(
    source: &dyn Source,
    asked_for: &Quirky,
    fitted: &[Fitted],
    options: &EvalOptions,
) -> Result<[Vec<usize>; 2]> {
    let rows = source.rows();
    let (kept, trained) = untrained(rows, fitted.first().map(|f| &f.train_groups), options.keep_trained);
    let context = |value: &str| -> Result<Vec<usize>> {
        let all = rows_where(rows, &asked_for.speaker, value)?;
        let found: Vec<usize> = all.into_iter().filter(|row| kept.binary_search(row).is_ok()).collect();
        if found.is_empty() { Err(all_trained(&source.describe(), trained)) } else { Ok(found) }
    };
    Ok([context(&asked_for.untruthful)?, context(&asked_for.truthful)?])
}

fn one_label(name: &str) -> Error {
    let why = "the rows of a context have one label, and so no AUROC".to_owned();
    Error::NoRows { data: name.to_owned(), why, hint: "give rows of both labels in both contexts" }
}

/// Every probe on the rows of the untruthful context; one layer in memory at a time.
fn probes(
    target: &Target<'_>,
    fitted: &[Fitted],
    recovered: &dyn Fn(Vec<f64>) -> Result<(Estimate, Option<Estimate>)>,
    notes: &mut Vec<String>,
) -> Result<BTreeMap<String, Recovered>> {
    let mut found = BTreeMap::new();
    for part in fitted.chunk_by(|a, b| a.layer == b.layer && a.hook == b.hook) {
        let Some(first) = part.first() else { continue };
        let read = (first.layer, first.hook.as_str(), first.tokens.as_str());
        let pairs = target.load(&layer_of(target.source, read, first.probe.dim())?)?;
        for one in part {
            let unknown = unknown_templates(&one.probe, &pairs);
            notes.extend(unknown.map(|(rows, what)| format!("{rows} {what}")));
            let (auroc, gap_recovered) = recovered(one.probe.score_pairs(&pairs)?)?;
            let (layer, hook) = (one.layer, one.hook.clone());
            found.insert(one.method.to_string(), Recovered { layer, hook, auroc, gap_recovered });
        }
    }
    Ok(found)
}

/// The rows of both contexts, whose groups are resampled together.
struct Contexts {
    /// Of each context: every row's label, and its group by number.
    rows: [(Vec<bool>, Vec<usize>); 2],
    count: usize,
}

impl Contexts {
    fn new(source: &dyn Source, rows: [&[usize]; 2], truth: Option<&str>) -> Result<Self> {
        let truth = match truth {
            Some(column) => labels(source.rows(), column)?,
            None => source.rows().labels.clone(),
        };
        let mut known: IndexSet<String> = IndexSet::new();
        let mut of = |rows: &[usize]| -> Result<(Vec<bool>, Vec<usize>)> {
            let groups = pick(&source.rows().groups, rows)?;
            Ok((pick(&truth, rows)?, groups.into_iter().map(|group| known.insert_full(group).0).collect()))
        };
        let rows = [of(rows[0])?, of(rows[1])?];
        Ok(Self { rows, count: known.len() })
    }

    /// How often each group is drawn, for every resample.
    fn draws(&self, resamples: usize, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = SeedTree::new(seed).child("quirky").rng();
        let draw = |_| {
            let mut times = vec![0.0; self.count];
            for _ in 0..self.count {
                if let Some(times) = times.get_mut(rng.random_range(0..self.count)) {
                    *times += 1.0;
                }
            }
            times
        };
        (0..resamples).map(draw).collect()
    }

    /// The AUROC of predictions in one context, and in every resample; none where the rows have one label.
    fn auroc(&self, context: usize, predictions: &Predictions, draws: &[Vec<f64>]) -> Option<Resampled> {
        let (labels, groups) = self.rows.get(context)?;
        let mut order: Vec<(f64, bool, usize)> = predictions
            .scores
            .iter()
            .zip(labels.iter().zip(groups))
            .map(|(score, (label, group))| (*score, *label, *group))
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        let value = auroc(&order, &vec![1.0; self.count])?;
        Some(Resampled { value, draws: draws.iter().map(|times| auroc(&order, times)).collect() })
    }
}

/// The AUROC of rows in the order of their scores, each counted as often as its group was drawn; ties count half.
fn auroc(order: &[(f64, bool, usize)], times: &[f64]) -> Option<f64> {
    let (mut wins, mut positives, mut negatives) = (0.0, 0.0, 0.0);
    for tied in order.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let count = |label: bool| -> f64 {
            tied.iter().filter(|row| row.1 == label).filter_map(|row| times.get(row.2)).sum()
        };
        let (positive, negative) = (count(true), count(false));
        wins += positive * (negatives + 0.5 * negative);
        positives += positive;
        negatives += negative;
    }
    (positives > 0.0 && negatives > 0.0).then(|| wins / (positives * negatives))
}

/// A number on the rows as they are and in every resample, where it exists there.
struct Resampled {
    value: f64,
    draws: Vec<Option<f64>>,
}

impl Resampled {
    fn with(&self, other: &Self, of: fn(f64, f64) -> f64) -> Self {
        let draws = self.draws.iter().zip(&other.draws).map(|(a, b)| Some(of((*a)?, (*b)?)));
        Self { value: of(self.value, other.value), draws: draws.collect() }
    }

    fn less(&self, other: &Self) -> Self {
        self.with(other, |a, b| a - b)
    }

    fn over(&self, other: &Self) -> Self {
        self.with(other, |a, b| a / b)
    }

    /// With the central 95% of resamples.
    fn estimate(&self) -> Estimate {
        let mut sorted: Vec<f64> = self.draws.iter().flatten().copied().filter(|v| !v.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        let cut = sorted.len() / 40; // 2.5%, rounded to the wider side
        let ends = sorted.get(cut).zip(sorted.iter().rev().nth(cut));
        Estimate { value: self.value, ci: ends.map(|(low, high)| [*low, *high]) }
    }

    fn is_positive(&self) -> bool {
        self.estimate().ci.is_some_and(|[low, _]| low > 0.0)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_weighted_auroc_is_that_of_the_rows_written_out() {
        let order = [(0.1, false, 0), (0.4, true, 1), (0.4, false, 2), (0.9, true, 0)];
        // By hand: pairs of a true and a false row, 1 where the true one is higher, ½ for the tie.
        assert_eq!(auroc(&order, &[1.0, 1.0, 1.0]), Some((1.0 + 0.5 + 1.0 + 1.0) / 4.0));
        // Group 0 twice: false .1 .1 .4, true .4 .9 .9.
        assert_eq!(auroc(&order, &[2.0, 1.0, 1.0]), Some((2.0 + 0.5 + 2.0 * 3.0) / 9.0));
        assert_eq!(auroc(&order, &[0.0, 1.0, 0.0]), None);
    }

    #[test]
    fn the_gap_is_a_ratio_in_every_resample() {
        let of = |value: f64, draws: [f64; 3]| Resampled { value, draws: draws.map(Some).to_vec() };
        let (floor, ceiling) = (of(0.5, [0.5, 0.4, 0.6]), of(0.9, [0.9, 0.8, 1.0]));
        let gap = ceiling.less(&floor);
        assert!(gap.is_positive() && !floor.less(&ceiling).is_positive());
        let recovered = of(0.8, [0.7, 0.8, 0.6]).less(&floor).over(&gap).estimate();
        assert!((recovered.value - 0.75).abs() < 1e-12);
        let [low, high] = recovered.ci.unwrap();
        assert!(low.abs() < 1e-12 && (high - 1.0).abs() < 1e-12);
    }
}
