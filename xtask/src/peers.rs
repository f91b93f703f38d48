//! `cargo xtask bench-peers`: our extraction and the scripts a user would write instead, alternately on the same pairs.
//!
//! A peer is a Python script that takes `MODEL DATA --pairs N`, runs its model over the contrast prompts of the first N
//! questions, and prints one JSON object with `pairs_per_second` in its last line. Ours is the whole program by the wall
//! clock: loading, the model, the written store.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::libtorch;
use crate::shell::{self, Result, at};

const USAGE: &str =
    "bench-peers --model PATH --data BOOLQ.jsonl --peers FOLDER [--pairs 64] [--rounds 2] [--python python3]";

/// Scripts of the folder and the settings they are run with; others are run once, without any.
const SETTINGS: [(&str, &[&[&str]]); 3] = [
    (
        "hf_extract.py",
        &[
            &["--dtype", "float32", "--batch", "1"],
            &["--dtype", "float32", "--batch", "4"],
            &["--dtype", "bfloat16", "--batch", "2"],
        ],
    ),
    ("llamacpp_embed.py", &[&[]]),
    ("ccs_torch.py", &[]), // trains a probe: another benchmark
];
/// How ours is run.
const OURS: [&[&str]; 3] = [&[], &["--no-sharing"], &["--dtype", "mixed"]];

struct Bench {
    model: PathBuf,
    data: PathBuf,
    peers: PathBuf,
    pairs: u32,
    rounds: usize,
    python: String,
}

pub fn run(args: &[String]) -> Result {
    let bench = Bench::read(args)?;
    libtorch::ready()?;
    shell::cargo(["build", "--release", "--quiet", "--bin", "llama-ccs"])?;
    let folder = shell::target().join("bench-peers");
    let _ = fs::remove_dir_all(&folder);
    at("create", &folder, fs::create_dir_all(&folder))?;
    let prompts = folder.join("prompts.csv");
    shell::run_command(&mut bench.prompts(&prompts))?;

    let mut contenders: Vec<(String, Vec<Option<f64>>)> = Vec::new();
    for round in 0..bench.rounds {
        let mut at_place = 0;
        let mut note = |name: String, speed: Option<f64>| {
            let shown = speed.map_or("failed".to_owned(), |s| format!("{s:.2} pairs/s"));
            eprintln!("round {}: {name}: {shown}", round + 1);
            if round == 0 {
                contenders.push((name, Vec::new()));
            }
            contenders[at_place].1.push(speed);
            at_place += 1;
        };
        for flags in OURS {
            let name = ["llama-ccs extract", &flags.join(" ")].join(" ").trim_end().to_owned();
            note(name, bench.ours(&prompts, &folder.join("store"), flags));
        }
        for (script, flags) in bench.scripts()? {
            let name = script.file_name().unwrap_or_default().to_string_lossy();
            note(format!("{name} {}", flags.join(" ")).trim_end().to_owned(), bench.peer(&script, flags));
        }
    }
    print!("{}", table(&contenders));
    Ok(())
}

impl Bench {
    fn read(args: &[String]) -> Result<Self> {
        let value = |flag: &str| {
            args.iter().position(|arg| arg == flag).and_then(|place| args.get(place + 1)).cloned()
        };
        let needed = |flag: &str| {
            value(flag).ok_or_else(|| format!("{flag} is missing\n\nUsage: cargo xtask {USAGE}"))
        };
        let number = |flag: &str, default: u32| match value(flag) {
            None => Ok(default),
            Some(text) => text.parse::<u32>().map_err(|e| format!("{flag} {text}: {e}")),
        };
        Ok(Self {
            model: needed("--model")?.into(),
            data: needed("--data")?.into(),
            peers: needed("--peers")?.into(),
            pairs: number("--pairs", 64)?,
            rounds: number("--rounds", 2)? as usize,
            python: value("--python").unwrap_or_else(|| "python3".to_owned()),
        })
    }

