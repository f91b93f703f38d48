//! A run's probes on other data, applied as they are: `ccs eval`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Device;

use super::origin::{Origin, layer_of, same_model};
use super::{Evaluation, Fitted, Layer, Report, Rows, Run, Side, Source};
use crate::baselines::{Predictions, majority_share, zero_shot};
use crate::contrast::pick;
use crate::probe::Probe;
use crate::{Contrast, Error, Method, Result};

/// What [`eval()`] is asked to do.
#[derive(Debug, Clone)]
pub struct EvalOptions {
    /// The methods; none is all whose layer the run chose.
    pub methods: Option<Vec<Method>>,
    /// The layer; none is each method's chosen one.
    pub layer: Option<usize>,
    /// Also judge every probe with its normalisation taken anew from the rows it is judged on. That is transductive:
    /// what a row is given then depends on the rows it comes with.
    pub reestimate: bool,
    /// Keep rows of groups (passages) that the probe was trained on.
    pub keep_trained: bool,
    /// Where the probes compute.
    pub device: Device,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self { methods: None, layer: None, reestimate: false, keep_trained: false, device: Device::Cpu }
    }
}

/// What probes of a run do on other data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    /// The program and its version.
    pub program: String,
    /// What the run was fitted on, and what it is judged on.
    pub data: Side<Value>,
    /// Rows that are judged.
    pub rows: usize,
    /// Their groups, which intervals resample.
    pub groups: usize,
    /// Those labelled true.
    pub positives: usize,
    /// Rows of the data that are of groups (passages) the run was trained on.
    pub trained_rows: usize,
    /// Whether those are among the judged.
    pub trained_kept: bool,
    /// The share of the more frequent label among the judged: what the best constant answer reaches.
    pub majority: f64,
    /// By name: the method's, with `_reestimated` where the normalisation is not the run's.
    pub probes: BTreeMap<String, Judged>,
    /// The model's own answer, where the data has its log-probabilities.
    pub zero_shot: Option<Evaluation>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// One probe on other data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// How it was fitted.
    pub method: Method,
    /// Its layer.
    pub layer: usize,
    /// The hook point it reads.
    pub hook: String,
    /// Whether its normalisation was taken anew from the judged rows.
    pub reestimated: bool,
    /// On the run's own test rows, as its report has it.
    pub own: Option<Evaluation>,
    /// On the judged rows.
    pub test: Evaluation,
}

/// The token rule that a run's probes read.
///
/// # Errors
/// A folder that is no run, or a run without probes.
pub fn tokens_of(run: impl AsRef<Path>, options: &EvalOptions) -> Result<String> {
    let run = run.as_ref();
    let report = Report::read(run)?;
    let method = asked(run, &report, options)?.remove(0);
    Ok(Fitted::open(run, method, options.layer)?.tokens)
}

