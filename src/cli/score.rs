//! `llama-ccs score`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use host::program::Hinted;
use llama_ccs::llama_core::{Checkpoint, IdentityCache, Kernels, Llama, Precision, Score};
use llama_ccs::{Extraction, boolq, torch_runtime};
use serde_json::{Value, json};

use super::values::{AnyError, at_least_one, kernels, precision, tokenizer};
use super::{named, output};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs score --model llama-7b pairs.jsonl
  llama-ccs score --model llama-7b --format jsonl - < pairs.csv > scores.jsonl

A line of pairs.jsonl: {\"id\": \"3a\", \"context\": \"The capital of Germany is\", \"continuation\": \" Berlin\"}
Printed is for each pair, in the file's order: its id (without one, its row), the sum of the log-probabilities of the \
continuation's tokens (natural logarithm), how many tokens that are, and whether greedy decoding takes all of them. Pairs \
are tokenized as lm-evaluation-harness does, and contexts that pairs share are computed once.")]
pub(crate) struct Args {
    /// A model: a folder in Meta's or Hugging Face's layout, a .gguf file, or a name on the Hugging Face hub,
    /// ORG/NAME[@REVISION][:FILE], which is downloaded if it is not in the local cache.
    #[arg(long, value_name = "PATH|NAME")]
    model: PathBuf,
    /// The tokenizer, if it is neither in the model's folder nor beside it.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Pairs: CSV, JSON lines, or Parquet with the columns context and continuation, and perhaps id; - is standard input.
    #[arg(value_name = "FILE")]
    pairs: PathBuf,
    /// How scores are printed (--json prints one array).
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    format: Format,
    /// Print the log-probability of every token, too (jsonl and --json).
    #[arg(long)]
    tokens: bool,
    /// What the model computes in: f32, bf16, mixed, or f64 [default: as for `extract`].
    #[arg(long, value_parser = precision)]
    dtype: Option<Precision>,
    /// The kernels that compute it, as for `extract` [default: the fastest, as measured once on this machine].
    #[arg(long, value_name = "KERNELS", value_parser = kernels)]
    kernels: Option<Kernels>,
    /// Where to compute: cpu, cuda, or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// The most tokens in a batch, padding included.
    #[arg(long, value_name = "TOKENS", default_value_t = Extraction::BATCH_TOKENS, value_parser = at_least_one)]
    batch_tokens: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table with a header.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

impl Args {
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode, AnyError> {
        if self.tokens && !json && self.format == Format::Csv {
            let hint = "add --format jsonl";
            return Err(Hinted::new("--tokens has no column in CSV", hint).into());
        }
        let rows = boolq::texts(&self.pairs, &["context", "continuation"], &["id"])?;
        let device = torch_runtime::open(&self.device)?;
        let checkpoint = Checkpoint::open(named::model(&self.model)?)?;
        let tokenizer = tokenizer(self.tokenizer.as_ref(), Some(&checkpoint))?;
        tokenizer.check_fits(checkpoint.config())?;
        let text = |row: &[Option<String>], at: usize| row.get(at).cloned().flatten();
        let mut pairs = Vec::with_capacity(rows.len());
        for (number, row) in rows.iter().enumerate() {
            let (context, continuation) =
                (text(row, 0).unwrap_or_default(), text(row, 1).unwrap_or_default());
            let pair = tokenizer.continuation(&context, &continuation);
            pairs.push(pair.map_err(|error| {
                let hint = error.hint().unwrap_or_default();
                Hinted::new(format!("{}: row {number} (counted from 0): {error}", self.pairs.display()), hint)
            })?);
        }
        let suited = checkpoint.suited(device, (self.dtype, self.kernels), &IdentityCache::of_user())?;
        let llama = Llama::load(&checkpoint, suited.precision, device)?.with_kernels(suited.kernels)?;
        let bar = output::progress(pairs.len(), "scoring");
        let scores = llama.score_with(&pairs, self.batch_tokens, &mut |done| bar.set(done));
        bar.clear();
        let id =
            |number: usize, row: &Vec<Option<String>>| text(row, 2).unwrap_or_else(|| number.to_string());
        let ids: Vec<String> = rows.iter().enumerate().map(|(number, row)| id(number, row)).collect();
        self.print(&ids, &scores?, json)?;
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, ids: &[String], scores: &[Score], json: bool) -> Result<(), AnyError> {
        let all = || ids.iter().zip(scores);
        if json {
            output::json(&all().map(|(id, score)| self.object(id, score)).collect::<Vec<_>>())?;
            return Ok(());
        }
        let mut lines = Vec::with_capacity(scores.len() + 1);
        if self.format == Format::Csv {
            lines.push("id,log_prob,tokens,greedy".to_owned());
        }
        lines.extend(all().map(|(id, score)| match self.format {
            Format::Jsonl => self.object(id, score).to_string(),
            Format::Csv => {
                format!("{},{},{},{}", cell(id), score.sum(), score.log_probs.len(), score.is_greedy)
            }
        }));
        output::data(&lines.join("\n"))?;
        Ok(())
    }

    fn object(&self, id: &str, score: &Score) -> Value {
        let mut object = json!({
            "id": id, "log_prob": score.sum(), "tokens": score.log_probs.len(), "greedy": score.is_greedy,
        });
        if self.tokens {
            object["log_probs"] = json!(score.log_probs);
        }
        object
    }
}

/// A cell of CSV.
fn cell(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
