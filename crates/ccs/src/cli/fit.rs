//! `ccs fit`.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ccs::run::{Execution, Overwrite, Run, Source as _, run};
use ccs::store::{LAST, StoreSource};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::settings::SettingsArgs;

const EXAMPLES: &str = "\
Examples:
  ccs fit store --out run
  ccs fit store --out run --methods ccs,lr --layers 0,5-12 --seed 7
  ccs fit store --out run --methods all --recursive 20
  ccs fit store --out run --optimizer lbfgs --l2 0.01 --normalize burns
  ccs fit store --out run-mean --tokens mean
  ccs fit store --out run --json | jq .chosen.ccs.test.accuracy";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Fit {
    /// The store of hidden states, from `llama-ccs extract`.
    store: PathBuf,
    /// The folder to write: probes, report.json, report.html, plots, results.csv, results.parquet, split.json.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// The token whose states are read: one of the rules that the store was extracted with.
    #[arg(long, value_name = "RULE", default_value = LAST)]
    tokens: String,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Where to compute: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Layers worked on at once; 0 is one for each core. Does not change results.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Replace the run that --out already holds.
    #[arg(long)]
    overwrite: bool,
    /// Print the report as JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Fit {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let started = (SystemTime::now(), Instant::now());
        self.settings.settings(true)?; // mistakes in it come before those in the store
        let overwrite = if self.overwrite { Overwrite::Yes } else { Overwrite::No };
        Run::check_folder(&self.out, overwrite)?;
        let source = StoreSource::open_at(&self.store, &self.tokens)?;
        let settings = self.settings.settings(source.rows().answer_logprob.is_some())?;
        let execution = Execution { device: torch_runtime::open(&self.device)?, threads: self.threads };

        let bar = progress(settings.layers.of(source.layers(), &source.describe())?.len());
        let done = run(&source, &settings, execution, &|layer| {
            bar.set_message(layer.hook.clone());
            bar.inc(1);
        });
        bar.finish_and_clear();
        let done = done?;
        done.write(&self.out, overwrite)?;
        log(&self, started, done.report.layers.len())?;

        let text = if self.json { done.report.to_json()? } else { done.report.summary().into_bytes() };
        match std::io::stdout().write_all(&text) {
            // A reader such as `head` has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }
}

/// A bar on a terminal; nothing anywhere else.
fn progress(layers: usize) -> ProgressBar {
    let bar = ProgressBar::new(layers as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} layers  {elapsed}  {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Appends to `log.jsonl` what may differ from run to run, and is therefore not in the report.
fn log(fit: &Fit, started: (SystemTime, Instant), layers: usize) -> Result<(), Box<dyn Error>> {
    let time = started.0.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let line = serde_json::json!({
        "command": "ccs fit",
        "unix_time": time,
        "seconds": started.1.elapsed().as_secs_f64(),
        "store": fit.store,
        "device": fit.device,
        "threads": fit.threads,
        "layers": layers,
        "libtorch": torch_runtime::loaded_version(),
    });
    let path: &Path = &fit.out.join("log.jsonl");
    let mut file = fs_err::OpenOptions::new().create(true).append(true).open(path)?;
    Ok(writeln!(file, "{line}")?)
}
