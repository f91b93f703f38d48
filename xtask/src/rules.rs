//! The repository's own rules: what no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{self, Result, at};

/// Every finding is listed before the task fails.
pub fn check() -> Result {
    let mut found = Vec::new();
    let root = shell::root();
    let mut sources = Vec::new();
    for folder in ["src", "crates", "examples", "benches", "tests", "xtask"] {
        collect(&root.join(folder), &mut sources)?;
    }
    for path in &sources {
        let text = at("read", path, fs::read_to_string(path))?;
        let name = path.strip_prefix(&root).unwrap_or(path).display().to_string();
        found.extend(check_source(&name, &text));
    }
    let readme = root.join("README.md");
    let lines = at("read", &readme, fs::read_to_string(&readme))?.lines().count();
    if lines >= 200 {
        found.push(format!("README.md: {lines} lines; under 200 is the rule"));
    }
    found.extend(check_citation(&root)?);
    if found.is_empty() { Ok(()) } else { Err(format!("repository rules:\n  {}", found.join("\n  "))) }
}

/// tch's methods that panic where their `f_` twins return an error. Names that the standard library shares (`sum`,
/// `select` of an iterator …) are left to reviewers.
const PANICKING: [&str; 30] = [
    ".argmax(",
    ".copy_(",
    ".double_value(",
    ".fill_(",
    ".flatten(0",
    ".gather(",
    ".index_select(",
    ".int64_value(",
    ".log_softmax(",
    ".masked_fill(",
    ".matmul(",
    ".mean_dim(",
    ".narrow(",
    ".permute(",
    ".reshape(",
    ".shallow_clone(",
    ".sigmoid(",
    ".softmax(",
    ".sum_dim_intlist(",
    ".to_device(",
    ".to_kind(",
    ".transpose(1",
    ".unsqueeze(",
    ".view(",
    "Tensor::cat(",
    "Tensor::from_slice(",
    "Tensor::ones(",
    "Tensor::read_npy(",
    "Tensor::stack(",
    "Tensor::zeros(",
];

/// The rules of one Rust file.
fn check_source(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    // xtask/ has no tensors; it names these methods below.
    let library = ["src/", "crates/"].iter().any(|p| name.starts_with(p)) && !name.ends_with("tests.rs");
    let library = library && !name.contains("/tests/") && !name.contains("/examples/");
    if library {
        // Tests stand at a file's end; comments hold examples.
        let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").enumerate();
        for (number, line) in code.filter(|(_, line)| !line.trim_start().starts_with("//")) {
            // tch's `view` takes a shape; without one it is someone else's.
            let line = line.replace(".view()", "");
            if let Some(call) = PANICKING.iter().find(|call| line.contains(**call)) {
                found.push(format!("{name}:{}: `{call}…)` panics; libraries call its `f_` twin", number + 1));
            }
        }
    }
    let lines = text.lines().count();
    if lines > 700 {
        found.push(format!("{name}: {lines} lines; split it by idea, a file is read in one sitting"));
    }
    let module_docs = text.starts_with("//!") || text.starts_with("#!");
    if !module_docs {
        found.push(format!("{name}:1: a file opens with `//!`, saying what lives here"));
    }
    for (number, line) in text.lines().enumerate() {
        let marker = ["to", "do!("].concat();
        if line.contains(&marker) || line.contains(&["unimplem", "ented!("].concat()) {
            found.push(format!("{name}:{}: nothing is left for later in the tree", number + 1));
        }
    }
    found
}

/// Who cites the software cites the version there is.
fn check_citation(root: &Path) -> Result<Option<String>> {
    let field = |file: &str, start: &str| -> Result<String> {
        let path = root.join(file);
        let text = at("read", &path, fs::read_to_string(&path))?;
        let value = text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default();
        Ok(value.trim_matches(['"', ' ', '=']).to_owned())
    };
    let (cargo, citation) = (field("Cargo.toml", "version = ")?, field("CITATION.cff", "version: ")?);
    Ok((cargo != citation).then(|| format!("CITATION.cff: version {citation}, but Cargo.toml has {cargo}")))
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = at("list", folder, entry)?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
    into.sort();
    Ok(())
}
