//! The program `llama-ccs`.

use std::process::ExitCode;

mod cli;

torch_runtime::wait_passively!();

fn main() -> ExitCode {
    torch_runtime::memory::keep_freed();
    cli::main()
}
