//! `ccs fit`.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ccs::run::{Execution, Out, Overwrite, Pausing, Run, Source as _, Step, run_pausing};
use ccs::store::{LAST, StoreSource};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::settings::SettingsArgs;

const EXAMPLES: &str = "\
The bar counts layers, and then a closer look at each method's chosen one. Ctrl-C stops after the layers or fits under \
way (a second one at once). What is done is kept in RUN.partial: the same command \
goes on from there, and gives the bytes of a run that was never stopped.

Examples:
  ccs fit store --out run
  ccs fit store --out run --methods ccs,lr --layers 0,5-12 --seed 7
  ccs fit store --out run --methods all --recursive 20
  ccs fit store --out run --optimizer lbfgs --l2 0.01 --normalize burns
  ccs fit store --out run-mean --tokens mean
  ccs fit store --out run --blank store-blank
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
    /// A store of the same questions with the passage left blank: what the chosen probes still find there, they do not
    /// read from the passage.
    #[arg(long, value_name = "STORE")]
    blank: Option<PathBuf>,
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
        let blank = self.blank.as_ref().map(|dir| StoreSource::open_at(dir, &self.tokens)).transpose()?;
        let settings = self.settings.settings(source.rows().answer_logprob.is_some())?;
        if let Some(blank) = &blank {
            ccs::run::check_blank(&source, blank, &settings.layers)?;
        }
        let execution = Execution { device: torch_runtime::open(&self.device)?, threads: self.threads };

        let bar = progress(settings.layers.of(source.layers(), &source.describe())?.len());
        let out = Out::reserve(&self.out, overwrite)?; // what cannot be written is found before the work
        let watch = |step: Step<'_>| match step {
            Step::Looks(looks) => bar.inc_length(looks as u64),
            Step::Doing { method, layer, what } => {
                bar.set_message(format!("{method} at layer {layer}: {what}"));
            }
            Step::Looked(..) => bar.inc(1),
        };
        let stop = Some(super::stop::on_interrupt()?);
        let pausing = Pausing { out: Some(&self.out), stop, watch: Some(&watch) };
        let done = run_pausing(&source, &settings, execution, pausing, &|layer| {
            bar.set_message(layer.hook.clone());
            bar.inc(1);
        });
        bar.finish_and_clear();
        let mut done = done?;
        if let Some(blank) = blank {
            done.add_blank(&source, &blank)?;
        }
        done.write_to(out)?;
        log(
            &self.out,
            started,
            &serde_json::json!({
                "command": "ccs fit",
                "store": self.store,
                "device": self.device,
                "threads": self.threads,
                "layers": done.report.layers.len(),
            }),
        )?;

        let text = if self.json { done.report.to_json()? } else { done.report.summary().into_bytes() };
        super::output::print(&text)
    }
}

/// A bar of layers, and of closer looks at them, on a terminal; nothing anywhere else.
pub(super) fn progress(layers: usize) -> ProgressBar {
    let bar = ProgressBar::new(layers as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {elapsed}  {msg}") {
        bar.set_style(style);
    }
    bar
}

/// Appends to `log.jsonl` what may differ from run to run, and is therefore not in the report.
pub(super) fn log(
    out: &Path,
    started: (SystemTime, Instant),
    about: &serde_json::Value,
) -> Result<(), Box<dyn Error>> {
    let mut line = serde_json::json!({
        "unix_time": started.0.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        "seconds": started.1.elapsed().as_secs_f64(),
        "libtorch": torch_runtime::loaded_version(),
    });
    for (key, value) in about.as_object().into_iter().flatten() {
        line[key] = value.clone();
    }
    let mut file = fs_err::OpenOptions::new().create(true).append(true).open(out.join("log.jsonl"))?;
    Ok(writeln!(file, "{line}")?)
}
