//! Calls that panic, or lose data, where the system or LibTorch refuses something.

use crate::rules::source::Source;

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
        |call: &str, at: usize| !(line[at..].starts_with(".view()") || call.starts_with('.') && goes_on(at));
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

/// What a library of ours calls of tch's.
pub fn check_tch(source: &Source) -> Vec<String> {
    let Source { name, text } = source;
    let library = ["src/", "crates/"].iter().any(|p| name.starts_with(p));
    if !library || source.is_test() || name.contains("/examples/") {
        return Vec::new();
    }
    // Tests stand at a file's end; comments hold examples.
    let code = text.lines().take_while(|line| line.trim() != "#[cfg(test)]").enumerate();
    let (mut before, mut found) = ("", Vec::new());
    for (number, line) in code.filter(|(_, line)| !line.trim_start().starts_with("//")) {
        if let Some(call) = panicking(before, line) {
            found.push(format!("{name}:{}: `{call}…)` panics; libraries call its `f_` twin", number + 1));
        }
        before = line;
    }
    found
}

/// What a program or a library of ours does about the system.
pub fn check(source: &Source) -> Vec<String> {
    let Source { name, text } = source;
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
        let of = |name: &str| Source { name: name.to_owned(), text: source.to_owned() };
        let found = check(&of("src/cli/x.rs"));
        let lines: Vec<&str> = found.iter().filter_map(|found| found.split(':').nth(1)).collect();
        assert_eq!(lines, ["9", "10", "3", "5"], "{found:?}");
        assert!(check(&of("crates/x/tests/it/x.rs")).is_empty());
    }
}
