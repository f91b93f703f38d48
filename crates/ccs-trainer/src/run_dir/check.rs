//! Whether a run may be written to a folder.

use std::path::{Path, PathBuf};

use ccs_report::Report;

use crate::run_dir::layout::{LAYERS, REPORT, UNFINISHED};
use crate::run_dir::sums;
use crate::{Error, Result, files};

/// What to do with a run that is already in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Refuse.
    No,
    /// Replace it.
    Yes,
}

/// Whether a run may be written to `dir`: it is not there, is empty, or holds a run that may be replaced; and what
/// lies beside it under the names that writing needs was left there by a write.
///
/// # Errors
/// [`Error::RunExists`], or a folder that cannot be read.
pub(crate) fn check(dir: &Path, overwrite: Overwrite) -> Result<()> {
    let taken = |path: &Path, content| Err(Error::RunExists { path: path.to_owned(), content });
    for left in [sibling(dir, "partial")?, sibling(dir, "replaced")?] {
        let is_ours = || Ok::<_, Error>(left.join(UNFINISHED).exists() || holds_layers(&left)?);
        if !is_empty(&left)? && !is_run(&left) && !is_ours()? {
            return taken(&left, "files that are not a run");
        }
    }
    if is_empty(dir)? {
        return Ok(());
    }
    if !is_run(dir) {
        return taken(dir, "files that are not a run");
    }
    if overwrite == Overwrite::Yes { Ok(()) } else { taken(dir, "a run") }
}

/// Whether a folder holds a run, be it whole or damaged: what `ccs` may replace.
fn is_run(dir: &Path) -> bool {
    let report = || files::read(&dir.join(REPORT)).ok().and_then(|text| Report::from_json(&text).ok());
    sums::are_there(dir) || report().is_some()
}

/// Whether all there is in `dir` are finished layers of fits, each fit's under its key.
fn holds_layers(dir: &Path) -> Result<bool> {
    let is_key = |name: &std::ffi::OsStr| {
        name.to_str().is_some_and(|name| name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name() != LAYERS || !entry.file_type()?.is_dir() {
            return Ok(false);
        }
    }
    for entry in fs_err::read_dir(dir.join(LAYERS))? {
        if !is_key(&entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether `dir` is not there or has nothing in it.
pub(crate) fn is_empty(dir: &Path) -> Result<bool> {
    Ok(!dir.exists() || fs_err::read_dir(dir)?.next().is_none())
}

/// `dir` with `.suffix` at its name.
pub(crate) fn sibling(dir: &Path, suffix: &str) -> Result<PathBuf> {
    let dir = std::path::absolute(dir)?;
    let Some(name) = dir.file_name() else {
        return Err(Error::RunExists { path: dir, content: "other folders" });
    };
    let mut name = name.to_owned();
    name.push(".");
    name.push(suffix);
    Ok(dir.with_file_name(name))
}
