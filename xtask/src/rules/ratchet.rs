//! What is not yet as it should be: counted in `xtask/ratchet.txt`, and only ever fewer.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::shell::{self, Result, at};

const HEAD: &str = "\
# What is not yet as the rules want it: rule, where, how much. `cargo xtask tidy` refuses more; `cargo xtask tidy --lower`
# writes what is left. Where code moves, one file may take over what another gives up.
";

/// A rule that is kept by counting.
struct Rule {
    name: &'static str,
    /// What is allowed where nothing is written down.
    free: usize,
    /// Sizes are each for itself; of counts, the sum may not rise.
    is_size: bool,
    /// What is counted, and what to do about it.
    what: &'static str,
    advice: &'static str,
}

const RULES: [Rule; 6] = [
    Rule {
        name: "circle",
        free: 3,
        is_size: true,
        what: "files that need each other",
        advice: "`cargo xtask tidy --circles CRATE` shows by which names",
    },
    Rule {
        name: "long-file",
        free: 400,
        is_size: true,
        what: "lines before the tests",
        advice: "split it by idea, or say why not at its head (`//! Long because …`)",
    },
    Rule {
        name: "long-function",
        free: 60,
        is_size: true,
        what: "lines of code in one function",
        advice: "take steps out of it",
    },
    Rule {
        name: "flag",
        free: 0,
        is_size: false,
        what: "command-line flags in a library's texts",
        advice: "name the setting; the command line says its flag",
    },
    Rule {
        name: "default",
        free: 0,
        is_size: false,
        what: "sizes of a tensor with a default for any other shape",
        advice: "return an error",
    },
    Rule {
        name: "pointer",
        free: 0,
        is_size: false,
        what: "JSON pointers outside `activations`",
        advice: "read a typed value",
    },
];

/// How much of what a rule counts is where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    pub rule: &'static str,
    /// A file, a function (`file:name`) or a crate.
    pub key: String,
    pub count: usize,
    /// What to look at.
    pub at: String,
}

impl Measured {
    pub fn new(rule: &'static str, key: &str, count: usize, at: String) -> Self {
        Self { rule, key: key.to_owned(), count, at }
    }
}

/// What is allowed, by rule and place.
type Allowed = BTreeMap<(String, String), usize>;

/// Findings, from what is allowed and what is there. With `lower`, what is left is written down.
pub fn check(measured: &[Measured], lower: bool) -> Result<Vec<String>> {
    let path = path();
    let text = if path.exists() { Some(at("read", &path, fs::read_to_string(&path))?) } else { None };
    let measured = significant(measured);
    // The first time, everything is written down.
    let allowed = text.as_deref().map_or_else(|| Ok(table(&measured)), parse)?;
    let mut findings = Vec::new();
    let mut fewer = false;
    for rule in &RULES {
        let (found, less) = compare(rule, &allowed, &measured);
        findings.extend(found);
        fewer |= less;
    }
    if !findings.is_empty() {
        return Ok(findings);
    }
    if lower {
        at("write", &path, fs::write(&path, write(&table(&measured))))?;
    } else if fewer {
        eprintln!("  less is left than xtask/ratchet.txt allows: `cargo xtask tidy --lower` writes it down");
    }
    Ok(findings)
}

fn path() -> PathBuf {
    shell::root().join("xtask/ratchet.txt")
}

/// Without what is free.
fn significant(measured: &[Measured]) -> Vec<Measured> {
    let free = |name: &str| RULES.iter().find(|rule| rule.name == name).map_or(0, |rule| rule.free);
    measured.iter().filter(|m| m.count > free(m.rule)).cloned().collect()
}

fn table(measured: &[Measured]) -> Allowed {
    let mut allowed = Allowed::new();
    for m in measured {
        *allowed.entry((m.rule.to_owned(), m.key.clone())).or_default() += m.count;
    }
    allowed
}

fn parse(text: &str) -> Result<Allowed> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let known = |rule: &str| RULES.iter().any(|known| known.name == rule);
            match words.as_slice() {
                [rule, key, count] if known(rule) => {
                    let count = count.parse().map_err(|e| format!("xtask/ratchet.txt: `{line}`: {e}"))?;
                    Ok((((*rule).to_owned(), (*key).to_owned()), count))
                }
                _ => Err(format!("xtask/ratchet.txt: `{line}` is not a rule, a place and a count")),
            }
        })
        .collect()
}

fn write(allowed: &Allowed) -> String {
    let mut text = HEAD.to_owned();
    for ((rule, key), count) in allowed {
        let _ = writeln!(text, "{rule} {key} {count}");
    }
    text
}

