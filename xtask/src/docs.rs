//! The documentation, made as docs.rs makes it: warnings are errors, and there is no LibTorch.

use crate::shell::{self, Result};

/// Documents the libraries.
pub fn check() -> Result {
    let mut doc = shell::cargo_command();
    doc.args(["doc", "--workspace", "--exclude", "xtask", "--no-deps", "--quiet", "--features", "doc-only"]);
    // .cargo/config.toml would set an unset LIBTORCH.
    doc.env_remove("LIBTORCH_USE_PYTORCH").env("LIBTORCH", shell::root().join("no-libtorch-here"));
    shell::run_command(doc.env("RUSTDOCFLAGS", "-D warnings"))
}
