//! `cargo xtask test`: what CI runs.

use crate::shell::{self, Result};
use crate::{kernels, libtorch, outside, package, tidy};

pub fn run(args: &[String]) -> Result {
    libtorch::ready()?;
    let fixed = ["test", "--workspace"];
    if !args.is_empty() {
        return shell::cargo(fixed.into_iter().chain(args.iter().map(String::as_str)));
    }
    tidy::run(&[])?;
    package::list()?;
    shell::cargo(fixed)?;
    kernels::check()?;
    outside::check()
}
