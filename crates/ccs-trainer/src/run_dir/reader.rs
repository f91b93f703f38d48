//! Reading a run folder.

use std::path::{Path, PathBuf};

use ccs::probe::Probe;
use ccs_report::{Method, Report, SplitReport};

use crate::run::probe_path;
use crate::run_dir::contents;
use crate::run_dir::layout::{REPORT, SPLIT};
use crate::run_dir::sums::Sums;
use crate::{Error, Result};

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

    /// Draws the report anew: writes `report.html` and `plots/*.svg` to a folder, each over what is there of its name.
    ///
    /// # Errors
    /// As [`RunDir::report`], and the file system's.
    pub fn draw(&self, dir: impl AsRef<Path>) -> Result<()> {
        contents::draw(&self.report()?, dir.as_ref())
    }
}
