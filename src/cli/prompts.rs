//! `llama-ccs prompts`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use host::files::in_json;
use host::program::Hinted;
use llama_ccs::boolq::{
    self, ContrastPair, Dataset, KeepColumns, Selected, Selection, Statement, Template, TokenizedPair,
    preview, preview_statement,
};
use llama_ccs::llama_core::Checkpoint;
use llama_ccs::{Chat, PairTokenizer};
use serde_json::json;

use super::chat::ChatArgs;
use super::data::Columns;
use super::values::{AnyError, tokenizer};
use super::{named, output, sidecar};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs prompts --data boolq/dev.jsonl --tokenizer tokenizer.model --out prompts.csv
  llama-ccs prompts --data dev.jsonl --model llama-7b --limit 1000 --balance --out prompts.csv
  llama-ccs prompts --data cities.csv --template statement --model llama-7b --out c.csv --preview 2

Single statements, each row as it is, without an answer:
  llama-ccs prompts --single --data cities.csv --model llama-7b --out statements.csv
  llama-ccs prompts --single --data cities.csv --template believe.jinja --model m --out s.csv

Data whose columns or classes have other names (the class names of a Parquet file are in its metadata):
  llama-ccs prompts --data claims.csv --text claim --label verdict --positive SUPPORTS \\
    --skip-unlabeled --template statement --model llama-7b --out claims-prompts.csv
  llama-ccs prompts --data rte.parquet --positive entailment --template rte.jinja \\
    --model llama-7b --out rte-prompts.csv

Two controls for `ccs`: the same questions with a blank passage, and with a misleading prefix:
  llama-ccs prompts --data dev.jsonl --model llama-7b --limit 1000 --out blank.csv --blank-passage
  llama-ccs prompts --data dev.jsonl --model llama-7b --limit 1000 --out misled.csv \\
    --prefix @misleading.txt
When all are extracted:
  ccs fit store --blank blank-store --out run
  ccs sweep store misled-store --out sweep

All ten BoolQ templates of promptsource; then two of them with the built-in one:
  llama-ccs prompts --data dev.jsonl --model llama-7b --out ten.csv --limit 200 \\
    --template super_glue_boolq.yaml
  llama-ccs prompts --data dev.jsonl --model llama-7b --out three.csv --template llama-ccs \\
    --template 'super_glue_boolq.yaml:GPT-3 Style' --template 'super_glue_boolq.yaml:I wonder...'

A Jinja file has the data's columns as variables, and the answer:
  {{ statement }} Is this statement true or false? {{ answer }}
