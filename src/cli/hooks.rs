//! `llama-ccs hooks`

use std::path::PathBuf;
use std::process::ExitCode;

use llama_ccs::llama_core::{Checkpoint, HookPoint, HookSet};
use serde_json::json;

use super::{AnyError, output};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs hooks llama-7b
  llama-ccs hooks llama-7b 'blocks.{0,31}.attn.*'")]
pub(crate) struct Args {
    /// A model: a folder in Meta's or Hugging Face's layout, or a .gguf file.
    model: PathBuf,
    /// Names or globs; default: all of them.
    #[arg(default_value = "*")]
    patterns: Vec<String>,
}

impl Args {
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode, AnyError> {
        let checkpoint = Checkpoint::open(&self.model)?;
        let config = checkpoint.config();
        let set = HookSet::parse(&self.patterns, config.n_layers)?;
        let shape = |point: HookPoint| -> Vec<String> {
            // One row of one token: the axes that depend on the batch are shown by name.
            let sizes = point.shape(config, 1, 1);
            let counted = |name: &str| ["batch", "token", "key", "selected"].contains(&name);
            let axes = point.axes().iter().map(|axis| axis.name()).zip(sizes);
            axes.map(|(name, n)| if counted(name) { name.to_owned() } else { format!("{name} {n}") })
                .collect()
        };
        if json {
            output::json(
                &set.iter()
                    .map(|p| json!({ "name": p.to_string(), "layer": p.layer(), "axes": shape(p) }))
                    .collect(),
            );
        } else {
            for point in set.iter() {
                output::data(&format!("{:40} [{}]", point.to_string(), shape(point).join(", ")));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
