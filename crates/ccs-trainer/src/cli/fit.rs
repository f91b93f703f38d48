//! `ccs fit`.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use ccs_report::AnswerScore;
use ccs_trainer::{Event, RunControl, Source, StoreSource, Subset};
use clap::Args;
use host::files::in_json;
use host::program::{Bar, Signals};
use serde_json::json;
use torch_runtime::program::{Processes, RankArgs};

use super::advice::Stopped;
use super::job::{Job, progress};
use super::output::{damaged, print, print_json};

const EXAMPLES: &str = "\
The progress bar counts layers, then the diagnostics of each method at its chosen layer. The first Ctrl-C stops when the \
fits in progress are done, a second one at once. SIGTERM stops then, too, but within ten seconds. What is done is kept in \
DIR.partial. The same command continues from there, and the run has the same bytes as one that was never stopped, by any number of processes.

Examples:
  ccs fit store --out run
  ccs fit store --out run --methods ccs,lr --layers 0,5-12 --seed 7
  ccs fit store --out run --methods all --recursive 20
  ccs fit store --out run --optimizer lbfgs --l2 0.01 --normalize burns
  ccs fit store --out run-mean --tokens mean
  ccs fit store --out run --negated polarity=negated
  ccs fit store --out run --blank store-blank
  ccs fit store --out alice --only speaker=Alice --truth truth
  ccs fit store --out run --ranks 2
  torchrun --no-python --nproc_per_node 4 ccs fit store --out run
  ccs fit store --out run --json | jq .chosen.ccs.test.accuracy";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Fit {
    /// The store of hidden states, from `llama-ccs extract`.
    store: PathBuf,
    #[command(flatten)]
    job: Job,
    /// A store of the same questions with the passage left blank. What the chosen probes still find there, they do not
    /// read from the passage.
    #[arg(long, value_name = "STORE")]
    blank: Option<PathBuf>,
    /// Fit on only the rows in which a column of the data has this value.
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = column, conflicts_with = "blank")]
    only: Option<(String, String)>,
    /// With --only, the column with the labels [default: the store's labels].
    #[arg(long, value_name = "COLUMN", requires = "only")]
    truth: Option<String>,
    // Last: its heading is of everything that follows.
    #[command(flatten)]
    ranks: RankArgs,
}

/// `COLUMN=VALUE`.
fn column(text: &str) -> Result<(String, String), String> {
    let (column, value) = text.split_once('=').ok_or("it is COLUMN=VALUE, such as speaker=Alice")?;
    Ok((column.to_owned(), value.to_owned()))
}

impl Fit {
    pub(crate) fn run(self, signals: &Signals) -> Result<ExitCode, Box<dyn Error>> {
        self.ranks.run(signals, |processes| self.fit(signals, processes).map(|()| ExitCode::SUCCESS))
    }

    fn fit(&self, signals: &Signals, processes: &Processes) -> Result<(), Box<dyn Error>> {
        let started = self.job.begin(processes)?;
        let store = StoreSource::open_at(&self.store, &self.job.tokens)?;
        let subset = self.subset(&store)?;
        let source: &dyn Source = subset.as_ref().map_or(&store as &dyn Source, |subset| subset);
        let blank = self.blank.as_ref().map(|dir| StoreSource::open_at(dir, &self.job.tokens)).transpose()?;
        let settings = self.job.settings(source.kind(), source.rows().answer_logprob.is_some())?;
        if let Some(blank) = &blank {
            ccs_trainer::check_blank(source, blank, &settings.layers)?;
            if settings.zero_shot == AnswerScore::Mean {
                blank.rows().answers(AnswerScore::Mean)?;
            }
        }
        let compute = self.job.compute(processes)?;

        let bar = progress(processes, settings.layers.of(source.layers(), &source.describe())?.len());
        let observe = |event: Event<'_>| bar.iter().for_each(|bar| show(bar, event));
        let control = RunControl { stop: Some(signals.drains()), observer: Some(&observe) };
        let mut fit = ccs_trainer::Fit::new(source).settings(settings).compute(compute).control(control);
        if let Some(blank) = &blank {
            fit = fit.blank(blank);
        }
        #[cfg(feature = "distributed")]
        if let Some(ranks) = processes.ranks() {
            fit = fit.among(ranks);
        }
        let first = processes.is_first();
        let done = if first { self.job.reserve().and_then(|out| fit.run_to(out)) } else { fit.run() };
        bar.iter().for_each(Bar::clear);
        let done = Stopped::or_finished(done?)?;
        if !first {
            return Ok(());
        }
        let layers = done.report.layers.len();
        self.job.log(
            &started,
            json!({ "command": "ccs fit", "store": in_json(&self.store), "layers": layers }),
        )?;

        if self.job.json { print_json(&done.report) } else { print(&done.report.summary()) }
    }

    /// The rows that were asked for, where not all are.
    fn subset<'a>(&self, store: &'a StoreSource) -> ccs_trainer::Result<Option<Subset<'a>>> {
        let Some((column, value)) = &self.only else { return Ok(None) };
        let subset = Subset::new(store, column, value)?;
        Ok(Some(match &self.truth {
            Some(column) => subset.labeled_by(column)?,
            None => subset,
        }))
    }
}

/// What a fit does, on the bar.
fn show(bar: &Bar, event: Event<'_>) {
    match event {
        Event::Layer { layer, .. } => {
            bar.message(&layer.hook);
            bar.step();
        }
        Event::Diagnostics { methods } => bar.more(methods),
        Event::Diagnosing { method, layer, what } => {
            bar.message(&format!("{method} at layer {layer}: {what}"));
        }
        Event::Diagnosed { .. } => bar.step(),
        Event::Damaged { path } => bar.warn(&damaged(path)),
        _ => {}
    }
}
