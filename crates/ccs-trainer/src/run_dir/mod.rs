//! The run folder: `report.json`, `report.html`, `plots/*.svg`, `results.csv` and `.parquet`, `split.json`,
//! `probes/METHOD/layer_NN.safetensors`, and `sums.json` with the hash of each (`sums`); of a sweep also `transfer.csv` and
//! `runs/NAME/`, a run each.
//!
//! A run is written to `OUT.partial` and takes its place by a rename, so `OUT` holds a whole run or what it held
//! before. An earlier run waits in `OUT.replaced` until then. Whoever writes holds a lock on `OUT.partial/unfinished`.

pub(crate) mod file;
pub(crate) mod fitted;
pub(crate) mod inspect;
pub(crate) mod sums;
pub(crate) mod table;

use std::fs::TryLockError;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::engine::Run;
use crate::engine::evaluate::write_error;
use crate::{Error, Result};
use ccs_report::Report;
use ccs_report::SplitReport;
use ccs_report::{Method, figures, page};
use sums::{SUMS, Summing, Sums};

pub(crate) const REPORT: &str = "report.json";
const SPLIT: &str = "split.json";
const PROBES: &str = "probes";
/// The runs of single data sets, in the folder of a sweep.
const RUNS: &str = "runs";
/// The table of a sweep.
pub(crate) const TRANSFER: &str = "transfer.csv";
/// What a fit that was stopped has done so far, in `OUT.partial`.
const LAYERS: &str = "layers";
/// Marks a folder that is still being written.
const UNFINISHED: &str = "unfinished";
/// What a run consists of, the file that makes it a run last.
const PARTS: [&str; 13] = [
    PROBES,
    RUNS,
    TRANSFER,
    LAYERS,
    "plots",
    "results.csv",
    "results.parquet",
    SPLIT,
    SUMS,
    "report.html",
    "log.jsonl",
    UNFINISHED,
    REPORT,
];

/// What to do with a run that is already in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Refuse.
    No,
    /// Replace it.
    Yes,
}

/// Where a probe lies in the run folder.
pub(crate) fn probe_path(method: Method, layer: usize) -> String {
    format!("{PROBES}/{method}/layer_{layer:02}.safetensors")
}

