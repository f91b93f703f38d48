//! `cargo xtask bench-peers`: our extraction and the scripts a user would write instead, alternately on the same pairs.
//!
//! A peer is a Python script that takes `MODEL DATA --pairs N`, runs its model over the contrast prompts of the first N
//! questions, and prints one JSON object with `pairs_per_second` in its last line; one whose name ends in `_prompts.py`
//! takes our prompts' CSV for DATA. Ours is the whole program by the wall clock: loading, the model, the written store.
//! Besides, our model is driven in llama-ccs' way, a token at a time (`benches/stepwise.rs`).
//!
//! Beside every ratio stands what the contender makes of the machine: the operations that its pairs need a second, as a
//! share of the rate of matrix products measured there and then (`benches/rates.rs`). A contender that shares the tokens
//! which a pair's prompts begin with needs about half the operations of one that does not, and is counted so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::json::Json;
use crate::libtorch;
use crate::shell::{self, Result, at};

mod table;

use table::{Contender, Dtype, Machine, table};

const USAGE: &str = "bench-peers --model PATH --data BOOLQ.jsonl [--peers benches/peers] [--questions 64] [--template NAME|FILE] [--rounds 2] [--stepwise] [--python python3]";

/// Scripts of the folder and the settings they are run with; others are run once, without any.
const SETTINGS: [(&str, &[&[&str]]); 6] = [
    (
        "transformers_prompts.py",
        &[&["--dtype", "float32", "--batch", "1"], &["--dtype", "bfloat16", "--batch", "2"]],
    ),
    ("transformers_shared_prompts.py", &[&["--dtype", "float32"], &["--dtype", "bfloat16"]]),
    ("hf_extract_shared.py", &[&["--dtype", "float32"], &["--dtype", "bfloat16"]]),
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
const OURS: [&[&str]; 6] = [
    &[],
    &["--dtype", "f32"],
    &["--dtype", "bf16"],
    &["--dtype", "mixed"],
    &["--no-sharing"],
    &["--deterministic"],
];

struct Bench {
    model: PathBuf,
    data: PathBuf,
    peers: PathBuf,
    questions: u32,
    template: Option<String>,
    rounds: usize,
    stepwise: bool,
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
    let pairs = bench.prompts(&prompts)?;

    let machine = bench.machine(&prompts, pairs)?;
    eprintln!(
        "matrix products here: {:.0} GFLOP/s in f32, {:.0} in bf16; a pair takes {:.1} GFLOP, {:.1} with its beginning once",
        machine.f32, machine.bf16, machine.alone, machine.shared
    );
    let mut contenders: Vec<Contender> = Vec::new();
    for round in 0..bench.rounds {
        let mut at_place = 0;
        let mut note = |contender: Contender| {
            let speed = contender.speeds.first().copied().flatten();
            let shown = speed.map_or("failed".to_owned(), |s| format!("{s:.2} pairs/s"));
            eprintln!("round {}: {}: {shown}", round + 1, contender.name);
            if round == 0 {
                contenders.push(contender);
            } else {
                contenders[at_place].speeds.push(speed);
            }
            at_place += 1;
        };
        for flags in OURS {
            note(bench.ours(&prompts, pairs, &folder.join("store"), flags));
        }
        if bench.stepwise {
            note(bench.a_token_at_a_time(&prompts, pairs));
        }
        for (script, flags) in bench.scripts()? {
            note(bench.peer(&script, &prompts, flags));
        }
    }
    print!("{}", table(&contenders, &machine));
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
        let count = |flag: &str, default: u32| match value(flag) {
            None => Ok(default),
            Some(text) => text.parse::<u32>().map_err(|e| format!("{flag} {text}: {e}")),
        };
        Ok(Self {
            model: needed("--model")?.into(),
            data: needed("--data")?.into(),
            peers: value("--peers").map_or_else(|| shell::root().join("benches/peers"), Into::into),
            questions: count("--questions", 64)?,
            template: value("--template"),
            rounds: count("--rounds", 2)? as usize,
            stepwise: args.iter().any(|arg| arg == "--stepwise"),
            python: value("--python").unwrap_or_else(|| "python3".to_owned()),
        })
    }

    /// Writes the prompts of the first questions, and says how many pairs they are.
    fn prompts(&self, out: &Path) -> Result<f64> {
        let mut command = program();
        command.args(["prompts", "--json", "--max-seq-len", "1000000"]);
        command.args(["--limit", &self.questions.to_string()]);
        command.arg("--data").arg(&self.data).arg("--model").arg(&self.model).arg("--out").arg(out);
        command.args(self.template.iter().flat_map(|template| ["--template", template]));
        let output = command.stdout(Stdio::piped()).output();
        let output = output.map_err(|e| format!("llama-ccs prompts does not start: {e}"))?;
        let pairs = number(&String::from_utf8_lossy(&output.stdout), "\"pairs\":");
        match pairs {
            Some(pairs) if output.status.success() => Ok(pairs),
            _ => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The rates of this machine, and what these prompts ask of it.
    fn machine(&self, prompts: &Path, pairs: f64) -> Result<Machine> {
        let mut command = self.bench("rates", prompts, pairs);
        let printed = shell::output_of(&mut command)?;
        let found = Json::parse(printed.lines().last().unwrap_or_default())?;
        let number =
            |key: &str| found.get(key).number().ok_or_else(|| format!("the rates lack `{key}`:\n{printed}"));
        Ok(Machine {
            f32: number("f32")?,
            bf16: number("bf16")?,
            alone: number("alone")?,
            shared: number("shared")?,
        })
    }

    /// A benchmark of ours on the model, the prompts, and so many pairs.
    fn bench(&self, name: &str, prompts: &Path, pairs: f64) -> Command {
        let mut command = shell::cargo_command();
        command.args(["bench", "--quiet", "--bench", name, "--"]);
        command.arg(&self.model).arg(prompts).arg(pairs.to_string());
        command
    }

    /// The whole program.
    fn ours(&self, prompts: &Path, pairs: f64, store: &Path, flags: &[&str]) -> Contender {
        let _ = fs::remove_dir_all(store);
        let mut command = program();
        command.arg("extract").arg("--model").arg(&self.model).arg("--prompts").arg(prompts);
        command.arg("--out").arg(store).args(flags);
        let start = Instant::now();
        let done = command.status().is_ok_and(|status| status.success());
        let speed = done.then(|| pairs / start.elapsed().as_secs_f64());
        // What the default chose is in the store.
        let manifest = fs::read_to_string(store.join("manifest.json")).unwrap_or_default();
        Contender {
            name: ["llama-ccs extract", &flags.join(" ")].join(" ").trim_end().to_owned(),
            dtype: Dtype::of_manifest(&manifest),
            shares: Some(!flags.contains(&"--no-sharing")),
            speeds: vec![speed],
        }
    }

    fn a_token_at_a_time(&self, prompts: &Path, pairs: f64) -> Contender {
        let output = self.bench("stepwise", prompts, pairs).stderr(Stdio::null()).output().ok();
        let text =
            output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
        Contender {
            name: "our model, a token at a time".to_owned(),
            dtype: Some(Dtype::F32),
            shares: None,
            speeds: vec![text.lines().last().and_then(|line| number(line, SPEED))],
        }
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

    fn peer(&self, script: &Path, prompts: &Path, flags: &[&str]) -> Contender {
        let mut command = Command::new(&self.python);
        command.arg(script).arg(&self.model);
        let file = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if file.ends_with("_prompts.py") {
            command.arg(prompts);
        } else {
            command.arg(&self.data).args(["--pairs", &self.questions.to_string()]);
        }
        let output = command.args(flags).stderr(Stdio::null()).output().ok().filter(|o| o.status.success());
        let text =
            output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
        Contender {
            dtype: Dtype::of_flags(flags),
            shares: Some(file.contains("_shared")),
            name: format!("{file} {}", flags.join(" ")).trim_end().to_owned(),
            speeds: vec![text.lines().last().and_then(|line| number(line, SPEED))],
        }
    }
}

/// Ours, saying nothing.
fn program() -> Command {
    let mut command = Command::new(shell::target().join("release/llama-ccs"));
    command.stdout(Stdio::null());
    command
}

const SPEED: &str = "\"pairs_per_second\":";

/// The number behind a key of a JSON text.
fn number(text: &str, key: &str) -> Option<f64> {
    let (_, rest) = text.split_once(key)?;
    rest.split([',', '}', '\n']).next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_last_line_is_read() {
        let speed = |line| number(line, SPEED);
        assert_eq!(speed(r#"{"peer": "x", "pairs_per_second": 1.879, "tokens": 3}"#), Some(1.879));
        assert_eq!(speed(r#"{"pairs_per_second": 2}"#), Some(2.0));
        assert_eq!(speed("no JSON"), None);
    }
}
