//! A cache of what a run has finished, so that a run that was stopped goes on where it ended.
//!
//! `OUT.partial/layers/KEY/` holds for every finished layer a folder `layer_NN/` (what its methods found, and their
//! probes) and for every method that chose the layer a file `diagnostics_NN_METHOD.json`, and for every method
//! `several_layers_METHOD.json`. Each appears by a rename when it
//! is durable. KEY is a hash of everything that the results depend on, the program itself included, so what other data,
//! settings or versions gave is never taken for this run's. The last line of every JSON file is the hash of what stands
//! before it, and `outcome.json` holds the hashes of its probes: what is damaged is computed again.

pub(crate) mod key;
mod sealed;

use std::path::{Path, PathBuf};

use ccs::baselines::Predictions;
use ccs::probe::Probe;
use ccs_report::{Comparison, LayerReport, Method, SeveralLayers};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::diagnostics::found::Diagnostics;
use crate::engine::outcome::LayerOutcome;
use crate::source::Layer;
use crate::{Result, files};

/// What is found in a cache: nothing, or what was put there, unless the file named is damaged.
pub(crate) type Cached<T> = std::result::Result<Option<T>, PathBuf>;

/// What a run has finished, in a folder, or nowhere.
pub(crate) struct ResumeCache {
    dir: Option<PathBuf>,
}

impl ResumeCache {
    /// A cache in a folder, or one that keeps nothing.
    pub(crate) fn new(dir: Option<PathBuf>) -> Self {
        Self { dir }
    }

    /// Whether anything is kept.
    pub(crate) fn keeps(&self) -> bool {
        self.dir.is_some()
    }

    /// A layer's outcome, if it is kept.
    pub(crate) fn outcome(&self, layer: &Layer) -> Cached<LayerOutcome> {
        self.layer_dir(layer).map_or(Ok(None), |dir| read_outcome(&dir))
    }

    /// Keeps a layer's outcome.
    pub(crate) fn keep_outcome(&self, layer: &Layer, outcome: &LayerOutcome) -> Result<()> {
        self.layer_dir(layer).map_or(Ok(()), |dir| write_outcome(&dir, outcome))
    }

    /// The diagnostics of a method at its chosen layer, if they are kept.
    pub(crate) fn diagnostics(&self, method: Method, layer: &Layer) -> Cached<Diagnostics> {
        let Some(path) = self.diagnostics_path(method, layer) else { return Ok(None) };
        sealed::read(&path).map_err(|sealed::Damaged| path)
    }

    /// Keeps the diagnostics of a method.
    pub(crate) fn keep_diagnostics(&self, method: Method, layer: &Layer, found: &Diagnostics) -> Result<()> {
        match self.diagnostics_path(method, layer) {
            Some(path) => files::replace(&path, &sealed::to_bytes(found)?),
            None => Ok(()),
        }
    }

    /// What a method found on several layers together, if it is kept.
    pub(crate) fn several_layers(&self, method: Method) -> Cached<SeveralLayers> {
        let Some(path) = self.several_path(method) else { return Ok(None) };
        sealed::read(&path).map_err(|sealed::Damaged| path)
    }

    /// Keeps what a method found on several layers together.
    pub(crate) fn keep_several_layers(&self, method: Method, found: &SeveralLayers) -> Result<()> {
        match self.several_path(method) {
            Some(path) => files::replace(&path, &sealed::to_bytes(found)?),
            None => Ok(()),
        }
    }

    fn several_path(&self, method: Method) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.join(format!("several_layers_{method}.json")))
    }

    fn layer_dir(&self, layer: &Layer) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.join(format!("layer_{:02}", layer.layer)))
    }

    fn diagnostics_path(&self, method: Method, layer: &Layer) -> Option<PathBuf> {
        Some(self.dir.as_ref()?.join(format!("diagnostics_{:02}_{method}.json", layer.layer)))
    }
}

/// What `outcome.json` says; probes are files beside it.
#[derive(Serialize)]
struct Written<'a> {
    report: &'a LayerReport,
    /// With the hash of each one's file.
    probes: Vec<(Method, String)>,
    predictions: &'a IndexMap<Method, Predictions>,
    beyond_random: &'a IndexMap<Method, Comparison>,
}

/// The same as it is read.
#[derive(Deserialize)]
struct Read {
    report: LayerReport,
    probes: Vec<(Method, String)>,
    predictions: IndexMap<Method, Predictions>,
    beyond_random: IndexMap<Method, Comparison>,
}

const OUTCOME: &str = "outcome.json";

fn write_outcome(dir: &Path, outcome: &LayerOutcome) -> Result<()> {
    let LayerOutcome { report, probes, predictions, beyond_random } = outcome;
    let new = dir.with_extension("new");
    if new.exists() {
        fs_err::remove_dir_all(&new)?;
    }
    let mut written = Vec::new();
    for (method, probe) in probes {
        let bytes = probe.to_bytes()?;
        files::create(&new.join(probe_file(*method)), &bytes)?;
        written.push((*method, files::hash(&bytes)));
    }
    // No `json!`: its objects are sorted, and a report's methods have an order of their own.
    let about = Written { report, probes: written, predictions, beyond_random };
    files::create(&new.join(OUTCOME), &sealed::to_bytes(&about)?)?;
    files::sync_folder(&new)?;
    if dir.exists() {
        fs_err::remove_dir_all(dir)?; // it could not be read
    }
    fs_err::rename(&new, dir)?;
    match dir.parent() {
        Some(parent) => files::sync_folder(parent),
        None => Ok(()),
    }
}

/// A layer's outcome; nothing where it was not kept, and the file at fault where one is not as it was written.
fn read_outcome(dir: &Path) -> std::result::Result<Option<LayerOutcome>, PathBuf> {
    if !dir.exists() {
        return Ok(None);
    }
    let path = dir.join(OUTCOME);
    let Some(Read { report, probes, predictions, beyond_random }) = sealed::read(&path).unwrap_or(None)
    else {
        return Err(path);
    };
    let load = |(method, hash): (Method, String)| {
        let path = dir.join(probe_file(method));
        let bytes = files::read(&path).ok().filter(|bytes| files::hash(bytes) == hash);
        let probe = bytes.and_then(|bytes| Probe::parse(&bytes).ok());
        probe.map(|probe| (method, probe)).ok_or(path)
    };
    let probes = probes.into_iter().map(load).collect::<std::result::Result<_, _>>()?;
    Ok(Some(LayerOutcome { report, probes, predictions, beyond_random }))
}

fn probe_file(method: Method) -> String {
    format!("{method}.safetensors")
}
