//! The control without passages: a run's probes on its own test questions with the passage left blank.

use activations::provenance::short;

use crate::method;
use crate::settings::Settings;
use ccs_report::Blank;
use indexmap::IndexMap;
use std::collections::{BTreeSet, HashMap};

use tch::Device;

use crate::engine::compute::one_thread;
use crate::engine::evaluate::predict;
use crate::run::Run;
use crate::settings::LayerSelection;
use crate::source::Rows;
use crate::source::Source;
use crate::source::origin::{layer_of, same_model};
use crate::transfer::evaluate::Evaluator;
use crate::transfer::target::Target;
use crate::{Error, Result};
use ccs::Contrast;
use ccs::baselines::Predictions;
use ccs_report::{Method, sentences};

/// What to call the store.
const NAME: &str = "the blank store";

impl Run {
    /// Puts what [`blank()`] finds into the report, with a note of what it was found on.
    ///
    /// # Errors
    /// As [`blank()`].
    pub fn add_blank(&mut self, source: &dyn Source, blank: &dyn Source) -> Result<()> {
        let found = self::blank(self, source, blank)?;
        let (matched, test) =
            (counterparts(&self.split.test.row, source.rows(), blank.rows())?.len(), self.report.rows.test);
        let which = fingerprint(blank).map(|f| format!(" ({})", short(&f)));
        self.report.notes.push(format!(
            "{matched} of {test} test rows have a counterpart in the store with blank passages{}",
            which.unwrap_or_default()
        ));
        self.report.blank = Some(found);
        self.report.verdicts = sentences::verdicts(&self.report);
        Ok(())
    }
}

fn fingerprint(source: &dyn Source) -> Option<String> {
    source.identity().fingerprint
}

/// Whether `blank` can be what [`blank()`] wants of a run of `source` at `layers`, to ask before the work is done.
///
/// # Errors
/// [`Error::OtherStates`] where it is of another model than `source`, or lacks one of the layers; [`Error::NoRows`] where
/// it is `source` itself, where no row of `source` has a counterpart in it, and where one has another label or, as far as
/// the prompts tell, still its passage.
pub fn check_blank(source: &dyn Source, blank: &dyn Source, layers: &LayerSelection) -> Result<()> {
    let (made_by, own) = (blank.made_by(), source.made_by());
    same_model((NAME, made_by.as_ref()), ("the run's store", own.as_ref()))?;
    blank.rows().check()?;
    if blank.kind() != source.kind() {
        return Err(Error::Kind { data: NAME.to_owned(), found: blank.kind() });
    }
    if fingerprint(source).is_some_and(|own| fingerprint(blank) == Some(own)) {
        return Err(refused("it is the run's own store".to_owned()));
    }
    for layer in layers.of(source.layers(), &source.describe())? {
        let tokens = source.tokens().or(blank.tokens()).unwrap_or_default();
        if let Some(dim) = source.dim(&layer) {
            layer_of(blank, (layer.layer, &layer.hook, tokens), dim)?;
        }
    }
    let all: Vec<usize> = (0..source.rows().labels.len()).collect();
    let matched = counterparts(&all, source.rows(), blank.rows())?;
    still_there(&matched, source.rows(), blank.rows())
}

fn refused(why: String) -> Error {
    let hint = "make its prompts of the same data and templates, with blank passages";
    Error::NoRows { data: NAME.to_owned(), why, hint }
}

/// Fails if a row's prompts hold as much text in `there` as in `here`, where both say how long they are.
fn still_there(matched: &[(usize, usize)], here: &Rows, there: &Rows) -> Result<()> {
    let lengths = |&(row, other): &(usize, usize)| {
        Some((row, other, *here.prompt_lengths.get(row)?, *there.prompt_lengths.get(other)?))
    };
    match matched.iter().filter_map(lengths).find(|(.., full, blank)| blank >= full) {
        None => Ok(()),
        Some((row, other, full, blank)) => Err(refused(format!(
            "the prompts of row {other} are not shorter than those of the run's row {row} ({blank} and {full} bytes): \
             its passage is still there"
        ))),
    }
}