/// Applies a run's probes, with the normalisation of their training rows, to the rows of another source.
///
/// ```no_run
/// use ccs::run::{EvalOptions, eval, tokens_of};
/// use ccs::store::StoreSource;
///
/// let options = EvalOptions::default();
/// let source = StoreSource::open_at("out/imdb/store", &tokens_of("out/boolq/run", &options)?)?;
/// let found = eval("out/boolq/run", &source, &options)?;
/// println!("{}", found.probes["ccs"].test.accuracy);
/// # Ok::<(), ccs::Error>(())
/// ```
///
/// # Errors
/// [`Error::OtherStates`] where the source is of another model, tokenizer, hook point, layer, token rule or state length
/// than a probe; [`Error::NoRows`] where every row trained the probes; [`Error::NoProbe`].
pub fn eval(run: impl AsRef<Path>, source: &dyn Source, options: &EvalOptions) -> Result<EvalReport> {
    let run = run.as_ref();
    let report = Report::read(run)?;
    let rows = source.rows();
    rows.check()?;
    let mut fitted = Vec::new();
    for method in asked(run, &report, options)? {
        fitted.push(Fitted::open(run, method, options.layer)?);
    }
    let (place, made_by) = (source.describe(), source.made_by());
    let mut notes = BTreeSet::new();
    for probe in &fitted {
        let reference = Origin { name: "the probe", made_by: probe.made_by() };
        notes.extend(same_model(Origin { name: &place, made_by: &made_by }, reference)?);
    }
    let trained = fitted.first().map(|f| &f.train_groups);
    let is_trained = |row: &usize| {
        let group = rows.groups.get(*row);
        trained.zip(group).is_some_and(|(groups, group)| groups.contains(group))
    };
    let all = 0..rows.labels.len();
    let trained_rows = all.clone().filter(is_trained).count();
    let judged: Vec<usize> = all.filter(|row| options.keep_trained || !is_trained(row)).collect();
    if judged.is_empty() {
        let why = format!("all {trained_rows} rows are of groups (passages) that the probes were trained on");
        let hint = "`--keep-trained` judges on them all the same, which says little";
        return Err(Error::NoRows { place, why, hint });
    }

    let target = Target::new(source, judged, options.device)?;
    let (resamples, seed) = (report.settings.resamples, report.settings.seed);
    let mut probes = BTreeMap::new();
    // One layer in memory at a time, each read once.
    fitted.sort_by_key(|f| (f.layer, f.method));
    for part in fitted.chunk_by_mut(|a, b| a.layer == b.layer && a.hook == b.hook) {
        let mut pairs: Option<Contrast> = None;
        for one in part {
            let layer = layer_of(source, (one.layer, &one.hook, &one.tokens), one.probe.dim())?;
            let pairs = match &pairs {
                Some(pairs) => pairs,
                None => pairs.insert(target.load(&layer)?),
            };
            notes.extend(unknown_templates(&one.probe, pairs));
            let own = report
                .layers
                .iter()
                .find(|l| l.layer == one.layer)
                .and_then(|l| Some(l.methods.get(&one.method)?.test.clone()));
            let mut judge = |probe: &Probe, reestimated: bool| -> Result<()> {
                let test = target.judge(probe, pairs, resamples, seed)?;
                let name = format!("{}{}", one.method, if reestimated { "_reestimated" } else { "" });
                let (method, hook, own) = (one.method, one.hook.clone(), own.clone());
                probes.insert(name, Judged { method, layer: one.layer, hook, reestimated, own, test });
                Ok(())
            };
            judge(&one.probe, false)?;
            if options.reestimate {
                one.probe.normalizer = one.probe.normalizer.reestimated(pairs)?;
                judge(&one.probe, true)?;
            }
        }
    }
    if options.reestimate {
        let rows = target.labels.len();
        notes.insert(format!(
            "`_reestimated` is transductive: means and scales are those of the {rows} judged rows, not of the training rows"
        ));
    }
    let zero_shot = target.zero_shot()?;
    let zero_shot = zero_shot.map(|p| target.evaluate(&p, resamples, seed)).transpose()?;
    Ok(EvalReport {
        program: concat!("ccs ", env!("CARGO_PKG_VERSION")).to_owned(),
        data: Side { train: report.data.clone(), test: source.identity() },
        rows: target.labels.len(),
        groups: BTreeSet::from_iter(&target.groups).len(),
        positives: target.labels.iter().filter(|&&l| l).count(),
        trained_rows,
        trained_kept: options.keep_trained && trained_rows > 0,
        majority: majority_share(&target.labels),
        probes,
        zero_shot,
        notes: notes.into_iter().collect(),
    })
}

/// A probe with statistics by template gives rows of other templates those of all together.
fn unknown_templates(probe: &Probe, pairs: &Contrast) -> Option<String> {
    let (known, names, numbers) = (probe.normalizer.templates(), pairs.template_names(), pairs.templates());
    let is_known =
        |number: &&usize| names.get(**number).is_none_or(|name| probe.normalizer.template(name).is_some());
    let unknown = numbers.len() - numbers.iter().filter(is_known).count();
    (!known.is_empty() && unknown > 0).then(|| {
        format!(
            "{unknown} rows are of templates that the probes were not fitted on ({}): they are normalised as all templates together are",
            known.join(", ")
        )
    })
}

