//! What commands that fit have in common: where the work goes, what it is done with, the bar, and the log.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ccs_report::RowKind;
use ccs_trainer::{ALL_TOKENS, LAST};
use ccs_trainer::{Compute, NewRunDir, Overwrite, Settings};
use clap::Args;
use host::program::Bar;
use torch_runtime::program::Processes;

use super::settings::SettingsArgs;

#[derive(Debug, Args)]
pub(crate) struct Job {
    /// The folder to write: probes, report.json, report.html, plots, split.json, and tables of results, predictions,
    /// and rows.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// The token rule whose states are read: one of those that the store was extracted with. With all, probes read every
    /// token's state, and learn which ones tell.
    #[arg(long, value_name = "RULE", default_value = LAST)]
    pub(crate) tokens: String,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Where to compute: cpu, cuda, or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Layers that a process fits at once; 0 is one per core, shared among the processes of a host. Does not change results.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Replace the run or sweep that --out already holds.
    #[arg(long)]
    overwrite: bool,
    /// Print the report as JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// When a job began.
pub(crate) struct Started(SystemTime, Instant);

impl Job {
    /// Finds mistakes in the settings and in the output folder, which is the first process's, before the store is opened.
    pub(crate) fn begin(&self, processes: &Processes) -> Result<Started, Box<dyn Error>> {
        let started = Started(SystemTime::now(), Instant::now());
        self.settings.check(self.all_tokens())?;
        if processes.is_first() {
            NewRunDir::check(&self.out, self.overwrite())?;
        }
        Ok(started)
    }

    /// The settings, for stores of such rows that hold the model's own answers or not.
    pub(crate) fn settings(&self, rows: RowKind, with_answers: bool) -> ccs_trainer::Result<Settings> {
        self.settings.settings(rows, self.all_tokens(), with_answers)
    }

    fn all_tokens(&self) -> bool {
        self.tokens == ALL_TOKENS
    }

    fn overwrite(&self) -> Overwrite {
        if self.overwrite { Overwrite::Yes } else { Overwrite::No }
    }

    /// Reserves the folder: what cannot be written is found before the work.
    pub(crate) fn reserve(&self) -> ccs_trainer::Result<NewRunDir> {
        NewRunDir::reserve(&self.out, self.overwrite())
    }

    pub(crate) fn compute(&self, processes: &Processes) -> Result<Compute, Box<dyn Error>> {
        let device = torch_runtime::open(&processes.device(&self.device))?;
        Ok(Compute { device, threads: self.threads })
    }

    /// Appends to `log.jsonl` what may differ from run to run, and is therefore not in the report; `about` says what was
    /// asked for.
    pub(crate) fn log(&self, started: &Started, mut about: serde_json::Value) -> Result<(), Box<dyn Error>> {
        let Started(at, since) = started;
        about["unix_time"] = at.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()).into();
        about["seconds"] = since.elapsed().as_secs_f64().into();
        about["libtorch"] = torch_runtime::loaded_version().into();
        about["device"] = self.device.clone().into();
        about["threads"] = self.threads.into();
        let log = self.out.join("log.jsonl");
        let mut file = fs_err::OpenOptions::new().create(true).append(true).open(log)?;
        Ok(file.write_all(format!("{about}\n").as_bytes())?)
    }
}

/// A bar of layers, and then of diagnostics, on a terminal; nothing anywhere else, and none but of the first process.
pub(crate) fn progress(processes: &Processes, layers: usize) -> Option<Bar> {
    processes.is_first().then(|| Bar::of(layers, "layers", "fitting"))
}
