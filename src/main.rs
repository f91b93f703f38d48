//! The program `llama-ccs`.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::main()
}
