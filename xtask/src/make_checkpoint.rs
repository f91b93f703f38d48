//! `cargo xtask make-checkpoint`: a checkpoint of random weights, written by the example of that name.

use crate::libtorch;
use crate::shell::{self, Result};

pub fn run(args: &[String]) -> Result {
    libtorch::ready()?;
    let example = ["run", "--release", "--quiet", "--example", "make_checkpoint", "--"];
    shell::cargo(example.iter().copied().chain(args.iter().map(String::as_str)))
}
