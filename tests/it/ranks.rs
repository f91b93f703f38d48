//! Several processes.

#![cfg(feature = "distributed")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use llama_ccs::activations::Status;
use predicates::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{contents, extract, llama_ccs, port, prompts, quiz};

#[test]
fn two_processes_can_talk() {
    let output = llama_ccs().args(["doctor", "--ranks", "2", "--json"]).assert().success();
    let found: serde_json::Value = serde_json::from_slice(&output.get_output().stdout).expect("json");
    let talked = &found["ranks"]["talked"];
    assert_eq!((&talked["ranks"], talked["hosts"].as_array().map(Vec::len)), (&2.into(), Some(1)));
    assert!(talked["bytes_per_second"].as_f64().is_some_and(|rate| rate > 0.0));
    let shown = llama_ccs().args(["doctor", "--ranks", "3"]).assert().success();
    shown.stdout(predicate::str::contains("add up right"));
}

#[test]
fn what_a_launcher_left_out_is_said() {
    let mut alone = llama_ccs();
    alone.arg("doctor").env("WORLD_SIZE", "2").env("RANK", "0");
    alone.assert().code(1).stdout("").stderr(
        predicate::str::contains("MASTER_ADDR is not set")
            .and(predicate::str::contains("hint: start under torchrun")),
    );
}

/// Small batches, so that there are many to be claimed.
pub(crate) const SMALL: [&str; 2] = ["--batch-tokens", "100"];

/// Two stores with the same files of the same bytes.
pub(crate) fn compare(one: &Path, other: &Path, what: &str) {
    let (one, other) = (contents(one), contents(other));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in &one {
        assert!(bytes == &other[name], "{} differs: {what}", name.display());
    }
}

#[test]
fn a_store_of_several_processes_has_the_bytes_of_one() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 60);
    let all_hooks = ["--hooks", "blocks.*.hook_resid_post", "blocks.*.attn.hook_z", "hook_embed"];
    let cases: [(&[&str], &[&[&str]]); 7] = [
        (&[], &[&["2"], &["3", "--pp", "3"], &["4", "--pp", "2"]]),
        (&["--dtype", "bf16"], &[&["3"], &["2", "--pp", "2"]]),
        (&["--dtype", "mixed", "--no-sharing"], &[&["2"], &["2", "--pp", "2"]]),
        (&["--tokens", "all,last,mean,first,answer_mean"], &[&["3"], &["3", "--pp", "3"]]),
        (&all_hooks, &[&["2"], &["2", "--pp", "2"]]),
        (&["--deterministic", "--store-dtype", "f16"], &[&["2"], &["2", "--pp", "2"]]),
        (&["--max-memory", "809000000"], &[&["2", "--pp", "1"], &["2", "--pp", "2"]]), // streamed
    ];
    for (number, (arguments, grids)) in cases.into_iter().enumerate() {
        let store = |name: &str| folder.path().join(format!("{name}-{number}"));
        extract(&prompts, &store("one")).args(SMALL).args(arguments).assert().success();
        for grid in grids {
            let several = store(&format!("several-{}", grid.concat()));
            let mut command = extract(&prompts, &several);
            command.args(SMALL).args(arguments).arg("--ranks").args(*grid);
            let output = command.assert().success();
            let streamed = arguments.contains(&"--max-memory");
            assert!(streamed || output.get_output().stderr.is_empty(), "{output}");
            compare(&store("one"), &several, &format!("{arguments:?} {grid:?}"));
        }
    }
}

/// Processes that a user starts by hand.
pub(crate) struct ByHand {
    port: u16,
    size: usize,
}

impl ByHand {
    pub(crate) fn new(size: usize) -> Self {
        Self { port: port(), size }
    }

    pub(crate) fn start(&self, rank: usize, prompts: &Path, store: &Path, arguments: &[&str]) -> Child {
        self.start_with(rank, prompts, store, arguments, &[])
    }

