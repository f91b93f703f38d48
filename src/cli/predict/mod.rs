//! `llama-ccs predict`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgGroup;
use host::program::{Hinted, Signals};
use llama_ccs::boolq::{
    self, ContrastPair, Dataset, KeepColumns, Kind, Question, Selection, Template, TokenizedPair,
};
use llama_ccs::ccs_report::{AnswerScore, Evaluation, Method};
use llama_ccs::ccs_trainer::{self, Fitted};
use llama_ccs::llama_core::{Checkpoint, IdentityCache, Kernels, Precision, Tokenizer};
use llama_ccs::torch_runtime::program::Processes;
use llama_ccs::{
    Chat, Extraction, Mismatch, Origin, PairTokenizer, PredictOptions, check_predictable, tokenize_all,
    torch_runtime,
};

mod shown;

use shown::{as_json, table};

use super::chat::warn_of_another;
use super::data::Columns;
use super::together::{TogetherArgs, predicted};
use super::values::{AnyError, kernels, precision, tokenizer};
use super::{named, output};

/// Characters shown of a question in the table.
const SHOWN: usize = 72;

#[derive(clap::Args, Debug)]
#[command(
    group = ArgGroup::new("questions").required(true).args(["data", "prompts", "statements"]),
    after_help = "\
Examples:
  llama-ccs predict --run run --model llama-7b --data boolq/dev.jsonl --offset 2000 --limit 100
  llama-ccs predict --run run --model llama-7b --prompts new-prompts.csv --json
  llama-ccs predict --run run --model llama-7b --method lr --template statement 'Oslo is in Norway.'
  llama-ccs predict --run run --model llama-7b --data claims.csv --text claim \\
    --label verdict --positive SUPPORTS
  llama-ccs predict --run run --model llama-7b --passage 'The cup is red.' 'is the cup red'

p(true) is the probability that the positive answer is right. It is calibrated by Platt scaling, σ(a·score + b); a and b \
were fitted on training rows of the run that were held out, and are saved with the probe. The score is the probe's own \
number: ½(p⁺ + 1 − p⁻) for ccs, a logit for lr, a projection without a fixed scale for tpc and methods like it. The score \
decides what is predicted true, as in the run's report. If a probe was not calibrated, p(true) is its own probability, or \
`-` where its scores are not probabilities. zero-shot is the model's own answer, from the log-probabilities of the two \
whole answers. Accuracies leave out rows of passages that the probe was trained on, as in `ccs eval`; their intervals \
take groups (passages), not rows, for independent.

The model must be the one that the run's store was extracted from; another is refused.")]
pub(crate) struct Args {
    /// The run whose probe to use: a folder of `ccs fit`.
    #[arg(long, value_name = "RUN")]
    run: PathBuf,
    /// The model that the run's store was extracted from, as a path or a name.
    #[arg(long, value_name = "PATH|NAME")]
    model: PathBuf,
    /// The tokenizer, if it is neither in the model's folder nor beside it.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Labeled questions or statements, as for `llama-ccs prompts`.
    #[arg(long, value_name = "FILE|NAME")]
    data: Option<PathBuf>,
    #[command(flatten)]
    columns: Columns,
    /// Prompts from `llama-ccs prompts`.
    #[arg(long, value_name = "CSV")]
    prompts: Option<PathBuf>,
    /// Statements; with --passage, questions about it.
    #[arg(value_name = "STATEMENT")]
    statements: Vec<String>,
    /// The text that the questions on the command line are about.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["prompts", "data"])]
    passage: Option<String>,
    /// The template for the questions: the name of one of the run's, a built-in one, a Jinja file, or FILE.yaml:NAME
    /// [default: the run's, if it has one].
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "prompts")]
    template: Option<String>,
    /// Questions of --data to skip at the start.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with_all = ["prompts", "statements"])]
    offset: usize,
    /// The most questions of --data to use.
    #[arg(long, value_name = "N", conflicts_with_all = ["prompts", "statements"])]
    limit: Option<usize>,
    /// The probe's method: ccs, lr, or another that the run fitted.
    #[arg(long, default_value = "ccs", value_parser = method)]
    method: Method,
    /// The probe's layer [default: the one that the run chose for the method].
    #[arg(long, value_name = "N")]
    layer: Option<usize>,
    /// What the model computes in: f32, bf16, mixed, or f64 [default: what the run's states were computed in].
    #[arg(long, value_name = "TYPE", value_parser = precision)]
    dtype: Option<Precision>,
    /// The kernels that compute it, as for `extract` [default: those of the run's states].
    #[arg(long, value_name = "KERNELS", value_parser = kernels)]
    kernels: Option<Kernels>,
    /// Where to compute: cpu, cuda, or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// The most tokens in a batch, padding included.
    #[arg(long, value_name = "TOKENS", default_value_t = Extraction::BATCH_TOKENS)]
    batch_tokens: usize,
    /// Count rows of passages that trained the probe in the accuracies. Otherwise they are predicted, but not counted.
    #[arg(long)]
    keep_trained: bool,
    /// Which log-probability of an answer zero-shot compares: sum (of the whole answer) or mean (over its tokens)
    /// [default: as in the run].
    #[arg(long, value_name = "SCORE")]
    zero_shot: Option<AnswerScore>,
    /// Use the probe even if the model is not the one that it was fitted on.
    #[arg(long)]
    any_model: bool,
    #[command(flatten)]
    pub(super) together: TogetherArgs,
}

