//! LibTorch and CMake into `.libtorch`, from PyPI, without root and without a Python `torch`.
//!
//! `.libtorch/torch` looks like an unpacked LibTorch to torch-sys, `.libtorch/bin/cmake` is what
//! sentencepiece's build script calls; `.cargo/config.toml` points both there.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Result, at};

/// A LibTorch release and the tch that is made for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Release {
    pub tch: &'static str,
    pub torch: &'static str,
}

/// Both ends of the range of tch that Cargo.toml declares; the newest is the one in Cargo.lock.
const OLDEST: Release = Release { tch: "0.24.0", torch: "2.11.0" };
const NEWEST: Release = Release { tch: "0.26.0", torch: "2.13.0" };
/// What libtorch_cpu.so of the PyPI wheel needs besides itself.
pub const CUDA_STUBS: [&str; 2] = ["nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"];
/// What builds sentencepiece where the machine has no CMake of its own.
const CMAKE: &str = "cmake==4.4.4";
/// The members of those wheels a CPU build keeps: 486 MB of 1.6 GB.
pub const KEEP: [&str; 6] = [
    "torch/include/",
    "torch/lib/libtorch_cpu.so",
    "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
];

pub fn run(args: &[String]) -> Result {
    match shell::words(args).as_slice() {
        [] => ready(),
        ["--cuda"] => ensure(true),
        ["--cpu"] => ensure(false),
        ["--tch", version] => {
            println!("{}", for_tch(release(version)?)?.display());
            Ok(())
        }
        other => Err(format!("libtorch takes --cuda, --cpu or `--tch VERSION`, not {other:?}")),
    }
}

/// The release for `0.24` or `0.24.0`.
pub fn release(tch: &str) -> Result<Release> {
    let known = [OLDEST, NEWEST];
    let fits = |r: &Release| r.tch == tch || r.tch.strip_suffix(".0") == Some(tch);
    known.into_iter().find(fits).ok_or_else(|| {
        format!("no LibTorch is known for tch {tch}; known are {}", known.map(|r| r.tch).join(" and "))
    })
}

/// The LibTorch that Cargo.lock's tch is made for.
pub const fn newest() -> &'static str {
    NEWEST.torch
}

/// What `demo` and `test` call: everything in place, or an error that says what to do.
pub fn ready() -> Result {
    ensure(has_nvidia_gpu())
}

/// The CPU LibTorch of a release, fetched if need be: what LIBTORCH is to be set to. Beside .libtorch if it is not the newest.
pub fn for_tch(release: Release) -> Result<PathBuf> {
    let home =
        if release == NEWEST { home() } else { shell::root().join(format!(".libtorch-{}", release.torch)) };
    cmake(&self::home())?;
    fetch(release, &home, false)?;
    Ok(home.join("torch"))
}

/// What a build outside this checkout is told, as a user would: the folders for LIBTORCH and CMAKE.
pub fn for_users() -> (PathBuf, PathBuf) {
    let chosen = |name: &str, ours: &str| env::var_os(name).map_or_else(|| home().join(ours), PathBuf::from);
    (chosen("LIBTORCH", "torch"), chosen("CMAKE", "bin/cmake"))
}

fn home() -> PathBuf {
    shell::root().join(".libtorch")
}

fn ensure(cuda: bool) -> Result {
    cmake(&home())?;
    if let Some(variable) = chosen_by_user() {
        eprintln!("{variable} is set: using that LibTorch, not .libtorch");
        return Ok(());
    }
    fetch(NEWEST, &home(), cuda)
}

/// Puts `release` into `home`, unless it is there.
fn fetch(release: Release, home: &Path, cuda: bool) -> Result {
    let torch = release.torch;
    let version = home.join("torch/build-version");
    let complete = fs::read_to_string(&version).is_ok_and(|v| v.trim() == torch);
    if complete && (!cuda || home.join("torch/lib/libtorch_cuda.so").exists()) {
        return Ok(());
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(format!(
            "no LibTorch in {}, and this task can fetch it for Linux on x86-64 only\n\
             hint: unpack LibTorch {torch} from https://pytorch.org and set LIBTORCH to its folder, \
             or install torch=={torch} with pip and set LIBTORCH_USE_PYTORCH=1",
            home.display()
        ));
    }
    // Everything is made in a folder beside the final one and moved at the end: what is interrupted leaves nothing half-made.
    let making = home.join("making");
    let _ = fs::remove_dir_all(&making);
    at("create", &making, fs::create_dir_all(&making))?;
    if cuda {
        full(torch, &making)?;
    } else {
        slim(torch, &making)?;
    }
    at("write", &version, fs::write(making.join("torch/build-version"), torch))?;
    // torch/ last: its build-version says that everything is there.
    for part in ["nvidia", "torch"] {
        let target = home.join(part);
        let _ = fs::remove_dir_all(&target);
        at("move into place", &target, fs::rename(making.join(part), &target))?;
    }
    at("remove", &making, fs::remove_dir_all(&making))?;
    eprintln!("LibTorch {torch} is in {}", home.join("torch").display());
    Ok(())
}

