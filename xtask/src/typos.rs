//! `typos`: spelling in code and documents, with the exceptions that `_typos.toml` lists.

use std::process::Command;

use crate::shell::{self, Result};

pub fn check() -> Result {
    let root = shell::root();
    if !root.join("_typos.toml").exists() {
        return Ok(());
    }
    let Some(program) = shell::find_in_path("typos") else {
        eprintln!(
            "SKIPPED typos: it is not installed (`pip install typos`, or `cargo install --locked typos-cli`)"
        );
        return Ok(());
    };
    shell::run_command(Command::new(program).current_dir(root))
}
