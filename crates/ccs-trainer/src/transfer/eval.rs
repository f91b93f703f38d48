//! A run's probes on other data, applied as they are: `ccs eval`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ccs::Contrast;
use ccs::SeedTree;
use ccs::baselines::{Predictions, majority_share};
use ccs::probe::Probe;
use ccs_report::{AnswerScore, Evaluation, Method, Report, RowKind, Side};
use tch::Device;

use crate::engine::compute::one_thread;
use crate::engine::evaluate::{Predicted, RandomDirections, predict};
use crate::engine::polarity::Negated;
use crate::run_dir::fitted::Fitted;
use crate::run_dir::reader::RunDir;
use crate::settings::Settings;
use crate::source::Source;
use crate::source::origin::layer_of;
use crate::transfer::control::Control;
use crate::transfer::control_text::ControlScores;
use crate::transfer::eligible::{all_trained, made_alike, untrained};
use crate::transfer::evaluate::{Evaluator, directions_at_their_best};
use crate::transfer::own_answers::OwnAnswers;
use crate::transfer::polarity::Polarities;
use crate::transfer::report::{EvalReport, EvaluatedProbe, Recall};
use crate::transfer::target::{Target, unknown_templates};
use crate::{Error, Result};

/// What [`eval()`] is asked to do.
#[derive(Debug, Clone)]
pub struct EvalOptions {
    /// The methods; none is all whose layer the run chose.
    pub methods: Option<Vec<Method>>,
    /// The layer; none is each method's chosen one.
    pub layer: Option<usize>,
    /// Also evaluate every probe with its normalization estimated on the evaluated rows. That is transductive: a row's
    /// score then depends on the other rows.
    pub reestimate: bool,
    /// Keep rows of groups (passages) that the probe was trained on.
    pub keep_trained: bool,
    /// What of an answer's log-probability zero-shot goes by; none is what the run went by, as far as the data has it.
    pub zero_shot: Option<AnswerScore>,
    /// Which rows are negated. None is as the run was asked, or as a column's name says, where the data have that.
    pub negated: Option<Negated>,
    /// The columns that a row and its negation share; empty is as in the run, else what both have in common.
    pub negated_by: Vec<String>,
    /// Where the probes compute.
    pub device: Device,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self {
            methods: None,
            layer: None,
            reestimate: false,
            keep_trained: false,
            zero_shot: None,
            negated: None,
            negated_by: Vec::new(),
            device: Device::Cpu,
        }
    }
}

/// The token rule that a run's probes read.
///
/// # Errors
/// A folder that is no run, or a run without probes.
pub fn tokens_of(run: impl AsRef<Path>, options: &EvalOptions) -> Result<String> {
    let run = RunDir::open(run)?;
    let report = run.report()?;
    let method = methods(run.path(), &report, options)?.remove(0);
    Ok(Fitted::open(run.path(), method, options.layer)?.tokens)
}

/// Applies a run's probes, with the normalization of their training rows, to the rows of another source.
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
    evaluate_run(run.as_ref(), source, None, options)
}

/// As [`eval()`], and says what share of the rows labeled true is above the threshold that 1% of the rows of unrelated text
/// are above ([`Recall`](crate::Recall)). Of `control` only the scores are used, not the labels; rows of groups (passages)
/// that the probes were trained on are left out.
///
/// # Errors
/// As [`eval()`], also of `control`; [`Error::NoRows`] where it has fewer than 100 rows.
pub fn eval_with_control(
    run: impl AsRef<Path>,
    source: &dyn Source,
    control: &dyn Source,
    options: &EvalOptions,
) -> Result<EvalReport> {
    evaluate_run(run.as_ref(), source, Some(control), options)
}

