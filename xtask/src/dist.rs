//! `cargo xtask dist`: both programs as an archive that runs where it is unpacked: no cargo, no Python, no variables.
//!
//! `bin/` has launchers, since a program that is linked to LibTorch can neither fetch it nor say that it is missing;
//! `libexec/` the programs; `lib/` LibTorch, unless `--without-libtorch` leaves that to `llama-ccs setup`; `share/` the
//! teaching model and its questions.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::libtorch;
use crate::shell::{self, Result, at};

/// The platform, as rustc has it.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// The most that a program should take on disk.
const LARGEST: u64 = 40 << 20;

const LAUNCHER: &str = include_str!("../dist/launcher.sh");
const SETUP: &str = include_str!("../dist/setup.sh");
const README: &str = include_str!("../dist/README.md");

/// What `llama-ccs setup` fetches: the address, its SHA-256, and the members that are kept.
const WHEELS: [(&str, &str, &str); 3] = [
    (
        "https://files.pythonhosted.org/packages/f3/82/fea946351658e6534db52d2cc12bc53087cbf87f9440c5f180f367c1950b/torch-2.13.0-cp312-cp312-manylinux_2_28_x86_64.whl",
        "796633c4cdf0fe2cdced72d8f88f22e73dbcfce83132763162f6d4bff13b820b",
        "torch/lib/libtorch_cpu.so,torch/lib/libc10.so,torch/lib/libgomp.so.1",
    ),
    (
        "https://files.pythonhosted.org/packages/2e/24/d1558f3b68b1d26e706813b1d10aa1d785e4698c425af8db8edc3dced472/nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
        "nvidia/cu13/lib/libcudart.so.13",
    ),
    (
        "https://files.pythonhosted.org/packages/33/6d/737d164b4837a9bbd202f5ae3078975f0525a55730fe871d8ed4e3b952b0/nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl",
        "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
        "nvidia/cu13/lib/libcupti.so.13",
    ),
];

pub fn run(args: &[String]) -> Result {
    let mut with_libtorch = true;
    let mut profile = "release";
    for arg in shell::words(args) {
        match arg {
            "--without-libtorch" => with_libtorch = false,
            // What the tests are built with: to try the archive, not to hand it on.
            "--dev" => profile = "dev",
            other => return Err(format!("dist takes `--without-libtorch` and `--dev`, not `{other}`")),
        }
    }
    libtorch::ready()?;
    let folder = shell::target().join("dist");
    let name = format!("llama-ccs-{}-{PLATFORM}", version()?);
    let made = folder.join(&name);
    let _ = fs::remove_dir_all(&made);
    for part in ["bin", "libexec", "lib", "share/quiz/model"] {
        let part = made.join(part);
        at("create", &part, fs::create_dir_all(&part))?;
    }
    programs(&made.join("libexec"), profile)?;
    texts(&made)?;
    if with_libtorch {
        libtorch_into(&made.join("lib"))?;
    }
    let archive =
        folder.join(format!("{name}{}.tar.gz", if with_libtorch { "" } else { "-without-libtorch" }));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-C"]).arg(&folder);
    shell::run_command(tar.arg("-czf").arg(&archive).arg(&name))?;
    let size = at("read", &archive, fs::metadata(&archive))?.len();
    println!("{} ({} MB)", archive.display(), size >> 20);
    Ok(())
}

/// The version of the workspace's packages.
fn version() -> Result<String> {
    let manifest = shell::root().join("Cargo.toml");
    let text = at("read", &manifest, fs::read_to_string(&manifest))?;
    let package = text.split_once("[workspace.package]").map_or("", |(_, rest)| rest);
    let version = package.split_once("version = \"").and_then(|(_, rest)| rest.split_once('"'));
    version.map(|(version, _)| version.to_owned()).ok_or_else(|| "Cargo.toml states no version".to_owned())
}

