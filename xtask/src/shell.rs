//! Running other programs from the workspace root, and saying which one failed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What every task returns: a message for a person is error enough here.
pub type Result<T = ()> = std::result::Result<T, String>;

/// The workspace's root folder.
pub fn root() -> PathBuf {
    // CARGO_MANIFEST_DIR is xtask/.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Runs `program` with `args` in the workspace root and fails unless it succeeds.
pub fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Result {
    let mut command = Command::new(&program);
    command.args(args).current_dir(root());
    run_command(&mut command)
}

/// Runs a prepared command and fails unless it succeeds.
pub fn run_command(command: &mut Command) -> Result {
    let shown = show(command);
    eprintln!("+ {shown}");
    let status = command.status().map_err(|e| format!("could not start `{shown}`: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed ({status})")) }
}

/// `cargo ARGS…` in the workspace root.
pub fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result {
    run(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), args)
}

/// Adds the path to a file-system error, and says what was being done.
pub fn at<T>(doing: &str, path: &Path, result: std::io::Result<T>) -> Result<T> {
    result.map_err(|e| format!("could not {doing} {}: {e}", path.display()))
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
