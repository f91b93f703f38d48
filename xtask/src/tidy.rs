//! `cargo xtask tidy`: the tree is formatted, lint-free, documented, and keeps the repository's rules.

use crate::shell::{self, Result};
use crate::{deny, docs, readme, rules, tch, typos};

pub fn run(args: &[String]) -> Result {
    match shell::words(args).as_slice() {
        [] => all(),
        ["--lower"] => rules::check(true),
        ["--circles", package] => rules::circles::show(package),
        ["--tch", version] => tch::check(version),
        other => {
            Err(format!("tidy takes nothing, `--lower`, `--circles CRATE` or `--tch VERSION`, not {other:?}"))
        }
    }
}

fn all() -> Result {
    rules::check(false)?;
    readme::check()?;
    shell::cargo(["fmt", "--all", "--check"])?;
    typos::check()?;
    deny::check()?;
    shell::cargo(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    docs::check()
}
