//! `ccs sweep`.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use ccs_report::{Against, Evaluation, Report};
use ccs_trainer::StoreSource;
use ccs_trainer::{Dataset, Event, Pooled, RunControl, Source as _};
use clap::Args;
use host::program::Signals;
use serde_json::json;

use super::advice::Stopped;
use super::job::{Job, progress};
use super::output::{cells, damaged, in_auroc, print, print_json};

const EXAMPLES: &str = "\
Every store is fitted by itself, then all of them together; each one's probes, at the layer chosen on its own training \
rows, are evaluated on the test rows of the others. The sides of the split are decided once for all stores: a passage trains \
in all of them or tests in all of them. The folder is the run of all stores, with the matrix in its report and \
in transfer.csv; the single runs are in DIR/runs.

Examples:
  ccs sweep boolq/store imdb/store --out sweep
  ccs sweep plain=boolq/store misled=boolq-prefix/store --out sweep --methods ccs,lr --layers 8-24
  ccs sweep stores/* --out sweep --json | jq '.transfer.ccs.cells[0][1].accuracy'
  ccs eval sweep/runs/boolq other/store";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Sweep {
    /// Two or more stores of one model; NAME=STORE says what to call one [default: its data set, else its folder].
    #[arg(required = true, value_name = "[NAME=]STORE")]
    stores: Vec<String>,
    #[command(flatten)]
    job: Job,
}

impl Sweep {
    pub(crate) fn run(self, signals: &Signals) -> Result<(), Box<dyn Error>> {
        let started = self.job.begin()?;
        let mut stores = Vec::new();
        for text in &self.stores {
            let (name, path) = split(text);
            stores.push((name, path, StoreSource::open_at(path, &self.job.tokens)?));
        }
        let answers = stores.iter().all(|(.., source)| source.rows().answer_logprob.is_some());
        let settings = self.job.settings(answers)?;
        let names = names(&stores);
        let datasets: Vec<Dataset<'_>> =
            names.iter().zip(&stores).map(|(name, (.., source))| Dataset { name, source }).collect();
        let layers = Pooled::new(&datasets, &settings.layers)?.layers().len();
        let compute = self.job.compute()?;

        let bar = progress(layers * (datasets.len() + 1));
        let observe = |event: Event<'_>| match event {
            Event::Layer { dataset, layer } => {
                bar.message(&format!("{}: {}", dataset.unwrap_or_default(), layer.hook));
                bar.step();
            }
            Event::Damaged { path } => bar.warn(&damaged(path)),
            _ => {}
        };
        let control = RunControl { stop: Some(signals.drains()), observer: Some(&observe) };
        let sweep = ccs_trainer::Sweep::new(&datasets).settings(settings).compute(compute).control(control);
        let done = self.job.reserve().and_then(|out| sweep.run_to(out));
        bar.clear();
        let report = Stopped::or_finished(done?)?;
        let layers = report.layers.len();
        self.job.log(&started, json!({ "command": "ccs sweep", "stores": self.stores, "layers": layers }))?;
        if self.job.json { print_json(&report) } else { print(&table(&report)) }
    }
}

/// `NAME=STORE`, or a path, which may hold `=` in a folder's name below.
fn split(text: &str) -> (Option<&str>, &Path) {
    match text.split_once('=') {
        Some((name, path))
            if !name.is_empty() && !name.contains(['/', '\\']) && !Path::new(text).exists() =>
        {
            (Some(name), Path::new(path))
        }
        _ => (None, Path::new(text)),
    }
}

/// How a store may be named.
type Naming<'a> = &'a dyn Fn(&Path, &StoreSource) -> Option<String>;

/// What to call each store: as asked; else all by their data sets, by their folders or by number, the first of these
/// that tells them apart. Fit to be a folder's name.
fn names(stores: &[(Option<&str>, &Path, StoreSource)]) -> Vec<String> {
    let plain = |text: &str| -> String {
        let keep = |c: char| if c.is_alphanumeric() || "-_.,+".contains(c) { c } else { '_' };
        text.chars().map(keep).collect::<String>().trim_start_matches('.').to_owned()
    };
    let last = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let parent = |path: &Path| last(path.parent()?);
    let ways: [Naming<'_>; 3] =
        [&|_, source| source.dataset(), &|path, _| last(path), &|path, _| parent(path)];
    for way in ways {
        let all = stores.iter().map(|(name, path, source)| {
            let found = name.map(str::to_owned).or_else(|| way(path, source))?;
            Some(plain(&found)).filter(|name| !name.is_empty())
        });
        let Some(all) = all.collect::<Option<Vec<String>>>() else { continue };
        if BTreeSet::from_iter(&all).len() == all.len() {
            return all;
        }
    }
    let number = |(at, (name, ..)): (usize, &(Option<&str>, &Path, StoreSource))| {
        name.map_or_else(|| format!("store_{}", at + 1), plain)
    };
    stores.iter().enumerate().map(number).collect()
}

/// For each method a matrix of accuracies, and what the cells are compared with.
fn table(report: &Report) -> String {
    let mut text = String::new();
    for (method, transfer) in &report.transfer {
        let widest = transfer.datasets.iter().map(String::len).max().unwrap_or_default().max(9);
        let widest =
            widest.max(report.transfer_answers.keys().map(|m| m.name().len()).max().unwrap_or_default());
        let mut line = |head: &str, layer: &str, width: usize, of: &mut dyn Iterator<Item = String>| {
            let line = format!("{head:<widest$}  {layer:>5}{}", cells(width, of));
            let _ = writeln!(text, "{}", line.trim_end());
        };
        let heads = || transfer.datasets.iter().cloned();
        let number = |layer: &Option<usize>| layer.map_or_else(|| "-".to_owned(), |layer| layer.to_string());
        let share = |test: &Option<Evaluation>| {
            test.as_ref().map_or_else(|| "-".to_owned(), |test| format!("{:.3}", test.accuracy))
        };
        line(
            &format!("{}: accuracy by evaluation data (across)", report.title(*method)),
            "",
            0,
            &mut std::iter::empty(),
        );
        line("fitted on", "layer", widest, &mut heads());
        let rows = || transfer.datasets.iter().zip(&transfer.layers);
        for ((name, layer), tests) in rows().zip(&transfer.cells) {
            line(name, &number(layer), widest, &mut tests.iter().map(share));
        }
        for (answer, tests) in &report.transfer_answers {
            line(answer.name(), "", widest, &mut tests.iter().map(share));
        }
        for (what, of) in AGAINST {
            let shown: Vec<Vec<String>> = transfer
                .against
                .iter()
                .map(|row| row.iter().map(|cell| of(cell.as_ref()?)).map(Option::unwrap_or_default).collect())
                .collect();
            if shown.iter().flatten().all(String::is_empty) {
                continue;
            }
            line("", "", 0, &mut std::iter::empty());
            line(&format!("{what}:"), "", 0, &mut std::iter::empty());
            let width = shown.iter().flatten().map(String::len).max().unwrap_or_default().max(widest);
            line("fitted on", "layer", width, &mut heads());
            for ((name, layer), row) in rows().zip(&shown) {
                line(name, &number(layer), width, &mut row.iter().cloned());
            }
        }
        text.push('\n');
    }
    let _ = writeln!(text, "all of them together:\n");
    text + &report.summary()
}

/// Something that a cell is compared with, and how it is shown.
type Compared = (&'static str, fn(&Against) -> Option<String>);

const AGAINST: [Compared; 3] = [
    ("AUROC minus that of the probe fitted there, paired [95%]", |cell| {
        cell.over_own.as_ref().map(in_auroc)
    }),
    ("AUROC minus that of the model's own answers (zero_shot), paired [95%]", |cell| {
        cell.over_zero_shot.as_ref().map(in_auroc)
    }),
    ("AUROC of the central 95% of random directions, signed by the rows that trained the probe", |cell| {
        let [low, high] = cell.random.as_ref()?.auroc_ci?;
        Some(format!("{low:.3} to {high:.3}"))
    }),
];