/// The CPU part of PyPI's torch.
fn slim(torch: &str, making: &Path) -> Result {
    eprintln!("fetching LibTorch {torch} (CPU) from PyPI: 540 MB, once");
    let wheels = making.join("wheels");
    let mut download = pip_download(&wheels);
    download.arg(format!("torch=={torch}")).args(CUDA_STUBS);
    shell::run_command(&mut download)?;
    unpack(&wheels, making, &KEEP)?;
    // The wheel's own libtorch.so names libtorch_cuda.so, which is not there.
    let libtorch = making.join("torch/lib/libtorch.so");
    at("link", &libtorch, symlink("libtorch_cpu.so", &libtorch))
}

/// PyPI's torch with everything CUDA needs, side by side as its own rpaths expect.
fn full(torch: &str, making: &Path) -> Result {
    eprintln!("an NVIDIA GPU: fetching LibTorch {torch} with CUDA from PyPI: about 3 GB, once");
    let mut install = python();
    install.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target"]);
    install.arg(making).arg(format!("torch=={torch}"));
    shell::run_command(&mut install)
}

/// sentencepiece compiles its C++ with CMake, which a fresh machine may not have.
fn cmake(home: &Path) -> Result {
    let link = home.join("bin/cmake");
    if env::var_os("CMAKE").is_some_and(|c| Path::new(&c) != link) || link.exists() {
        return Ok(());
    }
    let bin = home.join("bin");
    at("create", &bin, fs::create_dir_all(&bin))?;
    let _ = fs::remove_file(&link);
    if let Some(system) = shell::find_in_path("cmake") {
        return at("link", &link, symlink(system, &link));
    }
    eprintln!("fetching CMake from PyPI: 30 MB, once");
    let wheels = home.join("cmake-wheel");
    let _ = fs::remove_dir_all(&wheels);
    shell::run_command(pip_download(&wheels).arg(CMAKE))?;
    unpack(&wheels, home, &["cmake/data/"])?;
    at("remove", &wheels, fs::remove_dir_all(&wheels))?;
    at("link", &link, symlink("../cmake/data/bin/cmake", &link))
}

fn pip_download(into: &Path) -> Command {
    let mut pip = python();
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]);
    pip.args(["--implementation=cp", "--python-version=3.12"]);
    for platform in
        ["manylinux_2_28_x86_64", "manylinux_2_25_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64"]
    {
        pip.args(["--platform", platform]);
    }
    pip.arg("-d").arg(into);
    pip
}

/// Unpacks those members of every wheel in `wheels` whose name starts with one of `keep`, with their executable bits.
pub fn unpack(wheels: &Path, into: &Path, keep: &[&str]) -> Result {
    const SCRIPT: &str = "
import os, sys, zipfile
wheels, into, keep = sys.argv[1], sys.argv[2], tuple(sys.argv[3:])
for name in sorted(os.listdir(wheels)):
    with zipfile.ZipFile(os.path.join(wheels, name)) as wheel:
        for member in wheel.infolist():
            if member.filename.startswith(keep) and not member.is_dir():
                path = wheel.extract(member, into)
                if member.external_attr >> 16 & 0o111:
                    os.chmod(path, 0o755)
";
    let mut script = python();
    script.args(["-c", SCRIPT]).arg(wheels).arg(into).args(keep);
    script.status().map_err(|e| format!("could not start python3: {e}")).and_then(|status| {
        if status.success() { Ok(()) } else { Err(format!("unpacking {} failed", wheels.display())) }
    })
}

/// `python3`, from the workspace root.
pub fn python() -> Command {
    let mut command = Command::new("python3");
    command.current_dir(shell::root());
    command
}

/// The variable by which the user, not `.cargo/config.toml`, chose a LibTorch.
fn chosen_by_user() -> Option<&'static str> {
    if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        return Some("LIBTORCH_USE_PYTORCH");
    }
    // `cargo xtask` itself runs under .cargo/config.toml, so LIBTORCH is always set: ours is the one inside .libtorch.
    let ours = home().join("torch");
    env::var_os("LIBTORCH").is_some_and(|l| Path::new(&l) != ours).then_some("LIBTORCH")
}

fn has_nvidia_gpu() -> bool {
    Command::new("nvidia-smi").arg("-L").output().is_ok_and(|o| o.status.success() && !o.stdout.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tch_is_named_in_short_or_in_full() {
        assert!(release("0.24") == Ok(OLDEST) && release("0.24.0") == Ok(OLDEST));
        assert!(release("0.26") == Ok(NEWEST));
        assert!(release("0.2").is_err() && release("0.27").is_err());
    }

    #[test]
    fn the_newest_tch_is_the_locked_one() {
        let lock = fs::read_to_string(shell::root().join("Cargo.lock")).unwrap();
        assert!(lock.contains(&format!("name = \"tch\"\nversion = \"{}\"\n", NEWEST.tch)));
    }
}
