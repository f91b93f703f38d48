//! Fits by several processes: the bytes of one, whoever is lost on the way.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::resume::{SLOW, finish, kept};
use crate::statements;
use crate::store::{QUICK, Stored, ccs, files, succeeds, text};
use crate::tokens::Marked;

/// What several processes are asked for that need not be given up while a machine is busy.
const PATIENT: [&str; 2] = ["--peer-timeout", "30s"];

#[test]
fn a_run_of_several_processes_has_the_bytes_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Stored { further: 3, ..Stored::default() }.write(&dir.join("pairs"));
    let blank = Stored { prompt: ", question", strength: 0.5, further: 3, ..Stored::default() };
    blank.write(&dir.join("blank"));
    statements::Planted::new(80, 4, [2.0, 0.0], 2).write(&dir.join("statements"), "cities");
    Marked::new(80, 3.0, 6).store(&dir.join("tokens"));
    let few = ["--seeds", "2", "--shuffles", "2", "--directions", "50"];
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("pairs", &["--methods", "all", "--recursive", "2"], &["2", "3"]),
        ("pairs", &["--layers", "1"], &["3"]), // fewer layers than processes
        ("pairs", &["--methods", "ccs,lr", "--blank", "blank"], &["2"]),
        ("statements", &[], &["2"]),
        ("tokens", &["--tokens", "all"], &["2"]),
    ];
    for (number, (store, arguments, sizes)) in cases.into_iter().enumerate() {
        let fit = |out: &str, more: &[&str]| {
            let asked = [&["fit", store, "--out", out], &QUICK[..], &few, arguments, more].concat();
            succeeds(ccs(dir, &asked))
        };
        let one = format!("one-{number}");
        let said = fit(&one, &[]);
        for size in sizes {
            let several = format!("several-{number}-{size}");
            let done = fit(&several, &[&["--ranks", size], &PATIENT[..]].concat());
            assert_eq!(text(&done.stderr), "", "{arguments:?}, {size}");
            assert_eq!(text(&done.stdout), text(&said.stdout), "{arguments:?}, {size}");
            same(&dir.join(&one), &dir.join(&several), &format!("{store} {arguments:?}, {size} processes"));
        }
    }
}

#[test]
fn a_sweep_of_several_processes_has_the_bytes_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (seed, dataset) in [(1, "a"), (2, "b"), (3, "c")] {
        let passages_from = 100 * seed as usize;
        Stored { seed, dataset, passages_from, ..Stored::default() }.write(&dir.join(dataset));
    }
    let sweep = |out: &str, more: &[&str]| {
        let asked = ["sweep", "a", "b", "c", "--out", out, "--methods", "ccs,lr", "--directions", "50"];
        succeeds(ccs(dir, &[&asked, &QUICK[..], more].concat()))
    };
    sweep("one", &[]);
    let done = sweep("several", &[&["--ranks", "2"], &PATIENT[..]].concat());
    assert_eq!(text(&done.stderr), "");
    same(&dir.join("one"), &dir.join("several"), "a sweep");
}

/// Two folders with the same files of the same bytes.
fn same(one: &Path, other: &Path, what: &str) {
    let (one, other) = (files(one), files(other));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in &one {
        assert!(bytes == &other[name], "{name} differs: {what}");
    }
}

/// A port that nobody has, and that no connection is given before it is used; each call gives another.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let ports = (0..1000).map(|_| {
        let number =
            NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(7).wrapping_add(std::process::id() as u16);
        5_000 + number % 5_000
    });
    let mut free = ports.filter(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok());
    free.next().unwrap()
}

/// Starts one rank of several by hand.
fn start(dir: &Path, (rank, size, port): (usize, usize, u16), arguments: &[&str]) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("ccs"));
    command.current_dir(dir).args(arguments);
    command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
    command.env("RANK", rank.to_string()).env("WORLD_SIZE", size.to_string());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn what_differs_on_a_rank_is_refused_by_name_on_all() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Stored::default().write(&dir.join("store"));
    Stored { seed: 2, ..Stored::default() }.write(&dir.join("states"));
    Stored { rows: 60, ..Stored::default() }.write(&dir.join("rows"));
    let methods = ["--methods", "ccs,lr"];
    let cases: [(&str, &[&str], &[&str]); 5] = [
        ("store", &["--seed", "7"], &["rank 1 on", "settings.seed: 0 → 7"]),
        ("store", &["--l2", "0.5"], &["rank 1 on", "settings.ccs.l2: 0.0 → 0.5"]),
        ("states", &[], &["rank 1 on", "data."]),
        ("rows", &[], &["rank 1 on", "  rows: "]),
        ("nowhere", &[], &["nowhere"]),
    ];
    for (number, (store, other, says)) in cases.into_iter().enumerate() {
        let (port, out) = (port(), format!("run-{number}"));
        let fit = |rank: usize, store: &str, more: &[&str]| {
            let arguments = [&["fit", store, "--out", &out], &methods[..], &QUICK, &PATIENT, more].concat();
            start(dir, (rank, 2, port), &arguments)
        };
        let ranks = [fit(0, "store", &[]), fit(1, store, other)];
        for (rank, child) in ranks.into_iter().enumerate() {
            let output = child.wait_with_output().unwrap();
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "rank {rank}: {said}");
            assert!(said.starts_with("error: ") && said.contains("\nhint: "), "rank {rank}: {said}");
            for says in says {
                assert!(said.contains(says), "rank {rank} without `{says}`: {said}");
            }
        }
        assert!(!dir.join(&out).exists() && !dir.join(format!("{out}.partial")).exists(), "{store}");
    }
}

