//! The command line: arguments in, exit code out; errors as one chain and a hint.

mod eval;
mod fit;
mod inspect;
mod job;
mod output;
mod report;
mod settings;
mod stop;
mod sweep;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Fits Contrast-Consistent Search probes on stored hidden states and reports how accurate they really are.
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
    /// Judge a run's probes on another store of the same model.
    Eval(eval::Eval),
    /// Fit several stores, each and all together, and judge each one's probes on the others.
    Sweep(Box<sweep::Sweep>),
    /// Say what a run or a probe is: model, layers, normalisation, directions.
    Inspect(inspect::Inspect),
    /// Draw a run's page and plots anew.
    Report(report::Report),
}

/// Runs the program.
pub(super) fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Fit(fit) => fit.run(),
        Command::Eval(eval) => eval.run(),
        Command::Sweep(sweep) => sweep.run(),
        Command::Inspect(inspect) => inspect.run(),
        Command::Report(report) => report.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{}", message(error.as_ref()));
            match error.downcast_ref() {
                Some(ccs::Error::Stopped { .. }) => ExitCode::from(stop::INTERRUPTED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// The chain of an error on one line, then its hints.
fn message(error: &(dyn Error + 'static)) -> String {
    let (mut chain, mut hints): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let (text, hint) = text.split_once("\nhint: ").map_or((text.as_str(), None), |(t, h)| (t, Some(h)));
        // Many errors show their source in their own message.
        if !chain.iter().any(|shown| shown.contains(text)) {
            chain.push(text.to_owned());
        }
        hints.extend(hint.map(|h| format!("\nhint: {h}")));
        next = error.source();
    }
    format!("error: {}{}", chain.join(": "), hints.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_one_line_and_hints_come_last() {
        let inner = ccs::Error::NotFinite { what: "the plus state".to_owned(), row: 3, column: Some(7) };
        let outer = ccs::Error::InLayer { layer: 5, hook: "h".to_owned(), source: Box::new(inner) };
        let text = message(&outer);
        let (first, hint) = text.split_once('\n').unwrap();
        assert_eq!(first, "error: layer 5 (`h`): the plus state of row 3 is not finite (column 7)");
        assert!(hint.starts_with("hint: "), "{hint}");
    }
}
