//! `cargo xtask test`: what CI runs.

use crate::{
    libtorch,
    shell::{self, Result},
    tidy,
};

pub fn run(args: &[String]) -> Result {
    libtorch::ready()?;
    if args.is_empty() {
        tidy::run(&[])?;
    }
    let fixed = ["test", "--workspace"];
    shell::cargo(fixed.into_iter().chain(args.iter().map(String::as_str)))
}
