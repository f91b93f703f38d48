//! What tests are compared with. [`golden`] files are part of the checkout. Everything else may be missing on a machine:
//! reference results shared between checkouts, a real model, Python packages. A test asks here for it, and returns
//! early on `None`.
//!
//! No such test passes unseen: each is named on stderr and in the file `LLAMA_CCS_SKIPPED`, from which `cargo xtask
//! test` counts them at its end. With `LLAMA_CCS_REQUIRE_ALL=1` they fail.

#[cfg(feature = "hub")]
pub mod hub;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io, thread};

/// The workspace's root.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}

/// A reference result of this checkout, made by the scripts in `tests/golden`.
pub fn golden(path: &str) -> PathBuf {
    root().join("tests/golden").join(path)
}

/// A file or folder of the material shared between checkouts: `LLAMA_CCS_SHARED`, or `shared` beside the checkout.
pub fn shared(path: &str) -> Option<PathBuf> {
    let folder = env::var_os("LLAMA_CCS_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let found = folder.join(path);
    if found.exists() {
        return Some(found);
    }
    missing(&format!("{} (set LLAMA_CCS_SHARED to the folder that has {path})", found.display()));
    None
}

/// The real model that `cargo xtask fetch smollm2` downloads; tests do not download.
pub fn smollm2() -> Option<PathBuf> {
    let path = root().join(".models/SmolLM2-135M-Instruct.Q4_1.gguf");
    if path.exists() {
        return Some(path);
    }
    missing(&format!("{} (`cargo xtask fetch smollm2`)", path.display()));
    None
}

/// A Python that can import `module`: `LLAMA_CCS_PYTHON`, or `python3`.
pub fn python(module: &str) -> Option<OsString> {
    let python = env::var_os("LLAMA_CCS_PYTHON").unwrap_or_else(|| "python3".into());
    let imported = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if imported.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    missing(&format!("Python with {module} (set LLAMA_CCS_PYTHON)"));
    None
}

/// A Chromium to open pages with: `LLAMA_CCS_CHROMIUM`, or one on the path. It is never required.
pub fn chromium() -> Option<OsString> {
    let named = env::var_os("LLAMA_CCS_CHROMIUM").into_iter();
    let usual = ["chromium", "chromium-browser", "google-chrome"].map(OsString::from);
    let works = |program: &OsString| {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let found = named.chain(usual).find(works);
    if found.is_none() {
        not_allowed(
            "open pages: there is no Chromium (`apt-get install chromium`, or set LLAMA_CCS_CHROMIUM)",
        );
    }
    found
}

/// Records that the running test lacks something and checks nothing.
///
/// # Panics
/// With `LLAMA_CCS_REQUIRE_ALL=1`.
#[allow(clippy::panic)] // How a test fails.
pub fn missing(what: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(
        env::var_os("LLAMA_CCS_REQUIRE_ALL").is_none_or(|value| value != "1"),
        "{test} needs {what}, and LLAMA_CCS_REQUIRE_ALL=1 says that everything is there"
    );
    record(&format!("{test}: no {what}\n"));
}

/// Records that the running test may not do something on this machine, and checks nothing: no material would help.
pub fn not_allowed(what: &str) {
    let thread = thread::current();
    record(&format!("{}: may not {what}\n", thread.name().unwrap_or("a test")));
}

fn record(line: &str) {
    // libtest captures what `eprint!` writes, and shows it of failed tests only.
    let _ = write!(io::stderr(), "SKIPPED {line}");
    if let Some(list) = env::var_os("LLAMA_CCS_SKIPPED") {
        // One write of a short line: tests of several processes do not mix.
        let file = OpenOptions::new().create(true).append(true).open(list);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
