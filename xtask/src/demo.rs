//! `cargo xtask demo`: LibTorch, then the example with its built-in model.

use crate::{
    libtorch,
    shell::{self, Result},
};

/// Not `--release`: the arithmetic is LibTorch's in any profile, and what is compiled here the tests need too, so that
/// each dependency is compiled once.
const DEMO: [&str; 4] = ["run", "--example", "boolq_7b", "--"];

pub fn run(args: &[String]) -> Result {
    libtorch::ready()?;
    shell::cargo(DEMO.into_iter().chain(args.iter().map(String::as_str)))
}