fn evaluate_run(
    run: &Path,
    source: &dyn Source,
    control: Option<&dyn Source>,
    options: &EvalOptions,
) -> Result<EvalReport> {
    let run = RunDir::open(run)?;
    let report = run.report()?;
    let (rows, name) = (source.rows(), source.describe());
    rows.check()?;
    check_kind(&report, source)?;
    let fitted = asked(&run, &report, options)?;
    let mut notes = of_data(source, &report);
    notes.extend(made_alike(source, &name, &fitted)?);
    let (chosen, trained_rows) = eligible(source, &fitted, options)?;
    let control = control.map(|source| Control::new(source, &fitted, options.device)).transpose()?;
    notes.extend(control.iter().flat_map(|control| control.notes.iter().cloned()));

    let target = Target::new(source, &name, chosen, options.device)?;
    let settings = &Settings::of(&report)?;
    let evaluator = Evaluator::new(&target.labels, &target.groups)?;
    let own = OwnAnswers::new(&target, &report, settings, options.zero_shot)?;
    notes.extend(own.notes());
    notes.extend(reading(settings, target.labels.len(), options.reestimate, own.calibrated.is_some()));
    let asked = (options.negated.as_ref(), options.negated_by.as_slice());
    let probes = fitted.len() * if options.reestimate { 2 } else { 1 };
    let polarities = Polarities::of(rows, &target, asked, settings, probes)?;
    notes.extend((asked.0.is_some() && polarities.is_none()).then(|| ONE_POLARITY.to_owned()));
    let evaluated = Evaluated {
        target: &target,
        polarities: polarities.as_ref(),
        control: control.as_ref(),
        report: &report,
        settings,
        answers: own.measured(&evaluator)?,
        evaluator,
        reestimate: options.reestimate,
    };
    // The order of sums must not depend on the number of cores.
    let (probes, found) = one_thread(|| evaluated.probes(fitted))?;
    notes.extend(found);
    let test =
        |answers: &Option<Predictions>| answers.as_ref().map(|p| evaluated.evaluator.test(p)).transpose();
    Ok(EvalReport {
        program: concat!("ccs ", env!("CARGO_PKG_VERSION")).to_owned(),
        data: Side { train: report.data.clone(), test: serde_json::Value::Object(source.identity().into()) },
        rows: target.labels.len(),
        groups: BTreeSet::from_iter(&target.groups).len(),
        positives: target.labels.iter().filter(|&&l| l).count(),
        trained_rows,
        trained_kept: options.keep_trained && trained_rows > 0,
        majority: majority_share(&target.labels),
        probes,
        zero_shot: test(&own.plain)?,
        zero_shot_score: own.plain.is_some().then_some(own.score),
        calibrated_zero_shot: test(&own.calibrated)?,
        control: control.map(|control| control.about),
        polarity: polarities.map(|polarities| polarities.about),
        notes: notes.into_iter().collect(),
    })
}

/// Refuses statements for probes of pairs.
fn check_kind(report: &Report, source: &dyn Source) -> Result<()> {
    match (report.row_kind, source.kind()) {
        (RowKind::Pairs, found @ RowKind::Statements) => Err(Error::Kind { data: source.describe(), found }),
        _ => Ok(()),
    }
}

/// The rows that are evaluated, at least one, and how many trained the probes.
fn eligible(source: &dyn Source, fitted: &[Fitted], options: &EvalOptions) -> Result<(Vec<usize>, usize)> {
    let trained = fitted.first().map(|f| &f.train_groups);
    let (chosen, trained_rows) = untrained(source.rows(), trained, options.keep_trained);
    if chosen.is_empty() {
        return Err(all_trained(&source.describe(), trained_rows));
    }
    Ok((chosen, trained_rows))
}

/// What a reader should know of the data.
fn of_data(source: &dyn Source, report: &Report) -> BTreeSet<String> {
    let mut notes: BTreeSet<String> = source.rows().both_labels.iter().cloned().collect();
    notes.extend(source.notes());
    notes.extend((report.row_kind != source.kind()).then(|| ON_PAIRS.to_owned()));
    notes
}

/// Said where polarity was asked for.
const ONE_POLARITY: &str =
    "the evaluated rows are all affirmative, or all negated: they are not split by polarity";

/// Said where probes of statements are evaluated on pairs.
const ON_PAIRS: &str = "the probes were fitted on single statements: of a contrast pair, they say how much truer the plus \
                        side is than the minus side";

/// How the results are to be read, in sentences.
fn reading(settings: &Settings, rows: usize, reestimated: bool, calibrated: bool) -> Vec<String> {
    let mut notes = vec![format!(
        "random: {} random directions at the probe's layer, normalized as its states are; their median and central 95 %. The run's training rows, which give them their signs in its report, are not at hand: each has the sign that ranks the evaluated rows better, which flatters it",
        settings.directions
    )];
    if reestimated {
        notes.push(format!(
            "`_reestimated` is transductive: means and scales are those of the {rows} evaluated rows, not of the training rows"
        ));
    }
    if calibrated {
        notes.push(format!(
            "calibrated_zero_shot is calibrated on the evaluated rows: at its threshold a share of {} of those of each template is true; their labels are not used",
            settings.true_share
        ));
    }
    notes
}

/// The rows that probes are evaluated on, and what they are compared with there.
struct Evaluated<'a> {
    target: &'a Target<'a>,
    control: Option<&'a Control<'a>>,
    polarities: Option<&'a Polarities>,
    report: &'a Report,
    settings: &'a Settings,
    evaluator: Evaluator,
    /// The model's own, by the reading that the run's probes were measured by.
    answers: Option<(Method, Predicted)>,
    reestimate: bool,
}

/// Random directions at one layer and normalization, and how well they do.
type Directions = (Evaluation, RandomDirections);