#[test]
fn ranks_that_are_killed_stopped_or_asked_to_end_leave_a_run_that_any_number_continues() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Stored { further: 5, ..Stored::default() }.write(&dir.join("store"));
    finish(dir, "whole");
    let signals = if std::env::var_os("LLAMA_CCS_LONG").is_some() { 30 } else { 6 };
    let seed = u64::from(std::process::id());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut sent, mut tried) = (0, 0);
    while sent < signals && tried < 4 * signals {
        tried += 1;
        let (size, port) = (rng.random_range(2..=3), port());
        let arguments = [&SLOW[..], &["--out", "torn", "--peer-timeout", "2s"]].concat();
        let before = kept(dir, "torn").len();
        let reserved = dir.join("torn.partial/unfinished");
        let _ = std::fs::remove_file(&reserved);
        let mut ranks: Vec<Child> =
            (0..size).map(|rank| start(dir, (rank, size, port), &arguments)).collect();
        // Anywhere from when all have met to the middle of the diagnostics.
        let until = before + rng.random_range(0..3);
        let waits = || !reserved.exists() || kept(dir, "torn").len() < until;
        while waits() && ranks[0].try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let (struck, signal) = (rng.random_range(0..size), ["-KILL", "-TERM", "-STOP"][sent % 3]);
        sent += usize::from(strike(ranks, (struck, signal), seed));
        if dir.join("torn").exists() {
            same(&dir.join("whole"), &dir.join("torn"), &format!("seed {seed}"));
            std::fs::remove_dir_all(dir.join("torn")).unwrap();
        }
    }
    assert!(sent > 0, "every run was done before a rank could be struck");
    let size = rng.random_range(1..=3).to_string();
    let arguments = [&SLOW[..], &["--out", "torn", "--ranks", &size], &PATIENT].concat();
    succeeds(ccs(dir, &arguments));
    same(&dir.join("whole"), &dir.join("torn"), &format!("seed {seed}"));
    assert!(!dir.join("torn.partial").exists());
}

/// Sends a signal to one rank, and sees how all end; whether they were under way.
fn strike(ranks: Vec<Child>, (struck, signal): (usize, &str), seed: u64) -> bool {
    let id = ranks[struck].id().to_string();
    let sent = Command::new("kill").args([signal, &id]).stderr(Stdio::null()).status().unwrap();
    let began = Instant::now();
    let (mut ended_early, mut still) = (0, None);
    for (rank, child) in ranks.into_iter().enumerate() {
        if rank == struck && signal == "-STOP" {
            // It stays as it is; the others must not wait for it.
            still = Some(child);
            continue;
        }
        let output: Output = child.wait_with_output().unwrap();
        let (code, said) = (output.status.code(), text(&output.stderr));
        let what = format!("rank {rank} after {signal} to {struck} (seed {seed}): {code:?} {said}");
        // Two seconds of silence, five to end; the machine may be busy.
        assert!(began.elapsed() < Duration::from_mins(1), "{what}");
        if rank == struck {
            continue;
        }
        ended_early += usize::from(code != Some(0));
        match code {
            Some(75) => {
                assert!(said.contains(&format!("rank {struck} on")) && said.contains("is gone"), "{what}");
                assert!(said.contains("hint: the same command continues"), "{what}");
            }
            Some(130 | 143) => assert!(signal == "-TERM" && said.contains("error: stopped with "), "{what}"),
            _ => assert_eq!(code, Some(0), "{what}"),
        }
    }
    if let Some(mut still) = still {
        still.kill().and_then(|()| still.wait()).unwrap();
    }
    sent.success() && ended_early > 0
}

#[test]
fn processes_end_with_the_one_that_started_them() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Stored { further: 5, ..Stored::default() }.write(&dir.join("store"));
    finish(dir, "whole");
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("ccs"));
        command.current_dir(dir).args(SLOW).args(["--out", "torn", "--ranks", "2"]).args(PATIENT);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while kept(dir, "torn").len() < 2 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let id = child.id().to_string();
        let _ = Command::new("kill").args([signal, &id]).stderr(Stdio::null()).status();
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr);
        if output.status.code() != Some(0) {
            assert_eq!(output.status.code(), Some(code), "{signal}: {said}");
            assert_eq!(said.matches("error: ").count(), 1, "{signal}: {said}");
            assert!(said.contains("of 7 layers done") && said.contains("goes on"), "{signal}: {said}");
            finish(dir, "torn");
        }
        same(&dir.join("whole"), &dir.join("torn"), signal);
        std::fs::remove_dir_all(dir.join("torn")).unwrap();
    }
}
