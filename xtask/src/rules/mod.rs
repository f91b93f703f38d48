//! The repository's own rules: what no compiler checks.

mod arrows;
mod calls;
pub mod circles;
mod documents;
mod flags;
mod ratchet;
mod sizes;
mod source;
mod system;

use crate::metadata::Workspace;
use crate::shell::Result;
use source::Source;

/// How long a file may be that holds tests alone.
const LONGEST: usize = 700;

/// Every finding is listed before the task fails. With `lower`, `xtask/ratchet.txt` is written anew.
pub fn check(lower: bool) -> Result {
    let workspace = Workspace::read()?;
    let mut found = arrows::check(&workspace);
    let mut measured = circles::measure(&workspace)?;
    for source in &Source::all()? {
        found.extend(check_source(source));
        found.extend(system::check_tch(source));
        found.extend(system::check(source));
        measured.extend(sizes::measure(source));
        measured.extend(calls::measure(source));
        measured.extend(flags::measure(source));
    }
    found.extend(ratchet::check(&measured, lower)?);
    found.extend(documents::check(&workspace)?);
    if found.is_empty() { Ok(()) } else { Err(format!("repository rules:\n  {}", found.join("\n  "))) }
}

/// The rules of any Rust file.
fn check_source(source: &Source) -> Vec<String> {
    let Source { name, text } = source;
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST {
        found.push(format!("{name}: {lines} lines; split it by idea, a file is read in one sitting"));
    }
    if !text.starts_with("//!") && !text.starts_with("#!") {
        found.push(format!("{name}:1: a file opens with `//!`, saying what lives here"));
    }
    let markers = [["to", "do!("].concat(), ["unimplem", "ented!("].concat()];
    for (number, line) in text.lines().enumerate() {
        if markers.iter().any(|marker| line.contains(marker)) {
            found.push(format!("{name}:{}: nothing is left for later in the tree", number + 1));
        }
    }
    found
}
