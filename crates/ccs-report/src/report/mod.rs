//! What a run found: the structs behind `report.json` and `split.json`.
//!
//! No clock time and no path is in here: the same data and settings give the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::blank::Blank;
use super::closeup::{CloseUp, RecursiveReport};
use super::matrix::Transfer;
use super::repeats::{Repeated, WithinLayer};
use super::source::Rows;
use super::verdict::Finding;
use super::{Settings, ZeroShot, evaluate};
use crate::bootstrap::Interval;
use crate::contrast::pick;
use crate::loss::Terms;
use crate::metrics::Confusion;
use crate::probe::Sign;
use crate::select::{Candidate, CrossValidation, best};
use crate::split::Split;
use crate::{Method, Result};

/// `report.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of this document.
    pub schema: u32,
    /// The program and its version.
    pub program: String,
    /// What the numbers say, in sentences.
    pub verdicts: Vec<Verdict>,
    /// What a reader should know about the whole run.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The share of the more frequent label among the test rows: what the best constant answer reaches.
    pub majority: f64,
    /// Rows on each side of the split.
    pub rows: Side<usize>,
    /// Groups (passages) on each side; they are what intervals resample.
    pub groups: Side<usize>,
    /// Rows labelled true on each side.
    pub positives: Side<usize>,
    /// Resamples drawn again because they held one label only.
    pub redrawn_resamples: usize,
    /// The layer that stands for each method that fits probes.
    pub chosen: BTreeMap<Method, Chosen>,
    /// Layers chosen without labels, beside those above: CCS's by its training loss.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub chosen_without_labels: BTreeMap<Method, Chosen>,
    /// How the model's own answers were read, where they were.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub zero_shot: Option<ZeroShot>,
    /// CCS at its layer against logistic regression at its own, paired.
    pub chosen_difference: Option<Difference>,
    /// Every method that fits probes, at its chosen layer, against random directions there and against logistic
    /// regression at its own.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub comparisons: Vec<Comparison>,
    /// What was looked at more closely, at each method's chosen layer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub close_ups: BTreeMap<Method, CloseUp>,
    /// The same fits under other seeds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub seeds: BTreeMap<Method, Repeated>,
    /// Every method with shuffled labels: those that training goes by (a sign alone, of methods that fit without) and
    /// those that it is judged by. Each with a band of random directions that all results lie in at once with 95 %.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub shuffled: BTreeMap<Method, Repeated>,
    /// Recursive CCS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recursive: Option<RecursiveReport>,
    /// CCS's sign and start, beside those that the test rows would have chosen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub within_layer: Option<WithinLayer>,
    /// The probes at their chosen layers on the same test questions with the passage left blank.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub blank: Option<BTreeMap<Method, Blank>>,
    /// From data set to data set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub transfer: BTreeMap<Method, Transfer>,
    /// The model's own answers on each data set's test rows, in the order of `transfer`'s columns; calibrated on that data
    /// set's training rows.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub transfer_answers: BTreeMap<Method, Vec<Option<Evaluation>>>,
    /// Every layer, ascending.
    pub layers: Vec<LayerReport>,
    /// What was asked for.
    pub settings: Settings,
    /// A hash of `split.json`'s rows.
    pub split: String,
    /// What the data is, in its source's words.
    pub data: serde_json::Value,
}

impl Report {
    /// The version this crate writes.
    pub const SCHEMA: u32 = 1;
}

/// A value for the training rows and one for the test rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side<T> {
    /// Of the training rows.
    pub train: T,
    /// Of the test rows.
    pub test: T,
}

/// Sizes of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Rows.
    pub rows: Side<usize>,
    /// Groups.
    pub groups: Side<usize>,
    /// Rows labelled true.
    pub positives: Side<usize>,
}

