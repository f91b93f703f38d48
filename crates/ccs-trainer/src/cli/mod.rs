//! The command line: arguments in, exit code out; errors as one chain and a hint.

mod advice;
mod eval;
mod explore;
mod export;
mod fit;
mod inspect;
mod job;
mod output;
mod report;
mod settings;
mod sweep;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use host::program::{Program, Signals, is_later_rank};

use advice::Stopped;

/// Fits CCS and other probes on stored hidden states, and reports how well they predict labels, with controls.
#[derive(Debug, Parser)]
#[command(name = "ccs", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fit probes and controls on every layer of a store, and write a run folder.
    Fit(Box<fit::Fit>),
    /// Evaluate a run's probes on another store of the same model.
    Eval(Box<eval::Eval>),
    /// Fit several stores, each alone and all together, and evaluate each one's probes on the others.
    Sweep(Box<sweep::Sweep>),
    /// Write a probe for other programs: llama.cpp, NumPy, scikit-learn, or edits of activations.
    Export(export::Export),
    /// Show what a run or a probe is: model, layers, normalization, directions.
    Inspect(inspect::Inspect),
    /// Write a page to filter, sort, and search a run's rows.
    Explore(explore::Explore),
    /// Draw a run's page and plots again.
    Report(report::Report),
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    Program::new(advice::errors::<Cli>())
        .stopped(|_: &Stopped| true)
        .exits(torch_runtime::program::exit_code)
        .run(|cli: Cli, signals| run(cli, signals))
}

fn run(cli: Cli, signals: &Signals) -> Result<ExitCode, Box<dyn Error>> {
    match cli.command {
        Command::Fit(fit) => return fit.run(signals),
        Command::Sweep(sweep) => return sweep.run(signals),
        _ if is_later_rank() => Ok(()), // the first one does it
        Command::Eval(eval) => eval.run(),
        Command::Export(export) => export.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Explore(explore) => explore.run(),
        Command::Report(report) => report.run(),
    }
    .map(|()| ExitCode::SUCCESS)
}
