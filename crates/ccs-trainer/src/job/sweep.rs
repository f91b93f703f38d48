//! A sweep: a run of each data set, one of all together, and how each one's probes do on the others.

use std::collections::BTreeSet;

use ccs::SeedTree;
use ccs::stats::split::{Split, test_groups};
use ccs_report::{Method, Report, RowKind, Transfer};

use crate::control::{Company, Outcome, RunControl, told};
use crate::engine::compute::{Compute, one_thread};
use crate::engine::plan::Plan;
use crate::job::fit::cache;
use crate::job::layers;
use crate::method::Ask;
use crate::per_row::about::RunRows;
use crate::run::Run;
use crate::run_dir::layout::TRANSFER;
use crate::run_dir::writer::NewRunDir;
use crate::settings::Settings;
use crate::source::Source;
use crate::source::pooled::{Dataset, Pooled, of_part};
use crate::source::store::ALL_TOKENS;
use crate::transfer::datasets::{ALL, transfers};
use crate::transfer::fitted_run::FittedRun;
use crate::transfer::table;
use crate::{Error, Result};

/// Said in every single run's report.
const SIDES: &str = "the sides of the split were decided over all data sets of the sweep together, so that a passage is on one side in all of them";

/// Of two data sets, all but one are the other.
const FEWEST_TO_LEAVE_ONE_OUT: usize = 3;

/// A fit of several data sets, each by itself, all together, and (of three or more) all but each, with the probes of each
/// evaluated on the test rows of the others, and those of all but one on that one.
///
/// The sides of the split are decided once, over the groups (passages) of all data sets: a passage trains in all of them
/// or tests in all of them. So every column of the transfer is evaluated on the same rows, and no probe was trained on any
/// of their passages.
///
/// ```no_run
/// use ccs_trainer::{Dataset, NewRunDir, Overwrite, StoreSource, Sweep};
///
/// let (boolq, imdb) = (StoreSource::open("boolq/store")?, StoreSource::open("imdb/store")?);
/// let datasets = [Dataset { name: "boolq", source: &boolq }, Dataset { name: "imdb", source: &imdb }];
/// if let Some(report) = Sweep::new(&datasets).run_to(NewRunDir::reserve("sweep", Overwrite::No)?)?.finished() {
///     println!("{}", report.summary());
/// }
/// # Ok::<(), ccs_trainer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sweep<'a> {
    datasets: &'a [Dataset<'a>],
    settings: Settings,
    compute: Compute,
    control: RunControl<'a>,
    ranks: Company<'a>,
}

