//! Writes a LLaMA of random weights in Meta's layout, of a real one's size: to try what needs a model that large.
//!
//! `cargo xtask make-checkpoint --shape 7b --mp 2`, or `cargo run --release --example make_checkpoint -- --help`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use host::program::{self, Errors, Program};
use llama_ccs::llama_core::tch::Kind;
use llama_ccs::llama_core::{Config, save_random_meta};

/// Writes random weights in the shape of a LLaMA, as `params.json` and `consolidated.NN.pth`. Only one weight is in
/// memory at a time. No tokenizer is made: use LLaMA's with `--tokenizer`.
#[derive(Parser, Debug)]
struct Args {
    /// The model's shape: quiz (the built-in model's), 7b, 13b, 33b, or 65b.
    #[arg(long, default_value = "7b", value_parser = shape)]
    shape: Config,
    /// Number of model-parallel files (Meta's own models have 1, 2, 4, and 8).
    #[arg(long, default_value_t = 1)]
    mp: usize,
    /// The type in which weights are stored.
    #[arg(long, value_enum, default_value = "f16")]
    dtype: Stored,
    /// The folder [default: `.models/random-SHAPE`].
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Seed: the same seed gives the same weights, in any number of files.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Stored {
    F16,
    Bf16,
    F32,
}

fn shape(name: &str) -> Result<Config, String> {
    // Table 2 of Touvron et al. 2023: dimension, heads, layers; the MLP's width follows (2/3 · 4d, up to 256s).
    let (dim, n_heads, n_layers, hidden_dim) = match name {
        "7b" => (4096, 32, 32, 11008),
        "13b" => (5120, 40, 40, 13824),
        "33b" => (6656, 52, 60, 17920),
        "65b" => (8192, 64, 80, 22016),
        "quiz" => (128, 4, 4, 352),
        _ => return Err(format!("`{name}` is none of quiz, 7b, 13b, 33b, 65b")),
    };
    let vocab_size = if name == "quiz" { 78 } else { 32_000 };
    Ok(Config {
        dim,
        n_heads,
        n_kv_heads: n_heads,
        n_layers,
        head_dim: dim / n_heads,
        hidden_dim,
        vocab_size,
        ..Config::default()
    })
}

fn main() -> ExitCode {
    Program::new(Errors::new().hints_of_any(llama_ccs::hint).flags::<Args>()).run(|args: Args, _| job(args))
}

fn job(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let name = format!("random-{:.1}b", args.shape.n_params() as f64 / 1e9);
    let out = args.out.unwrap_or_else(|| PathBuf::from(".models").join(name));
    let kind = match args.dtype {
        Stored::F16 => Kind::Half,
        Stored::Bf16 => Kind::BFloat16,
        Stored::F32 => Kind::Float,
    };
    let started = Instant::now();
    save_random_meta(&args.shape, args.seed, &out, kind, args.mp)?;
    let (parameters, seconds) = (args.shape.n_params() as f64 / 1e6, started.elapsed().as_secs_f64());
    program::note(&format!("{}: {parameters:.0} million parameters in {seconds:.0} s", out.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_have_the_sizes_that_they_are_called_by() {
        for (name, billions) in [("7b", 6.7), ("13b", 13.0), ("33b", 32.5), ("65b", 65.3)] {
            let found = shape(name).expect(name).n_params() as f64 / 1e9;
            assert!((found - billions).abs() < 0.06, "{name}: {found}");
        }
        assert!(shape("8b").expect_err("unknown").contains("7b"));
    }
}
