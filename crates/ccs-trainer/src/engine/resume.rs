//! A run that can be stopped and continued: what is done is kept beside the run's folder-to-be until the run is whole.
//!
//! `OUT.partial/layers/KEY/` holds for every finished layer a folder `layer_NN/` (what its methods found, and their
//! probes) and for every method that chose the layer a file `look_NN_METHOD.json` (the closer look at it). Each appears
//! by a rename when it is durable. KEY is a hash of everything that the results depend on, the program itself included,
//! so what other data, settings or versions gave is never taken for this run's. The last line of every JSON file is the
//! hash of what stands before it, `outcome.json` holds the hashes of its probes: what is damaged is done again.

use indexmap::IndexMap;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::diagnostics::look::Looks;
use crate::engine::Execution;
use crate::engine::evaluate::{Resampled, write_error};
use crate::engine::layer::LayerOutcome;
use crate::run_dir::file;
use crate::run_dir::{layers_of, put, replace, sync_folder};
use crate::settings::Settings;
use crate::source::Layer;
use crate::source::Source;
use crate::{Error, Result};
use ccs::baselines::Predictions;
use ccs::probe::Probe;
use ccs_report::LayerReport;
use ccs_report::Method;

/// How a run can be stopped, and continued.
///
/// ```no_run
/// use ccs_trainer::{Execution, Pausing, Settings, run_pausing};
/// use ccs_trainer::StoreSource;
/// use std::path::Path;
/// use std::sync::atomic::AtomicBool;
///
/// static STOP: AtomicBool = AtomicBool::new(false); // set from elsewhere
/// let source = StoreSource::open("out/store")?;
/// let pausing = Pausing { out: Some(Path::new("out/run")), stop: Some(&STOP), ..Pausing::default() };
/// match run_pausing(&source, &Settings::default(), Execution::default(), pausing, &|_| {}) {
///     Err(ccs_trainer::Error::Stopped { done, layers, .. }) => println!("{done} of {layers} layers are kept"),
///     other => other?.write("out/run", ccs_trainer::Overwrite::No)?,
/// }
/// # Ok::<(), ccs_trainer::Error>(())
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
    /// Told of the closer looks and of what is done again, from worker threads and in any order.
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
    /// What was kept of an earlier run is damaged, and is done again.
    Damaged {
        /// The file.
        path: &'a Path,
    },
}

/// What a run keeps, and whether it goes on.
pub(crate) struct Kept<'a> {
    dir: Option<PathBuf>,
    pausing: Pausing<'a>,
    layers: usize,
    done: AtomicUsize,
}

impl<'a> Kept<'a> {
    pub(crate) fn new(
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
    pub(crate) fn outcome(
        &self,
        layer: &Layer,
        work: impl FnOnce() -> Result<LayerOutcome>,
    ) -> Result<LayerOutcome> {
        let dir = self.dir.as_ref().map(|dir| dir.join(format!("layer_{:02}", layer.layer)));
        let found = if let Some(found) = self.whole(dir.as_deref().map_or(Ok(None), read_outcome)) {
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
    pub(crate) fn look(&self, method: Method, layer: &Layer) -> Option<Looks> {
        let path = self.look_path(method, layer)?;
        let found = self.whole(read(&path).map_err(|Damaged| path.clone()))?;
        self.tell(Step::Looked(method, layer.layer));
        Some(found)
    }

    /// Keeps a closer look.
    pub(crate) fn keep_look(&self, method: Method, layer: &Layer, found: &Looks) -> Result<()> {
        if let Some(path) = self.look_path(method, layer) {
            replace(&path, &sealed(found)?)?;
        }
        self.tell(Step::Looked(method, layer.layer));
        Ok(())
    }

    /// What is kept, if it is what was written.
    fn whole<T>(&self, found: std::result::Result<Option<T>, PathBuf>) -> Option<T> {
        found.unwrap_or_else(|path| {
            self.tell(Step::Damaged { path: &path });
            None
        })
    }

    fn look_path(&self, method: Method, layer: &Layer) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.join(format!("look_{:02}_{method}.json", layer.layer)))
    }

    /// Says what is done next, unless the run was asked to stop.
    pub(crate) fn next(&self, method: Method, layer: &Layer, what: &str) -> Result<()> {
        self.go_on()?;
        self.tell(Step::Doing { method, layer: layer.layer, what });
        Ok(())
    }

    pub(crate) fn tell(&self, step: Step<'_>) {
        if let Some(watch) = self.pausing.watch {
            watch(step);
        }
    }

    /// Whether the run was asked to stop.
    pub(crate) fn stopped(&self) -> bool {
        self.pausing.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    pub(crate) fn go_on(&self) -> Result<()> {
        if !self.stopped() {
            return Ok(());
        }
        let done = self.done.load(Ordering::Relaxed);
        Err(Error::Stopped { done, layers: self.layers, kept: self.dir.is_some() })
    }
}

/// The version of what is kept: raised whenever the same settings and data give other numbers, or the files change.
const RESUME_SCHEMA: u32 = 3;

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
        "cpu_capability": torch_runtime::cpu_capability(),
        "kernels": torch_runtime::machine::kernels().into_iter().collect::<BTreeMap<_, _>>(),
        "device": format!("{:?}", execution.device),
        "settings": settings,
        "split": split,
        "data": source.identity(),
        "made_by": source.made_by(),
        "tokens": source.tokens(),
        "layers": source.layers().iter().map(|l| (l.layer, &l.hook)).collect::<Vec<_>>(),
        "rows": [&rows.ids, &rows.groups, &rows.questions, &rows.templates],
        "labels": rows.labels,
        "answers": [&rows.answer_logprob, &rows.answer_logprob_mean],
    });
    let hash = blake3::hash(&text(&about)?).to_hex();
    Ok(hash.as_str().chars().take(32).collect())
}

