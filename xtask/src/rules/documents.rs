//! What documents and manifests promise: the README's length and commands, the version that is cited, the oldest Rust.

use std::fs;

use crate::metadata::Workspace;
use crate::shell::{self, Result, at};

/// A screen and a half.
const README_LINES: usize = 120;
/// What a reader of the README does first.
const README_COMMANDS: [&str; 2] = ["cargo xtask demo", "cargo xtask test"];

/// All of them.
pub fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let root = shell::root();
    let read = |name: &str| at("read", &root.join(name), fs::read_to_string(root.join(name)));
    let manifest = read("Cargo.toml")?;
    let mut found = readme(&read("README.md")?);
    found.extend(citation(&manifest, &read("CITATION.cff")?));
    found.extend(oldest_rust(&manifest, &read("clippy.toml")?, &workspace.rust_versions));
    Ok(found)
}

fn readme(text: &str) -> Vec<String> {
    let lines = text.lines().count();
    let long =
        format!("README.md: {lines} lines; {README_LINES} are the most, the rest belongs into docs/guide/");
    let missing = README_COMMANDS.iter().filter(|command| !text.contains(**command));
    let missing = missing.map(|command| format!("README.md: `{command}` is not in it"));
    (lines > README_LINES).then_some(long).into_iter().chain(missing).collect()
}

/// Who cites the software cites the version there is.
fn citation(manifest: &str, citation: &str) -> Option<String> {
    let (cargo, citation) = (field(manifest, "version"), field(citation, "version"));
    (cargo != citation).then(|| format!("CITATION.cff: version {citation}, but Cargo.toml has {cargo}"))
}

/// `rust-version` is the newest that a dependency asks for: nobody could build with an older one, and nothing here asks for
/// a newer one. clippy is told the same.
fn oldest_rust(manifest: &str, clippy: &str, dependencies: &[(String, String)]) -> Vec<String> {
    let (ours, clippys) = (field(manifest, "rust-version"), field(clippy, "msrv"));
    let newest = dependencies.iter().max_by_key(|(version, _)| release(version));
    let mut found = Vec::new();
    if let Some((version, name)) = newest.filter(|(version, _)| release(version) != release(ours)) {
        found.push(format!(
            "Cargo.toml: rust-version is {ours}; {name} needs {version}, the newest of all dependencies"
        ));
    }
    if release(ours) != release(clippys) {
        found.push(format!("clippy.toml: msrv is `{clippys}`, and Cargo.toml's rust-version {ours}"));
    }
    found
}

/// `1.85` is `1.85.0`.
fn release(version: &str) -> Vec<u32> {
    let mut parts: Vec<u32> = version.split('.').map(|part| part.parse().unwrap_or_default()).collect();
    parts.resize(3, 0);
    parts
}

/// The value of `key = "value"` or `key: value`, at the beginning of a line.
fn field<'a>(text: &'a str, key: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(['=', ':']));
    value.unwrap_or_default().trim_matches(['"', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_readme_is_short_and_says_how_to_begin() {
        let good = "Run `cargo xtask demo`, then `cargo xtask test`.\n";
        assert!(readme(&format!("{good}{}", "x\n".repeat(119))).is_empty());
        assert_eq!(readme(&format!("{good}{}", "x\n".repeat(120))).len(), 1);
        assert_eq!(readme("cargo xtask demo").len(), 1);
    }

    #[test]
    fn the_oldest_rust_is_the_newest_that_a_dependency_needs() {
        let needs = |list: &[&str]| -> Vec<(String, String)> {
            list.iter().map(|version| ((*version).to_owned(), "x".to_owned())).collect()
        };
        let manifest = "[workspace.package]\nversion = \"0.1.0\"\nrust-version = \"1.95\"\n";
        assert!(oldest_rust(manifest, "msrv = \"1.95.0\"\n", &needs(&["1.9", "1.95.0", "1.82"])).is_empty());
        assert_eq!(oldest_rust(manifest, "msrv = \"1.95\"", &needs(&["1.96"])).len(), 1);
        assert_eq!(oldest_rust(manifest, "msrv = \"1.95\"", &needs(&["1.94"])).len(), 1);
        assert_eq!(oldest_rust(manifest, "", &needs(&["1.95"])).len(), 1);
        assert_eq!(citation(manifest, "cff-version: 1.2.0\nversion: 0.1.0\n"), None);
        assert!(citation(manifest, "version: 0.2.0\n").is_some());
    }
}
