//! `ccs eval`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use ccs::Method;
use ccs::run::{EvalOptions, EvalReport, eval, tokens_of};
use ccs::store::StoreSource;
use clap::Args;

use super::output::{numbers, print, print_json};

const EXAMPLES: &str = "\
The probes are applied as they were fitted, with the normalisation, sign and layer of the run's training rows. The \
store must be of the run's model, with the same hook points and token rule. Intervals resample passages.

Examples:
  ccs eval boolq/run imdb/store
  ccs eval boolq/run imdb/store --method ccs --layer 12
  ccs eval boolq/run imdb/store --reestimate
  ccs eval boolq/run imdb/store --json | jq .probes.ccs.test.auroc";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Eval {
    /// The run, from `ccs fit`.
    run: PathBuf,
    /// The store to judge its probes on, from `llama-ccs extract`.
    store: PathBuf,
    /// Methods, separated by commas [default: every method whose layer the run chose].
    #[arg(long, value_delimiter = ',', value_name = "METHODS")]
    method: Option<Vec<String>>,
    /// The layer [default: the one that the run chose, method by method].
    #[arg(long)]
    layer: Option<usize>,
    /// Also judge every probe with means and scales taken from the rows it is judged on (transductive), as
    /// `METHOD_reestimated`.
    #[arg(long)]
    reestimate: bool,
    /// Keep rows of passages that trained the probes; without it they are counted and left out.
    #[arg(long)]
    keep_trained: bool,
    /// Where to compute: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub(super) fn run(self) -> Result<(), Box<dyn Error>> {
        let parse = |names: &Vec<String>| names.iter().map(|name| name.parse::<Method>()).collect();
        let options = EvalOptions {
            methods: self.method.as_ref().map(parse).transpose()?,
            layer: self.layer,
            reestimate: self.reestimate,
            keep_trained: self.keep_trained,
            device: torch_runtime::open(&self.device)?,
        };
        let source = match StoreSource::open_at(&self.store, &tokens_of(&self.run, &options)?) {
            Err(ccs::Error::TokenRule { rule, known }) => return Err(other_tokens(&rule, &known).into()),
            other => other?,
        };
        let found = eval(&self.run, &source, &options)?;
        if self.json { print_json(&found) } else { print(table(&found).as_bytes()) }
    }
}

/// The run reads other tokens than the store has; the run cannot be asked for others.
fn other_tokens(rule: &str, known: &[String]) -> ccs::Error {
    let found = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let (place, other) = ("the store".to_owned(), format!("the probe's is {rule}"));
    ccs::Error::OtherStates { place, what: "the token rule", found, other }
}

fn table(found: &EvalReport) -> String {
    let widest = found.probes.keys().map(String::len).max().unwrap_or_default().max("zero_shot".len());
    let mut text = String::new();
    let mut row = |name: &str, layer: &str, accuracy: &str, auroc: &str, own: &str| {
        let line = format!("{name:<widest$}  {layer:>5}  {accuracy:<21}  {auroc:<21}  {own}");
        let _ = writeln!(text, "{}", line.trim_end());
    };
    row("", "layer", "accuracy", "AUROC", "on the run's own test rows");
    for (name, judged) in &found.probes {
        let (accuracy, auroc) = numbers(&judged.test);
        let own = judged.own.as_ref().filter(|_| !judged.reestimated).map(numbers);
        let own = own.map(|(accuracy, _)| accuracy).unwrap_or_default();
        row(name, &judged.layer.to_string(), &accuracy, &auroc, &own);
    }
    if let Some(test) = &found.zero_shot {
        let (accuracy, auroc) = numbers(test);
        row("zero_shot", "", &accuracy, &auroc, "");
    }
    row("majority", "", &format!("{:.3}", found.majority), "", "");
    let (rows, groups, positives) = (found.rows, found.groups, found.positives);
    let _ = writeln!(text, "\n{rows} rows in {groups} groups, {positives} of them true");
    if found.trained_rows > 0 {
        let what = if found.trained_kept { "kept: they flatter the probes" } else { "left out" };
        let _ = writeln!(
            text,
            "{} rows are of passages that the probes were trained on, {what}",
            found.trained_rows
        );
    }
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}
