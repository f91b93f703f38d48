//! What a run's files were when it was written: `sums.json`, with a BLAKE3 of each. Whoever reads a run goes by it, so that
//! a probe, a split or a report that changed since gives an error and never a number.
//!
//! `report.html` and `plots/` are not in it: they are for people, and `ccs report` draws them anew from `report.json`. Nor
//! is `log.jsonl`, which tells the time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::write_error;
use crate::run_dir::layout::{REPORT, SUMS};
use crate::{Error, Result, files};

/// Its version.
const SCHEMA: u32 = 1;

/// What it says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    schema: u32,
    /// The hash of each file, by its path in the run.
    files: BTreeMap<String, String>,
    /// The hash of all that, so that the file itself is checked.
    check: String,
}

impl Written {
    fn of(files: BTreeMap<String, String>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for (name, hash) in &files {
            hasher.update(format!("{name}\0{hash}\0").as_bytes());
        }
        Self { schema: SCHEMA, files, check: hasher.finalize().to_hex().as_str().to_owned() }
    }

    fn to_json(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| write_error(SUMS, &e))?;
        text.push(b'\n');
        Ok(text)
    }
}

/// Collects the sums of files as they are written.
#[derive(Default)]
pub(crate) struct Summing(BTreeMap<String, String>);

impl Summing {
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.insert(name.to_owned(), files::hash(bytes));
    }

    /// The bytes of `sums.json`.
    pub(crate) fn into_json(self) -> Result<Vec<u8>> {
        Written::of(self.0).to_json()
    }
}

/// The sums of a run, and so the only way to its files.
#[derive(Debug)]
pub(crate) struct Sums {
    run: PathBuf,
    files: BTreeMap<String, String>,
}

impl Sums {
    /// Those of the run in a folder.
    ///
    /// # Errors
    /// [`Error::NoRun`]; [`Error::RunFile`] where `sums.json` is missing or not as it was written.
    pub(crate) fn open(run: &Path) -> Result<Self> {
        let path = run.join(SUMS);
        let wrong = |reason: &str| Err(Error::RunFile { path: path.clone(), reason: reason.to_owned() });
        if !path.exists() {
            if !run.join(REPORT).exists() {
                return Err(Error::NoRun { path: run.to_owned() });
            }
            return wrong(
                "it is missing, and nothing else shows that the run's files are those that were written",
            );
        }
        let text = files::read(&path)?;
        let Ok(written) = serde_json::from_slice::<Written>(&text) else {
            return wrong("it is not as it was written");
        };
        // One list of sums is written in one way only: so any change shows.
        let files = written.files;
        if Written::of(files.clone()).to_json()? != text {
            return wrong("it is not as it was written");
        }
        Ok(Self { run: run.to_owned(), files })
    }

    /// A file's bytes, if they are those that were written.
    ///
    /// # Errors
    /// [`Error::RunFile`].
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.run.join(name);
        let wrong = |reason: &str| Error::RunFile { path: path.clone(), reason: reason.to_owned() };
        let Some(hash) = self.files.get(name) else {
            return Err(wrong("it is no part of this run: sums.json does not name it"));
        };
        if !path.exists() {
            return Err(wrong("it is missing"));
        }
        let bytes = files::read(&path)?;
        if files::hash(&bytes) == *hash {
            Ok(bytes)
        } else {
            Err(wrong("it was changed after it was written"))
        }
    }

    /// Reads everything that a run consists of.
    ///
    /// # Errors
    /// [`Error::RunFile`] for the first file that is not as it was written.
    pub(crate) fn check_all(&self) -> Result<()> {
        self.files.keys().try_for_each(|name| self.read(name).map(drop))
    }
}

/// Whether a folder has a run's sums, be they right or not: its files are a run's, and not somebody's.
pub(crate) fn are_there(run: &Path) -> bool {
    files::read(&run.join(SUMS)).is_ok_and(|text| serde_json::from_slice::<Written>(&text).is_ok())
}
