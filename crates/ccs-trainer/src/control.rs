//! How a run is stopped from outside, what it tells while it works, and how it ends.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ccs_report::{LayerReport, Method};

use crate::Error;

/// How a run is stopped and watched.
///
/// ```no_run
/// use ccs_trainer::{Event, Fit, NewRunDir, Outcome, Overwrite, RunControl, StoreSource};
/// use std::sync::atomic::AtomicBool;
///
/// static STOP: AtomicBool = AtomicBool::new(false); // set from elsewhere
/// let source = StoreSource::open("out/store")?;
/// let observe = |event: Event<'_>| {
///     if let Event::Layer { layer, .. } = event {
///         println!("{} is done", layer.hook);
///     }
/// };
/// let control = RunControl { stop: Some(&STOP), observer: Some(&observe) };
/// match Fit::new(&source).control(control).run_to(NewRunDir::reserve("out/run", Overwrite::No)?)? {
///     Outcome::Finished(run) => println!("{}", run.report.summary()),
///     Outcome::Stopped { done, layers, .. } => println!("{done} of {layers} layers are done"),
/// }
/// # Ok::<(), ccs_trainer::Error>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct RunControl<'a> {
    /// Once true, no further layer and no further fit of the diagnostics is begun; the run ends as
    /// [`Outcome::Stopped`] when those under way are done.
    pub stop: Option<&'a AtomicBool>,
    /// Told what happens, from worker threads and in any order.
    pub observer: Option<&'a (dyn Fn(Event<'_>) + Sync)>,
}

impl std::fmt::Debug for RunControl<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunControl").field("stop", &self.stop).finish_non_exhaustive()
    }
}

/// What happens in a run: first its layers, then diagnostics of every method at its chosen layer.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A layer is done, fitted now or read back from an earlier run that was stopped.
    Layer {
        /// The data set, in a sweep.
        dataset: Option<&'a str>,
        /// What was found.
        layer: &'a LayerReport,
    },
    /// All layers are done; diagnostics of so many methods follow.
    Diagnostics {
        /// How many.
        methods: usize,
    },
    /// A part of the diagnostics begins.
    Diagnosing {
        /// Of this method.
        method: Method,
        /// At this layer.
        layer: usize,
        /// Such as `seed 3 of 10`.
        what: &'a str,
    },
    /// The diagnostics of a method are done.
    Diagnosed {
        /// The method.
        method: Method,
        /// Its layer.
        layer: usize,
    },
    /// A file of an earlier run that was stopped is damaged; its part is computed again.
    Damaged {
        /// The file.
        path: &'a Path,
    },
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// Everything is done.
    Finished(T),
    /// The run was asked to stop.
    Stopped {
        /// Layers that are done.
        done: usize,
        /// Layers that were asked for.
        layers: usize,
        /// Whether those that are done were kept for the next run with the same settings in the same folder.
        kept: bool,
    },
}

impl<T> Outcome<T> {
    /// The result, unless the run was stopped.
    pub fn finished(self) -> Option<T> {
        match self {
            Self::Finished(found) => Some(found),
            Self::Stopped { .. } => None,
        }
    }

    /// The outcome with its result changed.
    ///
    /// # Errors
    /// Those of `change`.
    pub(crate) fn and_then<U, E>(self, change: impl FnOnce(T) -> Result<U, E>) -> Result<Outcome<U>, E> {
        Ok(match self {
            Self::Finished(found) => Outcome::Finished(change(found)?),
            Self::Stopped { done, layers, kept } => Outcome::Stopped { done, layers, kept },
        })
    }
}

impl RunControl<'_> {
    pub(crate) fn tell(&self, event: Event<'_>) {
        if let Some(observer) = self.observer {
            observer(event);
        }
    }

    /// Ends the work if the run was asked to stop.
    pub(crate) fn go_on(&self) -> Work<()> {
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) { Err(Halt::Stopped) } else { Ok(()) }
    }

    /// Begins a part of the diagnostics, unless the run was asked to stop.
    pub(crate) fn begin(&self, method: Method, layer: usize, what: &str) -> Work<()> {
        self.go_on()?;
        self.tell(Event::Diagnosing { method, layer, what });
        Ok(())
    }
}

/// Why work ended before it was done.
#[derive(Debug)]
pub(crate) enum Halt {
    /// It was asked to stop.
    Stopped,
    /// Something went wrong.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The result of work that can be stopped.
pub(crate) type Work<T> = Result<T, Halt>;

/// The ranks that share a job, where several do.
#[cfg(feature = "distributed")]
pub(crate) type Company<'a> = Option<&'a torch_runtime::dist::Ranks>;
/// The ranks that share a job: never any.
#[cfg(not(feature = "distributed"))]
pub(crate) type Company<'a> = Option<&'a std::convert::Infallible>;

/// What was found; an error is told to the other ranks, who would wait for this one.
pub(crate) fn told<T>(ranks: Company<'_>, found: crate::Result<T>) -> crate::Result<T> {
    #[cfg(feature = "distributed")]
    if let (Some(ranks), Err(error)) = (ranks, &found) {
        ranks.fail(error);
    }
    let _ = ranks;
    found
}
