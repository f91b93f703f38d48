//! The command line: one module a command, all talk on stderr, data alone on stdout.

#![allow(clippy::doc_markdown)] // doc comments here are help texts, read on a terminal

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use host::program::{Errors, Hinted, Program, Signals};
use llama_ccs::llama_core::{self, Checkpoint, Tokenizer};

mod data;
mod doctor;
mod extract;
mod flags;
mod generate;
mod hashing;
mod hooks;
#[cfg(feature = "distributed")]
mod launch;
mod model;
mod named;
mod output;
mod predict;
mod prompts;
#[cfg(feature = "distributed")]
mod ranks;
#[cfg(not(feature = "distributed"))]
#[path = "one_process.rs"]
mod ranks;
mod sidecar;
mod store;

/// Any error of a command; its chain is what the user reads.
type AnyError = Box<dyn std::error::Error>;

/// Extracts the hidden states of a LLaMA on contrast pairs, and applies probes to new text. (`ccs fit` fits the
/// probes.)
#[derive(Parser, Debug)]
#[command(version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print the result as one JSON value on stdout. Messages and errors stay text on stderr.
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// Print more about what is being done, on stderr.
    #[arg(short, long, global = true, help_heading = "Output")]
    verbose: bool,
}

const EXIT_CODES: &str = "\
Exit codes: 0 success; 1 an error, printed on stderr; 2 a wrong command line; 130 interrupted (143 by SIGTERM, 129 by \
SIGHUP): run the same command again to continue.";

#[derive(Subcommand, Debug)]
enum Command {
    /// Turn labeled questions into a CSV file of contrast prompts.
    Prompts(prompts::Args),
    /// Run a model over contrast prompts and store its hidden states; continues if run again.
    Extract(extract::Args),
    /// Apply a run's probe to new questions: how probable it is that each is true.
    Predict(Box<predict::Args>),
    /// Continue a text, as facebookresearch/llama does.
    Generate(generate::Args),
    /// Inspect a store, verify it, or export it in llama-ccs' layout.
    Store(store::Args),
    /// Show what kind of model a path holds.
    Model(model::Args),
    /// List the hook points of a model, with their shapes.
    Hooks(hooks::Args),
    /// Show versions, threads, memory, devices, and whether processes can talk to each other.
    Doctor(doctor::Args),
}

/// Parses the command line, runs the command, and turns an error into its message and exit code.
pub(crate) fn main() -> ExitCode {
    let errors = Errors::new()
        .hints_of_any(flags::hint)
        .hints_of_any(ranks::hint)
        .hints_of_any(llama_ccs::hint)
        .flags::<Cli>()
        .setting("stages", "--pp");
    #[cfg(feature = "hub")]
    let errors = errors.hints(hub::Error::hint);
    Program::new(errors).exits(ranks::exit_code).run(|cli: Cli, signals| {
        output::listen(cli.verbose);
        run(cli, signals)
    })
}

fn run(cli: Cli, signals: &Signals) -> Result<ExitCode, AnyError> {
    let json = cli.json;
    let of_all = matches!(cli.command, Command::Extract(_) | Command::Doctor(_));
    if !of_all && ranks::is_idle() {
        return Ok(ExitCode::SUCCESS);
    }
    match cli.command {
        Command::Prompts(args) => args.run(json),
        Command::Extract(args) => args.run(json, signals),
        Command::Predict(args) => args.run(json),
        Command::Generate(args) => args.run(json),
        Command::Store(args) => args.run(json),
        Command::Model(args) => args.run(json),
        Command::Hooks(args) => args.run(json),
        Command::Doctor(args) => args.run(json),
    }
}

/// The tokenizer given, or the one in or beside the model.
fn tokenizer(given: Option<&PathBuf>, model: Option<&Checkpoint>) -> Result<Tokenizer, AnyError> {
    let given = given.map(|given| named::tokenizer(given)).transpose()?;
    let tokenizer = match (&given, model) {
        // A GGUF file's tokenizer is a part of it.
        (Some(path), _) if path.extension().is_some_and(|e| e == "gguf") => {
            Checkpoint::open(path)?.tokenizer()?
        }
        (Some(path), _) => Tokenizer::open(path)?,
        (None, Some(model)) => model.tokenizer()?,
        (None, None) => {
            return Err(Hinted::new("no tokenizer", "give --tokenizer FILE or --model PATH").into());
        }
    };
    Ok(match model {
        Some(model) => tokenizer.for_model(model.config()),
        None => tokenizer,
    })
}

/// `--dtype`.
fn precision(name: &str) -> Result<llama_core::Precision, String> {
    name.parse()
}

/// `--kernels`.
fn kernels(text: &str) -> Result<llama_core::Kernels, String> {
    text.parse()
}

/// `4GiB`, `500MB`, `2000000000`: bytes.
fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 10] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("G", 1 << 30),
        ("B", 1),
    ];
    let found = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (number, unit) = found.unwrap_or((text, 1));
    let wrong = || format!("`{text}` is no size; write 4GiB, 500MB or a number of bytes");
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let bytes = number * unit as f64;
    if bytes >= 1.0 && bytes <= u64::MAX as f64 { Ok(bytes as u64) } else { Err(wrong()) }
}

/// A count that is not 0.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(e) => Err(format!("{e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in
            [("4GiB", 4 << 30), ("4G", 4 << 30), ("1.5 GB", 1_500_000_000), ("512MiB", 512 << 20), ("17", 17)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "GiB", "-1GiB", "4 gigs", "NaN", "0", "1e40"] {
            assert!(size(bad).expect_err(bad).contains("4GiB"), "{bad}");
        }
    }
}
