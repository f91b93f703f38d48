//! Files that are read in one sitting, and functions that fit on a screen.

use crate::rules::ratchet::Measured;
use crate::rules::source::Source;
use crate::rust::items::functions;

/// How a file says that it is long for a reason.
const REASON: &str = "//! Long because ";

/// Lines of each file before its tests, and lines with code of each function. Tests may be long.
pub fn measure(source: &Source) -> Vec<Measured> {
    if source.is_test() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let lines = || source.text.lines();
    let has_reason = lines().take_while(|line| line.starts_with("//!")).any(|line| line.starts_with(REASON));
    if !has_reason {
        let count = lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count();
        found.push(Measured::new("long-file", &source.name, count, "whole file".to_owned()));
    }
    let functions = functions(&source.code());
    for (at, function) in functions.iter().enumerate() {
        // Two functions of one name, as in two traits' implementations.
        let same = functions[..at].iter().filter(|other| other.name == function.name).count();
        let number = if same == 0 { String::new() } else { format!("#{}", same + 1) };
        let key = format!("{}:{}{number}", source.name, function.name);
        found.push(Measured::new("long-function", &key, function.lines, format!("line {}", function.line)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(name: &str, text: String) -> Vec<(String, usize)> {
        measure(&Source { name: name.to_owned(), text }).into_iter().map(|m| (m.key, m.count)).collect()
    }

    #[test]
    fn lines_are_counted_up_to_the_tests_and_a_reason_counts() {
        let code = "fn f() {\n    // why\n\n    g();\n}\nimpl A for B {\n    fn f() {}\n}\n";
        let tests = "#[cfg(test)]\nmod tests {\n    fn long() {}\n}\n";
        let functions = [("src/a.rs:f".to_owned(), 3), ("src/a.rs:f#2".to_owned(), 1)];
        let found = measured("src/a.rs", format!("//! A.\n{code}{tests}"));
        assert_eq!(found[0], ("src/a.rs".to_owned(), 9));
        assert_eq!(found[1..], functions);
        assert_eq!(
            measured("src/a.rs", format!("//! A.\n//! Long because it is a table.\n{code}")),
            functions
        );
        assert!(measured("tests/it/a.rs", code.to_owned()).is_empty());
    }
}
