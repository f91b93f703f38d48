//! The command line: one module a command, all talk on stderr, data alone on stdout.

#![allow(clippy::doc_markdown)] // doc comments here are help texts, read on a terminal

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use host::program::{Errors, Program, Signals, is_later_rank};
use llama_ccs::torch_runtime::program;

mod chat;
mod check;
mod data;
mod doctor;
mod extract;
mod flags;
mod generate;
mod hashing;
mod hooks;
mod model;
mod named;
mod output;
mod predict;
mod prompts;
mod score;
mod sidecar;
mod store;
mod together;
mod values;
mod watch;

use values::AnyError;

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
    /// Say how probable given continuations of texts are, as lm-evaluation-harness asks for it.
    Score(score::Args),
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
        .hints_of_any(program::hint)
        .hints_of_any(llama_ccs::hint)
        .flags::<Cli>()
        .setting("stages", "--pp");
    #[cfg(feature = "hub")]
    let errors = errors.hints(hub::Error::hint);
    Program::new(errors).exits(program::exit_code).run(|cli: Cli, signals| {
        output::listen(cli.verbose);
        run(cli, signals)
    })
}

fn run(cli: Cli, signals: &Signals) -> Result<ExitCode, AnyError> {
    let json = cli.json;
    let of_all = cfg!(feature = "distributed")
        && match &cli.command {
            Command::Extract(_) | Command::Doctor(_) => true,
            Command::Generate(args) => args.together.is_asked(),
            Command::Predict(args) => args.together.is_asked(),
            _ => false,
        };
    if !of_all && is_later_rank() {
        return Ok(ExitCode::SUCCESS);
    }
    match cli.command {
        Command::Prompts(args) => args.run(json),
        Command::Extract(args) => args.run(json, signals),
        Command::Predict(args) => args.run(json, signals),
        Command::Generate(args) => args.run(json, signals),
        Command::Score(args) => args.run(json),
        Command::Store(args) => args.run(json),
        Command::Model(args) => args.run(json),
        Command::Hooks(args) => args.run(json),
        Command::Doctor(args) => args.run(json),
    }
}