/// Whether a run may be written to `dir`: it is not there, is empty, or holds a run that may be replaced; and what
/// lies beside it under the names that writing needs was left there by a write.
///
/// # Errors
/// [`Error::RunExists`], or a folder that cannot be read.
fn check(dir: &Path, overwrite: Overwrite) -> Result<()> {
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
    let report = || file::read(&dir.join(REPORT)).ok().and_then(|text| Report::from_json(&text).ok());
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
fn is_empty(dir: &Path) -> Result<bool> {
    Ok(!dir.exists() || fs_err::read_dir(dir)?.next().is_none())
}

/// `dir` with `.suffix` at its name.
fn sibling(dir: &Path, suffix: &str) -> Result<PathBuf> {
    let dir = std::path::absolute(dir)?;
    let Some(name) = dir.file_name() else {
        return Err(Error::RunExists { path: dir, content: "other folders" });
    };
    let mut name = name.to_owned();
    name.push(".");
    name.push(suffix);
    Ok(dir.with_file_name(name))
}

/// Reads the report of a run folder.
///
/// # Errors
/// [`Error::NoRun`], [`Error::RunFile`] where it is not the file that was written, and a report of another version.
pub fn read_report(dir: impl AsRef<Path>) -> Result<Report> {
    report(dir.as_ref(), &Sums::open(dir.as_ref())?)
}

/// As [`read_report`], by sums that were read already.
pub(crate) fn report(dir: &Path, sums: &Sums) -> Result<Report> {
    let wrong = |e: ccs_report::Error| match e {
        ccs_report::Error::Report { reason } => Error::ReportFile { path: dir.join(REPORT), reason },
        other => other.into(),
    };
    Report::from_json(&sums.read(REPORT)?).map_err(wrong)
}

/// Reads the `split.json` of a run folder.
///
/// # Errors
/// [`Error::NoRun`], and [`Error::RunFile`] where it is not the file that was written.
pub fn read_split(dir: impl AsRef<Path>) -> Result<SplitReport> {
    split(dir.as_ref(), &Sums::open(dir.as_ref())?)
}

/// As [`read_split`], by sums that were read already.
pub(crate) fn split(dir: &Path, sums: &Sums) -> Result<SplitReport> {
    let text = sums.read(SPLIT)?;
    let wrong = |e: serde_json::Error| Error::ReportFile { path: dir.join(SPLIT), reason: e.to_string() };
    serde_json::from_slice(&text).map_err(wrong)
}

impl Run {
    /// Whether [`Run::write`] could write to `dir`, to ask before the work is done.
    ///
    /// # Errors
    /// [`Error::RunExists`], or a folder that cannot be read.
    pub fn check_folder(dir: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
        check(dir.as_ref(), overwrite)
    }

    /// Writes the run folder: to `OUT.partial` first, which then takes the place of `dir`, so that a write that
    /// dies leaves `dir` as it was. Of an earlier run `log.jsonl` stays, and files that are not a run's.
    ///
    /// # Errors
    /// [`Error::RunExists`], and the file system's with the path.
    pub fn write(&self, dir: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
        self.write_to(Out::reserve(dir, overwrite)?)
    }

    /// As [`Run::write`], to a folder that was reserved before the fit.
    ///
    /// # Errors
    /// The file system's with the path, and [`Error::RunExists`] where something else has come to lie there since.
    pub fn write_to(&self, out: Out) -> Result<()> {
        self.write_parts(out.0.partial(), None)?;
        out.0.finish()
    }

    /// Writes a run's files, and one more beside them if there is one (its name and bytes).
    pub(crate) fn write_parts(&self, dir: &Path, further: Option<(&str, &[u8])>) -> Result<()> {
        let mut sums = Summing::default();
        let mut part = |name: &str, bytes: &[u8]| {
            sums.add(name, bytes);
            put(&dir.join(name), bytes)
        };
        for (method, layer, probe) in &self.probes {
            part(&probe_path(*method, *layer), &probe.to_bytes()?)?;
        }
        let mut table = table::table(&self.report)?;
        part("results.csv", table::csv(&mut table)?.as_ref())?;
        part("results.parquet", table::parquet(&mut table)?.as_ref())?;
        part(SPLIT, &json(SPLIT, &self.split)?)?;
        if let Some((name, bytes)) = further {
            part(name, bytes)?;
        }
        for (name, text) in drawn(&self.report)? {
            put(&dir.join(name), text.as_ref())?;
        }
        let report = self.report.to_json()?;
        sums.add(REPORT, &report);
        put(&dir.join(SUMS), &sums.into_json()?)?;
        put(&dir.join(REPORT), &report)
    }
}

/// Draws a report anew: writes `report.html` and `plots/*.svg` to a folder, each over what is there of its name.
///
/// # Errors
/// The file system's.
pub fn render(report: &Report, dir: impl AsRef<Path>) -> Result<()> {
    for (name, text) in drawn(report)? {
        // A reader of the page never sees half of one.
        replace(&dir.as_ref().join(name), text.as_ref())?;
    }
    Ok(())
}

/// What is made from nothing but the report.
fn drawn(report: &Report) -> Result<[(&'static str, String); 3]> {
    Ok([
        ("report.html", page::html(report)?),
        ("plots/accuracy.svg", figures::accuracy_svg(report)),
        ("plots/auroc.svg", figures::auroc_svg(report)),
    ])
}

/// A place for a run, kept from the moment that it is asked for until the run is written there: a folder that cannot be
/// written is found before the fit, and no two processes write to the same one.
///
/// ```no_run
/// use ccs_trainer::{Execution, Out, Overwrite, Settings, run};
///
/// # fn example(source: &dyn ccs_trainer::Source) -> ccs_trainer::Result<()> {
/// let out = Out::reserve("out/run", Overwrite::No)?;
/// run(source, &Settings::default(), Execution::default(), &|_| {})?.write_to(out)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Out(Writing);

impl Out {
    /// Makes `OUT.partial` and holds it until this is dropped.
    ///
    /// # Errors
    /// [`Error::RunExists`]; [`Error::OutInUse`] where another process holds it; a folder that cannot be written.
    pub fn reserve(dir: impl AsRef<Path>, overwrite: Overwrite) -> Result<Self> {
        Ok(Self(Writing::begin(dir.as_ref(), overwrite)?))
    }
}

/// A run folder that is being written, as `OUT.partial`.
#[derive(Debug)]
pub(crate) struct Writing {
    /// What it will be.
    dir: PathBuf,
    partial: PathBuf,
    replaced: PathBuf,
    overwrite: Overwrite,
    /// `OUT.partial/unfinished`, locked; the system unlocks it when the process ends, however it does.
    lock: Option<fs_err::File>,
}

impl Writing {
    /// Makes an empty folder to write to, and locks it; the finished layers of a fit that was stopped stay in it.
    pub(crate) fn begin(dir: &Path, overwrite: Overwrite) -> Result<Self> {
        // Where `dir` is a link, the folder it leads to is replaced, not the link.
        let dir = if dir.exists() { fs_err::canonicalize(dir)? } else { std::path::absolute(dir)? };
        check(&dir, overwrite)?;
        let (partial, replaced) = (sibling(&dir, "partial")?, sibling(&dir, "replaced")?);
        fs_err::create_dir_all(&partial)?;
        let lock = Some(lock(&partial, &dir)?);
        let writing = Self { dir, partial, replaced, overwrite, lock };
        remove(&writing.partial, &|part| part != LAYERS && part != UNFINISHED)?;
        Ok(writing)
    }

    /// Where to write.
    pub(crate) fn partial(&self) -> &Path {
        &self.partial
    }

    /// Where the run of one data set goes.
    pub(crate) fn run(&self, name: &str) -> PathBuf {
        self.partial.join(RUNS).join(name)
    }

    /// Puts the folder, with everything in it, into its place.
    pub(crate) fn finish(mut self) -> Result<()> {
        check(&self.dir, self.overwrite)?; // it may have been filled since
        let (dir, partial, replaced) = (&self.dir, &self.partial, &self.replaced);
        remove(partial, &|part| part == LAYERS)?;
        sync_folder(partial)?;
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
        sync_folder(dir)?;
        if let Some(parent) = dir.parent() {
            sync_folder(parent)?;
        }
        retire(replaced, dir)
    }
}

impl Drop for Writing {
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

/// Marks `partial` as being written to become `dir`, by this process alone.
fn lock(partial: &Path, dir: &Path) -> Result<fs_err::File> {
    let file =
        fs_err::OpenOptions::new().create(true).write(true).truncate(false).open(partial.join(UNFINISHED))?;
    match file.file().try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::OutInUse { path: dir.to_owned() }),
        // A file system without locks is written to as before there were any.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// Where the finished layers of a fit to `dir` are kept until it is done.
pub(crate) fn layers_of(dir: &Path) -> Result<PathBuf> {
    let dir = if dir.exists() { fs_err::canonicalize(dir)? } else { dir.to_owned() };
    Ok(sibling(&dir, "partial")?.join(LAYERS))
}

/// Writes a file of a folder that will be moved into its place as a whole down to the disk, with the folders above it.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    let mut file = fs_err::File::create_new(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

/// Replaces a file as a whole, or makes it, with the folders above it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    Ok(host::files::replace(path, bytes)?)
}

/// Writes a folder's list of names down to the disk, where the system knows such a thing.
pub(crate) fn sync_folder(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        fs_err::File::open(dir)?.sync_all()?;
    }
    Ok(())
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

fn json(what: &'static str, value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| write_error(what, &e))?;
    text.push(b'\n');
    Ok(text)
}