impl Evaluated<'_> {
    /// Every probe on these rows, and what a reader should know. One layer in memory at a time, each read once.
    fn probes(
        &self,
        mut fitted: Vec<Fitted>,
    ) -> Result<(BTreeMap<String, EvaluatedProbe>, BTreeSet<String>)> {
        let (mut probes, mut notes) = (BTreeMap::new(), BTreeSet::new());
        fitted.sort_by_key(|f| (f.layer, f.method));
        for part in fitted.chunk_by_mut(|a, b| a.layer == b.layer && a.hook == b.hook) {
            let mut pairs: Option<(Contrast, Option<Contrast>)> = None;
            let (mut random, mut random_anew) = (None, None);
            for one in part {
                let read = (one.layer, one.hook.as_str(), one.tokens.as_str());
                let layer = layer_of(self.target.source, read, one.probe.dim())?;
                let (pairs, control) = match &pairs {
                    Some(pairs) => pairs,
                    None => pairs.insert((self.target.load(&layer)?, self.control_pairs(one)?)),
                };
                let control = control.as_ref();
                let unknown = unknown_templates(&one.probe, pairs);
                notes.extend(unknown.map(|(rows, what)| format!("{rows} {what}")));
                let unknown = control.and_then(|control| unknown_templates(&one.probe, control));
                notes.extend(unknown.map(|(rows, what)| format!("control text: {rows} {what}")));
                let name = one.method.to_string();
                let own = self.evaluate((&name, one), (pairs, control), false, &mut random)?;
                if self.reestimate {
                    let name = format!("{name}_reestimated");
                    one.probe.set_normalizer(one.probe.normalizer().reestimated(pairs)?);
                    let anew = self.evaluate((&name, one), (pairs, control), true, &mut random_anew)?;
                    notes.extend(anew.1);
                    probes.insert(name, anew.0);
                }
                notes.extend(own.1);
                probes.insert(name, own.0);
            }
        }
        Ok((probes, notes))
    }

    /// The control text at the layer that a probe reads.
    fn control_pairs(&self, one: &Fitted) -> Result<Option<Contrast>> {
        let load = |control: &Control<'_>| control.target.load(&control.layer_of(one)?);
        self.control.map(load).transpose()
    }

    /// A probe on these rows, and a warning about it, if there is one.
    fn evaluate(
        &self,
        (name, one): (&str, &Fitted),
        (pairs, control): (&Contrast, Option<&Contrast>),
        reestimated: bool,
        random: &mut Option<Directions>,
    ) -> Result<(EvaluatedProbe, Option<String>)> {
        let (method, layer) = (one.method, one.layer);
        let predictions = predict(&one.probe, pairs)?;
        let predicted = self.evaluator.predicted(&predictions)?;
        let (band, directions) = match random {
            Some(random) => &*random,
            None => random.insert(self.random(&one.probe, layer, pairs)?),
        };
        let first = (method, layer, &predicted);
        let over = |second, other| self.evaluator.difference(first, (second, layer, other));
        let recall = self.control.zip(control).map(|(about, pairs)| -> Result<Recall> {
            let control = ControlScores::new(one.probe.score_pairs(pairs)?, about.about.groups)?;
            Ok(control.recall(&predictions.scores, &self.target.labels, &self.target.groups))
        });
        let by_polarity =
            |of: &Polarities| of.evaluate(&predictions, self.target, &format!("{name} at layer {layer}"));
        let (polarity, warning) = self.polarities.map(by_polarity).transpose()?.unzip();
        let own = self.report.layers.iter().find(|l| l.layer == layer);
        let evaluated = EvaluatedProbe {
            method,
            layer,
            hook: one.hook.clone(),
            reestimated,
            own: own.and_then(|l| Some(l.methods.get(&method)?.test.clone())),
            test: self.evaluator.test(&predictions)?,
            random: Some(band.clone()),
            over_random: self.evaluator.beyond_random(first, directions),
            over_zero_shot: self.answers.as_ref().map(|(own, answers)| over(*own, answers)),
            recall: recall.transpose()?,
            polarity,
        };
        Ok((evaluated, warning.flatten()))
    }

    /// The run's random directions at a layer: every probe there is of the run's one normalization.
    fn random(&self, probe: &Probe, layer: usize, pairs: &Contrast) -> Result<Directions> {
        let settings = self.settings;
        let stream = SeedTree::new(settings.seed).child(Method::RANDOM.name()).indexed("layer", layer);
        let directions = directions_at_their_best(probe.normalizer(), pairs, settings.directions, &stream)?;
        self.evaluator.band(&directions)
    }
}

/// The probes meant, at least one.
pub(crate) fn asked(run: &RunDir, report: &Report, options: &EvalOptions) -> Result<Vec<Fitted>> {
    let methods = methods(run.path(), report, options)?.into_iter();
    let open = |method| -> Result<Fitted> {
        let fitted = Fitted::open(run.path(), method, options.layer)?;
        // Its random directions would need states of one token each, normalized as such.
        if fitted.probe.hidden_layers().reads_tokens() {
            return Err(Error::ReadsTokens { method, what: "an evaluation" });
        }
        Ok(fitted)
    };
    methods.map(open).collect()
}

/// The methods meant, at least one.
fn methods(run: &Path, report: &Report, options: &EvalOptions) -> Result<Vec<Method>> {
    let methods = options.methods.clone().unwrap_or_else(|| {
        let chosen = |(method, chosen): (&Method, &ccs_report::Chosen)| chosen.layer.map(|_| *method);
        report.chosen.iter().filter_map(chosen).collect()
    });
    if !methods.is_empty() {
        return Ok(methods);
    }
    let hint = "fit with a method that has a probe, such as ccs or lr".to_owned();
    Err(Error::NoProbe { run: run.to_owned(), what: "no method has a chosen layer".to_owned(), hint })
}