/// What `outcome.json` says; probes are files beside it.
#[derive(Deserialize)]
struct Written {
    report: LayerReport,
    /// With the hash of each one's file.
    probes: Vec<(Method, String)>,
    predictions: IndexMap<Method, Predictions>,
    band: Option<Resampled>,
}

const OUTCOME: &str = "outcome.json";

fn write_outcome(dir: &Path, outcome: &LayerOutcome) -> Result<()> {
    let LayerOutcome { report, probes, predictions, band } = outcome;
    let new = dir.with_extension("new");
    if new.exists() {
        fs_err::remove_dir_all(&new)?;
    }
    let mut written = Vec::new();
    for (method, probe) in probes {
        let bytes = probe.to_bytes()?;
        put(&new.join(probe_file(*method)), &bytes)?;
        written.push((*method, file::hash(&bytes)));
    }
    let about = serde_json::json!({
        "report": report, "probes": written, "predictions": predictions, "band": band,
    });
    put(&new.join(OUTCOME), &sealed(&about)?)?;
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

/// A layer's outcome; nothing where it was not kept, and the file at fault where one is not as it was written.
fn read_outcome(dir: &Path) -> std::result::Result<Option<LayerOutcome>, PathBuf> {
    if !dir.exists() {
        return Ok(None);
    }
    let path = dir.join(OUTCOME);
    let Some(Written { report, probes, predictions, band }) = read(&path).unwrap_or(None) else {
        return Err(path);
    };
    let load = |(method, hash): (Method, String)| {
        let path = dir.join(probe_file(method));
        let bytes = file::read(&path).ok().filter(|bytes| file::hash(bytes) == hash);
        let probe = bytes.and_then(|bytes| Probe::parse(&bytes).ok());
        probe.map(|probe| (method, probe)).ok_or(path)
    };
    let probes = probes.into_iter().map(load).collect::<std::result::Result<_, _>>()?;
    Ok(Some(LayerOutcome { report, probes, predictions, band }))
}

fn probe_file(method: Method) -> String {
    format!("{method}.safetensors")
}

/// A file that is not as it was written.
struct Damaged;

/// Reads what [`sealed`] gave; nothing where no file is.
fn read<T: DeserializeOwned>(path: &Path) -> std::result::Result<Option<T>, Damaged> {
    if fs_err::symlink_metadata(path).is_err() {
        return Ok(None);
    }
    let bytes = file::read(path).map_err(|_| Damaged)?;
    let text = unsealed(&bytes).ok_or(Damaged)?;
    serde_json::from_slice(text).map(Some).map_err(|_| Damaged)
}

/// A value as JSON, with the hash of the text in a line behind it.
fn sealed(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = text(value)?;
    let hash = file::hash(&text);
    text.extend_from_slice(hash.as_bytes());
    text.push(b'\n');
    Ok(text)
}

/// The text before the hash in the last line, if the hash is its.
fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    const SEAL: usize = 2 * blake3::OUT_LEN + 1;
    let (text, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
    (seal.strip_suffix(b"\n")? == file::hash(text).as_bytes()).then_some(text)
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
