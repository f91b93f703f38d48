//! The documentation, made as docs.rs makes it: warnings are errors, and there is no LibTorch.

use std::path::Path;
use std::process::Command;

use crate::shell::{self, Result};

/// Documents the workspace's libraries.
pub fn check() -> Result {
    let mut doc = shell::cargo_command();
    doc.args(["doc", "--workspace", "--exclude", "xtask", "--no-deps", "--quiet", "--features", "doc-only"]);
    shell::run_command(without_libtorch(&mut doc, &shell::root()).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Points every way of finding a LibTorch to nowhere.
pub fn without_libtorch<'a>(command: &'a mut Command, base: &Path) -> &'a mut Command {
    command.env_remove("LIBTORCH_USE_PYTORCH").env("LIBTORCH", base.join("no-libtorch-here"))
}
