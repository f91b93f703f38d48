//! Reading a run folder.

use std::path::{Path, PathBuf};

use ccs::probe::Probe;
use ccs_report::{Method, Report, SplitReport};

use crate::per_row::about::RunRows;
use crate::per_row::explore::explore;
use crate::per_row::predictions::MethodPredictions;
use crate::per_row::read;
use crate::run::probe_path;
use crate::run_dir::contents;
use crate::run_dir::layout::{PREDICTIONS, REPORT, ROWS, SPLIT};
use crate::run_dir::sums::Sums;
use crate::{Error, Result, files};

/// A folder with a run, of which only files are read that are as they were written.
///
/// ```no_run
/// let report = ccs_trainer::RunDir::open("out/run")?.report()?;
/// println!("{}", report.summary());
/// # Ok::<(), ccs_trainer::Error>(())
/// ```
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    sums: Sums,
}

impl RunDir {
    /// Opens a run's folder, and reads the sums of its files.
    ///
    /// # Errors
    /// [`Error::NoRun`]; [`Error::RunFile`] where `sums.json` is missing or not as it was written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        Ok(Self { sums: Sums::open(&path)?, path })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads every file of the run.
    ///
    /// # Errors
    /// [`Error::RunFile`] for the first that is missing or not as it was written.
    pub fn check(&self) -> Result<()> {
        self.sums.check_all()
    }

    /// The run's report.
    ///
    /// # Errors
    /// [`Error::RunFile`] where it is not the file that was written; [`Error::ReportFile`] for a report of another version.
    pub fn report(&self) -> Result<Report> {
        let wrong = |e: ccs_report::Error| match e {
            ccs_report::Error::Report { reason } => {
                Error::ReportFile { path: self.path.join(REPORT), reason }
            }
            other => other.into(),
        };
        Report::from_json(&self.sums.read(REPORT)?).map_err(wrong)
    }

    /// Which rows trained and which tested.
    ///
    /// # Errors
    /// As [`RunDir::report`].
    pub fn split(&self) -> Result<SplitReport> {
        let text = self.sums.read(SPLIT)?;
        let wrong =
            |e: serde_json::Error| Error::ReportFile { path: self.path.join(SPLIT), reason: e.to_string() };
        serde_json::from_slice(&text).map_err(wrong)
    }

    /// The probe of a method at a layer.
    ///
    /// # Errors
    /// [`Error::RunFile`] where there is none, or its file is not the one that was written.
    pub fn probe(&self, method: Method, layer: usize) -> Result<Probe> {
        let name = probe_path(method, layer);
        let wrong = |reason| ccs::Error::ProbeFile { path: self.path.join(&name), reason };
        Ok(Probe::parse(&self.sums.read(&name)?).map_err(wrong)?)
    }

    /// What each row is.
    ///
    /// # Errors
    /// [`Error::RunFile`] where the run has no such table, of an earlier version, or it is not as it was written.
    pub fn rows(&self) -> Result<RunRows> {
        read::rows(self.sums.read(ROWS)?).map_err(|reason| self.wrong(ROWS, reason))
    }

    /// What every method at its chosen layer predicts for every row.
    ///
    /// # Errors
    /// As [`RunDir::rows`].
    pub fn predictions(&self) -> Result<Vec<MethodPredictions>> {
        read::predictions(self.sums.read(PREDICTIONS)?).map_err(|reason| self.wrong(PREDICTIONS, reason))
    }

    fn wrong(&self, name: &str, reason: String) -> Error {
        Error::RunFile { path: self.path.join(name), reason }
    }

    /// Writes a page to filter, sort and search the rows by, over what is there of its name.
    ///
    /// # Errors
    /// As [`RunDir::rows`] and [`RunDir::report`], and the file system's.
    pub fn explore(&self, out: impl AsRef<Path>) -> Result<()> {
        let found = explore(&self.report()?, &self.rows()?, &self.predictions()?);
        files::replace(out.as_ref(), ccs_report::explore::html(&found)?.as_bytes())
    }

    /// Draws the report anew: writes `report.html` and `plots/*.svg` to a folder, each over what is there of its name.
    ///
    /// # Errors
    /// As [`RunDir::report`], and the file system's.
    pub fn draw(&self, dir: impl AsRef<Path>) -> Result<()> {
        contents::draw(&self.report()?, dir.as_ref())
    }
}
