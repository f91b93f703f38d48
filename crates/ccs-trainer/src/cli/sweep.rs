//! `ccs sweep`.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use ccs_report::{Against, Evaluation, Method, Report, RowKind, Transfer};
use ccs_trainer::StoreSource;
use ccs_trainer::{Dataset, Event, Pooled, RunControl, Source as _};
use clap::Args;
use host::program::{Bar, Signals};
use serde_json::json;
use torch_runtime::program::{Processes, RankArgs};

use super::advice::Stopped;
use super::job::{Job, progress};
use super::output::{cells, damaged, in_auroc, print, print_json};

const EXAMPLES: &str = "\
Every store is fitted alone, then all of them together. Each one's probes, at the layers chosen on its own training \
rows, are evaluated on the test rows of the others. With three or more stores, every store is also evaluated with probes \
that were fitted on all the others together. The split is decided once for all stores: a passage trains in all of them \
or tests in all of them. The folder is the run of all stores together, with the transfer matrix in its report and in \
transfer.csv; the other runs are in DIR/runs.

Examples:
  ccs sweep boolq/store imdb/store --out sweep
  ccs sweep plain=boolq/store misled=boolq-prefix/store --out sweep --methods ccs,lr --layers 8-24
  ccs sweep stores/* --out sweep --json | jq '.transfer.ccs.cells[0][1].accuracy'
  ccs eval sweep/runs/boolq other/store";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Sweep {
    /// Two or more stores of one model. NAME=STORE names one [default: its data set, else its folder].
    #[arg(required = true, value_name = "[NAME=]STORE")]
    stores: Vec<String>,
    #[command(flatten)]
    job: Job,
    #[command(flatten)]
    ranks: RankArgs,
}

impl Sweep {
    pub(crate) fn run(self, signals: &Signals) -> Result<ExitCode, Box<dyn Error>> {
        self.ranks.run(signals, |processes| self.sweep(signals, processes).map(|()| ExitCode::SUCCESS))
    }

    fn sweep(&self, signals: &Signals, processes: &Processes) -> Result<(), Box<dyn Error>> {
        let started = self.job.begin(processes)?;
        let mut stores = Vec::new();
        for text in &self.stores {
            let (name, path) = split(text);
            stores.push((name, path, StoreSource::open_at(path, &self.job.tokens)?));
        }
        let answers = stores.iter().all(|(.., source)| source.rows().answer_logprob.is_some());
        let rows = stores.first().map_or_else(RowKind::default, |(.., source)| source.kind());
        let settings = self.job.settings(rows, answers)?;
        let names = names(&stores);
        let datasets: Vec<Dataset<'_>> =
            names.iter().zip(&stores).map(|(name, (.., source))| Dataset { name, source }).collect();
        let layers = Pooled::new(&datasets, &settings.layers)?.layers().len();
        let compute = self.job.compute(processes)?;

        let sweep = ccs_trainer::Sweep::new(&datasets).settings(settings).compute(compute);
        let bar = progress(processes, layers * sweep.fits());
        let observe = |event: Event<'_>| bar.iter().for_each(|bar| show(bar, event));
        let control = RunControl { stop: Some(signals.drains()), observer: Some(&observe) };
        let sweep = sweep.control(control);
        #[cfg(feature = "distributed")]
        let sweep = processes.ranks().map_or(sweep.clone(), |ranks| sweep.among(ranks));
        #[cfg(feature = "distributed")]
        if !processes.is_first() {
            return Ok(Stopped::or_finished(sweep.help()?)?);
        }
        let done = self.job.reserve().and_then(|out| sweep.run_to(out));
        bar.iter().for_each(Bar::clear);
        let report = Stopped::or_finished(done?)?;
        let layers = report.layers.len();
        self.job.log(&started, json!({ "command": "ccs sweep", "stores": self.stores, "layers": layers }))?;
        if self.job.json { print_json(&report) } else { print(&table(&report)) }
    }
}

/// What a sweep does, on the bar.
fn show(bar: &Bar, event: Event<'_>) {
    match event {
        Event::Layer { dataset, layer } => {
            bar.message(&format!("{}: {}", dataset.unwrap_or_default(), layer.hook));
            bar.step();
        }
        Event::Damaged { path } => bar.warn(&damaged(path)),
        _ => {}
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
        let names = transfer.datasets.iter().map(String::as_str);
        let names =
            names.chain(report.transfer_answers.keys().map(Method::name)).chain(["fitted on", OTHERS]);
        let widest = names.map(str::len).max().unwrap_or_default();
        let _ = writeln!(text, "{}: accuracy by evaluation data (across)", report.title(*method));
        let share = |test: Option<&Evaluation>| {
            test.map_or_else(|| "-".to_owned(), |test| format!("{:.3}", test.accuracy))
        };
        let cells = transfer.cells.iter().map(|row| row.iter().map(|test| share(test.as_ref())).collect());
        let left_out = transfer.left_out.iter().map(|found| share(found.as_ref().map(|found| &found.test)));
        matrix(&mut text, transfer, [widest; 2], &cells.collect::<Vec<_>>(), &left_out.collect::<Vec<_>>());
        for (answer, tests) in &report.transfer_answers {
            line(&mut text, [widest; 2], answer.name(), "", tests.iter().map(|test| share(test.as_ref())));
        }
        for (what, of) in AGAINST {
            let shown = |against: Option<&Against>| against.and_then(of).unwrap_or_default();
            let cells =
                transfer.against.iter().map(|row| row.iter().map(|cell| shown(cell.as_ref())).collect());
            let cells: Vec<Vec<String>> = cells.collect();
            let left_out =
                transfer.left_out.iter().map(|found| shown(found.as_ref().map(|found| &found.against)));
            let left_out: Vec<String> = left_out.collect();
            let width = cells.iter().flatten().chain(&left_out).map(String::len).max().unwrap_or_default();
            if width > 0 {
                let _ = writeln!(text, "\n{what}:");
                matrix(&mut text, transfer, [widest, width.max(widest)], &cells, &left_out);
            }
        }
        text.push('\n');
    }
    let _ = writeln!(text, "all of them together:\n");
    text + &report.summary()
}

/// A matrix with its head, a line a data set that a probe was fitted on.
fn matrix(
    text: &mut String,
    transfer: &Transfer,
    widths: [usize; 2],
    cells: &[Vec<String>],
    left_out: &[String],
) {
    line(text, widths, "fitted on", "layer", transfer.datasets.iter().cloned());
    for ((name, layer), row) in transfer.datasets.iter().zip(&transfer.layers).zip(cells) {
        let layer = layer.map_or_else(|| "-".to_owned(), |layer| layer.to_string());
        line(text, widths, name, &layer, row.iter().cloned());
    }
    if left_out.iter().any(|cell| !cell.is_empty()) {
        line(text, widths, OTHERS, "", left_out.iter().cloned());
    }
}

fn line(
    text: &mut String,
    [widest, width]: [usize; 2],
    head: &str,
    layer: &str,
    of: impl Iterator<Item = String>,
) {
    let line = format!("{head:<widest$}  {layer:>5}{}", cells(width, of));
    let _ = writeln!(text, "{}", line.trim_end());
}

/// The row of the probes that were fitted on all data sets but the evaluated one; each has a layer of its own.
const OTHERS: &str = "all others";

/// Something that a cell is compared with, and how it is shown.
type Compared = (&'static str, fn(&Against) -> Option<String>);

const AGAINST: [Compared; 3] = [
    ("AUROC minus that of the probe fitted there, paired [95%]", |cell| cell.over_own.as_ref().map(in_auroc)),
    ("AUROC minus that of the model's own answers (zero_shot), paired [95%]", |cell| {
        cell.over_zero_shot.as_ref().map(in_auroc)
    }),
    ("AUROC of the central 95% of random directions, signed by the rows that trained the probe", |cell| {
        let [low, high] = cell.random.as_ref()?.auroc_ci?;
        Some(format!("{low:.3} to {high:.3}"))
    }),
];