    fn prompts(&self, out: &Path) -> Command {
        let mut command = program();
        command.args(["prompts", "--max-seq-len", "1000000", "--limit", &self.pairs.to_string()]);
        command.arg("--data").arg(&self.data).arg("--model").arg(&self.model).arg("--out").arg(out);
        command
    }

    /// Pairs a second of the whole program; `None` if it fails.
    fn ours(&self, prompts: &Path, store: &Path, flags: &[&str]) -> Option<f64> {
        let _ = fs::remove_dir_all(store);
        let mut command = program();
        command.arg("extract").arg("--model").arg(&self.model).arg("--prompts").arg(prompts);
        command.arg("--out").arg(store).args(flags);
        let start = Instant::now();
        let done = command.status().is_ok_and(|status| status.success());
        done.then(|| f64::from(self.pairs) / start.elapsed().as_secs_f64())
    }

    /// The scripts with their settings, in the order of their names.
    fn scripts(&self) -> Result<Vec<(PathBuf, &'static [&'static str])>> {
        let entries = at("read", &self.peers, fs::read_dir(&self.peers))?;
        let mut scripts: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        scripts.retain(|path| path.extension().is_some_and(|e| e == "py"));
        scripts.sort();
        let mut runs: Vec<(PathBuf, &[&str])> = Vec::new();
        for script in scripts {
            let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match SETTINGS.iter().find(|(known, _)| *known == name) {
                Some((_, settings)) => runs.extend(settings.iter().map(|flags| (script.clone(), *flags))),
                None => runs.push((script, &[])),
            }
        }
        Ok(runs)
    }

    fn peer(&self, script: &Path, flags: &[&str]) -> Option<f64> {
        let mut command = Command::new(&self.python);
        command.arg(script).arg(&self.model).arg(&self.data).args(["--pairs", &self.pairs.to_string()]);
        let output = command.args(flags).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then(|| pairs_per_second(text.lines().last()?)).flatten()
    }
}

/// Ours, saying nothing.
fn program() -> Command {
    let mut command = Command::new(shell::target().join("release/llama-ccs"));
    command.stdout(Stdio::null());
    command
}

/// The number behind `"pairs_per_second":`.
fn pairs_per_second(line: &str) -> Option<f64> {
    let (_, rest) = line.split_once("\"pairs_per_second\":")?;
    rest.split([',', '}']).next()?.trim().parse().ok()
}

/// Markdown: each contender's pairs a second, and how many times the first one's speed that is less.
fn table(contenders: &[(String, Vec<Option<f64>>)]) -> String {
    let best = |speeds: &[Option<f64>]| speeds.iter().flatten().copied().fold(0.0, f64::max);
    let first = contenders.first().map_or(0.0, |(_, speeds)| best(speeds));
    let mut text =
        "| | pairs/s, round by round | ours at its best is faster by |\n|---|---|---|\n".to_owned();
    for (name, speeds) in contenders {
        let shown = |speed: &Option<f64>| speed.map_or("failed".to_owned(), |s| format!("{s:.2}"));
        let shown: Vec<String> = speeds.iter().map(shown).collect();
        let ratio =
            if best(speeds) > 0.0 { format!("{:.2}", first / best(speeds)) } else { "–".to_owned() };
        text.extend(["| `", name, "` | ", &shown.join(", "), " | ", &ratio, " |\n"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_last_line_is_read() {
        assert_eq!(pairs_per_second(r#"{"peer": "x", "pairs_per_second": 1.879, "tokens": 3}"#), Some(1.879));
        assert_eq!(pairs_per_second(r#"{"pairs_per_second": 2}"#), Some(2.0));
        assert_eq!(pairs_per_second("no JSON"), None);
    }

    #[test]
    fn ratios_are_of_the_best_rounds() {
        let text = table(&[
            ("ours".to_owned(), vec![Some(4.0), Some(5.0)]),
            ("peer".to_owned(), vec![Some(2.0), None]),
            ("other".to_owned(), vec![None, None]),
        ]);
        assert!(
            text.contains("| `peer` | 2.00, failed | 2.50 |")
                && text.contains("| `other` | failed, failed | – |")
        );
    }
}
