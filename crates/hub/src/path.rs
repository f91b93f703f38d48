//! A path or a name: what a person gives, and where it leads.

use std::path::{Path, PathBuf};

use crate::cache::Cached;
use crate::error::{Error, Result};
use crate::model::Hub;
use crate::name::DataName;
use crate::observer::Observer;

/// What files are called that are models or data themselves, so that `data/dev.jsonl` is no name.
const FILES: [&str; 18] = [
    "arrow",
    "bin",
    "csv",
    "gguf",
    "gz",
    "json",
    "jsonl",
    "model",
    "ndjson",
    "npy",
    "parquet",
    "pt",
    "pth",
    "safetensors",
    "tsv",
    "txt",
    "xz",
    "zst",
];

impl Hub {
    /// A model that is given as a path or as a name. A path that exists is that path, and a folder of the cache
    /// (`models--ORG--NAME`) is its snapshot of `main`, or the only one; what does not exist and looks like a name is
    /// looked up; anything else is returned as it is, for the reader to complain of.
    ///
    /// # Errors
    /// As [`Hub::model`].
    pub fn model_at(&self, given: &Path, observer: &mut dyn Observer) -> Result<PathBuf> {
        match of_model(given)? {
            Place::Here(path) => Ok(path),
            Place::Name(text) => {
                text.parse().and_then(|name| self.model(&name, observer)).map_err(neither(text))
            }
        }
    }

    /// As [`Hub::model_at`], with the model's tokenizer alone.
    ///
    /// # Errors
    /// As [`Hub::model`].
    pub fn tokenizer_at(&self, given: &Path, observer: &mut dyn Observer) -> Result<PathBuf> {
        match of_model(given)? {
            Place::Here(path) => Ok(path),
            Place::Name(text) => {
                text.parse().and_then(|name| self.tokenizer(&name, observer)).map_err(neither(text))
            }
        }
    }

    /// Data that are given as a path or as a name, as [`Hub::model_at`] does it. One path, if they are a path.
    ///
    /// # Errors
    /// As [`Hub::data`].
    pub fn data_at(&self, given: &Path, observer: &mut dyn Observer) -> Result<Vec<PathBuf>> {
        match of_data(given) {
            Place::Here(path) => Ok(vec![path]),
            Place::Name(text) => {
                text.parse().and_then(|name: DataName| self.data(&name, observer)).map_err(neither(text))
            }
        }
    }
}

/// What a text stands for.
pub(crate) enum Place<'a> {
    /// A path, there or not: nobody is asked.
    Here(PathBuf),
    Name(&'a str),
}

pub(crate) fn of_model(given: &Path) -> Result<Place<'_>> {
    let place = of_data(given);
    let name =
        given.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    // A repository's folder in a cache.
    if name.is_some_and(|name| name.starts_with("models--")) && given.join("snapshots").is_dir() {
        return Ok(Place::Here(snapshot(given)?));
    }
    Ok(place)
}

pub(crate) fn of_data(given: &Path) -> Place<'_> {
    match given.to_str() {
        Some(text) if given.symlink_metadata().is_err() && looks_like_a_name(text) => Place::Name(text),
        _ => Place::Here(given.to_owned()),
    }
}

/// `ORG/NAME`, perhaps with a configuration, a revision, a file, or a split; and no file.
fn looks_like_a_name(text: &str) -> bool {
    let id = text.split([':', '@']).next().unwrap_or(text);
    let file = id.rsplit_once('.').is_some_and(|(_, ending)| FILES.contains(&ending));
    let named = id.parse::<DataName>().is_ok();
    named && (!file || id.len() < text.len())
}

/// A lookup that found nothing says that there is no such path either.
fn neither(given: &str) -> impl Fn(Error) -> Error {
    move |cause| match cause {
        Error::NoRepository { .. }
        | Error::Unreachable { .. }
        | Error::Offline { .. }
        | Error::Name { .. } => Error::Neither { given: given.to_owned(), cause: Box::new(cause) },
        other => other,
    }
}

/// The snapshot that a folder `models--ORG--NAME` stands for.
fn snapshot(folder: &Path) -> Result<PathBuf> {
    let cached = Cached::at(folder);
    let commits = cached.commits()?;
    let main = cached.commit("main")?.filter(|commit| commits.contains(commit));
    match (main, commits.as_slice()) {
        (Some(commit), _) => Ok(cached.snapshot(&commit)),
        (None, [one]) => Ok(cached.snapshot(one)),
        (None, []) => Err(Error::NoSnapshot { path: folder.to_owned() }),
        (None, _) => Err(Error::SeveralSnapshots { path: folder.to_owned(), commits }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_told_apart() {
        for name in ["a/b", "meta-llama/Llama-3.1-8B", "a/b@main", "a/b:x.gguf", "a/b.json:train", "a/b/c:d"]
        {
            assert!(looks_like_a_name(name), "{name}");
        }
        for path in [
            "a",
            "a.jsonl",
            "boolq/dev.jsonl",
            "./a/b",
            "/a/b",
            "../a",
            "m/x.gguf",
            "a/b/c/d",
            "a\\b",
            "a/b/",
        ] {
            assert!(!looks_like_a_name(path), "{path}");
        }
    }
}
