//! A run's probes on other data, applied as they are: `ccs eval`.

use crate::run_dir::read_report;
use crate::settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Device;

use crate::engine::answers::Thresholds;
use crate::engine::evaluate::{Resampled, predict};
use crate::engine::one_thread;
use crate::run_dir::fitted::Fitted;
use crate::source::Layer;
use crate::source::Rows;
use crate::source::Source;
use crate::source::origin::{Origin, layer_of, same_model};
use crate::transfer::judge::{Judge, directions_at_their_best};
use crate::{Error, Result};
use ccs::Contrast;
use ccs::baselines::{Predictions, majority_share, zero_shot};
use ccs::pick;
use ccs::probe::Probe;
use ccs::rng::Stream;
use ccs_report::AnswerScore;
use ccs_report::Difference;
use ccs_report::Evaluation;
use ccs_report::Method;
use ccs_report::Report;
use ccs_report::Side;

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
    /// What of an answer's log-probability zero-shot goes by; none is what the run went by, as far as the data has it.
    pub zero_shot: Option<AnswerScore>,
    /// Where the probes compute.
    pub device: Device,
}

impl Default for EvalOptions {
    fn default() -> Self {
        let (methods, layer, zero_shot) = (None, None, None);
        Self { methods, layer, reestimate: false, keep_trained: false, zero_shot, device: Device::Cpu }
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
    /// What that goes by.
    #[serde(default)]
    pub zero_shot_score: Option<AnswerScore>,
    /// The same against a threshold at which the run's `true_share` of the judged rows of each template is true. Labels
    /// are not asked, but the rows are those that it is judged on.
    #[serde(default)]
    pub calibrated_zero_shot: Option<Evaluation>,
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
    /// Random directions at the layer on the judged rows, normalised as the probe's states are: their median and central
    /// 95 %. The run's training rows, which could give them their signs, are not at hand: each is the way round that
    /// ranks the judged rows better, which errs in favour of the directions.
    #[serde(default)]
    pub random: Option<Evaluation>,
    /// The probe minus those, on the same rows and resamples.
    #[serde(default)]
    pub over_random: Option<Difference>,
    /// The probe minus the model's own answer, paired.
    #[serde(default)]
    pub over_zero_shot: Option<Difference>,
}

/// The token rule that a run's probes read.
///
/// # Errors
/// A folder that is no run, or a run without probes.
pub fn tokens_of(run: impl AsRef<Path>, options: &EvalOptions) -> Result<String> {
    let run = run.as_ref();
    let report = read_report(run)?;
    let method = asked(run, &report, options)?.remove(0);
    Ok(Fitted::open(run, method, options.layer)?.tokens)
}

/// Applies a run's probes, with the normalisation of their training rows, to the rows of another source.
///
/// ```no_run
/// use ccs_trainer::{EvalOptions, eval, tokens_of};
/// use ccs_trainer::StoreSource;
///
/// let options = EvalOptions::default();
/// let source = StoreSource::open_at("out/imdb/store", &tokens_of("out/boolq/run", &options)?)?;
/// let found = eval("out/boolq/run", &source, &options)?;
/// println!("{}", found.probes["ccs"].test.accuracy);
/// # Ok::<(), ccs_trainer::Error>(())
/// ```
///
/// # Errors
/// [`Error::OtherStates`] where the source is of another model, tokenizer, hook point, layer, token rule or state length
/// than a probe; [`Error::NoRows`] where every row trained the probes; [`Error::NoProbe`].
pub fn eval(run: impl AsRef<Path>, source: &dyn Source, options: &EvalOptions) -> Result<EvalReport> {
    let run = run.as_ref();
    let report = read_report(run)?;
    let rows = source.rows();
    rows.check()?;
    let mut fitted = Vec::new();
    for method in asked(run, &report, options)? {
        fitted.push(Fitted::open(run, method, options.layer)?);
    }
    let (place, made_by) = (source.describe(), source.made_by());
    let mut notes: BTreeSet<String> = rows.both_labels.iter().cloned().collect();
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

    let target = Target::new(source, &place, judged, options.device)?;
    let settings = &Settings::of(&report)?;
    let judge = Judge::new(&target.labels, &target.groups, settings.resamples, settings.seed)?;
    let (score, lacking) = score(rows, settings.zero_shot, options.zero_shot)?;
    notes.extend(lacking);
    let answers = target.zero_shot(score)?;
    let zero_shot_score = answers.as_ref().map(|_| score);
    let scene = Scene {
        target: &target,
        report: &report,
        settings,
        answers: answers.as_ref().map(|answers| judge.resampled(answers)).transpose()?,
        judge,
        reestimate: options.reestimate,
    };
    // The order of sums must not depend on the number of cores.
    let (probes, found) = one_thread(|| scene.probes(fitted))?;
    notes.extend(found);
    notes.insert(format!(
        "random: {} random directions at the probe's layer, normalised as its states are; their median and central 95 %. The run's training rows, which give them their signs in its report, are not at hand: each is the way round that ranks the judged rows better, which flatters it",
        settings.directions
    ));
    if options.reestimate {
        let rows = target.labels.len();
        notes.insert(format!(
            "`_reestimated` is transductive: means and scales are those of the {rows} judged rows, not of the training rows"
        ));
    }
    let calibrated =
        answers.as_ref().map(|answers| target.calibrated(answers, settings.true_share)).transpose()?;
    if calibrated.is_some() {
        notes.insert(format!(
            "calibrated_zero_shot is calibrated on the judged rows: at its threshold a share of {} of those of each template is true; their labels are not asked",
            settings.true_share
        ));
    }
    let test = |predictions: Option<Predictions>| predictions.map(|p| scene.judge.test(&p)).transpose();
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
        zero_shot: test(answers)?,
        zero_shot_score,
        calibrated_zero_shot: test(calibrated)?,
        notes: notes.into_iter().collect(),
    })
}

