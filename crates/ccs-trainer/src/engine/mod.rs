//! A whole run: every layer of a data source, every method, controls and intervals, and the report.

pub(crate) mod answers;
mod choose;
pub(crate) mod context;
pub(crate) mod evaluate;
pub(crate) mod layer;
pub(crate) mod recipe;
pub(crate) mod resume;
mod split;

use std::collections::BTreeSet;

use indexmap::IndexMap;
use rayon::prelude::*;
use tch::Device;

use crate::diagnostics::look::Looks;
use crate::diagnostics::shuffled;
use crate::method::{self, Ask as _};
use crate::settings::Settings;
use crate::source::{Layer, Source, origin};
use crate::{Error, Result};
use ccs::baselines::majority_share;
use ccs::bootstrap::Resamples;
use ccs::pick;
use ccs::probe::Probe;
use ccs::rng::Stream;
use ccs::split::{Split, grouped_folds};
use ccs_report::Method;
use ccs_report::{Chosen, LayerReport, Report, SplitReport, ZeroShot, sentences};
use context::Context;
use layer::LayerOutcome;
use resume::{Kept, Pausing, Step};
use split::Counts;

/// Where and how widely a run computes; changes nothing in its results on one machine.
#[derive(Debug, Clone, Copy)]
pub struct Execution {
    /// Where the fits run.
    pub device: Device,
    /// Layers worked on at once, each with LibTorch at one thread; 0 is one for each core, fewer where the memory
    /// free at the start would not hold them, and one on a GPU.
    pub threads: usize,
}

impl Default for Execution {
    fn default() -> Self {
        Self { device: Device::Cpu, threads: 0 }
    }
}

/// The results of a run, in memory; [`Run::write`] makes a folder of them.
#[derive(Debug)]
pub struct Run {
    /// Everything that was found.
    pub report: Report,
    /// Which rows trained and which tested.
    pub split: SplitReport,
    /// The fitted probes by method and layer.
    pub probes: Vec<(Method, usize, Probe)>,
}

/// Fits and evaluates every method on every layer asked for. `on_layer` is called as each layer is done, from
/// worker threads and in any order.
///
/// # Errors
/// Settings or data that cannot be used, found before the first fit where possible; a failure inside a layer comes
/// as [`Error::InLayer`].
pub fn run(
    source: &dyn Source,
    settings: &Settings,
    execution: Execution,
    on_layer: &(dyn Fn(&LayerReport) + Sync),
) -> Result<Run> {
    run_pausing(source, settings, execution, Pausing::default(), on_layer)
}

/// As [`run()`], but can be stopped between layers and between fits of a closer look, and continued with the layers that were finished. The results are, to
/// the byte, those of a run that was not stopped (same machine and versions).
///
/// # Errors
/// As [`run()`], and [`Error::Stopped`].
pub fn run_pausing(
    source: &dyn Source,
    settings: &Settings,
    execution: Execution,
    pausing: Pausing<'_>,
    on_layer: &(dyn Fn(&LayerReport) + Sync),
) -> Result<Run> {
    run_on(source, settings, execution, pausing, None, on_layer)
}

