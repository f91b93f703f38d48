//! `llama-ccs generate`

use std::path::PathBuf;
use std::process::ExitCode;

use llama_ccs::llama_core::{Checkpoint, IdentityCache, Kernels, Llama, Precision, Sampling, Tokenizer};
use llama_ccs::torch_runtime;
use serde_json::json;

use super::chat::ChatArgs;
use super::values::{AnyError, kernels, precision, tokenizer};
use super::{named, output};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs generate --model llama-7b 'The capital of Germany is the city of'
  llama-ccs generate --model llama-7b --temperature 0 'Once upon a time' 'In the beginning'")]
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
}

impl Args {
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode, AnyError> {
        let device = torch_runtime::open(&self.device)?;
        let checkpoint = Checkpoint::open(named::model(&self.model)?)?;
        let tokenizer = tokenizer(self.tokenizer.as_ref(), Some(&checkpoint))?;
        tokenizer.check_fits(checkpoint.config())?;
        let suited = checkpoint.suited(device, (self.dtype, self.kernels), &IdentityCache::of_user())?;
        let llama = Llama::load(&checkpoint, suited.precision, device)?.with_kernels(suited.kernels)?;
        let prompts = self.ids(&tokenizer)?;
        let sampling = Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_new_tokens: self.max_new_tokens,
            stop: tokenizer.eos().to_vec(),
            seed: self.seed,
        };
        let mut texts = Vec::new();
        for (prompt, new) in prompts.iter().zip(llama.generate(&prompts, &sampling)?) {
            // The new tokens alone would lose the space before their first word.
            let (before, whole) =
                (tokenizer.decode(prompt)?, tokenizer.decode(&[prompt.clone(), new].concat())?);
            texts.push(whole.strip_prefix(&before).unwrap_or(&whole).to_owned());
        }
        if json {
            let pairs = self.prompts.iter().zip(&texts).map(|(p, t)| json!({ "prompt": p, "text": t }));
            output::json(&pairs.collect::<Vec<_>>())?;
        } else {
            for (prompt, text) in self.prompts.iter().zip(&texts) {
                // A chat's prompt is a question, which the answer does not continue.
                let before = if self.chat.is_asked() { "" } else { prompt };
                output::data(&format!("{before}{text}"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The tokens of each prompt.
    fn ids(&self, tokenizer: &Tokenizer) -> Result<Vec<Vec<u32>>, AnyError> {
        let Some(mut chat) = self.chat.chat(tokenizer)? else {
            return Ok(self.prompts.iter().map(|p| tokenizer.ids(p)).collect::<Result<_, _>>()?);
        };
        let ids = |prompt: &String| -> Result<Vec<u32>, AnyError> {
            let tokens = tokenizer.encode_chat(&chat.question(prompt)?)?;
            Ok(tokens.into_iter().map(|token| token.id).collect())
        };
        self.prompts.iter().map(ids).collect()
    }
}