impl Counts {
    pub(super) fn new(labels: &[bool], groups: &[String], split: &Split) -> Result<Self> {
        let positives =
            |rows: &[usize]| Ok::<_, crate::Error>(pick(labels, rows)?.iter().filter(|&&l| l).count());
        let distinct = |rows: &[usize]| Ok::<_, crate::Error>(BTreeSet::from_iter(pick(groups, rows)?).len());
        Ok(Self {
            rows: Side { train: split.train.len(), test: split.test.len() },
            groups: Side { train: distinct(&split.train)?, test: distinct(&split.test)? },
            positives: Side { train: positives(&split.train)?, test: positives(&split.test)? },
        })
    }
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerReport {
    /// 0 is the embedding, l ≥ 1 the residual stream after block l − 1.
    pub layer: usize,
    /// The hook point's name.
    pub hook: String,
    /// D, the length of a state.
    pub dim: usize,
    /// The states are the same for every training row, or every one of a template: nothing can be fitted, a constant
    /// guess stands in.
    pub degenerate: bool,
    /// Fewer training rows than dimensions, in all or in a fold of the cross-validation: CCS reaches zero loss along almost any direction.
    pub underdetermined: bool,
    /// What a reader should know about this layer.
    pub notes: Vec<String>,
    /// By method.
    pub methods: BTreeMap<Method, MethodReport>,
    /// Paired differences between methods here: for CCS and logistic regression, the one from the other, from random
    /// directions, from the model's own answers and, of accuracies alone, from the majority.
    pub differences: Vec<Comparison>,
}

impl LayerReport {
    /// Whether a method that fits probes has none here: its numbers are then those of the constant guess that stands in.
    pub fn lacks_fit(&self, method: Method) -> bool {
        method.is_probe() && self.methods.get(&method).is_some_and(|found| found.probe.is_none())
    }
}

/// One method at one layer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MethodReport {
    /// On rows that nothing was fitted on.
    pub test: Evaluation,
    /// On the rows it was fitted on; says little where rows are fewer than dimensions.
    pub train: Evaluation,
    /// Inside the training rows; what a layer is chosen by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cross_validation: Option<CrossValidation>,
    /// CCS: the loss.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub loss: Option<LossReport>,
    /// Whether a high score means true, as the training rows say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sign: Option<Sign>,
    /// Logistic regression: the largest gradient entry at the solution.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gradient: Option<f64>,
    /// Logistic regression: Newton iterations.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub iterations: Option<usize>,
    /// Logistic regression: the penalty λ of mean log loss + ½λ‖w‖² that cross-validation inside the training rows chose.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub l2: Option<f64>,
    /// INLP: every direction on the test rows, in the order found; the first is the probe's.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub directions: Vec<Evaluation>,
    /// The saved probe, relative to the run's folder.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub probe: Option<String>,
    /// How to read the numbers, where that differs from method to method.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

/// How well labels are predicted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Share of rows judged rightly.
    pub accuracy: f64,
    /// 95 % interval: resampled groups; for random directions, the band over directions.
    pub accuracy_ci: Option<Interval>,
    /// Area under the ROC curve; none if the rows carry one label.
    pub auroc: Option<f64>,
    /// As `accuracy_ci`.
    pub auroc_ci: Option<Interval>,
    /// Predictions by label.
    pub confusion: Option<Confusion>,
}

/// The CCS loss of the kept start, and of all starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossReport {
    /// On training rows.
    pub train: Terms,
    /// On test rows.
    pub test: Terms,
    /// The start that was kept, counted from 0.
    pub restart: usize,
    /// The final training loss of every start; none where it is not a number.
    pub restarts: Vec<Option<f64>>,
}

/// A number and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// On the test rows.
    pub value: f64,
    /// From resampled groups.
    pub ci: Option<Interval>,
}

/// `first` minus `second` on the same test rows and the same resamples. Against random directions each resample
/// draws its own direction, so the interval covers both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The minuend.
    pub first: Method,
    /// The layer of the minuend.
    pub first_layer: usize,
    /// The subtrahend.
    pub second: Method,
    /// The layer of the subtrahend.
    pub second_layer: usize,
    /// Of accuracies.
    pub accuracy: Estimate,
    /// Of AUROCs.
    pub auroc: Option<Estimate>,
}

/// A difference, with the number of layers looked at in mind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// With its plain 95 % intervals.
    #[serde(flatten)]
    pub difference: Difference,
    /// How many layers were looked at.
    #[serde(default = "one")]
    pub layers: usize,
    /// Of accuracies, at 1 − 0.05/`layers` (Bonferroni): the intervals of all layers hold at once with 95 %.
    #[serde(default)]
    pub accuracy_ci: Option<Interval>,
    /// The same of AUROCs.
    #[serde(default)]
    pub auroc_ci: Option<Interval>,
}

fn one() -> usize {
    1
}

/// The layer that stands for a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// None if no layer could be fitted.
    pub layer: Option<usize>,
    /// How it was chosen.
    pub rule: String,
    /// Whether labels (of training rows) had a say.
    pub uses_labels: bool,
    /// The method at that layer, as under `layers`.
    pub test: Option<Evaluation>,
    /// What choosing by the test rows would have given. Not a result: it has seen the answers.
    pub oracle: Option<Oracle>,
}

/// The layer with the best test accuracy, which no honest rule can know.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Oracle {
    /// That layer.
    pub layer: usize,
    /// Its test accuracy.
    pub accuracy: f64,
    /// How much of it the honest choice misses.
    pub gap: f64,
}

