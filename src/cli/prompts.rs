//! `llama-ccs prompts`

use std::path::PathBuf;
use std::process::ExitCode;

use llama_ccs::PairTokenizer;
use llama_ccs::boolq::{self, Dataset, Selection, Template, preview};
use llama_ccs::llama_core::Checkpoint;
use serde_json::json;

use super::{AnyError, output, tokenizer};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs prompts --data boolq/dev.jsonl --tokenizer tokenizer.model --out prompts.csv
  llama-ccs prompts --data dev.jsonl --model llama-7b --limit 1000 --balance --out prompts.csv
  llama-ccs prompts --data cities.csv --template statement --tokenizer tokenizer.model --out cities-prompts.csv --preview 2")]
pub(crate) struct Args {
    /// BoolQ's JSONL, or CSV, JSONL or Parquet with question, passage and answer (or statement and label).
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Where to write idx, plus_prompt, minus_prompt, label, question_id, group, template, dataset.
    #[arg(long, value_name = "CSV")]
    out: PathBuf,
    /// A SentencePiece model, for counting tokens.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// A model whose tokenizer counts tokens.
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// A built-in template or a Jinja file (variables passage, question, title, statement, answer).
    #[arg(long, value_name = "NAME|FILE", default_value = "llama-ccs")]
    template: String,
    /// Questions to skip at the start.
    #[arg(long, default_value_t = 0)]
    offset: usize,
    /// Most pairs to keep.
    #[arg(long)]
    limit: Option<usize>,
    /// Drop a pair if its longer side, BOS included, has more tokens.
    #[arg(long, default_value_t = 512)]
    max_seq_len: usize,
    /// Keep as many true as false questions.
    #[arg(long)]
    balance: bool,
    /// For --balance.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Show the first N pairs, the captured token marked.
    #[arg(long, value_name = "N", default_value_t = 0)]
    preview: usize,
}

impl Args {
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode, AnyError> {
        let checkpoint = self.model.as_ref().map(Checkpoint::open).transpose()?;
        let tokenizer = tokenizer(self.tokenizer.as_ref(), checkpoint.as_ref())?;
        let tokenizer = PairTokenizer(&tokenizer);
        let template = Template::resolve(&self.template)?;
        let data = Dataset::load(&self.data)?;
        let made = boolq::pairs(&data, &template)?;
        let selection = Selection {
            offset: self.offset,
            limit: self.limit,
            max_seq_len: Some(self.max_seq_len),
            balance: self.balance.then_some(self.seed),
        };
        let selected = boolq::select(&made.pairs, &tokenizer, &selection)?;
        let warnings: Vec<String> = [&data.warnings, &made.warnings, &selected.warnings]
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        if selected.pairs.is_empty() {
            report(&warnings, &selected.dropped);
            return Err(Box::new(llama_ccs::Error::NoPairs));
        }
        boolq::prompts::write(&self.out, selected.pairs.iter().map(|p| &p.pair))?;

        if json {
            output::json(&json!({
                "out": self.out, "kept": selected.pairs.len(), "considered": selected.considered,
                "true_share": share(&selected.pairs), "dropped": selected.dropped, "warnings": warnings,
                "template": { "name": template.name(), "identity": template.identity() },
            }));
        } else {
            for pair in selected.pairs.iter().take(self.preview) {
                output::data(&preview(pair, &tokenizer));
            }
            report(&warnings, &selected.dropped);
            output::say(&format!(
                "{} pairs ({:.1} % true) in {}; {} dropped",
                selected.pairs.len(),
                100.0 * share(&selected.pairs),
                self.out.display(),
                selected.dropped.len()
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a user should know of the data, and which pairs were left out.
fn report(warnings: &[String], dropped: &[boolq::Dropped]) {
    warnings.iter().for_each(output::warn);
    for dropped in dropped {
        output::warn(&format!("dropped idx {}: {}", dropped.idx, dropped.reason));
    }
}

fn share(pairs: &[boolq::TokenizedPair]) -> f64 {
    pairs.iter().filter(|p| p.pair.label).count() as f64 / pairs.len().max(1) as f64
}
