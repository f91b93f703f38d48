//! `cargo xtask semver --baseline-rev REV`: what changed for those who use the libraries. Nothing is published yet, so a
//! revision is what there is to compare with.

use crate::libtorch;
use crate::shell::{self, Result};

pub fn run(args: &[String]) -> Result {
    let ["--baseline-rev", revision] = shell::words(args)[..] else {
        return Err(format!("semver takes `--baseline-rev REV`, not {args:?}"));
    };
    if shell::find_in_path("cargo-semver-checks").is_none() {
        return Err(
            "cargo-semver-checks is not installed\nhint: `cargo install --locked cargo-semver-checks`"
                .to_owned(),
        );
    }
    libtorch::ready()?;
    // `host` and the others promise one interface together, so all are compared.
    let check =
        ["semver-checks", "check-release", "--workspace", "--exclude", "xtask", "--exclude", "test-material"];
    shell::cargo(check.into_iter().chain(["--baseline-rev", revision]))
}