    fn start_with(
        &self,
        rank: usize,
        prompts: &Path,
        store: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Child {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("llama-ccs"));
        command.arg("extract").arg("--model").arg(quiz().join("model"));
        command.arg("--prompts").arg(prompts).arg("--out").arg(store).args(arguments);
        if !arguments.contains(&"--peer-timeout") {
            command.args(["--peer-timeout", "2s"]);
        }
        command.env("OMP_NUM_THREADS", "1").env("LLAMA_CCS_CACHE", "");
        command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", self.port.to_string());
        command.env("RANK", rank.to_string()).env("WORLD_SIZE", self.size.to_string());
        command.envs(variables.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started")
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_differs_on_a_rank_is_refused_by_name_on_all() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 20);
    // The same tokens a prompt, another question.
    let other = folder.path().join("other.csv");
    let csv = std::fs::read_to_string(&prompts).expect("prompts");
    std::fs::write(&other, csv.replacen(",1,", ",0,", 1)).expect("written");
    let cases: [(&Path, &[&str], &str); 3] = [
        (&other, &[], "rank 1 on"),
        (&prompts, &["--store-dtype", "f16"], "dtype: \"f32\" → \"f16\""),
        (&prompts, &["--tokens", "mean"], "settings.extraction.tokens"),
    ];
    for (number, (own, arguments, says)) in cases.into_iter().enumerate() {
        let (world, store) = (ByHand::new(2), folder.path().join(number.to_string()));
        let ranks = [world.start(0, &prompts, &store, &[]), world.start(1, own, &store, arguments)];
        for rank in ranks {
            let output = rank.wait_with_output().expect("ended");
            let said = text(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(says) && said.contains("rank 1 on"), "{said}");
            assert!(said.contains("rank 0") && said.lines().any(|line| line.starts_with("hint: ")), "{said}");
        }
        assert!(!store.exists(), "{says}");
    }
    // Kernels of another CPU, which compute other last bits.
    let (world, store) = (ByHand::new(2), folder.path().join("cpu"));
    let capability = ["avx2", "default"].map(|capability| [("ATEN_CPU_CAPABILITY", capability)]);
    let ranks = [0, 1].map(|rank| world.start_with(rank, &prompts, &store, &[], &capability[rank]));
    for rank in ranks {
        let output = rank.wait_with_output().expect("ended");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("settings.extraction.cpu_capability"), "{}", text(&output));
    }
    assert!(!store.exists());
    // What fails on one rank before anything can be compared.
    let (world, store) = (ByHand::new(2), folder.path().join("none"));
    let ranks =
        [world.start(0, &prompts, &store, &[]), world.start(1, Path::new("/nowhere/p.csv"), &store, &[])];
    for rank in ranks {
        let output = rank.wait_with_output().expect("ended");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains("/nowhere/p.csv"), "{}", text(&output));
    }
    assert!(!store.exists());
}

#[test]
fn ranks_that_never_come_are_named() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 4);
    let alone = ByHand::new(3).start(0, &prompts, &folder.path().join("store"), &["--peer-timeout", "200ms"]);
    let output = alone.wait_with_output().expect("ended");
    assert!(text(&output).contains("ranks 1, 2 of 3 did not come within 4 s"), "{}", text(&output));
    let mut uneven = extract(&prompts, &folder.path().join("store"));
    uneven.args(["--ranks", "3", "--pp", "2"]).assert().code(1).stderr(
        predicate::str::contains("3 processes cannot be 2 stages each of a model of 4 blocks")
            .and(predicate::str::contains("hint: `--pp` must divide")),
    );
    let mut twice = extract(&prompts, &folder.path().join("store"));
    twice.args(["--ranks", "2"]).env("MASTER_ADDR", "127.0.0.1").env("RANK", "0").env("WORLD_SIZE", "2");
    twice.assert().code(1).stderr(predicate::str::contains("`--ranks` starts processes"));
}

