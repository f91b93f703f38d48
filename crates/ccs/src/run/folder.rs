//! The run folder: `report.json`, `report.html`, `plots/*.svg`, `results.csv` and `.parquet`, `split.json` and
//! `probes/METHOD/layer_NN.safetensors`.

use std::path::Path;

use super::evaluate::write_error;
use super::table;
use super::{Report, Run};
use crate::{Error, Method, Result, page};

const REPORT: &str = "report.json";
const PROBES: &str = "probes";

/// What to do with a run that is already in the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Refuse.
    No,
    /// Replace it.
    Yes,
}

/// Where a probe lies in the run folder.
pub(super) fn probe_path(method: Method, layer: usize) -> String {
    format!("{PROBES}/{method}/layer_{layer:02}.safetensors")
}

/// Whether a run may be written to `dir`: it is not there, is empty, or holds a run that may be replaced.
///
/// # Errors
/// [`Error::RunExists`], or a folder that cannot be read.
pub(super) fn check(dir: &Path, overwrite: Overwrite) -> Result<()> {
    let taken = |content| Err(Error::RunExists { path: dir.to_owned(), content });
    if !dir.exists() {
        return Ok(());
    }
    if dir.join(REPORT).exists() {
        return if overwrite == Overwrite::Yes { Ok(()) } else { taken("a run") };
    }
    match fs_err::read_dir(dir)?.next() {
        Some(_) => taken("files that are not a run"),
        None => Ok(()),
    }
}

impl Report {
    /// Reads the `report.json` of a run folder.
    ///
    /// # Errors
    /// A file that is missing or is not a report of this version.
    pub fn read(dir: impl AsRef<Path>) -> Result<Self> {
        let path = dir.as_ref().join(REPORT);
        let text = fs_err::read(&path)?;
        serde_json::from_slice(&text).map_err(|e| Error::ReportFile { path, reason: e.to_string() })
    }

    /// The report as it is written: JSON, indented, with a last newline.
    ///
    /// # Errors
    /// None that a report made by this crate gives.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        json(REPORT, self)
    }
}

impl Run {
    /// Whether [`Run::write`] could write to `dir`, to ask before the work is done.
    ///
    /// # Errors
    /// [`Error::RunExists`], or a folder that cannot be read.
    pub fn check_folder(dir: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
        check(dir.as_ref(), overwrite)
    }

    /// Writes the run folder; `report.json` last, so that a folder with a report is whole.
    ///
    /// # Errors
    /// [`Error::RunExists`], and the file system's with the path.
    pub fn write(&self, dir: impl AsRef<Path>, overwrite: Overwrite) -> Result<()> {
        let dir = dir.as_ref();
        check(dir, overwrite)?;
        fs_err::create_dir_all(dir)?;
        for (old, is_dir) in [(REPORT, false), (PROBES, true)] {
            let old = dir.join(old);
            if old.exists() {
                if is_dir { fs_err::remove_dir_all(old)? } else { fs_err::remove_file(old)? }
            }
        }
        for (method, layer, probe) in &self.probes {
            let path = dir.join(probe_path(*method, *layer));
            if let Some(parent) = path.parent() {
                fs_err::create_dir_all(parent)?;
            }
            probe.save(path)?;
        }
        let mut table = table::table(&self.report)?;
        fs_err::write(dir.join("results.csv"), table::csv(&mut table)?)?;
        fs_err::write(dir.join("results.parquet"), table::parquet(&mut table)?)?;
        fs_err::write(dir.join("split.json"), json("split.json", &self.split)?)?;
        fs_err::write(dir.join("report.html"), page::html(&self.report)?)?;
        fs_err::create_dir_all(dir.join("plots"))?;
        fs_err::write(dir.join("plots/accuracy.svg"), page::accuracy_svg(&self.report)?)?;
        fs_err::write(dir.join("plots/auroc.svg"), page::auroc_svg(&self.report)?)?;
        let unfinished = dir.join("report.json.partial");
        fs_err::write(&unfinished, self.report.to_json()?)?;
        fs_err::rename(unfinished, dir.join(REPORT))?;
        Ok(())
    }
}

fn json(what: &'static str, value: &impl serde::Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| write_error(what, &e))?;
    text.push(b'\n');
    Ok(text)
}