/// Findings of one rule, and whether less is there than is allowed.
fn compare(rule: &Rule, allowed: &Allowed, measured: &[Measured]) -> (Vec<String>, bool) {
    let now: Vec<&Measured> = measured.iter().filter(|m| m.rule == rule.name).collect();
    let before = |key: &str| allowed.get(&(rule.name.to_owned(), key.to_owned())).copied();
    let over: Vec<&Measured> =
        now.iter().copied().filter(|m| m.count > before(&m.key).unwrap_or(rule.free)).collect();
    let given_up: Vec<(&str, usize)> = allowed
        .iter()
        .filter(|((name, _), _)| name == rule.name)
        .map(|((_, key), count)| {
            let left = now.iter().find(|m| m.key == *key).map_or(0, |m| m.count);
            (key.as_str(), count.saturating_sub(left))
        })
        .filter(|(_, count)| *count > 0)
        .collect();
    let excess: usize = over.iter().map(|m| m.count - before(&m.key).unwrap_or_default()).sum();
    let moved = |m: &&&Measured| {
        let gone = |key: &str| !now.iter().any(|other| other.key == key);
        given_up.iter().any(|(key, count)| gone(key) && last(key) == last(&m.key) && *count >= m.count)
    };
    let refused: Vec<&Measured> = if rule.is_size {
        over.iter().filter(|m| !moved(m)).copied().collect()
    } else if excess > given_up.iter().map(|(_, count)| count).sum() {
        over
    } else {
        Vec::new()
    };
    let shown = refused.iter().map(|m| {
        let most = before(&m.key).unwrap_or(rule.free);
        format!("{}: {} {}, {most} at most; {} ({})", m.key, m.count, rule.what, rule.advice, m.at)
    });
    (shown.collect(), !given_up.is_empty())
}

/// The name of a file or function, wherever it is.
fn last(key: &str) -> &str {
    key.rsplit(['/', ':']).next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(list: &[(&'static str, &str, usize)]) -> Vec<Measured> {
        list.iter().map(|(rule, key, count)| Measured::new(rule, key, *count, String::new())).collect()
    }

    /// The places that are refused, and whether less is left.
    fn outcome(
        before: &[(&'static str, &str, usize)],
        now: &[(&'static str, &str, usize)],
    ) -> (Vec<String>, bool) {
        let (allowed, now) = (table(&measured(before)), significant(&measured(now)));
        let all = RULES.iter().map(|rule| compare(rule, &allowed, &now));
        all.fold((Vec::new(), false), |(mut places, fewer), (found, less)| {
            places.extend(found.iter().map(|f| f.split(": ").next().unwrap_or_default().to_owned()));
            (places, fewer || less)
        })
    }

    #[test]
    fn more_is_refused_and_less_is_noticed() {
        let before = [("flag", "a.rs", 2), ("long-file", "x/b.rs", 450)];
        assert_eq!(outcome(&before, &before), (vec![], false));
        assert_eq!(outcome(&before, &[("flag", "a.rs", 3), before[1]]), (vec!["a.rs".to_owned()], false));
        assert_eq!(outcome(&before, &[("flag", "a.rs", 1), before[1]]), (vec![], true));
        assert_eq!(outcome(&before, &[before[0], ("long-file", "x/b.rs", 451)]).0, ["x/b.rs"]);
        assert_eq!(outcome(&before, &[before[0], ("long-file", "x/c.rs", 401)]).0, ["x/c.rs"]);
        assert_eq!(outcome(&[], &[("circle", "ccs", 3), ("long-function", "a.rs:f", 60)]), (vec![], false));
    }

    #[test]
    fn what_moves_takes_its_allowance_along() {
        let before = [("flag", "a.rs", 2), ("long-file", "x/b.rs", 450), ("long-function", "x/b.rs:f", 70)];
        let moved = [("flag", "n/a1.rs", 1), ("flag", "a.rs", 1), ("long-file", "y/b.rs", 450)];
        assert_eq!(outcome(&before, &moved), (vec![], true));
        assert_eq!(outcome(&before, &[("long-function", "z.rs:f", 70)]), (vec![], true));
        assert_eq!(outcome(&before, &[("long-function", "z.rs:f", 71)]).0, ["z.rs:f"]);
        assert_eq!(outcome(&before, &[("flag", "n.rs", 3)]).0, ["n.rs"]);
    }

    #[test]
    fn the_file_is_read_as_it_is_written() {
        let allowed = table(&measured(&[("flag", "a.rs", 2), ("circle", "ccs", 31)]));
        assert_eq!(parse(&write(&allowed)).unwrap(), allowed);
        assert!(
            parse("flag a.rs").is_err() && parse("nothing a.rs 1").is_err() && parse("flag a.rs x").is_err()
        );
    }
}