#[test]
fn what_fails_in_a_later_stage_ends_all_with_its_reason() {
    let folder = tempfile::tempdir().expect("folder");
    let (prompts, model) = (prompts(folder.path(), 60), folder.path().join("model"));
    std::fs::create_dir(&model).expect("folder");
    for name in ["params.json", "tokenizer.model", "consolidated.00.pth"] {
        std::fs::copy(quiz().join("model").join(name), model.join(name)).expect("copied");
    }
    // Blocks are read from disk while batches go through; this byte is of the last one.
    let weights = model.join("consolidated.00.pth");
    let mut bytes = std::fs::read(&weights).expect("read");
    let at = bytes.len() / 4 * 3;
    bytes[at] ^= 64;
    std::fs::write(&weights, bytes).expect("written");
    let mut command = llama_ccs();
    command.arg("extract").arg("--model").arg(&model).arg("--prompts").arg(&prompts);
    command.arg("--out").arg(folder.path().join("store")).args(SMALL);
    command.args(["--ranks", "2", "--pp", "2", "--max-memory", "809000000"]);
    command
        .assert()
        .code(1)
        .stderr(predicate::str::contains("rank 1 on").and(predicate::str::contains("tensor `layers.3.")));
}

#[test]
fn what_one_process_does_the_first_of_several_does() {
    for (rank, says) in [("0", "blocks.0.hook_resid_post"), ("1", "")] {
        let mut hooks = llama_ccs();
        hooks.arg("hooks").arg(quiz().join("model"));
        hooks.env("RANK", rank).env("WORLD_SIZE", "2").env("MASTER_ADDR", "127.0.0.1");
        let output = hooks.assert().success();
        let shown = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
        assert!(shown.contains(says) && (rank == "0" || shown.is_empty()), "rank {rank}: {shown}");
        let mut report = crate::support::ccs();
        report.args(["report", "/nowhere/run"]).env("RANK", rank);
        report
            .env("WORLD_SIZE", "2")
            .env("MASTER_ADDR", "127.0.0.1")
            .assert()
            .code(1 - rank.parse::<i32>().expect("0 or 1"));
    }
}

/// Rows that are durable in a store, and all.
fn durable(store: &Path) -> (usize, usize) {
    Status::of(store).map_or((0, usize::MAX), |status| (status.rows_done, status.rows))
}

#[test]
fn ranks_that_are_killed_stopped_or_asked_to_end_leave_a_store_that_any_number_continues() {
    let long = std::env::var_os("LLAMA_CCS_LONG").is_some();
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 400);
    let (whole, torn) = (folder.path().join("whole"), folder.path().join("torn"));
    let began = Instant::now();
    extract(&prompts, &whole).args(SMALL).arg("--deterministic").assert().success();
    let alone = began.elapsed();

    let seed = u64::from(std::process::id());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut sent, mut halfway) = (0, 0);
    while sent < if long { 50 } else { 6 } {
        let size = rng.random_range(2..=3);
        let world = ByHand::new(size);
        let mut arguments = SMALL.to_vec();
        arguments.push("--deterministic");
        if rng.random::<bool>() {
            arguments.extend(["--pp", ["", "1", "2", "3"][size]]);
        }
        let before = starts(&torn);
        let ranks: Vec<Child> =
            (0..size).map(|rank| world.start(rank, &prompts, &torn, &arguments)).collect();
        // All have met then.
        while starts(&torn) == before {
            sleep(Duration::from_millis(1));
        }
        sleep(alone.mul_f64(0.7 * rng.random::<f64>()));
        let struck = rng.random_range(0..size);
        let signal = ["-KILL", "-TERM", "-STOP"][sent % 3];
        sent += usize::from(strike(ranks, struck, signal, seed));
        halfway += usize::from(matches!(durable(&torn), (1.., rows) if durable(&torn).0 < rows));
        if durable(&torn).0 == durable(&torn).1 {
            compare(&whole, &torn, &format!("seed {seed}"));
            std::fs::remove_dir_all(&torn).expect("begin again");
        }
    }
    let number = rng.random_range(1..=3).to_string();
    extract(&prompts, &torn).args(SMALL).args(["--deterministic", "--ranks", &number]).assert().success();
    compare(&whole, &torn, &format!("seed {seed}"));
    println!("{sent} signals, {halfway} with some rows durable and some not");
}

