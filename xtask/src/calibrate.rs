//! `cargo xtask calibrate`: how often each sentence of a report is wrong, on sets of pairs with a known truth.

use std::fs;
use std::process::Command;

use crate::libtorch;
use crate::shell::{self, Result};

/// Sets of each kind in a check of about a minute.
const QUICK: &str = "12";

/// The results of a check: it must not go on from those of an older program.
const QUICK_RESULTS: &str = "target/calibrate-quick.jsonl";

/// The document that a whole campaign writes.
const TABLE: &str = "docs/calibration.md";

pub fn run(args: &[String]) -> Result {
    libtorch::ready()?;
    match shell::words(args).as_slice() {
        ["--quick"] => quick(),
        [] => example(&["--table", TABLE]),
        args => example(args),
    }
}

/// A few sets of each kind: fails where a sentence is wrong far more often than it may be.
pub fn quick() -> Result {
    let _ = fs::remove_file(shell::root().join(QUICK_RESULTS));
    example(&["--sets", QUICK, "--results", QUICK_RESULTS])
}

fn example(args: &[&str]) -> Result {
    // With the whole workspace's features, as the tests are built: nothing is compiled twice.
    shell::cargo(["build", "--quiet", "--workspace", "--example", "calibrate"])?;
    let program = shell::target().join("debug/examples/calibrate");
    shell::run_command(Command::new(program).current_dir(shell::root()).args(args))
}
