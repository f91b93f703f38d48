//! `ccs eval`.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ccs_report::{AnswerScore, Difference, Estimate, Evaluation};
use ccs_trainer::StoreSource;
use ccs_trainer::{
    EvalOptions, EvalReport, EvaluatedProbe, Negated, Quirky, QuirkyReport, eval, eval_with_control, method,
    tokens_of,
};
use clap::Args;

use super::output::{estimate, in_auroc, numbers, print, print_json};

const EXAMPLES: &str = "\
The probes are applied as they were fitted, with the normalization, sign, and layer from the run's training rows. The \
store must be of the run's model, with the same hook points and token rule. Rows of passages that trained the probes are \
left out. Intervals take groups (passages), not rows, for independent. Each probe is compared with random directions at its \
layer and with the model's own answers, on the same rows.

Examples:
  ccs eval boolq/run imdb/store
  ccs eval boolq/run imdb/store --method ccs --layer 12
  ccs eval boolq/run imdb/store --reestimate
  ccs eval boolq/run imdb/store --control wiki/store
  ccs eval cities/run cities-and-negations/store --negated polarity=negated
  ccs eval alice/run quirky/store --speaker speaker --truthful Alice --untruthful Bob --truth truth
  ccs eval boolq/run imdb/store --json | jq .probes.ccs.test.auroc";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Eval {
    /// The run, from `ccs fit`.
    run: PathBuf,
    /// The store to evaluate its probes on, from `llama-ccs extract`.
    store: PathBuf,
    /// Methods, separated by commas [default: every method for which the run chose a layer].
    #[arg(long, value_delimiter = ',', value_name = "METHODS")]
    method: Option<Vec<String>>,
    /// The layer [default: the one that the run chose for each method].
    #[arg(long)]
    layer: Option<usize>,
    /// Also evaluate every probe with means and scales of the evaluated rows, as `METHOD_reestimated` (transductive).
    #[arg(long)]
    reestimate: bool,
    /// Keep rows of passages that trained the probes. Otherwise they are counted and left out.
    #[arg(long)]
    keep_trained: bool,
    /// Which log-probability of an answer zero-shot compares: sum (of the whole answer) or mean (over its tokens)
    /// [default: as in the run]
    #[arg(long, value_name = "SCORE")]
    zero_shot: Option<AnswerScore>,
    /// A store of unrelated text, of at least 100 rows, better 500. Also report recall: the share of true rows above
    /// the score that at most 1% of the unrelated rows exceed.
    #[arg(long, value_name = "STORE")]
    control: Option<PathBuf>,
    /// Which rows are negated, by a column of the data and its value (or several, by commas), or by the name of a data
    /// set [default: as in the run, or by a column such as `polarity`; both only where the store has it]
    #[arg(long, value_name = "[COLUMN=]VALUE", conflicts_with = "speaker")]
    negated: Option<Negated>,
    /// The columns, separated by commas, that a row and its negation share [default: as in the run, else what both have
    /// in common]
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS", conflicts_with = "speaker")]
    negated_by: Vec<String>,
    /// The column that says who speaks (quirky models): how much of the gap between the model's answers to two
    /// speakers the probes recover. For a run of `ccs fit --only COLUMN=TRUTHFUL`.
    #[arg(long, value_name = "COLUMN", requires = "truthful", requires = "untruthful", conflicts_with_all = ["control", "reestimate"])]
    speaker: Option<String>,
    /// The speaker to whom the model is truthful.
    #[arg(long, value_name = "VALUE", requires = "speaker")]
    truthful: Option<String>,
    /// The speaker to whom the model is not truthful; the probes are evaluated on these rows.
    #[arg(long, value_name = "VALUE", requires = "speaker")]
    untruthful: Option<String>,
    /// With --speaker, the column that says what is true [default: the store's labels].
    #[arg(long, value_name = "COLUMN", requires = "speaker")]
    truth: Option<String>,
    /// Where to compute: cpu, cuda, or cuda:N.
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
            negated: self.negated.clone(),
            negated_by: self.negated_by.clone(),
            device: torch_runtime::open(&self.device)?,
        };
        let tokens = tokens_of(&self.run, &options)?;
        let source = open(&self.store, "the store", &tokens)?;
        if let Some(quirky) = self.quirky() {
            let found = ccs_trainer::quirky(&self.run, &source, &quirky, &options)?;
            return if self.json { print_json(&found) } else { print(&gaps(&found, &quirky)) };
        }
        let found = match &self.control {
            Some(control) => {
                let control = open(control, "the control store", &tokens)?;
                eval_with_control(&self.run, &source, &control, &options)?
            }
            None => eval(&self.run, &source, &options)?,
        };
        if self.json { print_json(&found) } else { print(&table(&found)) }
    }
}

