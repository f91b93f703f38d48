//! `cargo xtask package`: what crates.io would be given.

use crate::shell::{self, Result};

/// Everything but xtask and the examples. cargo packs the members in the order of their dependencies and lets each see the
/// others through a registry of its own, so nothing needs to be published before.
const PACKAGE: [&str; 8] = [
    "package",
    "--workspace",
    "--exclude",
    "xtask",
    "--exclude",
    "llama-ccs-examples",
    "--allow-dirty",
    "--quiet",
];

pub fn run(args: &[String]) -> Result {
    match shell::words(args).as_slice() {
        [] => list(),
        ["--verify"] => shell::cargo(PACKAGE),
        other => Err(format!("package takes nothing or `--verify`, not {other:?}")),
    }
}

/// Makes the packages without compiling what is in them.
pub fn list() -> Result {
    shell::cargo(PACKAGE.into_iter().chain(["--no-verify"]))
}
