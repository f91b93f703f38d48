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

/// The first call in a line that panics. What goes on from another call's result, as in `x.f_exp().to_kind(k)?`, is
/// `torch_runtime::TensorChain`'s method of that name.
fn panicking(line_before: &str, line: &str) -> Option<&'static str> {
    let goes_on = |at: usize| {
        let before = if line[..at].trim().is_empty() { line_before } else { &line[..at] };
        before.trim_end().ends_with(')')
    };
    // tch's `view` takes a shape; without one it is someone else's.
    let panics =
        |call: &str, at: usize| !line[at..].starts_with(".view()") && !(call.starts_with('.') && goes_on(at));
    PANICKING.into_iter().find(|call| line.match_indices(call).any(|(at, _)| panics(call, at)))
}

/// Calls that panic, or lose data, where the system refuses something, and what to call instead. clippy knows only some of
/// them, and cannot let tests call them.
const SYSTEM: [(&str, &str); 9] = [
    ("thread::spawn(", "panics where no thread can be started; `host::threads::spawn`"),
    ("scope.spawn(", "panics where no thread can be started; `host::threads::spawn_scoped`"),
    ("println!(", "panics where nobody takes it; programs write through `host::program`, libraries never"),
    ("print!(", "panics where nobody takes it; programs write through `host::program`, libraries never"),
    ("enable_steady_tick(", "starts a thread, and panics where none can be; `host::program::Bar`"),
    (" fs::write(", "leaves half a file on a full disk; `host::files::replace`"),
    ("std::fs::write(", "leaves half a file on a full disk; `host::files::replace`"),
    ("fs_err::write(", "leaves half a file on a full disk; `host::files::replace`"),
    ("File::create(", "leaves half a file on a full disk; `host::files::replace` or `Beside`"),
];

/// What a program or a library of ours does about the system.
fn check_system(name: &str, text: &str) -> Vec<String> {
    let checked = ["src/", "crates/", "examples/"].iter().any(|folder| name.starts_with(folder));
    if !checked || ["/tests/", "tests.rs", "build.rs"].iter().any(|part| name.contains(part)) {
        return Vec::new();
    }
    let code: Vec<&str> = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").collect();
    let mut found = Vec::new();
    for (number, line) in code.iter().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        if let Some((call, why)) = SYSTEM.iter().find(|(call, _)| line.contains(call)) {
            found.push(format!("{name}:{}: `{}…)` {why}", number + 1, call.trim()));
        }
    }
    let paths = paths(&code);
    for (number, value) in json_values(&code) {
        // As it stands: what follows a dot, such as a text made of it, is something else.
        let is_path = |word: &str| paths.contains(&word.rsplit('.').next().unwrap_or(word));
        let mut words = value.split(|c: char| !c.is_alphanumeric() && !"_.".contains(c));
        if value.contains(".path()") || words.any(is_path) {
            let why = "panics for a path that is not Unicode; `host::files::in_json`";
            found.push(format!("{name}:{number}: `json!` {why}"));
        }
    }
    found
}

/// Fields, arguments and variables of a file that are declared as paths.
fn paths<'a>(code: &[&'a str]) -> Vec<&'a str> {
    let declared = code.iter().flat_map(|line| {
        let kinds =
            [": PathBuf", ": &Path", ": &PathBuf", ": Option<PathBuf>", ": Option<&Path", ": Vec<PathBuf>"];
        kinds.into_iter().flat_map(|kind| line.match_indices(kind).map(|(at, _)| &line[..at]))
    });
    let name = |before: &'a str| before.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next();
    declared.filter_map(name).filter(|name| !name.is_empty()).collect()
}

/// What stands inside each `json!(…)`, with its line: without texts in quotes, and without what `in_json` takes.
fn json_values(code: &[&str]) -> Vec<(usize, String)> {
    let text = code.join("\n");
    let starts = text.match_indices("json!(").map(|(at, call)| (at, at + call.len()));
    let value = |(at, start): (usize, usize)| {
        let (mut depth, mut quoted, mut escaped, mut value) = (1, false, false, String::new());
        for c in text[start..].chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                _ if quoted => {}
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            if !quoted {
                value.push(c);
            }
        }
        let lines = 1 + text[..at].matches('\n').count();
        let mut parts = value.split("in_json(");
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = parts.map(|part| part.split_once(')').map_or("", |(_, rest)| rest));
        (lines, rest.fold(first, |all, part| all + part))
    };
    starts.map(value).collect()
}

/// The rules of one Rust file.
fn check_source(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    // xtask/ has no tensors; it names these methods below.
    let library = ["src/", "crates/"].iter().any(|p| name.starts_with(p)) && !name.ends_with("tests.rs");
    let library = library && !name.contains("/tests/") && !name.contains("/examples/");
    if library {
        // Tests stand at a file's end; comments hold examples.
        let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").enumerate();
        let mut before = "";
        for (number, line) in code.filter(|(_, line)| !line.trim_start().starts_with("//")) {
            if let Some(call) = panicking(before, line) {
                found.push(format!("{name}:{}: `{call}…)` panics; libraries call its `f_` twin", number + 1));
            }
            before = line;
        }
    }
    found.extend(check_system(name, text));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_fallible_calls_is_told_from_calls_that_panic() {
        for (before, line, call) in [
            ("", "let y = x.to_kind(Kind::Float);", Some(".to_kind(")),
            ("", "let y = x.f_exp()?.to_kind(Kind::Float);", Some(".to_kind(")),
            ("let y = x.f_exp()?", "    .unsqueeze(0);", Some(".unsqueeze(")),
            ("", "let y = Tensor::cat(&[a, b], 0);", Some("Tensor::cat(")),
            ("", "let y = x.f_exp().to_kind(Kind::Float)?;", None),
            ("let y = x.f_exp()", "    .unsqueeze(0)?;", None),
            ("", "let bytes = values.view();", None),
        ] {
            assert_eq!(panicking(before, line), call, "{before}{line}");
        }
    }

    #[test]
    fn paths_in_json_and_calls_that_panic_are_found() {
        let source = "struct Args { out: PathBuf, store: &'a str }\n\
            fn f(&self) {\n    let j = json!({ \"out\": self.out, \"n\": 1 });\n\
            let fine = json!({ \"out\": in_json(&self.out), \"store\": self.store, \"say\": \"out\" });\n\
            let also = json!({\n \"model\": checkpoint.path(),\n});\n\
            // println!(\"in a comment\")\n    std::thread::spawn(work);\n    scope.spawn(work);\n}\n\
            #[cfg(test)]\nmod tests { fn g() { println!(\"x\"); } }\n";
        let found = check_system("src/cli/x.rs", source);
        let lines: Vec<&str> = found.iter().filter_map(|found| found.split(':').nth(1)).collect();
        assert_eq!(lines, ["9", "10", "3", "5"], "{found:?}");
        assert!(check_system("crates/x/tests/it/x.rs", source).is_empty());
    }
}