/// The methods meant, at least one.
fn asked(run: &Path, report: &Report, options: &EvalOptions) -> Result<Vec<Method>> {
    let methods = options.methods.clone().unwrap_or_else(|| {
        let chosen = |(method, chosen): (&Method, &super::Chosen)| chosen.layer.map(|_| *method);
        report.chosen.iter().filter_map(chosen).collect()
    });
    if !methods.is_empty() {
        return Ok(methods);
    }
    let hint = "fit with a method that has a probe, such as `--methods ccs,lr`".to_owned();
    Err(Error::NoProbe { run: run.to_owned(), what: "no method has a chosen layer".to_owned(), hint })
}

/// Rows of a source that probes are judged on.
pub(super) struct Target<'a> {
    source: &'a dyn Source,
    rows: Vec<usize>,
    pub(super) labels: Vec<bool>,
    pub(super) groups: Vec<String>,
    device: Device,
}

impl<'a> Target<'a> {
    pub(super) fn new(source: &'a dyn Source, rows: Vec<usize>, device: Device) -> Result<Self> {
        let (labels, groups) = (pick(&source.rows().labels, &rows)?, pick(&source.rows().groups, &rows)?);
        Ok(Self { source, rows, labels, groups, device })
    }

    /// The rows' pairs at one layer.
    pub(super) fn load(&self, layer: &Layer) -> Result<Contrast> {
        let (plus, minus) = self.source.load(layer)?;
        let index: Vec<i64> = self.rows.iter().map(|&row| row as i64).collect();
        let index = tch::Tensor::f_from_slice(&index)?;
        let side = |states: tch::Tensor| states.f_index_select(0, &index)?.f_to_device(self.device);
        let (plus, minus) = (side(plus)?, side(minus)?);
        let pairs = Contrast::new(plus, minus, self.labels.clone(), self.groups.clone())?;
        match self.source.rows().variants() {
            Some((questions, templates)) => {
                pairs.with_variants(pick(&questions, &self.rows)?, pick(&templates, &self.rows)?)
            }
            None => Ok(pairs),
        }
    }

    pub(super) fn judge(
        &self,
        probe: &Probe,
        pairs: &Contrast,
        resamples: usize,
        seed: u64,
    ) -> Result<Evaluation> {
        let scores = probe.scores(pairs)?;
        self.evaluate(&Predictions { scores, threshold: probe.readout.threshold() }, resamples, seed)
    }

    pub(super) fn evaluate(
        &self,
        predictions: &Predictions,
        resamples: usize,
        seed: u64,
    ) -> Result<Evaluation> {
        Evaluation::of(predictions, &self.labels, &self.groups, resamples, seed)
    }

    /// The model's own answers, where they are known.
    pub(super) fn zero_shot(&self) -> Result<Option<Predictions>> {
        let Some((plus, minus)) = &self.source.rows().answer_logprob else { return Ok(None) };
        self.source.rows().check_answers()?;
        zero_shot(&pick(plus, &self.rows)?, &pick(minus, &self.rows)?).map(Some)
    }
}

impl Run {
    /// Puts what [`blank()`] finds into the report, with a note of what it was found on.
    ///
    /// # Errors
    /// As [`blank()`].
    pub fn add_blank(&mut self, source: &dyn Source, blank: &dyn Source) -> Result<()> {
        let found = self::blank(self, source, blank)?;
        let (matched, test) =
            (counterparts(&self.split.test.row, source.rows(), blank.rows())?.len(), self.report.rows.test);
        let identity = blank.identity();
        let fingerprint = identity.get("fingerprint").and_then(Value::as_str);
        let which = fingerprint.map(|f| format!(" ({})", f.chars().take(12).collect::<String>()));
        self.report.notes.push(format!(
            "{matched} of {test} test rows have a counterpart in the store with blank passages{}",
            which.unwrap_or_default()
        ));
        self.report.blank = Some(found);
        Ok(())
    }
}

