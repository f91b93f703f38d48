//! `llama-ccs generate`

use std::path::PathBuf;
use std::process::ExitCode;

use host::program::Signals;
use llama_ccs::llama_core::{Checkpoint, IdentityCache, Kernels, Precision, Sampling};
use llama_ccs::torch_runtime;
use llama_ccs::torch_runtime::program::Processes;
use serde_json::json;

use super::together::{TogetherArgs, explained, load};
use super::values::{AnyError, kernels, precision, tokenizer};
use super::{named, output};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs generate --model llama-7b 'The capital of Germany is the city of'
  llama-ccs generate --model llama-7b --temperature 0 'Once upon a time' 'In the beginning'
  torchrun --no-python --nproc_per_node 2 llama-ccs generate --model llama-13b --tp 2 'The capital of Germany is'")]
pub(crate) struct Args {
    /// A model: a folder in Meta's or Hugging Face's layout, a .gguf file, or a name on the Hugging Face hub,
    /// ORG/NAME[@REVISION][:FILE], which is downloaded if it is not in the local cache.
    #[arg(long, value_name = "PATH|NAME")]
    model: PathBuf,
    /// The tokenizer, if it is neither in the model's folder nor beside it.
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Texts to continue.
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
        let prompts = self.prompts.iter().map(|p| tokenizer.ids(p)).collect::<Result<Vec<_>, _>>()?;
        let sampling = Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            max_new_tokens: self.max_new_tokens,
            stop: tokenizer.eos().to_vec(),
            seed: self.seed,
        };
        let mut texts = Vec::new();
        let continued = explained(processes, llama.generate(&prompts, &sampling))?;
        for (prompt, new) in prompts.iter().zip(continued) {
            // The new tokens alone would lose the space before their first word.
            let (before, whole) =
                (tokenizer.decode(prompt)?, tokenizer.decode(&[prompt.clone(), new].concat())?);
            texts.push(whole.strip_prefix(&before).unwrap_or(&whole).to_owned());
        }
        if !processes.is_first() {
            return Ok(ExitCode::SUCCESS);
        }
        if json {
            let pairs = self.prompts.iter().zip(&texts).map(|(p, t)| json!({ "prompt": p, "text": t }));
            output::json(&pairs.collect::<Vec<_>>())?;
        } else {
            for (prompt, text) in self.prompts.iter().zip(&texts) {
                output::data(&format!("{prompt}{text}"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
