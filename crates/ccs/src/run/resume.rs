//! A run that can be stopped and continued: what is done is kept beside the run's folder-to-be until the run is whole.
//!
//! `OUT.partial/layers/KEY/` holds for every finished layer a folder `layer_NN/` (what its methods found, and their
//! probes) and for every method that chose the layer a file `look_NN_METHOD.json` (the closer look at it). Each appears
//! by a rename when it is durable. KEY is a hash of everything that the results depend on, the program itself included,
//! so what other data, settings or versions gave is never taken for this run's.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::evaluate::{Resampled, write_error};
use super::folder::{layers_of, put, replace, sync_folder};
use super::layer::LayerOutcome;
use super::look::Looks;
use super::{Execution, Layer, LayerReport, Settings, Source};
use crate::baselines::Predictions;
use crate::probe::Probe;
use crate::{Error, Method, Result};

/// How a run can be stopped, and continued.
///
/// ```no_run
/// use ccs::run::{Execution, Pausing, Settings, run_pausing};
/// use ccs::store::StoreSource;
/// use std::path::Path;
/// use std::sync::atomic::AtomicBool;
///
/// static STOP: AtomicBool = AtomicBool::new(false); // set from elsewhere
/// let source = StoreSource::open("out/store")?;
/// let pausing = Pausing { out: Some(Path::new("out/run")), stop: Some(&STOP), ..Pausing::default() };
/// match run_pausing(&source, &Settings::default(), Execution::default(), pausing, &|_| {}) {
///     Err(ccs::Error::Stopped { done, layers, .. }) => println!("{done} of {layers} layers are kept"),
///     other => other?.write("out/run", ccs::run::Overwrite::No)?,
/// }
/// # Ok::<(), ccs::Error>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct Pausing<'a> {
    /// The folder that the run will be written to: finished layers are kept in `OUT.partial` until
    /// [`Run::write`](super::Run::write) to it, and taken from there by the next run of the same settings on the same data.
    /// Needs a source whose [`Source::identity`] tells its states from others, as a store's fingerprint does. Without
    /// a folder nothing is kept.
    pub out: Option<&'a Path>,
    /// Once true, no further layer is begun, and no further fit of a closer look; the run ends as [`Error::Stopped`] after
    /// those under way.
    pub stop: Option<&'a AtomicBool>,
    /// Told of the closer looks, from worker threads and in any order.
    pub watch: Option<&'a (dyn Fn(Step<'_>) + Sync)>,
}

impl std::fmt::Debug for Pausing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pausing").field("out", &self.out).field("stop", &self.stop).finish_non_exhaustive()
    }
}

/// What a run does after its layers: a closer look at every method's chosen layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// All layers are done, and so many closer looks follow.
    Looks(usize),
    /// What is done next.
    Doing {
        /// To this method.
        method: Method,
        /// At this layer.
        layer: usize,
        /// Such as `seed 3 of 10`.
        what: &'a str,
    },
    /// A closer look is done.
    Looked(Method, usize),
}

/// What a run keeps, and whether it goes on.
pub(super) struct Kept<'a> {
    dir: Option<PathBuf>,
    pausing: Pausing<'a>,
    layers: usize,
    done: AtomicUsize,
}

impl<'a> Kept<'a> {
    pub(super) fn new(
        pausing: Pausing<'a>,
        source: &dyn Source,
        settings: &Settings,
        execution: Execution,
        (layers, split): (usize, &str),
    ) -> Result<Self> {
        let dir = match pausing.out {
            Some(out) => Some(layers_of(out)?.join(key(source, settings, execution, split)?)),
            None => None,
        };
        Ok(Self { dir, pausing, layers, done: AtomicUsize::new(0) })
    }

    /// A layer's outcome: what is kept of it, or else what `work` gives, which is then kept.
    pub(super) fn outcome(
        &self,
        layer: &Layer,
        work: impl FnOnce() -> Result<LayerOutcome>,
    ) -> Result<LayerOutcome> {
        let dir = self.dir.as_ref().map(|dir| dir.join(format!("layer_{:02}", layer.layer)));
        let found = if let Some(found) = dir.as_deref().and_then(read_outcome) {
            found
        } else {
            self.go_on()?;
            let found = work()?;
            if let Some(dir) = &dir {
                write_outcome(dir, &found)?;
            }
            found
        };
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(found)
    }

    /// The closer look at a method's chosen layer, where it is kept.
    pub(super) fn look(&self, method: Method, layer: &Layer) -> Option<Looks> {
        let found = read(&self.look_path(method, layer)?)?;
        self.tell(Step::Looked(method, layer.layer));
        Some(found)
    }