/// As [`run_pausing`], with the groups that test where another than this run decides it.
pub(crate) fn run_on(
    source: &dyn Source,
    settings: &Settings,
    execution: Execution,
    pausing: Pausing<'_>,
    tested: Option<&BTreeSet<String>>,
    on_layer: &(dyn Fn(&LayerReport) + Sync),
) -> Result<Run> {
    settings.check()?;
    let rows = source.rows();
    rows.check()?;
    let layers = settings.layers.of(source.layers(), &source.describe())?;
    let settings = &settings.resolved(layers.len());
    let with_logprob = rows.answer_logprob.is_some();
    if !with_logprob && settings.requires_answers() {
        return Err(Error::NoAnswerLogprob);
    }
    let methods = settings.methods(with_logprob);
    if methods.iter().any(|method| method.needs_answers()) {
        rows.check_answers(settings.zero_shot).map_err(|error| origin::placed(source, error))?;
    }
    let stream = Stream::new(settings.seed);
    let split = match tested {
        Some(tested) => Split::of_groups(&rows.labels, &rows.groups, tested)?,
        None => Split::grouped(&rows.labels, &rows.groups, settings.test_fraction, &stream.child("split"))?,
    };
    let (train_labels, train_groups) = (pick(&rows.labels, &split.train)?, pick(&rows.groups, &split.train)?);
    let (test_labels, test_groups) = (pick(&rows.labels, &split.test)?, pick(&rows.groups, &split.test)?);
    let folds = grouped_folds(&train_labels, &train_groups, settings.folds, &stream.child("folds"))?;
    let resamples =
        Resamples::draw(&test_labels, &test_groups, settings.resamples, &stream.child("bootstrap"))?;
    let split_report = split::report(rows, &split, settings)?;
    let kept = Kept::new(pausing, source, settings, execution, (layers.len(), &split_report.id))?;
    let context = Context {
        source,
        settings,
        methods,
        layers: layers.len(),
        device: execution.device,
        split: &split,
        train_id: split::hash(&split_report.train)?,
        folds: &folds,
        resamples: &resamples,
        test_labels: &test_labels,
        stream,
        kept: &kept,
    };
    let in_layer = |layer: &Layer, source: Error| match source {
        Error::Stopped { .. } => source,
        source => Error::InLayer { layer: layer.layer, hook: layer.hook.clone(), source: Box::new(source) },
    };
    let workers = workers(execution, source, &layers);
    let outcomes = in_parallel(workers, || {
        layers
            .par_iter()
            .map(|layer| {
                let outcome = kept.outcome(layer, || context.layer(layer));
                let outcome = outcome.map_err(|source| in_layer(layer, source))?;
                on_layer(&outcome.report);
                Ok(outcome)
            })
            .collect::<Result<Vec<LayerOutcome>>>()
    })?;
    let chosen = choose(&context, &outcomes);
    kept.tell(Step::Looks(chosen.values().filter(|choice| choice.layer.is_some()).count()));
    // Layers are read again rather than kept: few are chosen.
    let looked: Vec<(LayerOutcome, Looks)> = in_parallel(workers, || {
        let work = outcomes.into_par_iter().zip(layers.par_iter());
        work.map(|(outcome, layer)| {
            let looks = context.look(layer, &outcome, &chosen);
            let looks = looks.map_err(|source| in_layer(layer, source))?;
            Ok((outcome, looks))
        })
        .collect::<Result<_>>()
    })?;
    let counts = Counts::new(&rows.labels, &rows.groups, &split)?;
    let majority = majority_share(&test_labels);
    assemble(&context, counts, majority, split_report, chosen, looked)
}

/// The layer of every method that fits probes.
fn choose(context: &Context<'_>, outcomes: &[LayerOutcome]) -> IndexMap<Method, Chosen> {
    let layers: Vec<&LayerReport> = outcomes.iter().map(|o| &o.report).collect();
    let methods = context.methods.iter().copied().filter(|m| m.is_probe());
    methods
        .map(|method| (method, choose::by_cross_validation(method, &layers, context.settings.folds)))
        .collect()
}

/// Runs `work` on its own pool whose threads use one LibTorch thread each: the order of a sum, and so its last bits,
/// must not depend on the number of cores.
pub(crate) fn in_parallel<T: Send>(threads: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let _restore = TorchThreads(tch::get_num_threads());
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .start_handler(|_| tch::set_num_threads(1))
        .build()
        .map_err(|e| Error::Threads { threads, reason: e.to_string() })?;
    pool.install(work)
}

/// Runs `work` here with one LibTorch thread, for the same reason.
pub(crate) fn one_thread<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let _restore = TorchThreads(tch::get_num_threads());
    tch::set_num_threads(1);
    work()
}

/// LibTorch's thread count before the run, set again when this is dropped, after a panic too.
struct TorchThreads(i32);

impl Drop for TorchThreads {
    fn drop(&mut self) {
        tch::set_num_threads(self.0);
    }
}

