//! `cargo xtask demo`: LibTorch, then the example with its built-in model.

use crate::{
    libtorch,
    shell::{self, Result},
};

pub fn run(args: &[String]) -> Result {
    libtorch::ready()?;
    let fixed = ["run", "--release", "--example", "boolq_7b", "--"];
    shell::cargo(fixed.into_iter().chain(args.iter().map(String::as_str)))
}
