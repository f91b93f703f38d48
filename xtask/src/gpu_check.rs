//! `cargo xtask gpu-check`: a folder that a machine with a GPU, without network and without cargo, runs in nine minutes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::shell::{self, Result, at};
use crate::{libtorch, tch};

/// The tch of the LibTorch that hosts with CUDA are likely to have (PyTorch 2.11).
const TCH: &str = "0.24";
/// The most that the folder may take.
const LARGEST: u64 = 60 << 20;
const SCRIPT: &str = include_str!("../gpu-check/run.sh");
/// What is compared on the device: models with their reference states.
const GOLDEN: [&str; 3] = ["llama", "llama3", "quantized"];

pub fn run(args: &[String]) -> Result {
    let version = match shell::words(args).as_slice() {
        [] => TCH,
        ["--tch", version] => version,
        other => return Err(format!("gpu-check takes nothing or `--tch VERSION`, not {other:?}")),
    };
    let release = libtorch::release(version)?;
    let folder = shell::target().join("gpu-check");
    let _ = fs::remove_dir_all(&folder);
    cases(&folder.join("cases"))?;

    let torch = libtorch::for_tch(release)?;
    let mut build = tch::cargo_with(release, &torch)?;
    build.args(["build", "--release", "--bin", "llama-ccs", "--bin", "ccs", "--example", "gpu_check"]);
    shell::run_command(build.env("LLAMA_CCS_RELOCATABLE", "1"))?;
    let mut tar = std::process::Command::new("tar");
    tar.arg("-czf").arg(folder.join("programs.tar.gz")).arg("-C").arg(shell::target().join("release"));
    shell::run_command(tar.args(["--transform", "s,.*/,,", "llama-ccs", "ccs", "examples/gpu_check"]))?;
    let script = folder.join("run.sh");
    at("write", &script, fs::write(&script, SCRIPT.replace("TORCH", release.torch)))?;
    at("make executable", &script, fs::set_permissions(&script, fs::Permissions::from_mode(0o755)))?;

    let size = size(&folder)?;
    println!("{}: {} MB; there, ./run.sh writes gpu-check.json", folder.display(), size >> 20);
    if size > LARGEST { Err(format!("that is more than {} MB", LARGEST >> 20)) } else { Ok(()) }
}

/// The models, and the teaching model with its questions.
pub fn cases(into: &Path) -> Result {
    let root = shell::root();
    for golden in GOLDEN {
        copy(&root.join("tests/golden").join(golden), &into.join("golden").join(golden))?;
    }
    copy(&root.join("examples/quiz"), &into.join("quiz"))
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) -> Result {
    at("create", to, fs::create_dir_all(to))?;
    for entry in at("list", from, fs::read_dir(from))? {
        let entry = at("list", from, entry)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            at("copy", &from, fs::copy(&from, &to))?;
        }
    }
    Ok(())
}

/// Bytes of the files in a folder.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in at("list", folder, fs::read_dir(folder))? {
        let path = at("list", folder, entry)?.path();
        bytes += if path.is_dir() { size(&path)? } else { at("read", &path, fs::metadata(&path))?.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_hold_models_references_and_questions() {
        let folder = std::env::temp_dir().join(format!("gpu-check-cases-{}", std::process::id()));
        cases(&folder).unwrap();
        for golden in GOLDEN {
            assert!(folder.join("golden").join(golden).join("expected.safetensors").exists(), "{golden}");
        }
        assert!(folder.join("quiz/questions.jsonl").exists() && folder.join("quiz/model").is_dir());
        assert!(size(&folder).unwrap() < 8 << 20, "nearly all of the folder is for programs");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_shell_reads_the_script() {
        let read = std::process::Command::new("sh").args(["-n", "-c", SCRIPT]).status().unwrap();
        assert!(read.success());
    }
}