/// What is asked, with a text for the table and whether the labels mean something.
struct Asked {
    pairs: Vec<TokenizedPair>,
    texts: Vec<String>,
    labeled: bool,
    /// The template has the run's name and another text.
    other_text: Option<Mismatch>,
}

/// How often the probe and the model's own answer are right.
struct Accuracy {
    probe: Evaluation,
    zero_shot: Evaluation,
    /// Which rows are counted.
    rows: Vec<bool>,
}

impl Accuracy {
    fn counted(&self) -> usize {
        self.rows.iter().filter(|&&counted| counted).count()
    }
}

impl Args {
    pub(crate) fn run(&self, json: bool, signals: &Signals) -> Result<ExitCode, AnyError> {
        self.together.run(signals, |processes| self.predict(json, processes))
    }

    fn predict(&self, json: bool, processes: &Processes) -> Result<ExitCode, AnyError> {
        let device = torch_runtime::open(&processes.device(&self.device))?;
        let fitted = Fitted::open(&self.run, self.method, self.layer)?;
        check_predictable(&fitted)?;
        let checkpoint = Checkpoint::open(named::model(&self.model)?)?;
        let tokenizer = tokenizer(self.tokenizer.as_ref(), Some(&checkpoint))?;
        let asked = self.asked(&fitted, &tokenizer)?;
        let options = PredictOptions {
            precision: self.dtype,
            kernels: self.kernels,
            device,
            batch_tokens: self.batch_tokens,
            zero_shot: self.zero_shot,
            any_model: self.any_model,
            identities: IdentityCache::of_user(),
        };
        let bar = processes.is_first().then(|| output::progress(asked.pairs.len(), "predicting"));
        let mut progress = |done: usize, _| {
            if let Some(bar) = &bar {
                bar.set(done);
            }
        };
        let of = (&fitted, &checkpoint, &tokenizer);
        let found = predicted(processes, of, &asked.pairs, &options, &mut progress);
        if let Some(bar) = &bar {
            bar.clear();
        }
        let mut found = found?;
        if !processes.is_first() {
            return Ok(ExitCode::SUCCESS);
        }

        found.warnings.extend(asked.other_text.clone());
        found.warnings.iter().for_each(output::warn);
        if asked.labeled && found.trained_on() > 0 {
            let what =
                if self.keep_trained { "accuracy on those says little" } else { "left out of accuracies" };
            output::warn(&format!(
                "{} of {} rows are of passages that the probe was trained on: {what}",
                found.trained_on(),
                found.rows.len()
            ));
        }
        let accuracy = if asked.labeled {
            found.evaluate(&asked.pairs, self.keep_trained)?.map(|(probe, zero_shot)| Accuracy {
                probe,
                zero_shot,
                rows: found.rows.iter().map(|row| self.keep_trained || !row.trained_on).collect(),
            })
        } else {
            None
        };
        if json {
            output::json(&as_json(&fitted, &asked, &found, accuracy.as_ref()))?;
        } else {
            table(&fitted, &asked, &found, accuracy.as_ref())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn asked(&self, fitted: &Fitted, tokenizer: &Tokenizer) -> Result<Asked, AnyError> {
        if let Some(path) = &self.prompts {
            let prompts = boolq::prompts::read(path)?;
            prompts.warnings.iter().for_each(output::warn);
            let pairs = tokenize_all(prompts.pairs, tokenizer)?;
            let texts = pairs.iter().map(|p| before_answer(&p.pair)).collect();
            return Ok(Asked { pairs, texts, labeled: true, other_text: None });
        }
        let origin = Origin::of(fitted);
        let template = self.template(&origin)?;
        let mut chat = origin.chat.as_ref().map(Chat::from_record).transpose()?;
        let record = origin.chat.as_ref();
        warn_of_another(
            record.and_then(|chat| chat.identity.as_deref()),
            record.and_then(|chat| chat.name.as_deref()),
            tokenizer,
        );
        let other_text = origin.other_text(&template);
        let Some(path) = &self.data else {
            return Ok(Asked { other_text, ..self.statements(&template, chat.as_mut(), tokenizer)? });
        };
        let data = self.columns.load(path, std::slice::from_ref(&template), 0, KeepColumns::Nothing)?;
        let mut made = boolq::pairs(&data, &template)?;
        if let Some(chat) = &mut chat {
            made.pairs = chat.pairs(&made.pairs)?;
        }
        let selection =
            Selection { offset: self.offset, limit: self.limit, max_seq_len: None, balance: None };
        let selected = boolq::select(&made.pairs, &PairTokenizer(tokenizer), &selection)?;
        [&data.warnings, &made.warnings, &selected.warnings].into_iter().flatten().for_each(output::warn);
        if data.unlabeled > 0 {
            output::warn(&format!("{} rows have no label and were left out", data.unlabeled));
        }
        for dropped in &selected.dropped {
            output::warn(&format!("left out idx {}: {}", dropped.idx, dropped.reason));
        }
        let text = |p: &TokenizedPair| {
            let question = data.questions.iter().find(|q| q.row == p.pair.idx);
            question.map_or_else(String::new, |q| q.question.clone())
        };
        let texts = selected.examples.iter().map(text).collect();
        Ok(Asked { pairs: selected.examples, texts, labeled: true, other_text })
    }

    /// The template asked for: one of the run's by its name, else as `--template` of `prompts` has it; or the run's only
    /// one.
    fn template(&self, origin: &Origin) -> Result<Template, AnyError> {
        let Some(spec) = &self.template else { return Ok(origin.template(None)?) };
        if let Ok(own) = origin.template(Some(spec)) {
            return Ok(own);
        }
        let mut templates = Template::resolve(spec)?;
        match templates.len() {
            1 => Ok(templates.remove(0)),
            several => {
                let hint = format!("give one of them: {spec}:NAME");
                Err(Hinted::new(format!("{spec} holds {several} templates"), hint).into())
            }
        }
    }

    /// The statements or questions of the command line, whichever the template is for; their labels mean nothing.
    fn statements(
        &self,
        template: &Template,
        chat: Option<&mut Chat>,
        tokenizer: &Tokenizer,
    ) -> Result<Asked, AnyError> {
        let data = |kind: Kind| {
            let question = |(row, text): (usize, &String)| Question {
                row: row as u64,
                question_id: row.to_string(),
                passage: self.passage.clone(),
                question: text.clone(),
                title: None,
                subject: None,
                answer: true,
            };
            Dataset::new("command line", kind, self.statements.iter().enumerate().map(question).collect())
        };
        let made = if self.passage.is_some() {
            boolq::pairs(&data(Kind::Questions), template)
        } else {
            boolq::pairs(&data(Kind::Statements), template)
                .or_else(|_| boolq::pairs(&data(Kind::Questions), template))
        };
        let mut made = made.map_err(|e| -> AnyError {
            if self.passage.is_some() {
                return e.into();
            }
            let hint =
                "the template needs more than a statement; give --passage TEXT, or --template statement";
            Hinted::new(e.to_string(), hint).into()
        })?;
        if let Some(chat) = chat {
            made.pairs = chat.pairs(&made.pairs)?;
        }
        let pairs = tokenize_all(made.pairs, tokenizer)?;
        Ok(Asked { pairs, texts: self.statements.clone(), labeled: false, other_text: None })
    }
}

/// `--method`.
fn method(name: &str) -> Result<Method, ccs_trainer::Error> {
    ccs_trainer::method::parse(name)
}

/// The end of the text before the answer: in most templates the question.
fn before_answer(pair: &ContrastPair) -> String {
    let words: Vec<&str> =
        pair.plus_prompt.get(..pair.answers.plus.start).unwrap_or_default().split_whitespace().collect();
    let text = words.join(" ");
    let cut = text.chars().count().saturating_sub(SHOWN);
    if cut == 0 { text } else { format!("…{}", text.chars().skip(cut + 1).collect::<String>()) }
}