Its first line may set the answers, plus first: {# answers: Yes | No #}

In promptsource's `input ||| target`, both parts are stripped. The prompt is the input, one space, and the target; the \
plus side is the choice for label 1. The CSV file has all templates of the first question, then all of the second. The \
rows of a question share idx, question_id, and group.")]
pub(crate) struct Args {
    /// BoolQ's JSONL, or any CSV, JSON, or Parquet file with a label (true/false, yes/no, 1/0, or --positive). It may
    /// be compressed with gzip or zstd. Or a data set on the Hugging Face hub, ORG/NAME[/CONFIG][:SPLIT], which is
    /// downloaded if it is not in the local cache.
    #[arg(long, value_name = "FILE|NAME")]
    data: PathBuf,
    #[command(flatten)]
    columns: Columns,
    #[command(flatten)]
    chat: ChatArgs,
    /// The file to write. Its columns: idx, plus_prompt, minus_prompt, label, question_id, group, template, dataset;
    /// where the answer is in each prompt, as START:END in characters (plus_answer, minus_answer); the classes that the
    /// two answers stand for, if they have names (plus_class, minus_class); and further columns of the data as
    /// data.NAME.
    #[arg(long, value_name = "CSV")]
    out: PathBuf,
    /// A tokenizer to count tokens with: tokenizer.model, tokenizer.json, a .gguf file, a folder with one, or a model's
    /// name on the Hugging Face hub (its weights are not downloaded then).
    #[arg(long, value_name = "FILE|NAME")]
    tokenizer: Option<PathBuf>,
    /// A model whose tokenizer counts the tokens, as a path or a name.
    #[arg(long, value_name = "PATH|NAME")]
    model: Option<PathBuf>,
    /// llama-ccs, statement, a Jinja file, or a promptsource YAML file (FILE.yaml for all its templates, FILE.yaml:NAME
    /// for one). Can be given several times [default: llama-ccs; with --single, as-is].
    #[arg(long, value_name = "NAME|FILE|FILE.yaml:NAME")]
    template: Vec<String>,
    /// Make one prompt of each row instead of a pair: a statement, true or false by its label, with no answer appended.
    /// The template is then as-is (the statement alone) or a Jinja file that does not use `answer`, and the CSV file has a
    /// column prompt instead of plus_prompt, minus_prompt, and what belongs to them.
    #[arg(long)]
    single: bool,
    /// A text before every prompt, misleading or not, taken as it is (never as Jinja). A newline is added if it does
    /// not end in white space. @FILE reads it from a file. Its tokens count for --max-seq-len.
    #[arg(long, value_name = "TEXT|@FILE")]
    prefix: Option<String>,
    /// Leave the passage blank. The questions are those that would be kept with their passages, in the same order and
    /// the same groups. For `ccs fit --blank`.
    #[arg(long)]
    blank_passage: bool,
    /// Questions to skip at the start.
    #[arg(long, default_value_t = 0)]
    offset: usize,
    /// The most questions to keep, each with the pairs of all templates (with one template: the most pairs).
    #[arg(long)]
    limit: Option<usize>,
    /// Drop a question if one of its prompts has more tokens than this under any template, BOS included.
    #[arg(long, default_value_t = 512)]
    max_seq_len: usize,
    /// Keep as many true as false questions.
    #[arg(long)]
    balance: bool,
    /// Seed of --balance, and of the choice of two classes if the label has more than two and all templates are
    /// promptsource's.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Columns of the data to keep as data.NAME, separated by commas; reports can tell rows apart by them. `none` keeps
    /// none [default: all that are not used otherwise and whose values have at most 200 characters].
    #[arg(long, value_name = "NAME,…|none", value_delimiter = ',')]
    keep_columns: Option<Vec<String>>,
    /// Show the first N pairs, and mark the token whose state is taken.
    #[arg(long, value_name = "N", default_value_t = 0)]
    preview: usize,
}

/// What is made of the data, with what there is to say.
struct Made<E: boolq::Example> {
    data: Dataset,
    templates: Vec<Template>,
    chat: Option<Chat>,
    selected: Selected<E>,
    warnings: Vec<String>,
    /// What reports should say of the groups.
    notes: Vec<String>,
}

impl Args {
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode, AnyError> {
        self.keep_inputs()?;
        let checkpoint = self
            .model
            .as_deref()
            .map(|model| named::model(model).map(Checkpoint::open))
            .transpose()?
            .transpose()?;
        let tokenizer = tokenizer(self.tokenizer.as_ref(), checkpoint.as_ref())?;
        if let Some(checkpoint) = &checkpoint {
            tokenizer.check_fits(checkpoint.config())?;
        }
        let chat = self.chat.chat(&tokenizer)?;
        let tokenizer = PairTokenizer(&tokenizer);
        if self.single {
            self.statements(tokenizer, chat, json)?;
        } else {
            self.pairs(tokenizer, chat, json)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn pairs(
        &self,
        tokenizer: PairTokenizer<'_>,
        mut chat: Option<Chat>,
        json: bool,
    ) -> Result<(), AnyError> {
        let (templates, left_out) = self.templates()?;
        let data = self.columns.load(&self.data, &templates, self.seed, self.kept_columns())?;
        if self.blank_passage {
            boolq::check_blank(&data, &templates)?;
        }
        let boolq::Pairs { mut pairs, warnings } = boolq::pairs_with(&data, &templates)?;
        if let Some(chat) = &mut chat {
            pairs = chat.pairs(&pairs)?;
        }
        let mut made = self.selected((data, templates), &pairs, (&left_out, &warnings), tokenizer)?;
        if self.blank_passage {
            let pairs = made.selected.examples.iter().map(|p| &p.pair);
            let mut blank = boolq::blank(&made.data, &made.templates, pairs)?;
            if let Some(chat) = &mut chat {
                blank = chat.pairs(&blank)?;
            }
            let tokenized = blank.into_iter().map(|pair| TokenizedPair::new(pair, &tokenizer));
            made.selected.examples = tokenized.collect::<Result<_, _>>()?;
        }
        boolq::prompts::write(&self.out, made.selected.examples.iter().map(|p| &p.pair))?;
        made.chat = chat;
        self.report::<ContrastPair>(made, |p| p.pair.label, |p| preview(p, &tokenizer), json)
    }

    fn statements(
        &self,
        tokenizer: PairTokenizer<'_>,
        mut chat: Option<Chat>,
        json: bool,
    ) -> Result<(), AnyError> {
        if self.blank_passage {
            let what = "--single makes statements, and --blank-passage is a control for questions";
            let hint = "leave out one of them, or give a template that does not print the passage";
            return Err(Hinted::new(what, hint).into());
        }
        let (templates, left_out) = self.templates()?;
        let data = self.columns.load(&self.data, &templates, self.seed, self.kept_columns())?;
        let boolq::Statements { mut statements, warnings } = boolq::statements_with(&data, &templates)?;
        if let Some(chat) = &mut chat {
            statements = chat.statements(&statements)?;
        }
        let mut made = self.selected((data, templates), &statements, (&left_out, &warnings), tokenizer)?;
        boolq::prompts::write_statements(&self.out, made.selected.examples.iter().map(|s| &s.statement))?;
        made.chat = chat;
        self.report::<Statement>(made, |s| s.statement.label, |s| preview_statement(s, &tokenizer), json)
    }

    /// The examples that are kept; an error if there are none.
    fn selected<E: boolq::Example>(
        &self,
        (data, templates): (Dataset, Vec<Template>),
        examples: &[E],
        (left_out, of_examples): (&[boolq::Warning], &[boolq::Warning]),
        tokenizer: PairTokenizer<'_>,
    ) -> Result<Made<E>, AnyError> {
        let used: BTreeSet<&str> = examples.iter().map(|example| example.origin().template).collect();
        let templates: Vec<Template> = templates.into_iter().filter(|t| used.contains(t.name())).collect();
        let selection = Selection {
            offset: self.offset,
            limit: self.limit,
            max_seq_len: Some(self.max_seq_len),
            balance: self.balance.then_some(self.seed),
        };
        let selected = boolq::select(examples, &tokenizer, &selection)?;
        let warnings: Vec<String> = [left_out, &data.warnings, of_examples, &selected.warnings]
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        if selected.examples.is_empty() {
            report(&warnings, &selected.dropped, templates.len());
            return Err(Box::new(llama_ccs::Error::NoPairs));
        }
        let notes = notes(of_examples, selected.examples.len());
        Ok(Made { data, templates, chat: None, selected, warnings, notes })
    }

    /// Writes what belongs beside the prompts, and says what was made.
    fn report<E: boolq::Example>(
        &self,
        made: Made<E>,
        label: impl Fn(&E::Tokenized) -> bool,
        preview: impl Fn(&E::Tokenized) -> String,
        json: bool,
    ) -> Result<(), AnyError> {
        let Made { data, templates, chat, selected, warnings, notes } = made;
        let record = chat.as_ref().map(Chat::record);
        sidecar::save(&self.out, sidecar::Made { templates: templates.clone(), chat: record, notes })?;
        self.chat.warn(chat.as_ref());
        let true_share = selected.examples.iter().filter(|example| label(example)).count() as f64
            / selected.examples.len().max(1) as f64;
        if json {
            return Ok(output::json(&self.as_json(&data, &selected, true_share, &templates, &warnings))?);
        }
        for example in selected.examples.iter().take(self.preview) {
            output::page(&preview(example))?;
        }
        report(&warnings, &selected.dropped, templates.len());
        self.say_what_was_made(&data, &selected, true_share, templates.len());
        Ok(())
    }

    fn kept_columns(&self) -> KeepColumns {
        match self.keep_columns.as_deref() {
            None => KeepColumns::Short,
            Some([none]) if none == "none" => KeepColumns::Nothing,
            Some(names) => KeepColumns::Named(names.to_vec()),
        }
    }

    fn as_json<E: boolq::Example>(
        &self,
        data: &Dataset,
        selected: &Selected<E>,
        true_share: f64,
        templates: &[Template],
        warnings: &[String],
    ) -> serde_json::Value {
        let templates: Vec<_> = templates
            .iter()
            .map(|template| json!({ "name": template.name(), "identity": template.identity() }))
            .collect();
        json!({
            "out": in_json(&self.out), "kept": selected.kept, "considered": selected.considered,
            if self.single { "statements" } else { "pairs" }: selected.examples.len(), "true_share": true_share,
            "dropped": selected.dropped, "warnings": warnings, "blank_passage": self.blank_passage,
            "data": {
                "name": data.name, "identity": data.identity, "classes": data.classes, "unlabeled": data.unlabeled,
                "columns": data.kept_columns(),
            },
            "templates": templates,
        })
    }

    fn say_what_was_made<E: boolq::Example>(
        &self,
        data: &Dataset,
        selected: &Selected<E>,
        true_share: f64,
        templates: usize,
    ) {
        if data.unlabeled > 0 {
            output::warn(&format!("{} rows have no label and were left out", data.unlabeled));
        }
        if let Some([plus, minus]) = data.classes.as_ref().filter(|_| !self.single) {
            output::say(&format!("plus stands for the class {plus:?}, minus for {minus:?}"));
        }
        let questions = match templates {
            1 => String::new(),
            templates => format!(" of {} questions under {templates} templates", selected.kept),
        };
        output::say(&format!(
            "{} {}{questions}{} ({:.1}% true) in {}; {} dropped",
            selected.examples.len(),
            if self.single { "statements" } else { "pairs" },
            if self.blank_passage { " with the passage left blank" } else { "" },
            100.0 * true_share,
            self.out.display(),
            selected.dropped.len()
        ));
    }

    /// The templates asked for, with the prefix, and warnings of those of their files that make no pairs.
    fn templates(&self) -> Result<(Vec<Template>, Vec<boolq::Warning>), AnyError> {
        let default = [if self.single { "as-is" } else { "llama-ccs" }.to_owned()];
        let names = if self.template.is_empty() { &default[..] } else { &self.template };
        let (templates, left_out) = Template::resolve_with_warnings(names)?;
        let Some(prefix) = &self.prefix else { return Ok((templates, left_out)) };
        let prefix = prefix_text(prefix)?;
        let prefixed = templates.iter().map(|template| template.with_prefix(&prefix));
        Ok((prefixed.collect::<Result<_, _>>()?, left_out))
    }

    /// Refuses to write over what is read.
    fn keep_inputs(&self) -> Result<(), AnyError> {
        let templates = self.template.iter().map(PathBuf::from);
        let inputs = [Some(&self.data), self.tokenizer.as_ref(), self.model.as_ref()].into_iter().flatten();
        let prefix = self.prefix.iter().filter_map(|text| text.strip_prefix('@')).map(PathBuf::from);
        for input in inputs.cloned().chain(templates).chain(prefix) {
            let same = |a: &PathBuf, b: &PathBuf| {
                Some(fs_err::canonicalize(a).ok()? == fs_err::canonicalize(b).ok()?)
            };
            if same(&input, &self.out) == Some(true) {
                let what = format!("--out {} is a file that is read", self.out.display());
                return Err(Hinted::new(what, "give another name for the prompts").into());
            }
        }
        Ok(())
    }
}

/// What reports should say of the groups of the pairs that were kept.
fn notes(warnings: &[boolq::Warning], kept: usize) -> Vec<String> {
    let of_kept = |warning: &boolq::Warning| match warning {
        boolq::Warning::GroupFromPrompt { pairs } => {
            boolq::Warning::GroupFromPrompt { pairs: kept.min(*pairs) }
        }
        other => other.clone(),
    };
    warnings.iter().filter(|warning| warning.is_about_groups()).map(|w| of_kept(w).to_string()).collect()
}

/// The most bytes of a file that `--prefix` reads.
const LONGEST_PREFIX: u64 = 1 << 20;

/// The text of `--prefix`, apart from the prompt that follows.
fn prefix_text(text: &str) -> Result<String, AnyError> {
    let mut text = match text.strip_prefix('@') {
        Some(file) => host::files::read_text(file, LONGEST_PREFIX)?,
        None => text.to_owned(),
    };
    if !text.ends_with(char::is_whitespace) {
        text.push('\n');
    }
    Ok(text)
}

/// Dropped questions that are named one by one.
const NAMED: usize = 5;

/// What a user should know of the data, and which questions were left out, with the template if there are several.
fn report(warnings: &[String], dropped: &[boolq::Dropped], templates: usize) {
    warnings.iter().for_each(output::warn);
    for dropped in dropped.iter().take(NAMED) {
        let under = match &dropped.template {
            Some(template) if templates > 1 => format!(" (template {template})"),
            _ => String::new(),
        };
        output::warn(&format!("dropped idx {}{under}: {}", dropped.idx, dropped.reason));
    }
    if let Some(more) = dropped.len().checked_sub(NAMED).filter(|&more| more > 0) {
        output::warn(&format!("dropped {more} more; --json lists them all"));
    }
}