/// What zero-shot goes by: what is asked for, else what the run went by, else what the data has, with a note.
fn score(rows: &Rows, run: AnswerScore, asked: Option<AnswerScore>) -> Result<(AnswerScore, Option<String>)> {
    match (asked, rows.answers(run)) {
        (Some(asked), _) => Ok((asked, None)),
        (None, Ok(_)) => Ok((run, None)),
        (None, Err(Error::NoAnswerMean)) => {
            let note = "the run's zero-shot goes by the mean over the answer's tokens, which these data lack: here it \
                        goes by their sum";
            Ok((AnswerScore::Sum, Some(note.to_owned())))
        }
        (None, Err(other)) => Err(other),
    }
}

/// What probes are judged on, and held against.
struct Scene<'a> {
    target: &'a Target<'a>,
    report: &'a Report,
    settings: &'a Settings,
    judge: Judge,
    /// The model's own.
    answers: Option<Resampled>,
    reestimate: bool,
}

/// What probes of one layer and normalisation are held against.
type Directions = (Evaluation, Resampled);

impl Scene<'_> {
    /// Every probe on the judged rows, and what a reader should know. One layer in memory at a time, each read once.
    fn probes(&self, mut fitted: Vec<Fitted>) -> Result<(BTreeMap<String, Judged>, BTreeSet<String>)> {
        let (mut probes, mut notes) = (BTreeMap::new(), BTreeSet::new());
        fitted.sort_by_key(|f| (f.layer, f.method));
        for part in fitted.chunk_by_mut(|a, b| a.layer == b.layer && a.hook == b.hook) {
            let mut pairs: Option<Contrast> = None;
            let (mut random, mut random_anew) = (None, None);
            for one in part {
                let read = (one.layer, one.hook.as_str(), one.tokens.as_str());
                let layer = layer_of(self.target.source, read, one.probe.dim())?;
                let pairs = match &pairs {
                    Some(pairs) => pairs,
                    None => pairs.insert(self.target.load(&layer)?),
                };
                let unknown = unknown_templates(&one.probe, pairs);
                notes.extend(unknown.map(|(rows, what)| format!("{rows} {what}")));
                probes.insert(one.method.to_string(), self.judged(one, pairs, false, &mut random)?);
                if self.reestimate {
                    one.probe.normalizer = one.probe.normalizer.reestimated(pairs)?;
                    let judged = self.judged(one, pairs, true, &mut random_anew)?;
                    probes.insert(format!("{}_reestimated", one.method), judged);
                }
            }
        }
        Ok((probes, notes))
    }

    fn judged(
        &self,
        one: &Fitted,
        pairs: &Contrast,
        reestimated: bool,
        random: &mut Option<Directions>,
    ) -> Result<Judged> {
        let (method, layer) = (one.method, one.layer);
        let predictions = predict(&one.probe, pairs)?;
        let resampled = self.judge.resampled(&predictions)?;
        let (band, directions) = match random {
            Some(random) => &*random,
            None => random.insert(self.random(&one.probe, layer, pairs)?),
        };
        let first = (method, layer, &resampled);
        let over = |second, other| self.judge.difference(first, (second, layer, other));
        let own = self.report.layers.iter().find(|l| l.layer == layer);
        Ok(Judged {
            method,
            layer,
            hook: one.hook.clone(),
            reestimated,
            own: own.and_then(|l| Some(l.methods.get(&method)?.test.clone())),
            test: self.judge.test(&predictions)?,
            random: Some(band.clone()),
            over_random: Some(over(Method::RANDOM, directions)),
            over_zero_shot: self.answers.as_ref().map(|answers| over(Method::ZERO_SHOT, answers)),
        })
    }

    /// The run's random directions at a layer: every probe there is of the run's one normalisation.
    fn random(&self, probe: &Probe, layer: usize, pairs: &Contrast) -> Result<Directions> {
        let settings = self.settings;
        let stream = Stream::new(settings.seed).child(Method::RANDOM.name()).indexed("layer", layer);
        self.judge.band(directions_at_their_best(&probe.normalizer, pairs, settings.directions, &stream)?)
    }
}

