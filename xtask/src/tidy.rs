//! `cargo xtask tidy`: the tree is formatted, lint-free, documented, and keeps the repository's rules.

use crate::shell::{self, Result};
use crate::{deny, docs, readme, rules, tch};

pub fn run(args: &[String]) -> Result {
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => all(),
        ["--tch", version] => tch::check(version),
        other => Err(format!("tidy takes nothing or `--tch VERSION`, not {other:?}")),
    }
}

fn all() -> Result {
    rules::check()?;
    readme::check()?;
    shell::cargo(["fmt", "--all", "--check"])?;
    deny::check()?;
    shell::cargo(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    docs::check()
}
