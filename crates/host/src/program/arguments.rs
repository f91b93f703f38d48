//! The command line.

use std::process::ExitCode;

use clap::Parser;

use super::{Errors, output};

/// The exit code of a wrong command line.
const USAGE: u8 = 2;

/// The command line, for the start of a program; or, where that asks for help or cannot be read, what to end the program with, everything said.
///
/// # Errors
/// The exit code.
pub(super) fn parse<T: Parser>(errors: &Errors) -> Result<T, ExitCode> {
    std::panic::set_hook(Box::new(|panic| {
        if crate::panics::are_expected() {
            return;
        }
        let hint = "this is a defect: please report it, with the command and what it was given";
        output::stderr(&format!("error: {panic}\nhint: {hint}\n")); // what data says in it goes to a terminal too
    }));
    T::try_parse().map_err(|error| {
        let text = error.render();
        if !error.use_stderr() {
            // Help and version hold nothing of the user's.
            let text = if output::colors() { text.ansi().to_string() } else { text.to_string() };
            return match output::raw(&text) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    output::error(&error);
                    ExitCode::FAILURE
                }
            };
        }
        let text = text.to_string();
        let text = text.trim_end();
        // clap's own last line says the same.
        let text = text.strip_suffix("For more information, try '--help'.").unwrap_or(text).trim_end();
        let hint = errors.hint(&error);
        let hint = hint.as_deref().unwrap_or("`--help` behind the command lists what it takes");
        output::stderr(&format!("{text}\n\nhint: {hint}\n"));
        ExitCode::from(USAGE)
    })
}
