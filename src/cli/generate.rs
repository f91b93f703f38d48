//! `llama-ccs generate`

use std::path::PathBuf;
use std::process::ExitCode;

use host::program::{Hinted, Signals};
use llama_ccs::llama_core::{
    Change, Checkpoint, Edits, Ended, Generated, Hook, IdentityCache, Kernels, Precision, Sampling, Tokenizer,
};
use llama_ccs::torch_runtime;
use llama_ccs::torch_runtime::program::Processes;
use serde_json::json;

use super::chat::ChatArgs;
use super::together::{TogetherArgs, explained, load};
use super::values::{AnyError, kernels, precision, tokenizer};
use super::{named, output};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs generate --model llama-7b 'The capital of Germany is the city of'
  llama-ccs generate --model llama-7b --temperature 0 'Once upon a time' 'In the beginning'
  llama-ccs generate --model llama-7b --edits truth.json --strength=-8,0,8 'Is the earth flat? Answer:' --stop '\\n'
  torchrun --no-python --nproc_per_node 2 llama-ccs generate --model llama-13b --tp 2 'The capital of Germany is'

Edits are those of `llama-ccs extract --edits`. In a generation `all` means every token, the prompt's and those generated; \
`last` the prompt's last token and every one generated; `first` the prompt's first; `at` positions of the whole text. \
`rows` of an edit count the prompts.")]
pub(crate) struct Args {
    /// A model: a folder in Meta's or Hugging Face's layout, a .gguf file, or a name on the Hugging Face hub,
    /// ORG/NAME[@REVISION][:FILE], which is downloaded if it is not in the local cache.
    #[arg(long, value_name = "PATH|NAME")]
    model: PathBuf,
    /// The tokenizer, if it is neither in the model's folder nor beside it.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    chat: ChatArgs,
    /// Texts to continue; with --chat, what the user says.
    #[arg(required = true)]
    prompts: Vec<String>,
    /// Sampling temperature; 0 always takes the most likely token.
    #[arg(long, default_value_t = 0.8)]
    temperature: f64,
    /// Sample from the most likely tokens that together have this probability (nucleus sampling).
    #[arg(long, default_value_t = 0.95)]
    top_p: f64,
    /// The most new tokens.
    #[arg(long, default_value_t = 256)]
    max_new_tokens: usize,
    /// End a text before this one; may be given several times. \n and \t are a new line and a tab. A text also ends at the
    /// tokens that the model's files say end one.
    #[arg(long, value_name = "TEXT", value_parser = stop_text)]
    stop: Vec<String>,
    /// Change activations on the way: a file of edits, as for `extract`.
    #[arg(long, value_name = "FILE")]
    edits: Option<PathBuf>,
    /// Multiply what the edits add by each of these numbers, and continue every prompt once for each.
    #[arg(long, value_name = "X,…", value_delimiter = ',', allow_hyphen_values = true, requires = "edits")]
    strength: Vec<f64>,
    /// Seed of the sampling: the same seed gives the same text.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What the model computes in: f32, bf16, mixed, or f64 [default: as for `extract`].
    #[arg(long, value_parser = precision)]
    dtype: Option<Precision>,
    /// The kernels that compute it, as for `extract` [default: the fastest, as measured once on this machine].
    #[arg(long, value_name = "KERNELS", value_parser = kernels)]
    kernels: Option<Kernels>,
    /// Where to compute: cpu, cuda, or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
    #[command(flatten)]
    pub(super) together: TogetherArgs,
}

impl Args {
    pub(crate) fn run(&self, json: bool, signals: &Signals) -> Result<ExitCode, AnyError> {
        self.together.run(signals, |processes| self.generate(json, processes))
    }

