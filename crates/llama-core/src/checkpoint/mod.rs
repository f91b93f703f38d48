//! Models on disk: found out from what is in a folder, described and checked before a weight is read.

use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};

use crate::config::Config;
use crate::error::{Error, Result};

mod meta;
mod pickle;
mod pth;
mod save;
mod weight;

pub use save::save_meta;
pub(crate) use weight::{BlockWeight, Weight};

/// A model on disk. Opening it reads and checks configuration and headers; weights are read by [`crate::Llama::load`].
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    meta: meta::Meta,
}

impl Checkpoint {
    /// Opens a model folder: Meta's layout, `params.json` beside `consolidated.NN.pth` in 1, 2, 4 or 8 parts.
    ///
    /// Weight files are memory-mapped: shortening one while a model is loading ends the process (SIGBUS).
    ///
    /// # Errors
    /// What is missing, damaged, foreign or hostile, by file and tensor. Nothing in a checkpoint is executed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_dir() {
            let found = if path.exists() { "it is a file" } else { "there is no such folder" };
            return Err(Error::NotAModel { path: path.to_owned(), found: found.to_owned() });
        }
        if !path.join("params.json").exists() {
            return Err(Error::NotAModel {
                path: path.to_owned(),
                found: "it has no params.json".to_owned(),
            });
        }
        Ok(Self { path: path.to_owned(), meta: meta::Meta::open(path)? })
    }

    /// The path it was opened at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model's hyper-parameters.
    pub fn config(&self) -> &Config {
        &self.meta.config
    }

    /// The layout, for people: `Meta, 2 parts`.
    pub fn layout(&self) -> String {
        let parts = self.meta.shards().len();
        format!("Meta, {parts} part{}", if parts == 1 { "" } else { "s" })
    }

    /// The type the weights are stored in.
    ///
    /// # Errors
    /// A checkpoint without an embedding.
    pub fn kind(&self) -> Result<Kind> {
        self.meta.kind()
    }

    /// Where the tokenizer is: `tokenizer.model` in the folder, or beside it, as Meta ships it.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`] if it is at neither place.
    pub fn tokenizer_path(&self) -> Result<PathBuf> {
        let beside = fs_err::canonicalize(&self.path)?.parent().map(Path::to_path_buf);
        [Some(self.path.clone()), beside]
            .into_iter()
            .flatten()
            .map(|folder| folder.join("tokenizer.model"))
            .find(|p| p.exists())
            .ok_or_else(|| Error::NoTokenizer { path: self.path.clone() })
    }

    /// What tells this model from another without reading all its weights: a BLAKE3 hash, in hex, of the configuration
    /// and, for every file, of its description of tensors and of the size, checksum and samples of each storage.
    ///
    /// The files' names are part of it, their folder is not.
    pub fn identity(&self) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(self.meta.params.as_bytes());
        for shard in self.meta.shards() {
            let name = shard.path().file_name().unwrap_or_default().to_string_lossy();
            hash.update(name.as_bytes()).update(shard.fingerprint().as_bytes());
        }
        hash.finalize().to_hex().to_string()
    }

    /// A weight in the type it is stored in.
    pub(crate) fn tensor(&self, weight: Weight) -> Result<Tensor> {
        self.meta.tensor(weight)
    }
}