/// The run's probes at their chosen layers, and the model's own answer where the run and `blank` have it, on the run's
/// test questions as `blank` asks them: with the passage left blank. Rows are matched by question and template (by
/// question alone where both have one template); those of `source` without a counterpart are left out, on both sides of
/// every difference. What a probe still finds then, it does not read from the passage.
///
/// # Errors
/// As [`check_blank()`], of test rows and chosen layers.
pub fn blank(run: &Run, source: &dyn Source, blank: &dyn Source) -> Result<IndexMap<Method, Blank>> {
    let settings = &Settings::of(&run.report)?;
    check_blank(source, blank, &settings.layers)?;
    let matched = counterparts(&run.split.test.row, source.rows(), blank.rows())?;
    let side = |source, name, rows: Vec<usize>| Target::new(source, name, rows, Device::Cpu);
    let here = side(source, "the run's store", matched.iter().map(|m| m.0).collect())?;
    let mut there = side(blank, NAME, matched.iter().map(|m| m.1).collect())?;
    // Passages, which are a run's groups; a blank one has none of its own.
    there.groups.clone_from(&here.groups);
    let evaluator = Evaluator::new(&here.labels, &here.groups)?;
    let compare = |method: Method, layer: usize, [without, with]: [Predictions; 2]| -> Result<Blank> {
        let (a, b) = (evaluator.predicted(&without)?, evaluator.predicted(&with)?);
        let change = evaluator.difference((method, layer, &a), (method, layer, &b));
        let (without, with) = (evaluator.test(&without)?, evaluator.test(&with)?);
        Ok(Blank { without, with, change })
    };

    let chosen = run.report.chosen.iter().filter_map(|(method, chosen)| Some((chosen.layer?, *method)));
    let chosen: BTreeSet<(usize, Method)> = chosen.collect();
    let chosen: Vec<(usize, Method)> = chosen.into_iter().collect();
    one_thread(|| {
        let mut found = IndexMap::new();
        for part in chosen.chunk_by(|a, b| a.0 == b.0) {
            let mut pairs: Option<[Contrast; 2]> = None;
            for &(layer, method) in part {
                let Some(probe) = run.probe(method, layer) else { continue };
                let Some(own) = source.layers().iter().find(|l| l.layer == layer) else { continue };
                let tokens = source.tokens().or(blank.tokens()).unwrap_or_default();
                let other = layer_of(blank, (layer, &own.hook, tokens), probe.dim())?;
                let [without, with] = match &pairs {
                    Some(pairs) => pairs,
                    None => pairs.insert([there.load(&other)?, here.load(own)?]),
                };
                let predictions = [predict(probe, without)?, predict(probe, with)?];
                found.insert(method, compare(method, layer, predictions)?);
            }
        }
        let answers = run.report.layers.iter().find(|l| l.methods.contains_key(&Method::ZERO_SHOT));
        if let Some(layer) = answers {
            let score = settings.zero_shot;
            if let (Some(without), Some(with)) = (there.zero_shot(score)?, here.zero_shot(score)?) {
                found.insert(Method::ZERO_SHOT, compare(Method::ZERO_SHOT, layer.layer, [without, with])?);
            }
        }
        Ok(method::in_order(found))
    })
}

/// Pairs of a row among `of` and its counterpart in `there`.
fn counterparts(of: &[usize], here: &Rows, there: &Rows) -> Result<Vec<(usize, usize)>> {
    let one = |rows: &Rows| BTreeSet::from_iter(&rows.templates).len() <= 1;
    let by_question = one(here) && one(there);
    let key = |rows: &Rows, row: usize| -> Option<(String, String)> {
        let template = if by_question { None } else { rows.templates.get(row).cloned() };
        // Rows that do not say their question are one each, by their own names.
        let question = rows.questions.get(row).or_else(|| rows.ids.get(row))?;
        Some((question.clone(), template.unwrap_or_default()))
    };
    let known: HashMap<_, usize> =
        (0..there.labels.len()).filter_map(|row| Some((key(there, row)?, row))).collect();
    let mut found = Vec::new();
    for &row in of {
        let Some(&other) = key(here, row).and_then(|key| known.get(&key)) else { continue };
        if here.labels.get(row) != there.labels.get(other) {
            return Err(refused(format!(
                "row {other} is the counterpart of the run's row {row}, but has another label"
            )));
        }
        found.push((row, other));
    }
    if found.is_empty() {
        let why = "no row asks a question of the run's rows with the same template".to_owned();
        let hint =
            "make its prompts of the same data (same `dataset`, `question_id` and `idx`) and templates";
        return Err(Error::NoRows { data: NAME.to_owned(), why, hint });
    }
    Ok(found)
}
