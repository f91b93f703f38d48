//! Writing a run folder. A run is written to `OUT.partial` and takes its place by a rename, so `OUT` holds a whole run or
//! what it held before. An earlier run waits in `OUT.replaced` until then. Whoever writes holds a lock on
//! `OUT.partial/unfinished`.

use std::path::{Path, PathBuf};

use host::lock::Lock;

use crate::run::Run;
use crate::run_dir::check::{Overwrite, check, is_empty, sibling};
use crate::run_dir::contents;
use crate::run_dir::layout::{LAYERS, PARTS, RUNS, UNFINISHED};
use crate::{Error, Result, files};

impl Run {
    /// Writes the run folder: to `OUT.partial` first, which then takes the place of `dir`, so that a write that
    /// dies leaves `dir` as it was. Of an earlier run `log.jsonl` stays, and files that are not a run's.
    ///
    /// # Errors
    /// As [`NewRunDir::reserve`] and [`NewRunDir::write`].
    pub fn write(&self, dir: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
        NewRunDir::reserve(dir, overwrite)?.write(self)
    }
}

/// A run folder that is reserved from before the fit until the run is written to it: a folder that cannot be written is
/// found before the work, and no two processes write to the same one.
///
/// ```no_run
/// use ccs_trainer::{Fit, NewRunDir, Overwrite};
///
/// # fn example(source: &dyn ccs_trainer::Source) -> ccs_trainer::Result<()> {
/// let out = NewRunDir::reserve("out/run", Overwrite::No)?;
/// Fit::new(source).run_to(out)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct NewRunDir {
    /// What it will be.
    dir: PathBuf,
    partial: PathBuf,
    replaced: PathBuf,
    overwrite: Overwrite,
    /// `OUT.partial/unfinished`, locked; the system unlocks it when the process ends, however it does.
    lock: Option<Lock>,
}

impl NewRunDir {
    /// Whether [`NewRunDir::reserve`] would find the folder free, without reserving it.
    ///
    /// # Errors
    /// [`Error::RunExists`], or a folder that cannot be read.
    pub fn check(dir: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
        check(dir.as_ref(), overwrite)
    }

    /// Makes `OUT.partial` and locks it until this is dropped. Finished layers of a fit that was stopped stay in it.
    ///
    /// # Errors
    /// [`Error::RunExists`]; [`Error::OutInUse`] where another process holds it; a folder that cannot be written.
    pub fn reserve(dir: impl AsRef<Path>, overwrite: Overwrite) -> Result<Self> {
        let dir = dir.as_ref();
        // Where `dir` is a link, the folder it leads to is replaced, not the link.
        let dir = if dir.exists() { fs_err::canonicalize(dir)? } else { std::path::absolute(dir)? };
        check(&dir, overwrite)?;
        let (partial, replaced) = (sibling(&dir, "partial")?, sibling(&dir, "replaced")?);
        fs_err::create_dir_all(&partial)?;
        let lock = lock(&partial, &dir)?;
        let writing = Self { dir, partial, replaced, overwrite, lock };
        remove(&writing.partial, &|part| part != LAYERS && part != UNFINISHED)?;
        Ok(writing)
    }

    /// Writes a run, and renames `OUT.partial` to `OUT`.
    ///
    /// # Errors
    /// The file system's with the path, and [`Error::RunExists`] where something else has come to lie there since.
    pub fn write(self, run: &Run) -> Result<()> {
        self.write_with(run, None)
    }

    /// Writes a run with one more file (its name and bytes), and renames `OUT.partial` to `OUT`.
    pub(crate) fn write_with(self, run: &Run, further: Option<(&str, &[u8])>) -> Result<()> {
        contents::write(run, &self.partial, further)?;
        self.finish()
    }

    /// Writes the run of one data set of a sweep.
    pub(crate) fn write_part(&self, name: &str, run: &Run) -> Result<()> {
        contents::write(run, &self.partial.join(RUNS).join(name), None)
    }

    /// Where finished layers are kept until the run is written.
    pub(crate) fn layers(&self) -> PathBuf {
        self.partial.join(LAYERS)
    }

    /// Renames the folder, with everything in it.
    fn finish(mut self) -> Result<()> {
        check(&self.dir, self.overwrite)?; // it may have been filled since
        let (dir, partial, replaced) = (&self.dir, &self.partial, &self.replaced);
        remove(partial, &|part| part == LAYERS)?;
        files::sync_folder(partial)?;
        if cfg!(windows) {
            self.lock = None; // a folder with an open file in it cannot be renamed there
        }
        if is_empty(dir)? {
            fs_err::rename(partial, dir)?;
        } else {
            retire(replaced, dir)?;
            fs_err::rename(dir, replaced)?;
            fs_err::rename(partial, dir)?;
        }
        // Only now: nobody may take the folder for abandoned before it is in its place.
        remove(dir, &|part| part == UNFINISHED)?;
        files::sync_folder(dir)?;
        if let Some(parent) = dir.parent() {
            files::sync_folder(parent)?;
        }
        retire(replaced, dir)
    }
}

impl Drop for NewRunDir {
    /// Of a run that was not written, only finished layers stay.
    fn drop(&mut self) {
        let is_ours = |name: &std::ffi::OsStr| name == UNFINISHED || name == LAYERS;
        let mut entries = fs_err::read_dir(&self.partial).into_iter().flatten();
        if entries.all(|entry| entry.is_ok_and(|entry| is_ours(&entry.file_name()))) {
            // What cannot be removed is removed by the next write.
            let _ = fs_err::remove_file(self.partial.join(UNFINISHED));
            let _ = fs_err::remove_dir(&self.partial);
        }
    }
}

/// Marks `partial` as being written to become `dir`, by this process alone. A file system without locks is written to
/// as before there were any.
fn lock(partial: &Path, dir: &Path) -> Result<Option<Lock>> {
    let file =
        fs_err::OpenOptions::new().create(true).write(true).truncate(false).open(partial.join(UNFINISHED))?;
    match Lock::try_hold(file.file()) {
        Ok(None) => Err(Error::OutInUse { path: dir.to_owned() }),
        Ok(held) => Ok(held),
        Err(_) => Ok(None),
    }
}

/// Moves what is not a run's own, and the log, from an earlier run to `dir`, and removes the rest.
fn retire(replaced: &Path, dir: &Path) -> Result<()> {
    if !replaced.exists() {
        return Ok(());
    }
    for entry in fs_err::read_dir(replaced)? {
        let name = entry?.file_name();
        let own = PARTS.iter().any(|part| name == *part) && name != "log.jsonl";
        let target = dir.join(&name);
        if !own && !target.exists() {
            fs_err::rename(replaced.join(&name), target)?;
        }
    }
    remove_parts(replaced)
}

/// Removes a run and its folder, the file that makes it a run last: an interrupted removal can be taken up again.
fn remove_parts(dir: &Path) -> Result<()> {
    remove(dir, &|_| true)?;
    if dir.exists() {
        fs_err::remove_dir(dir)?;
    }
    Ok(())
}

/// Removes some of the parts.
fn remove(dir: &Path, which: &dyn Fn(&str) -> bool) -> Result<()> {
    for part in PARTS.into_iter().filter(|part| which(part)) {
        let path = dir.join(part);
        if path.is_dir() {
            fs_err::remove_dir_all(path)?;
        } else if path.exists() {
            fs_err::remove_file(path)?;
        }
    }
    Ok(())
}