/// How often a fit holds a layer's states, in bytes of f32: as loaded, selected, normalised in f64, in folds.
const COPIES: usize = 8;

/// The layers to work on at once.
fn workers(execution: Execution, source: &dyn Source, layers: &[Layer]) -> usize {
    if execution.threads > 0 {
        return execution.threads;
    }
    if execution.device != Device::Cpu {
        return 1;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let dim = layers.iter().filter_map(|layer| source.dim(layer)).max().unwrap_or_default();
    let layer = source.rows().labels.len().saturating_mul(dim).saturating_mul(4 * 2 * COPIES);
    let free = torch_runtime::machine::available_memory().and_then(|free| usize::try_from(free).ok());
    let fitting = free.and_then(|free| free.checked_div(layer)).unwrap_or(cores);
    cores.min(layers.len()).min(fitting).max(1)
}

/// Compares the choices, and puts the report together.
fn assemble(
    context: &Context<'_>,
    counts: Counts,
    majority: f64,
    split: SplitReport,
    chosen: IndexMap<Method, Chosen>,
    looked: Vec<(LayerOutcome, Looks)>,
) -> Result<Run> {
    let (mut outcomes, mut looks) = (Vec::with_capacity(looked.len()), Looks::default());
    for (outcome, look) in looked {
        outcomes.push(outcome);
        looks.extend(look);
    }
    let layers: Vec<&LayerReport> = outcomes.iter().map(|o| &o.report).collect();
    let without_labels = choose::without_labels(&layers).map(|choice| (Method::CCS, choice));
    let choices = evaluate::between_choices(context, &chosen, &outcomes)?;
    let mut notes = sentences::notes(context.resamples.groups(), context.layers);
    notes.extend(one_label(&counts));
    let answers = context.methods.iter().any(|method| method.needs_answers());
    notes.extend(context.source.rows().both_labels.clone());
    notes.extend(shuffled::note(&looks.shuffled));
    for note in std::mem::take(&mut looks.notes) {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    let mut probes = Vec::new();
    let mut reports = Vec::with_capacity(outcomes.len());
    for outcome in outcomes {
        let layer = outcome.report.layer;
        probes.extend(outcome.probes.into_iter().map(|(method, probe)| (method, layer, probe)));
        reports.push(outcome.report);
    }
    let of_methods = context.methods.iter().filter_map(|&m| Some((m, method::known(m)?.info())));
    let mut report = Report {
        schema: Report::SCHEMA,
        program: concat!("ccs ", env!("CARGO_PKG_VERSION")).to_owned(),
        methods: of_methods.collect(),
        verdicts: Vec::new(),
        notes,
        majority,
        rows: counts.rows,
        groups: counts.groups,
        positives: counts.positives,
        redrawn_resamples: context.resamples.redrawn(),
        chosen,
        chosen_without_labels: without_labels.into_iter().collect(),
        zero_shot: answers.then_some(ZeroShot { score: context.settings.zero_shot }),
        chosen_difference: choices.ccs_and_lr,
        comparisons: choices.comparisons,
        diagnostics: method::in_order(looks.close_ups),
        seeds: method::in_order(looks.seeds),
        shuffled: method::in_order(looks.shuffled),
        recursive: looks.recursive,
        within_layer: looks.within,
        blank: None,
        transfer: IndexMap::new(),
        transfer_answers: IndexMap::new(),
        layers: reports,
        settings: context.settings.recorded()?,
        split: split.id.clone(),
        states: context.source.states(),
        about: context.source.about(),
        data_notes: context.source.notes(),
        data: context.source.identity(),
    };
    report.verdicts = sentences::verdicts(&report);
    Ok(Run { report, split, probes })
}

/// Test rows of one label, in a sentence.
fn one_label(counts: &Counts) -> Option<String> {
    let (rows, positives) = (counts.rows.test, counts.positives.test);
    let label = positives > 0;
    (positives == 0 || positives == rows).then(|| {
        format!("all {rows} test rows are labelled {label}: there is no AUROC, and accuracy says little")
    })
}
