//! `cargo xtask outside`: a crate outside the workspace depends on llama-ccs by path, as a user's does: it builds, it
//! starts with and without cargo, and it documents without LibTorch.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::libtorch;
use crate::shell::{self, Result, at};

/// The user's crate; it lies as text in xtask/outside.
const MANIFEST: &str = include_str!("../outside/manifest.toml");
const BUILD: &str = include_str!("../outside/build.rs");
const MAIN: &str = include_str!("../outside/main.rs");
/// What it prints last of the built-in model: the last layer, two prompts, 128 dimensions.
const LAST_LINE: &str = "blocks.3.hook_resid_post [2, 128]";

pub fn run(args: &[String]) -> Result {
    shell::none("outside", args)?;
    libtorch::ready()?;
    check()
}

/// The check itself, with LibTorch in place.
pub fn check() -> Result {
    let folder = write()?;
    let model = shell::root().join("examples/quiz/model");

    // Under cargo nothing is needed: examples get no rpath from the crate's build script.
    let printed =
        shell::output_of(user(&folder).args(["run", "--quiet", "--example", "plain", "--"]).arg(&model))?;
    expect("under cargo", &printed)?;

    shell::run_command(user(&folder).args(["build", "--quiet"]))?;
    let mut program = Command::new(shell::target().join("debug/llama-ccs-outside"));
    let printed = shell::output_of(program.env_remove("LD_LIBRARY_PATH").current_dir(&folder).arg(&model))?;
    expect("started directly", &printed)?;

    let mut doc = user(&folder);
    doc.args(["doc", "--no-deps", "--quiet", "--features", "doc-only"]).env("RUSTDOCFLAGS", "-D warnings");
    shell::run_command(doc.env_remove("LIBTORCH").env_remove("LIBTORCH_USE_PYTORCH"))?;
    at("remove", &folder, fs::remove_dir_all(&folder))
}

/// `cargo` as the user calls it: in their folder, with LIBTORCH set and nothing of this workspace's configuration.
/// Only the target folder is shared, so that LibTorch's bindings are not compiled twice.
fn user(folder: &Path) -> Command {
    let (torch, cmake) = libtorch::for_users();
    let mut command = shell::cargo_command();
    command.current_dir(folder).env("CARGO_TARGET_DIR", shell::target());
    command.env_remove("LD_LIBRARY_PATH").env("LIBTORCH", torch).env("CMAKE", cmake);
    command
}

/// Writes the crate, with this checkout's Cargo.lock. The folder's name is the same every time: so is what cargo makes of it.
fn write() -> Result<PathBuf> {
    let root = shell::root();
    let mut checkout = DefaultHasher::new();
    root.hash(&mut checkout);
    let folder = env::temp_dir().join(format!("llama-ccs-outside-{:x}", checkout.finish()));
    let _ = fs::remove_dir_all(&folder);
    let manifest = MANIFEST.replace("PATH", &root.display().to_string());
    for (name, text) in [
        ("Cargo.toml", manifest.as_str()),
        ("build.rs", BUILD),
        ("src/main.rs", MAIN),
        ("examples/plain.rs", MAIN),
    ] {
        let path = folder.join(name);
        at("create", &path, path.parent().map_or(Ok(()), fs::create_dir_all))?;
        at("write", &path, fs::write(&path, text))?;
    }
    let lock = root.join("Cargo.lock");
    at("copy", &lock, fs::copy(&lock, folder.join("Cargo.lock")))?;
    Ok(folder)
}

fn expect(how: &str, printed: &str) -> Result {
    if printed.lines().last() == Some(LAST_LINE) {
        return Ok(());
    }
    Err(format!("the outside program, {how}, should end with `{LAST_LINE}` and printed:\n{printed}"))
}
