//! `cargo xtask tidy --tch VERSION`: the workspace compiles with another tch of the range that Cargo.toml declares.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::libtorch::{self, Release};
use crate::shell::{self, Result, at};

/// What the mirrored workspace does not share with this one.
const OWN: [&str; 5] = [".cargo", ".git", "Cargo.lock", "out", "target"];

pub fn check(version: &str) -> Result {
    let release = libtorch::release(version)?;
    let torch = libtorch::for_tch(release)?;
    let mut check = cargo_with(release, &torch)?;
    shell::run_command(check.args(["check", "--workspace", "--all-targets", "--quiet", "--locked"]))
}

/// `cargo` in a mirror of the workspace that is locked to another tch, with that one's LibTorch.
pub fn cargo_with(release: Release, torch: &Path) -> Result<Command> {
    let (_, cmake) = libtorch::for_users();
    let mirror = shell::target().join("xtask").join(format!("tch-{}", release.tch));
    mirror_workspace(&mirror)?;
    let cargo = || {
        let mut command = shell::cargo_command();
        command.current_dir(&mirror).env("CARGO_TARGET_DIR", shell::target());
        command.env_remove("LIBTORCH_USE_PYTORCH").env("LIBTORCH", torch).env("CMAKE", &cmake);
        command
    };
    shell::run_command(cargo().args(["update", "--quiet", "-p", "tch", "--precise", release.tch]))?;
    Ok(cargo())
}

/// The same sources (by links) with a Cargo.lock of their own.
fn mirror_workspace(mirror: &Path) -> Result {
    let root = shell::root();
    let _ = fs::remove_dir_all(mirror);
    at("create", mirror, fs::create_dir_all(mirror))?;
    for entry in at("list", &root, fs::read_dir(&root))? {
        let entry = at("list", &root, entry)?;
        let name = entry.file_name();
        let own = OWN.iter().any(|own| name == *own) || name.to_string_lossy().starts_with(".libtorch");
        if !own {
            let link = mirror.join(&name);
            at("link", &link, symlink(entry.path(), &link))?;
        }
    }
    let lock = root.join("Cargo.lock");
    at("copy", &lock, fs::copy(&lock, mirror.join("Cargo.lock")).map(drop))
}
