//! `ccs fit`.

use std::error::Error;
use std::path::PathBuf;

use ccs_report::AnswerScore;
use ccs_trainer::StoreSource;
use ccs_trainer::{Out, Pausing, Source as _, Step, run_pausing};
use clap::Args;
use host::files::in_json;
use host::program::Signals;
use serde_json::json;

use super::job::{Job, progress};
use super::output::{print, print_json};

const EXAMPLES: &str = "\
The bar counts layers, and then a closer look at each method's chosen one. Ctrl-C stops after the layers or fits under \
way (a second one at once); SIGTERM too, for ten seconds at most. What is done is kept in DIR.partial: the same command \
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
pub(crate) struct Fit {
    /// The store of hidden states, from `llama-ccs extract`.
    store: PathBuf,
    #[command(flatten)]
    job: Job,
    /// A store of the same questions with the passage left blank: what the chosen probes still find there, they do not
    /// read from the passage.
    #[arg(long, value_name = "STORE")]
    blank: Option<PathBuf>,
}

impl Fit {
    pub(crate) fn run(self, signals: &Signals) -> Result<(), Box<dyn Error>> {
        let started = self.job.begin()?;
        let source = StoreSource::open_at(&self.store, &self.job.tokens)?;
        let blank = self.blank.as_ref().map(|dir| StoreSource::open_at(dir, &self.job.tokens)).transpose()?;
        let settings = self.job.settings(source.rows().answer_logprob.is_some())?;
        if let Some(blank) = &blank {
            ccs_trainer::check_blank(&source, blank, &settings.layers)?;
            if settings.zero_shot == AnswerScore::Mean {
                blank.rows().answers(AnswerScore::Mean)?;
            }
        }
        let execution = self.job.execution()?;

        let bar = progress(settings.layers.of(source.layers(), &source.describe())?.len());
        let out = Out::reserve(&self.job.out, self.job.overwrite())?; // what cannot be written is found before the work
        let watch = |step: Step<'_>| match step {
            Step::Looks(looks) => bar.more(looks),
            Step::Doing { method, layer, what } => {
                bar.message(&format!("{method} at layer {layer}: {what}"));
            }
            Step::Looked(..) => bar.step(),
            Step::Damaged { path } => bar.warn(&super::output::damaged(path)),
        };
        let pausing = Pausing { out: Some(&self.job.out), stop: Some(signals.drains()), watch: Some(&watch) };
        let done = run_pausing(&source, &settings, execution, pausing, &|layer| {
            bar.message(&layer.hook);
            bar.step();
        });
        bar.clear();
        let mut done = done?;
        if let Some(blank) = blank {
            done.add_blank(&source, &blank)?;
        }
        done.write_to(out)?;
        let layers = done.report.layers.len();
        self.job.log(
            &started,
            json!({ "command": "ccs fit", "store": in_json(&self.store), "layers": layers }),
        )?;

        if self.job.json { print_json(&done.report) } else { print(&done.report.summary()) }
    }
}
