//! `ccs export`.

use std::error::Error;
use std::path::PathBuf;

use ccs_report::Method;
use ccs_trainer::{ExportFormat, Fitted, export, method};
use clap::Args;

use super::output::print;

const EXAMPLES: &str = "\
Formats:
  gguf   control vector for llama.cpp: direction.N is added after block N, our layer N + 1
  npy    coefficients on plus and minus state, [2, dim], and the bias in NAME.bias.npy
  json   coefficients and intercept as in scikit-learn's LogisticRegression, and the direction
  edits  file for `llama-ccs extract --edits`, with NAME.edits.safetensors beside it

npy and json hold w/σ, which reads a state; gguf and edits hold σ·w, which moves one. (w is the probe's weight, σ the spread \
of each dimension.) The direction moves a normalized state by 1, toward what is true.

Examples:
  ccs export run --format gguf --out truth.gguf
  ccs export run --method lr --layer 12 --format json --out truth.json
  llama-cli -m llama.gguf --control-vector-scaled truth.gguf:8 -p 'The Earth is flat.'";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Export {
    /// The run, from `ccs fit`.
    run: PathBuf,
    /// The probe's method: ccs, lr, or another that the run fitted.
    #[arg(long, default_value = "ccs", value_parser = parse)]
    method: Method,
    /// The probe's layer [default: the one that the run chose for the method].
    #[arg(long)]
    layer: Option<usize>,
    /// The format: gguf, npy, json, or edits.
    #[arg(long)]
    format: ExportFormat,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Export {
    pub(crate) fn run(self) -> Result<(), Box<dyn Error>> {
        let fitted = Fitted::open(&self.run, self.method, self.layer)?;
        let written = export(&fitted, self.format, &self.out)?;
        let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        print(&names.join("\n"))
    }
}

fn parse(name: &str) -> Result<Method, String> {
    method::parse(name).map_err(|e| e.to_string())
}