    fn generate(&self, json: bool, processes: &Processes) -> Result<ExitCode, AnyError> {
        let device = torch_runtime::open(&processes.device(&self.device))?;
        let checkpoint = Checkpoint::open(named::model(&self.model)?)?;
        let tokenizer = tokenizer(self.tokenizer.as_ref(), Some(&checkpoint))?;
        tokenizer.check_fits(checkpoint.config())?;
        let suited = processes.decided("precision and kernels", || {
            Ok(checkpoint.suited(device, (self.dtype, self.kernels), &IdentityCache::of_user())?)
        })?;
        let llama = load(processes, &checkpoint, (suited.precision, suited.kernels), device)?;
        let sampling = Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_new_tokens: self.max_new_tokens,
            stop: tokenizer.eos().to_vec(),
            seed: self.seed,
        };
        // Each prompt once for each strength.
        let strengths = if self.strength.is_empty() {
            vec![None]
        } else {
            self.strength.iter().map(|&x| Some(x)).collect()
        };
        let rows: Vec<(&String, Option<f64>)> = self
            .prompts
            .iter()
            .flat_map(|prompt| strengths.iter().map(move |&strength| (prompt, strength)))
            .collect();
        let prompts = self.ids(&tokenizer, rows.iter().map(|(prompt, _)| *prompt))?;
        let edits = self.edits(&rows)?;
        let mut hook = edits.map(|edits| edits.hook(llama.config(), device)).transpose()?;
        let hook = hook.as_mut().map(|hook| hook as &mut dyn Hook);
        let texts = llama.generate_text(&tokenizer, &prompts, &sampling, &self.stop, hook);
        let texts = explained(processes, texts)?;
        if processes.is_first() {
            self.print(&rows, &texts, json)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The edits, with the strength of each row.
    fn edits(&self, rows: &[(&String, Option<f64>)]) -> Result<Option<Edits>, AnyError> {
        let Some(path) = &self.edits else { return Ok(None) };
        let edits = Edits::load(path)?;
        if self.strength.is_empty() {
            return Ok(Some(edits));
        }
        if !edits.iter().any(|edit| matches!(edit.change, Change::Add { .. })) {
            let what = format!("{} adds nothing that a strength could multiply", path.display());
            return Err(Hinted::new(what, "leave out --strength").into());
        }
        if edits.iter().any(|edit| edit.rows.is_some() || edit.strengths.is_some()) {
            let what = format!("{} has edits of certain rows", path.display());
            return Err(Hinted::new(what, "leave out --strength, or take `rows` and `strengths` out").into());
        }
        let strengths: Vec<f64> = rows.iter().filter_map(|(_, strength)| *strength).collect();
        Ok(Some(edits.with_strengths(&strengths)))
    }

    /// The tokens of each prompt.
    fn ids<'a>(
        &self,
        tokenizer: &Tokenizer,
        prompts: impl Iterator<Item = &'a String>,
    ) -> Result<Vec<Vec<u32>>, AnyError> {
        let Some(mut chat) = self.chat.chat(tokenizer)? else {
            return Ok(prompts.map(|prompt| tokenizer.ids(prompt)).collect::<Result<_, _>>()?);
        };
        let ids = |prompt: &String| -> Result<Vec<u32>, AnyError> {
            let tokens = tokenizer.encode_chat(&chat.question(prompt)?)?;
            Ok(tokens.into_iter().map(|token| token.id).collect())
        };
        prompts.map(ids).collect()
    }

    fn print(
        &self,
        rows: &[(&String, Option<f64>)],
        texts: &[Generated],
        json: bool,
    ) -> Result<(), AnyError> {
        let all = || rows.iter().zip(texts);
        if json {
            let object = |((prompt, strength), own): (&(&String, Option<f64>), &Generated)| {
                let (ended, stop) = match &own.ended {
                    Ended::Length => ("length", None),
                    Ended::Token => ("token", None),
                    Ended::Text(stop) => ("text", Some(stop)),
                };
                let mut object = json!({
                    "prompt": prompt, "text": own.text, "tokens": own.ids.len(), "ended": ended,
                });
                if let Some(stop) = stop {
                    object["stop"] = json!(stop);
                }
                if let Some(strength) = strength {
                    object["strength"] = json!(strength);
                }
                object
            };
            output::json(&all().map(object).collect::<Vec<_>>())?;
            return Ok(());
        }
        for ((prompt, strength), own) in all() {
            let strength = strength.map_or_else(String::new, |strength| format!("[{strength}] "));
            // A chat's prompt is a question, which the answer does not continue.
            let before = if self.chat.is_asked() { "" } else { prompt.as_str() };
            output::data(&format!("{strength}{before}{}", own.text))?;
        }
        Ok(())
    }
}

/// A text of a command line, in which a new line is written `\n`.
fn stop_text(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it must not be empty".to_owned());
    }
    Ok(text.replace("\\n", "\n").replace("\\t", "\t"))
}