/// How many rows are of templates that a probe was not fitted on, and what it makes of them, where it knows its own.
pub(crate) fn unknown_templates(probe: &Probe, pairs: &Contrast) -> Option<(usize, String)> {
    let (known, names, numbers) = (probe.normalizer.templates(), pairs.template_names(), pairs.templates());
    let is_known =
        |number: &&usize| names.get(**number).is_none_or(|name| probe.normalizer.template(name).is_some());
    let unknown = numbers.len() - numbers.iter().filter(is_known).count();
    let like = if known.len() > 1 { "all templates together are" } else { "that one is" };
    (!known.is_empty() && unknown > 0).then(|| {
        let known = known.join(", ");
        (unknown, format!("rows are of templates that the probes were not fitted on ({known}): they are normalised as {like}"))
    })
}

/// The methods meant, at least one.
fn asked(run: &Path, report: &Report, options: &EvalOptions) -> Result<Vec<Method>> {
    let methods = options.methods.clone().unwrap_or_else(|| {
        let chosen = |(method, chosen): (&Method, &ccs_report::Chosen)| chosen.layer.map(|_| *method);
        report.chosen.iter().filter_map(chosen).collect()
    });
    if !methods.is_empty() {
        return Ok(methods);
    }
    let hint = "fit with a method that has a probe, such as `--methods ccs,lr`".to_owned();
    Err(Error::NoProbe { run: run.to_owned(), what: "no method has a chosen layer".to_owned(), hint })
}

/// Rows of a source that probes are judged on.
pub(crate) struct Target<'a> {
    source: &'a dyn Source,
    /// What to call the source.
    place: &'a str,
    rows: Vec<usize>,
    pub(crate) labels: Vec<bool>,
    pub(crate) groups: Vec<String>,
    device: Device,
}

impl<'a> Target<'a> {
    pub(crate) fn new(
        source: &'a dyn Source,
        place: &'a str,
        rows: Vec<usize>,
        device: Device,
    ) -> Result<Self> {
        let (labels, groups) = (pick(&source.rows().labels, &rows)?, pick(&source.rows().groups, &rows)?);
        Ok(Self { source, place, rows, labels, groups, device })
    }

    /// The rows' pairs at one layer.
    pub(crate) fn load(&self, layer: &Layer) -> Result<Contrast> {
        let (plus, minus) = self.source.load(layer)?;
        let index: Vec<i64> = self.rows.iter().map(|&row| row as i64).collect();
        let index = tch::Tensor::f_from_slice(&index)?;
        let side = |states: tch::Tensor| states.f_index_select(0, &index)?.f_to_device(self.device);
        let (plus, minus) = (side(plus)?, side(minus)?);
        let pairs = Contrast::new(plus, minus, self.labels.clone(), self.groups.clone())
            .map_err(|error| self.named(error))?;
        match self.source.rows().variants() {
            Some((questions, templates)) => {
                Ok(pairs.with_variants(pick(&questions, &self.rows)?, pick(&templates, &self.rows)?)?)
            }
            None => Ok(pairs),
        }
    }

    /// An error of a judged row, told of the source's row.
    fn named(&self, error: ccs::Error) -> ccs::Error {
        match error {
            ccs::Error::NotFinite { what, row, column } => {
                let row = self.rows.get(row).copied().unwrap_or(row);
                ccs::Error::NotFinite { what: format!("{}: {what}", self.place), row, column }
            }
            other => other,
        }
    }

    /// The model's own answers, where they are known.
    pub(crate) fn zero_shot(&self, score: AnswerScore) -> Result<Option<Predictions>> {
        let rows = self.source.rows();
        let Some((plus, minus)) = rows.answers(score)? else { return Ok(None) };
        rows.check_answers(score)?;
        Ok(Some(zero_shot(&pick(plus, &self.rows)?, &pick(minus, &self.rows)?)?))
    }

    /// Those answers, each template's against a threshold at which a share of them is true.
    fn calibrated(&self, answers: &Predictions, true_share: f64) -> Result<Predictions> {
        let templates = match self.source.rows().variants() {
            Some((_, templates)) => pick(&templates, &self.rows)?,
            None => vec![String::new(); self.rows.len()],
        };
        let mut answers = answers.clone();
        Thresholds::of(&answers, &templates, true_share)?.take_from(&mut answers, &templates);
        Ok(answers)
    }
}