impl Eval {
    fn quirky(&self) -> Option<Quirky> {
        Some(Quirky {
            speaker: self.speaker.clone()?,
            truthful: self.truthful.clone()?,
            untruthful: self.untruthful.clone()?,
            truth: self.truth.clone(),
        })
    }
}

/// How much of the gap every probe recovers.
fn gaps(found: &QuirkyReport, quirky: &Quirky) -> String {
    let mut text = String::new();
    let widest =
        found.probes.keys().map(String::len).max().unwrap_or_default().max("the model, untruthful".len());
    let mut row = |cells: [&str; 4]| {
        let [name, layer, auroc, recovered] = cells;
        let line = format!("{name:<widest$}  {layer:>5}  {auroc:<21}  {recovered}");
        let _ = writeln!(text, "{}", line.trim_end());
    };
    row(["", "layer", "AUROC [95%]", "gap recovered [95%]"]);
    row(["the model, untruthful", "", &estimate(&found.floor), ""]);
    row(["the model, truthful", "", &estimate(&found.ceiling), ""]);
    for (name, probe) in &found.probes {
        let recovered = probe.gap_recovered.as_ref().map_or_else(|| "–".to_owned(), estimate);
        row([name, &probe.layer.to_string(), &estimate(&probe.auroc), &recovered]);
    }
    let (Quirky { speaker, truthful, untruthful, .. }, [judged, reliable]) = (quirky, found.rows);
    let _ = writeln!(
        text,
        "\n{judged} rows of {speaker} {untruthful} (probes are evaluated on these) and {reliable} of {truthful}, in {} groups (passages) that trained no probe",
        found.groups
    );
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// Opens a store at the tokens that the run reads; the run cannot be asked for others.
fn open(store: &Path, name: &str, tokens: &str) -> Result<StoreSource, ccs_trainer::Error> {
    StoreSource::open_at(store, tokens).map_err(|error| match error {
        ccs_trainer::Error::TokenRule { rule, known } => {
            let found = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let other = format!("the probe's is {rule}");
            ccs_trainer::Error::OtherStates { data: name.to_owned(), what: "the token rule", found, other }
        }
        other => other,
    })
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
    let own = found.probes.values().find_map(|evaluated| Some(evaluated.over_zero_shot.as_ref()?.second));
    let over_answers = own.map(|own| format!("AUROC minus {own}")).unwrap_or_default();
    row(["", "layer", "accuracy [95%]", "AUROC [95%]", "random [95%]", "AUROC minus random", &over_answers]);
    for (name, evaluated) in &found.probes {
        let (accuracy, auroc) = numbers(&evaluated.test);
        let band = evaluated.random.as_ref().map(|random| numbers(random).1).unwrap_or_default();
        let over = |difference: &Option<Difference>| difference.as_ref().map(in_auroc).unwrap_or_default();
        let (random, zero_shot) = (over(&evaluated.over_random), over(&evaluated.over_zero_shot));
        row([name, &evaluated.layer.to_string(), &accuracy, &auroc, &band, &random, &zero_shot]);
    }
    for (name, test) in answers {
        let (accuracy, auroc) = numbers(test);
        row([name, "", &accuracy, &auroc, "", "", ""]);
    }
    row(["majority", "", &format!("{:.3}", found.majority), "", "", "", ""]);
    text += &by_polarity(found, widest);
    text += &at_one_percent(found, widest);
    text += &about_rows(found);
    for note in &found.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// The rows of either polarity, where there are both.
fn by_polarity(found: &EvalReport, widest: usize) -> String {
    let mut text = String::new();
    let Some(polarity) = &found.polarity else { return text };
    let [affirmative, negated] = polarity.rows;
    let by_name = if polarity.by_name { ", found by its name" } else { "" };
    let _ = writeln!(
        text,
        "\n{affirmative} affirmative and {negated} negated rows (column {} is {}{by_name})",
        polarity.column,
        polarity.values.join(", ")
    );
    let mut row = |cells: [&str; 5]| {
        let [name, affirmative, negated, turned, right] = cells;
        let line = format!("{name:<widest$}  {affirmative:<21}  {negated:<21}  {turned:<21}  {right}");
        let _ = writeln!(text, "{}", line.trim_end());
    };
    let of = |probe: &EvaluatedProbe| probe.polarity.as_ref().and_then(|of| of.consistency.clone());
    let pairs = found.probes.values().find_map(of).map(|of| of.pairs);
    let beside = if pairs.is_some() { ["turn round [95%]", "both right [95%]"] } else { [""; 2] };
    row(["", "AUROC, affirmative", "AUROC, negated", beside[0], beside[1]]);
    for (name, evaluated) in &found.probes {
        let Some(of) = &evaluated.polarity else { continue };
        let [affirmative, negated] = [&of.affirmative, &of.negated].map(|on| numbers(&on.test).1);
        let [turned, right] = match &of.consistency {
            Some(of) => [estimate(&of.turned), estimate(&of.right)],
            None => [String::new(), String::new()],
        };
        row([name, &affirmative, &negated, &turned, &right]);
    }
    if let Some(pairs) = pairs {
        let _ = writeln!(
            text,
            "of {pairs} rows with their negations (which agree in {}): how often the decisions turn round, as the labels do, \
             and how often both are right",
            polarity.matched_by.join(", ")
        );
    }
    text
}

/// What is above the threshold that the control text sets, where there is one.
fn at_one_percent(found: &EvalReport, widest: usize) -> String {
    let mut text = String::new();
    let Some(control) = &found.control else { return text };
    let _ = writeln!(
        text,
        "\nabove the score that 1% of the control text exceeds ({} rows in {} groups)",
        control.rows, control.groups
    );
    let mut row = |cells: [&str; 5]| {
        let [name, threshold, recall, false_rows, control] = cells;
        let line = format!("{name:<widest$}  {threshold:>9}  {recall:<21}  {false_rows:<21}  {control}");
        let _ = writeln!(text, "{}", line.trim_end());
    };
    row(["", "threshold", "true rows [95%]", "false rows [95%]", "control rows"]);
    for (name, evaluated) in &found.probes {
        let Some(recall) = &evaluated.recall else { continue };
        let share = |share: &Option<Estimate>| share.as_ref().map_or_else(|| "–".to_owned(), estimate);
        let (threshold, above) = (format!("{:.3}", recall.threshold), recall.false_positives.to_string());
        row([name, &threshold, &share(&recall.true_rows), &share(&recall.false_rows), &above]);
    }
    if control.trained_rows > 0 {
        let trained = control.trained_rows;
        let _ = writeln!(
            text,
            "{trained} further control rows are of passages that the probes were trained on, left out"
        );
    }
    text
}

/// Which rows these are, and what a reader must know of them.
fn about_rows(found: &EvalReport) -> String {
    let mut text = String::new();
    let (rows, groups, positives) = (found.rows, found.groups, found.positives);
    let _ = writeln!(
        text,
        "\n{rows} rows in {groups} groups (passages), {positives} of them true. Differences are paired, with 95% intervals."
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
