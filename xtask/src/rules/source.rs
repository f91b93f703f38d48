//! A Rust file of the tree, as the rules read it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::rust::items::without_tests;
use crate::rust::lex::{Token, tokens};
use crate::shell::{self, Result, at};

/// The folders with Rust in them.
const FOLDERS: [&str; 6] = ["src", "crates", "examples", "benches", "tests", "xtask"];

/// One file.
pub struct Source {
    /// Its path from the workspace's root.
    pub name: String,
    pub text: String,
}

impl Source {
    /// Every Rust file, by name.
    pub fn all() -> Result<Vec<Self>> {
        let root = shell::root();
        let mut paths = Vec::new();
        for folder in FOLDERS {
            collect(&root.join(folder), &mut paths)?;
        }
        let read = |path: &PathBuf| {
            let text = at("read", path, fs::read_to_string(path))?;
            Ok(Self { name: path.strip_prefix(&root).unwrap_or(path).display().to_string(), text })
        };
        paths.iter().map(read).collect()
    }

    /// Its tokens, without those of tests.
    pub fn code(&self) -> Vec<Token<'_>> {
        without_tests(&tokens(&self.text))
    }

    /// Whether it holds tests or benchmarks and nothing else.
    pub fn is_test(&self) -> bool {
        let folder =
            |folder: &str| self.name.starts_with(folder) || self.name.contains(&format!("/{folder}"));
        folder("tests/") || folder("benches/") || self.name.ends_with("/tests.rs")
    }

    /// Whether it belongs to a library, or to the part of a package that its programs share.
    pub fn is_library(&self) -> bool {
        let shipped = self.name.starts_with("src/") || self.name.starts_with("crates/");
        let other = ["/cli/", "/bin/", "/examples/", "/program/"].iter().any(|part| self.name.contains(part));
        let program = ["/main.rs", "/build.rs"].iter().any(|end| self.name.ends_with(end));
        shipped && !other && !program && !self.is_test()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_path() {
        let is = |name: &str| {
            let source = Source { name: name.to_owned(), text: String::new() };
            (source.is_library(), source.is_test())
        };
        assert_eq!(is("crates/ccs/src/run/mod.rs"), (true, false));
        assert_eq!(is("src/extract/mod.rs"), (true, false));
        for program in
            ["src/cli/mod.rs", "src/main.rs", "crates/x/src/bin/y.rs", "examples/a.rs", "xtask/src/a.rs"]
        {
            assert_eq!(is(program), (false, false), "{program}");
        }
        for test in ["tests/it/a.rs", "crates/x/tests/it/a.rs", "crates/x/src/tests.rs", "benches/a.rs"] {
            assert_eq!(is(test), (false, true), "{test}");
        }
    }
}
