//! `cargo xtask test`: what CI runs.

use std::fs;

use crate::shell::{self, Result, at};
use crate::{calibrate, kernels, libtorch, outside, package, tidy};

/// Where tests that lack something write so (`tests/material`).
const SKIPPED: &str = "LLAMA_CCS_SKIPPED";

pub fn run(args: &[String]) -> Result {
    libtorch::ready()?;
    let fixed = ["test", "--workspace"];
    if !args.is_empty() {
        return shell::cargo(fixed.into_iter().chain(args.iter().map(String::as_str)));
    }
    tidy::run(&[])?;
    package::list()?;
    let list = shell::root().join("target/tests-skipped");
    let _ = fs::remove_file(&list); // of an earlier run
    shell::run_command(shell::cargo_command().args(fixed).env(SKIPPED, &list))?;
    calibrate::quick()?;
    kernels::check()?;
    outside::check()?;
    if !list.exists() {
        return Ok(());
    }
    let text = at("read", &list, fs::read_to_string(&list))?;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    println!(
        "tests that lacked something and checked nothing: {} (LLAMA_CCS_REQUIRE_ALL=1 makes them fail)",
        lines.len()
    );
    for line in lines {
        println!("  {line}");
    }
    Ok(())
}