impl<'a> Sweep<'a> {
    /// A sweep with the default settings, on the CPU, that nothing stops.
    pub fn new(datasets: &'a [Dataset<'a>]) -> Self {
        let (settings, compute, control) = (Settings::default(), Compute::default(), RunControl::default());
        Self { datasets, settings, compute, control, ranks: None }
    }

    /// What to do with every data set.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Where to compute, and on how many threads.
    #[must_use]
    pub fn compute(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// How the sweep is stopped and watched.
    #[must_use]
    pub fn control(mut self, control: RunControl<'a>) -> Self {
        self.control = control;
        self
    }

    /// Divides every fit among processes, as [`Fit::among`](crate::Fit::among) does: rank 0 calls [`Sweep::run_to`], the
    /// others [`Sweep::help`].
    #[cfg(feature = "distributed")]
    #[must_use]
    pub fn among(mut self, ranks: &'a torch_runtime::dist::Ranks) -> Self {
        self.ranks = Some(ranks);
        self
    }

    /// The part of a rank other than 0: it takes its share of every fit, and has no report.
    ///
    /// # Errors
    /// As [`Sweep::run_to`].
    #[cfg(feature = "distributed")]
    pub fn help(&self) -> Result<Outcome<()>> {
        let fits = || self.fits_of(&self.pooled()?, None)?.and_then(|_| Ok::<_, Error>(()));
        told(self.ranks, fits())
    }

    /// Runs the sweep and writes a folder: the run of all data sets, with the transfer in its report, `transfer.csv`, and
    /// the single runs as `runs/NAME/`. If it is stopped, what is done is kept beside the folder until the same sweep is
    /// asked for again.
    ///
    /// # Errors
    /// As [`Pooled::new`], [`Fit::run_to`](crate::Fit::run_to); fewer than two data sets; a data set without rows of both
    /// labels on the training side, without test rows, or without the means that zero-shot is to go by, named before the
    /// first fit.
    pub fn run_to(&self, out: NewRunDir) -> Result<Outcome<Report>> {
        let run = || {
            let pooled = self.pooled()?;
            self.fits_of(&pooled, Some(&out))?.and_then(|fits| self.finish(fits, &pooled, out))
        };
        told(self.ranks, run())
    }

    /// All data sets together.
    fn pooled(&self) -> Result<Pooled<'a>> {
        several(self.datasets)?;
        Pooled::new(self.datasets, &self.settings.layers)
    }

    /// All fits; those of single data sets are written to the folder, where there is one.
    fn fits_of(&self, pooled: &Pooled<'_>, out: Option<&NewRunDir>) -> Result<Outcome<Fits>> {
        let settings = &self.settings;
        let tested = tested_groups(self.datasets, settings)?;
        let all = match self.run_one(pooled, settings, &tested, ALL, out)? {
            Outcome::Finished(run) => run,
            Outcome::Stopped { done, layers, kept } => return Ok(Outcome::Stopped { done, layers, kept }),
        };
        let mut runs = Vec::new();
        for part in self.datasets {
            let run = self.run_one(part.source, settings, &tested, part.name, out);
            let mut run = match run.map_err(|error| of_part(part.name, error))? {
                Outcome::Finished(run) => run,
                Outcome::Stopped { done, layers, kept } => {
                    return Ok(Outcome::Stopped { done, layers, kept });
                }
            };
            run.report.notes.push(SIDES.to_owned());
            if let Some(out) = out {
                out.write_part(part.name, &run)?;
            }
            // The others are on disk; a sweep of many data sets must not hold them all.
            (run.rows, run.predictions) = (RunRows::default(), Vec::new());
            let probes = std::mem::take(&mut run.probes);
            let needed = |m: Method, layer| run.is_chosen(m, layer) || all.is_chosen(m, layer);
            run.probes = probes.into_iter().filter(|(m, layer, _)| needed(*m, *layer)).collect();
            runs.push(run);
        }
        self.left_out(settings, &tested, out)?.and_then(|left_out| Ok(Fits { all, runs, left_out }))
    }

    /// A run of all data sets but one, for each of them; none for two, where that is the run of the other. Only what
    /// transfer asks for: probes, and the choice of their layers.
    fn left_out(
        &self,
        settings: &Settings,
        tested: &BTreeSet<String>,
        out: Option<&NewRunDir>,
    ) -> Result<Outcome<Vec<Run>>> {
        let mut runs = Vec::new();
        let answers = self.datasets.iter().all(|part| part.source.rows().answer_logprob.is_some());
        let rows = self.datasets.first().map_or_else(RowKind::default, |part| part.source.kind());
        let all_tokens = self.datasets.iter().any(|part| part.source.all_tokens().is_some());
        let methods: Vec<Method> =
            settings.methods(rows, all_tokens, answers).into_iter().filter(Ask::is_probe).collect();
        if self.datasets.len() < FEWEST_TO_LEAVE_ONE_OUT || methods.is_empty() {
            return Ok(Outcome::Finished(runs));
        }
        let settings =
            Settings { methods: Some(methods), seeds: 0, shuffles: 0, recursive: 0, ..settings.clone() };
        for (at, part) in self.datasets.iter().enumerate() {
            let others = self.datasets.iter().enumerate().filter(|(other, _)| *other != at);
            let others: Vec<Dataset<'_>> = others.map(|(_, part)| *part).collect();
            let pooled = Pooled::new(&others, &settings.layers)?;
            match self.run_one(&pooled, &settings, tested, &Transfer::all_but(part.name), out)? {
                Outcome::Finished(mut run) => {
                    let probes = std::mem::take(&mut run.probes);
                    run.probes =
                        probes.into_iter().filter(|(m, layer, _)| run.is_chosen(*m, *layer)).collect();
                    runs.push(run);
                }
                Outcome::Stopped { done, layers, kept } => {
                    return Ok(Outcome::Stopped { done, layers, kept });
                }
            }
        }
        Ok(Outcome::Finished(runs))
    }

    /// How many fits there are: of each data set, of all of them, and of all but each.
    pub fn fits(&self) -> usize {
        let parts = self.datasets.len();
        parts + 1 + if parts < FEWEST_TO_LEAVE_ONE_OUT { 0 } else { parts }
    }

    fn run_one(
        &self,
        source: &dyn Source,
        settings: &Settings,
        tested: &BTreeSet<String>,
        name: &str,
        out: Option<&NewRunDir>,
    ) -> Result<Outcome<Run>> {
        let plan = Plan::new(source, settings, self.compute.device, Some(tested))?;
        let cache = cache(&plan, out)?;
        layers::run(&plan, self.compute, &cache, Some(name), self.control, self.ranks)
    }

    /// Adds the transfer to the run of all data sets, and writes it.
    fn finish(&self, fits: Fits, pooled: &Pooled<'_>, out: NewRunDir) -> Result<Report> {
        let Fits { mut all, runs, left_out } = fits;
        let parts = runs.iter().enumerate().map(|(part, run)| FittedRun::of_part(run, part, pooled));
        let but = left_out.iter().enumerate().map(|(part, run)| FittedRun::of_all_but(run, part, pooled));
        let fitted: Vec<FittedRun<'_>> = parts.chain([FittedRun::of_all(&all)]).chain(but).collect();
        let found = one_thread(|| transfers(&fitted, pooled, &self.settings, self.compute.device))?;
        let table = table::csv(&found.by_method)?;
        all.report.transfer = found.by_method;
        all.report.transfer_answers = found.answers;
        all.report.notes.push(SIDES.to_owned());
        all.report.notes.extend(pooled.notes().iter().cloned().chain(found.notes));
        out.write_with(&all, Some((TRANSFER, &table)))?;
        Ok(all.report)
    }
}

