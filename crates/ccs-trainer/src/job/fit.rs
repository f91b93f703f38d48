//! A fit of every method on every layer of one data set.

use crate::control::{Company, Outcome, RunControl, told};
use crate::engine::compute::Compute;
use crate::engine::plan::Plan;
use crate::job::layers;
use crate::resume::ResumeCache;
use crate::resume::key::{about, key};
use crate::run::Run;
use crate::run_dir::writer::NewRunDir;
use crate::settings::Settings;
use crate::source::Source;
use crate::transfer::blank::check_blank;
use crate::{Error, Result};

/// A fit of every method on every layer of a data set, with controls and intervals.
///
/// ```no_run
/// use ccs_trainer::{Compute, Fit, NewRunDir, Overwrite, Settings, StoreSource};
///
/// let source = StoreSource::open("out/store")?;
/// let fit = Fit::new(&source).settings(Settings { seed: 7, ..Settings::default() }).compute(Compute::default());
/// if let Some(run) = fit.run_to(NewRunDir::reserve("out/run", Overwrite::No)?)?.finished() {
///     println!("{}", run.report.summary());
/// }
/// # Ok::<(), ccs_trainer::Error>(())
/// ```
#[derive(Clone)]
pub struct Fit<'a> {
    source: &'a dyn Source,
    settings: Settings,
    compute: Compute,
    control: RunControl<'a>,
    blank: Option<&'a dyn Source>,
    ranks: Company<'a>,
}

impl std::fmt::Debug for Fit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fit")
            .field("settings", &self.settings)
            .field("compute", &self.compute)
            .finish_non_exhaustive()
    }
}

impl<'a> Fit<'a> {
    /// A fit with the default settings, on the CPU, that nothing stops.
    pub fn new(source: &'a dyn Source) -> Self {
        let (settings, compute, control) = (Settings::default(), Compute::default(), RunControl::default());
        Self { source, settings, compute, control, blank: None, ranks: None }
    }

    /// What to do.
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

    /// How the fit is stopped and watched.
    #[must_use]
    pub fn control(mut self, control: RunControl<'a>) -> Self {
        self.control = control;
        self
    }

    /// The same questions with the passage left blank: what the chosen probes still find there, they do not read from the
    /// passage. It must pass [`check_blank`](crate::check_blank()).
    #[must_use]
    pub fn blank(mut self, blank: &'a dyn Source) -> Self {
        self.blank = Some(blank);
        self
    }

    /// Divides the layers, and the diagnostics of methods, among processes. All of them end with the run that one process
    /// would have found, to the byte; rank 0 alone has a folder ([`Fit::run_to`]), the others call [`Fit::run`]. Every
    /// process must make the same fit, of the same data; what differs is an error on all of them before the first layer.
    ///
    /// ```no_run
    /// use ccs_trainer::{Fit, NewRunDir, Overwrite, StoreSource};
    /// use torch_runtime::dist::{Launcher, Patience, Ranks, World};
    ///
    /// // torchrun --no-python --nproc_per_node 2 this-program
    /// let Some(world) = World::from_env(Launcher::Environment)? else { return Ok(()) };
    /// let ranks = Ranks::join(&world, Patience::default(), |_| (), |lost| eprintln!("{lost}"))?;
    /// let source = StoreSource::open("out/store")?;
    /// let fit = Fit::new(&source).among(&ranks);
    /// if ranks.is_first() {
    ///     fit.run_to(NewRunDir::reserve("out/run", Overwrite::No)?)?;
    /// } else {
    ///     fit.run()?;
    /// }
    /// ranks.leave()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "distributed")]
    #[must_use]
    pub fn among(mut self, ranks: &'a torch_runtime::dist::Ranks) -> Self {
        self.ranks = Some(ranks);
        self
    }

    /// Fits in memory. If it is stopped, nothing is kept.
    ///
    /// # Errors
    /// Settings or data that cannot be used, found before the first fit where possible; a failure inside a layer comes
    /// as [`Error::InLayer`](crate::Error::InLayer).
    pub fn run(&self) -> Result<Outcome<Run>> {
        self.run_with(None)
    }

    /// Fits, and keeps finished layers and diagnostics beside the run folder, from where the next fit of the same settings
    /// and data takes them. It needs a source whose [`Source::identity`] tells its states from others, as a store's
    /// fingerprint does. The results are, to the byte, those of a run that was not stopped (same machine and versions).
    ///
    /// # Errors
    /// As [`Fit::run`], and the file system's.
    pub fn run_in(&self, out: &NewRunDir) -> Result<Outcome<Run>> {
        self.run_with(Some(out))
    }

    /// Fits as [`Fit::run_in`], and writes the run folder.
    ///
    /// # Errors
    /// As [`Fit::run_in`] and [`NewRunDir::write`].
    pub fn run_to(&self, out: NewRunDir) -> Result<Outcome<Run>> {
        let run = self.run_with(Some(&out))?;
        told(
            self.ranks,
            run.and_then(|run| {
                out.write(&run)?;
                Ok(run)
            }),
        )
    }

    fn run_with(&self, out: Option<&NewRunDir>) -> Result<Outcome<Run>> {
        told(self.ranks, self.fit(out))
    }

    fn fit(&self, out: Option<&NewRunDir>) -> Result<Outcome<Run>> {
        if self.blank.is_some() && self.source.all_tokens().is_some() {
            return Err(Error::Setting {
                name: "blank",
                value: "given".to_owned(),
                reason: "probes that read all tokens are not compared with blank passages",
                hint: "leave it out, or fit on one token's states",
            });
        }
        if let Some(blank) = self.blank {
            check_blank(self.source, blank, &self.settings.layers)?;
        }
        let plan = Plan::new(self.source, &self.settings, self.compute.device, None)?;
        let cache = cache(&plan, out)?;
        layers::run(&plan, self.compute, &cache, None, self.control, self.ranks)?.and_then(|mut run| {
            if let Some(blank) = self.blank {
                run.add_blank(self.source, blank)?;
            }
            Ok(run)
        })
    }
}

/// Where a run's finished layers are kept: under the key of all that they depend on.
pub(crate) fn cache(plan: &Plan<'_>, out: Option<&NewRunDir>) -> Result<ResumeCache> {
    let Some(out) = out else { return Ok(ResumeCache::new(None)) };
    let key = key(&about(plan.source, &plan.settings, plan.device, &plan.split.report.id))?;
    Ok(ResumeCache::new(Some(out.layers().join(key))))
}
