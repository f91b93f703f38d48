//! Makes a program that links LibTorch through this crate run without any variable set, under cargo and started directly.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/config.cpp");
    println!("cargo::rerun-if-changed=src/packed.cpp");
    if env::var_os("CARGO_FEATURE_DOC_ONLY").is_some() {
        println!("cargo::rustc-env=TORCH_RUNTIME_BUILT_FOR=");
        return;
    }
    // torch-sys (links = "tch") says which LibTorch it was compiled against.
    let lib = PathBuf::from(env::var_os("DEP_TCH_LIBTORCH_LIB").unwrap_or_else(|| {
        fail("torch-sys did not say where LibTorch is (DEP_TCH_LIBTORCH_LIB is not set)")
    }));
    let lib = fs::canonicalize(&lib).unwrap_or(lib);

    // A link inside target/: cargo puts native search folders there on LD_LIBRARY_PATH of whatever it starts.
    let link =
        PathBuf::from(env::var_os("OUT_DIR").unwrap_or_else(|| fail("OUT_DIR is not set"))).join("libtorch");
    let _ = fs::remove_file(&link);
    if let Err(error) = symlink(&lib, &link) {
        fail(&format!("could not link {} to {}: {error}", link.display(), lib.display()));
    }
    println!("cargo::rustc-link-search=native={}", link.display());
    // Packages with binaries of their own read this as DEP_LLAMA_CCS_TORCH_LIB and set their rpath.
    println!("cargo::metadata=lib={}", lib.display());

    let include = env::var_os("LIBTORCH_INCLUDE").map(PathBuf::from);
    let include =
        include.unwrap_or_else(|| lib.parent().map(Path::to_path_buf).unwrap_or_default()).join("include");
    let version = header_version(&include).unwrap_or_else(|| {
        fail(&format!(
            "no LibTorch headers beside {}: torch/version.h says which release this is",
            lib.display()
        ))
    });
    println!("cargo::rustc-env=TORCH_RUNTIME_BUILT_FOR={version}");
    cc::Build::new().cpp(true).std("c++17").file("src/config.cpp").compile("torch_runtime_config");
    // With LibTorch's headers, which are not ours to warn about.
    let mut packed = cc::Build::new();
    packed.cpp(true).std("c++20").warnings(false).include(&include).file("src/packed.cpp");
    packed.compile("torch_runtime_packed");
    if env::var_os("CARGO_FEATURE_DISTRIBUTED").is_some() {
        c10d(&include);
    }
}

/// `2.13.0`, from the headers that torch-sys was compiled with: they define shapes of calls, the library must match.
fn header_version(include: &Path) -> Option<String> {
    ["torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"].iter().find_map(|header| {
        let text = fs::read_to_string(include.join(header)).ok()?;
        let part = |name: &str| -> Option<u32> {
            let line =
                text.lines().find(|l| l.starts_with("#define ") && l.contains(&format!(" {name} ")))?;
            line.split_whitespace().last()?.parse().ok()
        };
        Some(format!(
            "{}.{}.{}",
            part("TORCH_VERSION_MAJOR")?,
            part("TORCH_VERSION_MINOR")?,
            part("TORCH_VERSION_PATCH")?
        ))
    })
}

/// PyTorch's distributed engine, which the headers of a LibTorch name that has it.
fn c10d(include: &Path) {
    if !include.join("torch/csrc/distributed/c10d/ProcessGroupGloo.hpp").exists() {
        fail("this LibTorch has no c10d: build without the feature `distributed` of torch-runtime");
    }
    println!("cargo::rerun-if-changed=src/dist/c10d");
    let mut shim = cc::Build::new();
    shim.cpp(true).std("c++20").warnings(false).define("USE_C10D_GLOO", None);
    shim.include("src/dist/c10d").include(include).include(include.join("torch/csrc/api/include"));
    shim.file("src/dist/c10d/shim.cpp").compile("torch_runtime_c10d");
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    std::process::exit(1)
}
