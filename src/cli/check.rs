//! `llama-ccs model check`

use std::path::PathBuf;
use std::process::ExitCode;

use host::files::in_json;
use llama_ccs::llama_core::check::{CHECK_TEXT, ModelCheck, Problem, Reading};
use llama_ccs::llama_core::{Checkpoint, IdentityCache, Llama, Precision};
use llama_ccs::torch_runtime;
use serde_json::json;

use super::values::{AnyError, precision, tokenizer};
use super::{named, output};

#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A model: a folder in Meta's or Hugging Face's layout, a .gguf file, or a name on the Hugging Face hub,
    /// ORG/NAME[@REVISION][:FILE].
    #[arg(value_name = "PATH|NAME")]
    model: PathBuf,
    /// The tokenizer, if it is neither in the model's folder nor beside it.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// A text that the model should find likely, if it is not one of English.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// What the model computes in: f32, bf16, mixed, or f64 [default: as for `extract`].
    #[arg(long, value_parser = precision)]
    dtype: Option<Precision>,
    /// Where to compute: cpu, cuda, or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
}

impl Args {
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode, AnyError> {
        let device = torch_runtime::open(&self.device)?;
        let checkpoint = Checkpoint::open(named::model(&self.model)?)?;
        let tokenizer = tokenizer(self.tokenizer.as_ref(), Some(&checkpoint))?;
        tokenizer.check_fits(checkpoint.config())?;
        let ids = tokenizer.ids(self.text.as_deref().unwrap_or(CHECK_TEXT))?;
        let suited = checkpoint.suited(device, (self.dtype, None), &IdentityCache::of_user())?;
        // Weights are changed where they are, so they stay as they are read.
        let found = Llama::load(&checkpoint, suited.precision, device)?.check(&ids)?;
        if json {
            self.print_json(&found)?;
        } else {
            print(&found)?;
        }
        Ok(if found.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn print_json(&self, found: &ModelCheck) -> Result<(), AnyError> {
        let reading =
            |(reading, mean): &(Reading, f64)| json!({ "if": format!("{reading}"), "mean_log_prob": mean });
        output::json(&json!({
            "path": in_json(&self.model),
            "sound": found.problems.is_empty(),
            "problems": found.problems.iter().map(Problem::to_string).collect::<Vec<_>>(),
            "tokens": found.tokens,
            "mean_log_prob": found.mean_log_prob,
            "chance": found.chance,
            "stream": found.stream,
            "readings": found.readings.iter().map(reading).collect::<Vec<_>>(),
        }))?;
        Ok(())
    }
}

fn print(found: &ModelCheck) -> Result<(), AnyError> {
    let line = |name: &str, value: String| output::page(&format!("{name:<12} {value}"));
    let (tokens, mean, chance) = (found.tokens, found.mean_log_prob, found.chance);
    line("text", format!("{mean:.3} nats a token over {tokens} tokens; guessing gives {chance:.3}"))?;
    if let (Some(first), Some(last)) = (found.stream.first(), found.stream.last()) {
        line(
            "stream",
            format!("root mean square {first:.3} after the embedding, {last:.3} after the last block"),
        )?;
    }
    let best = found.readings.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((reading, mean)) = best {
        line(
            "readings",
            format!("{} others; the best of them has {mean:.3}: {reading}", found.readings.len()),
        )?;
    }
    if found.problems.is_empty() {
        line("result", "nothing looks wrong".to_owned())?;
    }
    for problem in &found.problems {
        line("looks wrong", problem.to_string())?;
    }
    Ok(())
}