/// What a sweep fits: all data sets together, each, and all but each.
struct Fits {
    all: Run,
    runs: Vec<Run>,
    left_out: Vec<Run>,
}

/// Refuses fewer than two data sets, one that is called as all of them are, and states of all tokens.
fn several(datasets: &[Dataset<'_>]) -> Result<()> {
    if datasets.iter().any(|part| part.source.all_tokens().is_some()) {
        return Err(Error::Setting {
            name: "tokens",
            value: ALL_TOKENS.to_owned(),
            reason: "a sweep takes probes of one state to other data sets",
            hint: "give a rule of one token, or fit each store alone",
        });
    }
    let value = if datasets.len() < 2 {
        "one data set"
    } else if datasets.iter().any(|part| part.name == ALL) {
        "a data set called `all`"
    } else {
        return Ok(());
    };
    Err(Error::Setting {
        name: "datasets",
        value: value.to_owned(),
        reason: "a sweep goes from data set to data set, and `all` is all of them together",
        hint: "give two data sets or more, with names of their own",
    })
}

/// The groups that test in every data set; refuses a data set that then has no rows of both labels to train on.
fn tested_groups(datasets: &[Dataset<'_>], settings: &Settings) -> Result<BTreeSet<String>> {
    let groups: Vec<&[String]> = datasets.iter().map(|part| part.source.rows().groups.as_slice()).collect();
    let tested = test_groups(&groups, settings.test_fraction, &SeedTree::new(settings.seed).child("split"))?;
    for part in datasets {
        let rows = part.source.rows();
        Split::of_groups(&rows.labels, &rows.groups, &tested).map_err(|error| of_part(part.name, error))?;
        let (kind, all_tokens) = (part.source.kind(), part.source.all_tokens().is_some());
        let methods = settings.methods(kind, all_tokens, rows.answer_logprob.is_some());
        if methods.iter().any(Ask::needs_answers) {
            rows.answers(settings.zero_shot)?;
        }
    }
    Ok(tested)
}