/// How often a store was begun or continued.
pub(crate) fn starts(store: &Path) -> usize {
    let log = std::fs::read_to_string(store.join("log.jsonl")).unwrap_or_default();
    log.lines().filter(|line| line.contains("\"start\"")).count()
}

/// Sends a signal to one rank, and sees how all end; whether they were under way.
pub(crate) fn strike(ranks: Vec<Child>, struck: usize, signal: &str, seed: u64) -> bool {
    let id = ranks[struck].id().to_string();
    let sent = Command::new("kill").args([signal, &id]).stderr(Stdio::null()).status().expect("kill");
    let began = Instant::now();
    let (mut lost, mut stopped) = (0, None);
    for (rank, child) in ranks.into_iter().enumerate() {
        if rank == struck && signal == "-STOP" {
            // It stays as it is; the others must not wait for it.
            stopped = Some(child);
            continue;
        }
        let output = child.wait_with_output().expect("ended");
        let (code, said) = (output.status.code(), text(&output));
        let what = format!("rank {rank} after {signal} to {struck} (seed {seed}): {code:?} {said}");
        // Two seconds of silence, five to end; the machine may be busy.
        assert!(began.elapsed() < Duration::from_mins(1), "{what}");
        if rank != struck && code == Some(75) {
            lost += 1;
            assert!(said.contains(&format!("rank {struck} on")) && said.contains("is gone"), "{what}");
            assert!(said.contains("hint: the same command continues"), "{what}");
        } else if rank != struck {
            assert!(matches!(code, Some(0 | 130 | 143)), "{what}");
            assert!(signal == "-TERM" || code == Some(0), "{what}");
        }
    }
    if let Some(mut stopped) = stopped {
        stopped.kill().and_then(|()| stopped.wait()).expect("killed");
    }
    sent.success() && (lost > 0 || signal == "-TERM")
}

#[test]
fn processes_end_with_the_one_that_started_them() {
    let folder = tempfile::tempdir().expect("folder");
    let (prompts, store) = (prompts(folder.path(), 400), folder.path().join("store"));
    let whole: PathBuf = folder.path().join("whole");
    extract(&prompts, &whole).args(SMALL).arg("--deterministic").assert().success();
    let start = || {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("llama-ccs"));
        command.arg("extract").arg("--model").arg(quiz().join("model")).arg("--prompts").arg(&prompts);
        command.arg("--out").arg(&store).args(SMALL).args(["--deterministic", "--ranks", "2"]);
        command.env("OMP_NUM_THREADS", "1").env("LLAMA_CCS_CACHE", "");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started")
    };
    for (signal, code) in [("-INT", Some(130)), ("-TERM", Some(143)), ("-KILL", None)] {
        let (before, mut child) = (starts(&store), start());
        while starts(&store) == before && child.try_wait().expect("wait").is_none() {
            sleep(Duration::from_millis(1));
        }
        let id = child.id().to_string();
        let _ = Command::new("kill").args([signal, &id]).stderr(Stdio::null()).status();
        let output = child.wait_with_output().expect("ended");
        assert!([code, Some(0)].contains(&output.status.code()), "{signal}: {}", text(&output));
    }
    // The ranks may hold the store for a moment still, after SIGKILL of the one that started them.
    let began = Instant::now();
    let goes_on = || {
        let mut command = extract(&prompts, &store);
        command.args(SMALL).args(["--deterministic", "--ranks", "3"]).ok().is_ok()
    };
    while !goes_on() {
        assert!(began.elapsed() < Duration::from_mins(1), "the store is still held");
    }
    compare(&whole, &store, "after all signals");
}