/// Builds both programs, with no folder of this machine in them, and copies them.
fn programs(into: &Path, profile: &str) -> Result {
    let mut build = shell::cargo_command();
    build.args(["build", "--profile", profile, "--bin", "llama-ccs", "--bin", "ccs"]);
    // The build scripts read the variable.
    shell::run_command(build.env("LLAMA_CCS_RELOCATABLE", "1"))?;
    let folder = shell::target().join(if profile == "dev" { "debug" } else { profile });
    for program in ["llama-ccs", "ccs"] {
        let source = folder.join(program);
        let bytes = at("copy", &source, fs::copy(&source, into.join(program)))?;
        if profile == "release" && bytes > LARGEST {
            eprintln!(
                "{} has {} MB: they are to have at most {}",
                source.display(),
                bytes >> 20,
                LARGEST >> 20
            );
        }
    }
    Ok(())
}

/// Launchers, `setup`, the documents, and what the first steps need.
fn texts(made: &Path) -> Result {
    let script = |path: PathBuf, text: &str| {
        at("write", &path, fs::write(&path, text))?;
        at("make executable", &path, fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
    };
    for program in ["llama-ccs", "ccs"] {
        script(made.join("bin").join(program), &launcher(program))?;
    }
    script(made.join("libexec/setup"), &setup())?;
    let readme = made.join("README.md");
    at("write", &readme, fs::write(&readme, README.replace("TORCH", libtorch::newest())))?;
    let root = shell::root();
    for document in ["CHANGELOG.md", "CITATION.cff", "LICENSE-APACHE", "LICENSE-MIT"] {
        copy(&root.join(document), &made.join(document))?;
    }
    let (quiz, share) = (root.join("examples/quiz"), made.join("share/quiz"));
    copy(&quiz.join("questions.jsonl"), &share.join("questions.jsonl"))?;
    for entry in at("list", &quiz, fs::read_dir(quiz.join("model")))? {
        let entry = at("list", &quiz, entry)?;
        copy(&entry.path(), &share.join("model").join(entry.file_name()))?;
    }
    Ok(())
}

/// The libraries that `setup` would fetch, from where cargo links them.
fn libtorch_into(lib: &Path) -> Result {
    let (torch, _) = libtorch::for_users();
    let home = torch.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    for member in members() {
        let file = member.rsplit('/').next().unwrap_or(member);
        copy(&home.join(member), &lib.join(file))?;
    }
    Ok(())
}

fn members() -> impl Iterator<Item = &'static str> {
    WHEELS.iter().flat_map(|(_, _, members)| members.split(','))
}

fn launcher(program: &str) -> String {
    LAUNCHER.replace("NAME", program).replace("TORCH", libtorch::newest())
}

fn setup() -> String {
    let wheels: Vec<String> = WHEELS.iter().map(|(url, sum, keep)| format!("{url} {sum} {keep}")).collect();
    SETUP.replace("WHEELS", &wheels.join("\n")).replace("TORCH", libtorch::newest())
}

fn copy(from: &Path, to: &Path) -> Result {
    at("copy", from, fs::copy(from, to).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setup_fetches_what_the_programs_are_built_with() {
        let urls = WHEELS.map(|(url, ..)| url);
        assert!(urls[0].contains(&format!("/torch-{}-cp312-", libtorch::newest())));
        for (url, stub) in urls[1..].iter().zip(libtorch::CUDA_STUBS) {
            let (name, version) = stub.split_once("==").unwrap();
            assert!(
                url.contains(&format!("/{}-{version}-py3", name.replace('-', "_"))),
                "{url} is not {stub}"
            );
        }
        let kept: Vec<&str> = libtorch::KEEP.into_iter().filter(|member| member.contains(".so")).collect();
        assert_eq!(members().collect::<Vec<_>>(), kept);
    }

    #[test]
    fn scripts_are_filled_in_and_the_shell_reads_them() {
        for text in [launcher("llama-ccs"), launcher("ccs"), setup()] {
            assert!(!["NAME", "TORCH", "WHEELS"].iter().any(|word| text.contains(word)), "{text}");
            let read = Command::new("sh").args(["-n", "-c", &text]).status().unwrap();
            assert!(read.success(), "{text}");
        }
    }
}