/// Whether `blank` can be what [`blank()`] wants, to ask before the work is done.
///
/// # Errors
/// [`Error::OtherStates`] where it is of another model than `source`, [`Error::NoRows`] where no row of `source` has a
/// counterpart in it or one has another label.
pub fn check_blank(source: &dyn Source, blank: &dyn Source) -> Result<()> {
    let (place, made_by, own) = ("the blank store", blank.made_by(), source.made_by());
    let reference = Origin { name: "the run's store", made_by: &own };
    same_model(Origin { name: place, made_by: &made_by }, reference)?;
    blank.rows().check()?;
    let all: Vec<usize> = (0..source.rows().labels.len()).collect();
    counterparts(&all, source.rows(), blank.rows()).map(drop)
}

/// The run's probes at their chosen layers, and the model's own answer where the run and `blank` have it, on the run's
/// test questions as `blank` asks them: with the passage left blank. Rows are matched by question and template (by
/// question alone where both have one template); those of `source` without a counterpart are left out. What a probe still finds
/// then, it does not read from the passage.
///
/// # Errors
/// [`Error::OtherStates`] as [`eval()`]; [`Error::NoRows`] where no test row has a counterpart; a counterpart with another
/// label.
pub fn blank(run: &Run, source: &dyn Source, blank: &dyn Source) -> Result<BTreeMap<Method, Evaluation>> {
    check_blank(source, blank)?;
    let matched = counterparts(&run.split.test.row, source.rows(), blank.rows())?;
    let mut target = Target::new(blank, matched.iter().map(|m| m.1).collect(), Device::Cpu)?;
    // Passages, which are what a run resamples; a blank one has none of its own.
    target.groups = pick(&source.rows().groups, &matched.iter().map(|m| m.0).collect::<Vec<_>>())?;

    let settings = &run.report.settings;
    let chosen = run.report.chosen.iter().filter_map(|(method, chosen)| Some((chosen.layer?, *method)));
    let chosen: BTreeSet<(usize, Method)> = chosen.collect();
    let chosen: Vec<(usize, Method)> = chosen.into_iter().collect();
    let mut found = BTreeMap::new();
    for part in chosen.chunk_by(|a, b| a.0 == b.0) {
        let mut pairs: Option<Contrast> = None;
        for &(layer, method) in part {
            let at = |(m, l, _): &&(Method, usize, Probe)| (*m, *l) == (method, layer);
            let Some((.., probe)) = run.probes.iter().find(at) else { continue };
            let hook = source.layers().iter().find(|l| l.layer == layer).map_or("", |l| l.hook.as_str());
            let tokens = source.tokens().or(blank.tokens()).unwrap_or_default();
            let there = layer_of(blank, (layer, hook, tokens), probe.dim())?;
            let pairs = match &pairs {
                Some(pairs) => pairs,
                None => pairs.insert(target.load(&there)?),
            };
            found.insert(method, target.judge(probe, pairs, settings.resamples, settings.seed)?);
        }
    }
    let ran = run.report.layers.iter().any(|l| l.methods.contains_key(&Method::ZeroShot));
    if let Some(predictions) = target.zero_shot()?.filter(|_| ran) {
        let test = target.evaluate(&predictions, settings.resamples, settings.seed)?;
        found.insert(Method::ZeroShot, test);
    }
    Ok(found)
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
    let known: BTreeMap<_, usize> =
        (0..there.labels.len()).filter_map(|row| Some((key(there, row)?, row))).collect();
    let place = || "the blank store".to_owned();
    let mut found = Vec::new();
    for &row in of {
        let Some(&other) = key(here, row).and_then(|key| known.get(&key)) else { continue };
        if here.labels.get(row) != there.labels.get(other) {
            let why = format!("row {other} is the counterpart of the run's row {row}, but has another label");
            let hint = "make its prompts of the same data, with nothing but the passage left blank";
            return Err(Error::NoRows { place: place(), why, hint });
        }
        found.push((row, other));
    }
    if found.is_empty() {
        let why = "no row asks a question of the run's rows with the same template".to_owned();
        let hint =
            "make its prompts of the same data (same `dataset`, `question_id` and `idx`) and templates";
        return Err(Error::NoRows { place: place(), why, hint });
    }
    Ok(found)
}