impl Chosen {
    /// Chooses by cross-validation among the layers where there is a probe.
    pub(super) fn of(method: Method, layers: &[&LayerReport], folds: usize) -> Self {
        let reports = fitted(method, layers);
        let honest: Vec<Candidate> = reports
            .iter()
            .filter_map(|(layer, report)| {
                let cv = report.cross_validation?;
                Some(Candidate { layer: *layer, accuracy: cv.accuracy, auroc: cv.auroc, loss: cv.loss })
            })
            .collect();
        Self::at(best(&honest), &reports, layer_rule(folds), true)
    }

    /// Chooses CCS's layer by its training loss; none where nothing could be fitted.
    pub(super) fn without_labels(layers: &[&LayerReport]) -> Option<Self> {
        let reports = fitted(Method::Ccs, layers);
        let by_loss: Vec<Candidate> = reports
            .iter()
            .filter_map(|(layer, report)| {
                let loss = report.loss.as_ref()?.train.total();
                Some(Candidate { layer: *layer, accuracy: 0.0, auroc: None, loss })
            })
            .collect();
        let mut rule =
            "lowest CCS loss on the training rows; labels have a say in the probe's sign alone".to_owned();
        if layers.iter().any(|l| l.underdetermined && !l.degenerate) {
            rule.push_str(
                " (with fewer rows than dimensions every layer's loss is near zero, and says little)",
            );
        }
        let layer = best(&by_loss)?;
        Some(Self::at(Some(layer), &reports, rule, false))
    }

    fn at(layer: Option<usize>, reports: &[(usize, &MethodReport)], rule: String, uses_labels: bool) -> Self {
        let by_test: Vec<Candidate> = reports
            .iter()
            .map(|(layer, r)| Candidate {
                layer: *layer,
                accuracy: r.test.accuracy,
                auroc: r.test.auroc,
                loss: 0.0,
            })
            .collect();
        let test = |layer: usize| reports.iter().find(|(l, _)| *l == layer).map(|(_, r)| r.test.clone());
        let chosen = layer.and_then(test);
        let oracle = best(&by_test).and_then(|layer| {
            let accuracy = test(layer)?.accuracy;
            Some(Oracle { layer, accuracy, gap: accuracy - chosen.as_ref()?.accuracy })
        });
        let rule = match layer {
            Some(_) => rule,
            None => {
                "none: the states of every layer are the same for every training row, or nothing could be \
                     fitted to them"
                    .to_owned()
            }
        };
        Self { layer, rule, uses_labels, test: chosen, oracle }
    }
}

/// The layers at which a method has a probe.
fn fitted<'a>(method: Method, layers: &[&'a LayerReport]) -> Vec<(usize, &'a MethodReport)> {
    let reports = layers.iter().filter_map(|l| Some((l.layer, l.methods.get(&method)?)));
    reports.filter(|(_, report)| report.probe.is_some()).collect()
}

/// How a layer is chosen.
pub(super) fn layer_rule(folds: usize) -> String {
    format!("highest accuracy in {folds}-fold grouped cross-validation inside the training rows")
}

/// A hash of rows of a split.
pub(super) fn hash(rows: &impl Serialize) -> Result<String> {
    let text = serde_json::to_vec(rows).map_err(|e| evaluate::write_error("split.json", &e))?;
    Ok(blake3::hash(&text).to_hex().as_str().to_owned())
}

/// A sentence about the results, and what it is computed from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// About this method.
    pub method: Method,
    /// At this layer; none if it is about the whole run.
    pub layer: Option<usize>,
    /// The finding in one word.
    pub finding: Finding,
    /// The finding in plain language.
    pub text: String,
}

/// `split.json`: which rows trained and which tested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitReport {
    /// A hash of everything below.
    pub id: String,
    /// The run's seed.
    pub seed: u64,
    /// The share of rows that was to be kept for testing.
    pub test_fraction: f64,
    /// What the training rows are.
    pub train: SplitRows,
    /// What the test rows are.
    pub test: SplitRows,
}

/// Rows of one side of a split, one entry each in every list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRows {
    /// Row numbers in the data.
    pub row: Vec<usize>,
    /// The rows' own names.
    pub id: Vec<String>,
    /// Their groups.
    pub group: Vec<String>,
}

impl SplitReport {
    pub(super) fn new(rows: &Rows, split: &Split, settings: &Settings) -> Result<Self> {
        let side = |at: &[usize]| {
            let (id, group) = (pick(&rows.ids, at)?, pick(&rows.groups, at)?);
            Ok::<_, crate::Error>(SplitRows { row: at.to_vec(), id, group })
        };
        let (train, test) = (side(&split.train)?, side(&split.test)?);
        let id = hash(&(&train, &test))?;
        Ok(Self { id, seed: settings.seed, test_fraction: settings.test_fraction, train, test })
    }
}
