//! Running other programs from the workspace root, and saying which one failed.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What every task returns: a message for a person is error enough here.
pub type Result<T = ()> = std::result::Result<T, String>;

/// The workspace's root folder.
pub fn root() -> PathBuf {
    // CARGO_MANIFEST_DIR is xtask/.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The folder that cargo builds in.
pub fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Runs a prepared command and fails unless it succeeds.
pub fn run_command(command: &mut Command) -> Result {
    let shown = show(command);
    eprintln!("+ {shown}");
    let started = Instant::now();
    let status = command.status().map_err(|e| format!("could not start `{shown}`: {e}"))?;
    let seconds = started.elapsed().as_secs();
    if seconds >= 20 {
        eprintln!("  {seconds} s");
    }
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed ({status})")) }
}

/// Runs a prepared command, fails unless it succeeds, and returns what it printed.
pub fn output_of(command: &mut Command) -> Result<String> {
    let shown = show(command);
    eprintln!("+ {shown}");
    let output = command.output().map_err(|e| format!("could not start `{shown}`: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("`{shown}` failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// `cargo ARGS…` in the workspace root.
pub fn cargo<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result {
    run_command(cargo_command().args(args))
}

/// `cargo`, from the workspace root.
pub fn cargo_command() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Where `program` is, if it is on the path.
pub fn find_in_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|d| d.join(program)).find(|p| p.is_file())
}

/// The arguments of a task, to be compared with what it takes.
pub fn words(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// Refuses arguments, for a task that takes none.
pub fn none(task: &str, args: &[String]) -> Result {
    if args.is_empty() { Ok(()) } else { Err(format!("{task} takes no arguments, not {args:?}")) }
}

/// Adds the path to a file-system error, and says what was being done.
pub fn at<T>(doing: &str, path: &Path, result: std::io::Result<T>) -> Result<T> {
    result.map_err(|e| format!("could not {doing} {}: {e}", path.display()))
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
