//! `ccs eval`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

use ccs_report::{AnswerScore, Difference, Evaluation};
use ccs_trainer::StoreSource;
use ccs_trainer::{EvalOptions, EvalReport, eval, method, tokens_of};
use clap::Args;

use super::output::{numbers, in_auroc, print, print_json};

const EXAMPLES: &str = "\
The probes are applied as they were fitted, with the normalization, sign and layer of the run's training rows. The \
store must be of the run's model, with the same hook in_auroc and token rule. Rows of passages that trained the probes are \
left out. Intervals resample passages. Beside each probe: random directions at its layer, and how much better it is \
than these and than the model's own answer on the same rows.

Examples:
  ccs eval boolq/run imdb/store
  ccs eval boolq/run imdb/store --method ccs --layer 12
  ccs eval boolq/run imdb/store --reestimate
  ccs eval boolq/run imdb/store --json | jq .probes.ccs.test.auroc";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Eval {
    /// The run, from `ccs fit`.
    run: PathBuf,
    /// The store to evaluate its probes on, from `llama-ccs extract`.
    store: PathBuf,
    /// Methods, separated by commas [default: every method whose layer the run chose].
    #[arg(long, value_delimiter = ',', value_name = "METHODS")]
    method: Option<Vec<String>>,
    /// The layer [default: the one that the run chose, method by method].
    #[arg(long)]
    layer: Option<usize>,
    /// Also evaluate every probe with means and scales of the evaluated rows (transductive), as
    /// `METHOD_reestimated`.
    #[arg(long)]
    reestimate: bool,
    /// Keep rows of passages that trained the probes; without it they are counted and left out.
    #[arg(long)]
    keep_trained: bool,
    /// What of an answer's log-probability zero-shot goes by: sum, of the whole answer, or mean, over its tokens
    /// [default: what the run went by]
    #[arg(long, value_name = "SCORE")]
    zero_shot: Option<AnswerScore>,
    /// Where to compute: cpu, cuda or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub(crate) fn run(self) -> Result<(), Box<dyn Error>> {
        let parse =
            |names: &Vec<String>| names.iter().map(|name| method::parse(name)).collect::<Result<Vec<_>, _>>();
        let options = EvalOptions {
            methods: self.method.as_ref().map(parse).transpose()?,
            layer: self.layer,
            reestimate: self.reestimate,
            keep_trained: self.keep_trained,
            zero_shot: self.zero_shot,
            device: torch_runtime::open(&self.device)?,
        };
        let source = match StoreSource::open_at(&self.store, &tokens_of(&self.run, &options)?) {
            Err(ccs_trainer::Error::TokenRule { rule, known }) => {
                return Err(other_tokens(&rule, &known).into());
            }
            other => other?,
        };
        let found = eval(&self.run, &source, &options)?;
        if self.json { print_json(&found) } else { print(&table(&found)) }
    }
}

/// The run reads other tokens than the store has; the run cannot be asked for others.
fn other_tokens(rule: &str, known: &[String]) -> ccs_trainer::Error {
    let found = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let (data, other) = ("the store".to_owned(), format!("the probe's is {rule}"));
    ccs_trainer::Error::OtherStates { data, what: "the token rule", found, other }
}

fn table(found: &EvalReport) -> String {
    let answers = [("zero_shot", &found.zero_shot), ("calibrated_zero_shot", &found.calibrated_zero_shot)];
    let answers = answers.into_iter().filter_map(|(name, test)| Some((name, test.as_ref()?)));
    let answers: Vec<(&str, &Evaluation)> = answers.collect();
    let names = found.probes.keys().map(String::as_str).chain(answers.iter().map(|answer| answer.0));
    let widest = names.map(str::len).max().unwrap_or_default().max("majority".len());
    let mut text = String::new();
    let mut row = |cells: [&str; 7]| {
        let [name, layer, accuracy, auroc, random, over_random, over_zero_shot] = cells;
        let line = format!(
            "{name:<widest$}  {layer:>5}  {accuracy:<21}  {auroc:<21}  {random:<22}  {over_random:<24}  {over_zero_shot}"
        );
        let _ = writeln!(text, "{}", line.trim_end());
    };
    let with_answers = found.zero_shot.is_some();
    let over_answers = if with_answers { "AUROC minus zero_shot" } else { "" };
    row(["", "layer", "accuracy [95%]", "AUROC [95%]", "random [95%]", "AUROC minus random", over_answers]);
    for (name, evaluated) in &found.probes {
        let (accuracy, auroc) = numbers(&evaluated.test);
        let band = evaluated.random.as_ref().map(|random| numbers(random).1).unwrap_or_default();
        let over = |difference: &Option<Difference>| {
            difference.as_ref().map(in_auroc).unwrap_or_default()
        };
        let (random, zero_shot) = (over(&evaluated.over_random), over(&evaluated.over_zero_shot));
        row([name, &evaluated.layer.to_string(), &accuracy, &auroc, &band, &random, &zero_shot]);
    }
    for (name, test) in answers {
        let (accuracy, auroc) = numbers(test);
        row([name, "", &accuracy, &auroc, "", "", ""]);
    }
    row(["majority", "", &format!("{:.3}", found.majority), "", "", "", ""]);
    text += &about_rows(found);
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// Which rows these are, and what a reader must know of them.
fn about_rows(found: &EvalReport) -> String {
    let mut text = String::new();
    let (rows, groups, positives) = (found.rows, found.groups, found.positives);
    let _ = writeln!(
        text,
        "\n{rows} rows in {groups} groups (passages), {positives} of them true. Differences are paired, in in_auroc of accuracy [95 %]."
    );
    let own = found.probes.values().filter(|evaluated| !evaluated.reestimated);
    let own: Vec<String> = own
        .filter_map(|evaluated| Some(format!("{} {}", evaluated.method, numbers(evaluated.own.as_ref()?).0)))
        .collect();
    if !own.is_empty() {
        let _ = writeln!(text, "accuracy on the run's own test rows: {}", own.join(", "));
    }
    if found.trained_rows > 0 {
        let trained = found.trained_rows;
        let all = if found.trained_kept { rows } else { trained + rows };
        let what = if found.trained_kept {
            "kept, because of --keep-trained: they flatter the probes"
        } else {
            "left out: the probes have seen them (--keep-trained keeps them)"
        };
        let _ = writeln!(
            text,
            "{trained} of the store's {all} rows are of passages that the probes were trained on, {what}"
        );
    }
    if let Some(score) = found.zero_shot_score {
        let _ = writeln!(text, "zero-shot goes by {}", score.describe());
    }
    text
}
