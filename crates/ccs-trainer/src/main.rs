//! `ccs`: fits probes on a store of hidden states and reports how accurate they are.

mod cli;

torch_runtime::wait_passively!();

fn main() -> std::process::ExitCode {
    torch_runtime::memory::give_back_large();
    cli::main()
}
