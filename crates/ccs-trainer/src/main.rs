//! `ccs`: fits probes on a store of hidden states and reports how accurate they are.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