    /// Keeps a closer look.
    pub(super) fn keep_look(&self, method: Method, layer: &Layer, found: &Looks) -> Result<()> {
        if let Some(path) = self.look_path(method, layer) {
            replace(&path, &text(found)?)?;
        }
        self.tell(Step::Looked(method, layer.layer));
        Ok(())
    }

    fn look_path(&self, method: Method, layer: &Layer) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.join(format!("look_{:02}_{method}.json", layer.layer)))
    }

    /// Says what is done next, unless the run was asked to stop.
    pub(super) fn next(&self, method: Method, layer: &Layer, what: &str) -> Result<()> {
        self.go_on()?;
        self.tell(Step::Doing { method, layer: layer.layer, what });
        Ok(())
    }

    pub(super) fn tell(&self, step: Step<'_>) {
        if let Some(watch) = self.pausing.watch {
            watch(step);
        }
    }

    /// Whether the run was asked to stop.
    pub(super) fn stopped(&self) -> bool {
        self.pausing.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    pub(super) fn go_on(&self) -> Result<()> {
        if !self.stopped() {
            return Ok(());
        }
        let done = self.done.load(Ordering::Relaxed);
        Err(Error::Stopped { done, layers: self.layers, kept: self.dir.is_some() })
    }
}

/// The version of what is kept: raised whenever the same settings and data give other numbers, or the files change.
const RESUME_SCHEMA: u32 = 2;

/// A hash of the running program: a new build may compute otherwise under the same version. None where it cannot be read.
fn program() -> Option<String> {
    let mut file = fs_err::File::open(std::env::current_exe().ok()?).ok()?;
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut file, &mut hasher).ok()?;
    Some(hasher.finalize().to_hex().as_str().to_owned())
}

/// A hash of everything that a layer's outcome and looks depend on.
fn key(source: &dyn Source, settings: &Settings, execution: Execution, split: &str) -> Result<String> {
    let rows = source.rows();
    let about = serde_json::json!({
        "kept": RESUME_SCHEMA,
        "version": concat!("ccs ", env!("CARGO_PKG_VERSION")),
        "program": program(),
        "libtorch": torch_runtime::loaded_version(),
        "cpu": torch_runtime::cpu_capability(),
        "device": format!("{:?}", execution.device),
        "settings": settings,
        "split": split,
        "data": source.identity(),
        "made_by": source.made_by(),
        "tokens": source.tokens(),
        "layers": source.layers().iter().map(|l| (l.layer, &l.hook)).collect::<Vec<_>>(),
        "rows": [&rows.ids, &rows.groups, &rows.questions, &rows.templates],
        "labels": rows.labels,
        "answers": rows.answer_logprob,
    });
    let hash = blake3::hash(&text(&about)?).to_hex();
    Ok(hash.as_str().chars().take(32).collect())
}

/// What `outcome.json` says; probes are files beside it.
#[derive(Deserialize)]
struct Written {
    report: LayerReport,
    probes: Vec<Method>,
    predictions: BTreeMap<Method, Predictions>,
    band: Option<Resampled>,
}

const OUTCOME: &str = "outcome.json";

fn write_outcome(dir: &Path, outcome: &LayerOutcome) -> Result<()> {
    let LayerOutcome { report, probes, predictions, band } = outcome;
    let new = dir.with_extension("new");
    if new.exists() {
        fs_err::remove_dir_all(&new)?;
    }
    for (method, probe) in probes {
        put(&new.join(probe_file(*method)), &probe.to_bytes()?)?;
    }
    let methods: Vec<Method> = probes.iter().map(|(method, _)| *method).collect();
    let about = serde_json::json!({
        "report": report, "probes": methods, "predictions": predictions, "band": band,
    });
    put(&new.join(OUTCOME), &text(&about)?)?;
    sync_folder(&new)?;
    if dir.exists() {
        fs_err::remove_dir_all(dir)?; // it could not be read
    }
    fs_err::rename(&new, dir)?;
    match dir.parent() {
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

/// Nothing where it is not there or not whole: the layer is then worked on again.
fn read_outcome(dir: &Path) -> Option<LayerOutcome> {
    let Written { report, probes, predictions, band } = read(&dir.join(OUTCOME))?;
    let load = |method: Method| Some((method, Probe::load(dir.join(probe_file(method))).ok()?));
    let probes = probes.into_iter().map(load).collect::<Option<_>>()?;
    Some(LayerOutcome { report, probes, predictions, band })
}

fn probe_file(method: Method) -> String {
    format!("{method}.safetensors")
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs_err::read(path).ok()?).ok()
}

fn text(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    serde_json::to_writer(&mut text, value).map_err(|e| write_error("a finished layer", &e))?;
    text.write_all(b"\n")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_program_has_a_hash() {
        let hash = program().unwrap();
        assert_eq!((hash.len(), program()), (64, Some(hash)));
    }
}
