//! Hashes of weight files, remembered in a folder of the user's, so that a model is hashed once and not at every start.
//!
//! One small JSON file for each weight file, under a name made of what the file system says of it. What cannot be read,
//! is damaged or does not fit the weight file is computed anew; what cannot be written is not remembered. Neither is an
//! error: a cache changes how long something takes and nothing else.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Hashed, Stamp, TensorHash};

const SCHEMA: u32 = 1;
/// Bytes of an entry; a model of 100,000 tensors would need 20 MB.
const MAX_ENTRY: u64 = 64 << 20;

/// Where hashes of weight files are remembered: in a folder, or nowhere.
#[derive(Clone, Debug, Default)]
pub struct IdentityCache {
    folder: Option<PathBuf>,
}

/// A weight file's hashes, as they are kept.
#[derive(Serialize, Deserialize)]
struct Entry {
    schema: u32,
    stamp: String,
    tensors: Vec<TensorHash>,
    /// Of everything else.
    sum: String,
}

impl IdentityCache {
    /// Remembers nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Remembers in a folder, which is made when it is needed.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()) }
    }

    /// The user's cache, for programs: the folder that `LLAMA_CCS_CACHE` names, otherwise `llama-ccs` in
    /// `XDG_CACHE_HOME` or in `~/.cache`. If `LLAMA_CCS_CACHE` is empty, or if there is no home folder, nothing is
    /// remembered.
    pub fn of_user() -> Self {
        let named = |name: &str| std::env::var_os(name);
        if let Some(own) = named("LLAMA_CCS_CACHE") {
            return Self { folder: Some(PathBuf::from(own)).filter(|own| !own.as_os_str().is_empty()) };
        }
        // The XDG base directory specification: a path that is not absolute does not count.
        let absolute = |path: PathBuf| Some(path).filter(|path| path.is_absolute());
        let shared = named("XDG_CACHE_HOME").map(PathBuf::from).and_then(absolute);
        let home = || Some(named("HOME").map(PathBuf::from).and_then(absolute)?.join(".cache"));
        Self { folder: shared.or_else(home).map(|folder| folder.join("llama-ccs")) }
    }

    /// The folder, if there is one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The hashes of a file's tensors, if they are remembered.
    pub(super) fn recall(&self, stamp: &Stamp, tensors: &[Hashed<'_>]) -> Option<Vec<TensorHash>> {
        if !stamp.is_known() {
            return None;
        }
        let path = self.path_of(stamp)?;
        let kept = fs_err::metadata(&path).ok()?;
        if !kept.is_file() || kept.len() > MAX_ENTRY {
            return None;
        }
        let entry: Entry = serde_json::from_slice(&fs_err::read(&path).ok()?).ok()?;
        let described = tensors.iter().map(|t| (&t.name, &t.kind, &t.shape));
        let sound = entry.schema == SCHEMA
            && entry.stamp == stamp.to_string()
            && entry.sum == sum(&entry.stamp, &entry.tensors)?
            && described.eq(entry.tensors.iter().map(|t| (&t.name, &t.kind, &t.shape)));
        sound.then_some(entry.tensors)
    }

    /// Remembers the hashes of a file's tensors.
    pub(super) fn remember(&self, stamp: &Stamp, tensors: &[TensorHash]) {
        let Some(path) = self.path_of(stamp) else { return };
        if let Err(error) = write(&path, stamp, tensors) {
            tracing::debug!("hashes of weights were not remembered in {}: {error}", path.display());
        }
    }

    fn path_of(&self, stamp: &Stamp) -> Option<PathBuf> {
        let name = blake3::hash(stamp.to_string().as_bytes()).to_hex();
        Some(self.folder.as_ref()?.join("identities").join(format!("{}.json", &name[..32])))
    }
}

fn write(path: &Path, stamp: &Stamp, tensors: &[TensorHash]) -> std::io::Result<()> {
    let stamp = stamp.to_string();
    let sum = sum(&stamp, tensors).unwrap_or_default();
    let entry = Entry { schema: SCHEMA, stamp, tensors: tensors.to_vec(), sum };
    fs_err::create_dir_all(path.parent().unwrap_or(path))?;
    host::files::replace(path, &serde_json::to_vec(&entry)?)
}

fn sum(stamp: &str, tensors: &[TensorHash]) -> Option<String> {
    let bytes = serde_json::to_vec(&(stamp, tensors)).ok()?;
    Some(blake3::hash(&bytes).to_hex().to_string())
}
