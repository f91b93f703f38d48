//! A cache of what a run has finished, so that a run that was stopped goes on where it ended.
//!
//! `OUT.partial/layers/KEY/` holds for every finished layer a folder `layer_NN/` (what its methods found, and their
//! probes) and for every method that chose the layer a file `diagnostics_NN_METHOD.json`, and for every method
//! `several_layers_METHOD.json`. Each appears by a rename when it
//! is durable. KEY is a hash of everything that the results depend on, the program itself included, so what other data,
//! settings or versions gave is never taken for this run's. The last line of every JSON file is the hash of what stands
//! before it, and `outcome.json` holds the hashes of its probes: what is damaged is computed again.

pub(crate) mod key;
pub(crate) mod outcome;
pub(crate) mod sealed;

use std::path::{Path, PathBuf};

use ccs_report::{Method, SeveralLayers};

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

fn write_outcome(dir: &Path, outcome: &LayerOutcome) -> Result<()> {
    let new = dir.with_extension("new");
    if new.exists() {
        fs_err::remove_dir_all(&new)?;
    }
    for (name, bytes) in outcome::to_files(outcome)? {
        files::create(&new.join(name), &bytes)?;
    }
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
    let read = |name: &str| files::read(&dir.join(name)).ok();
    outcome::from_files(&read).map(Some).map_err(|name| dir.join(name))
}
