//! An extraction that is killed or interrupted and continued gives the bytes of one that was not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use llama_ccs::activations::Status;
use llama_ccs::llama_core::Checkpoint;
use llama_ccs::{Extraction, Outcome, boolq};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{contents, extract, llama_ccs, prompts, quiz};

/// Small batches, so that there are many moments to be killed in.
const BATCH_TOKENS: &str = "100";

/// An extraction that is started again and again.
struct Job {
    prompts: PathBuf,
    store: PathBuf,
    arguments: Vec<&'static str>,
}

impl Job {
    fn new(prompts: &Path, store: PathBuf, arguments: &[&'static str]) -> Self {
        let arguments = [&["--batch-tokens", BATCH_TOKENS], arguments].concat();
        Self { prompts: prompts.to_owned(), store, arguments }
    }

    /// To the end.
    fn finish(&self) {
        extract(&self.prompts, &self.store).args(&self.arguments).assert().success();
    }

    /// In the background.
    fn start(&self) -> Child {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("llama-ccs"));
        command.arg("extract").arg("--model").arg(quiz().join("model"));
        command.arg("--prompts").arg(&self.prompts).arg("--out").arg(&self.store).args(&self.arguments);
        command.env("OMP_NUM_THREADS", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("start")
    }

    fn status(&self) -> Option<Status> {
        Status::of(&self.store).ok()
    }

    /// Whether some rows are durable and some are not.
    fn is_halfway(&self) -> bool {
        self.status().is_some_and(|s| 0 < s.rows_done && s.rows_done < s.rows)
    }
}

/// Kills extractions of 300 pairs at random moments until `kills` of them were running, and compares each finished
/// store with one that was left alone. Says what happened.
fn kill_and_continue(arguments: &[&'static str], wanted: usize) -> String {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 300);
    let whole = Job::new(&prompts, folder.path().join("whole"), arguments);
    let torn = Job::new(&prompts, folder.path().join("torn"), arguments);
    let started = Instant::now();
    whole.finish();
    let duration = started.elapsed();

    let seed = u64::from(std::process::id());
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut kills, mut halfway) = (0, 0);
    while kills < wanted {
        let mut child = torn.start();
        // Anywhere from before the first file to after the last.
        sleep(duration.mul_f64(rng.random::<f64>()).max(Duration::from_millis(5)));
        let running = child.try_wait().expect("wait").is_none();
        child.kill().expect("kill");
        child.wait().expect("wait");
        kills += usize::from(running);
        halfway += usize::from(torn.is_halfway());
        if torn.status().is_some_and(|s| s.finished) {
            compare(&whole.store, &torn.store, seed);
            fs::remove_dir_all(&torn.store).expect("begin again");
        }
    }
    torn.finish();
    compare(&whole.store, &torn.store, seed);
    format!("{kills} kills, {halfway} with some rows durable and some not")
}

/// Two stores with the same files of the same bytes.
fn compare(whole: &Path, torn: &Path, seed: u64) {
    let (whole, torn) = (contents(whole), contents(torn));
    assert_eq!(whole.keys().collect::<Vec<_>>(), torn.keys().collect::<Vec<_>>());
    for (name, bytes) in &whole {
        assert!(bytes == &torn[name], "{} differs (seed {seed})", name.display());
    }
}

#[test]
fn killed_at_random_moments_and_continued() {
    let kills = if std::env::var_os("LLAMA_CCS_LONG").is_some() { 400 } else { 20 };
    println!("{}", kill_and_continue(&[], kills));
}

#[test]
fn killed_with_several_hooks_and_token_rules() {
    let rules = ["--tokens", "answer_mean,last,mean,first"];
    let hooks = ["--hooks", "blocks.{0,3}.hook_resid_post", "blocks.1.attn.hook_z", "hook_embed"];
    println!("{}", kill_and_continue(&[&rules[..], &hooks].concat(), 8));
}

/// Starts the job, sends SIGINT `times` times after a part of `duration` from when its rows begin, and says how it
/// ended. A job that was faster begins anew, and is interrupted sooner.
fn interrupt(job: &Job, times: usize, duration: Duration) -> Output {
    signal(job, ("-INT", 130), times, duration)
}

/// As [`interrupt`], with another signal and its exit code.
fn signal(job: &Job, (signal, code): (&str, i32), times: usize, duration: Duration) -> Output {
    let starts = || {
        let log = fs::read_to_string(job.store.join("log.jsonl")).unwrap_or_default();
        log.lines().filter(|line| line.contains("\"start\"")).count()
    };
    let mut part = duration / 3;
    loop {
        let (before, begun) = (starts(), Instant::now());
        let mut child = job.start();
        while starts() == before && child.try_wait().expect("wait").is_none() {
            assert!(begun.elapsed() < Duration::from_mins(1), "not begun in a minute");
            sleep(Duration::from_millis(1));
        }
        sleep(part);
        for _ in 0..times {
            // The second may find that the first has ended the program.
            let id = child.id().to_string();
            let _ = Command::new("kill").args([signal, &id]).stderr(Stdio::null()).status();
        }
        let sent = Instant::now();
        let output = child.wait_with_output().expect("wait");
        assert!(sent.elapsed() < Duration::from_secs(11), "ended {:?} after the signal", sent.elapsed());
        if !output.status.success() {
            assert_eq!(output.status.code(), Some(code), "{output:?}");
            return output;
        }
        fs::remove_dir_all(&job.store).expect("begin again");
        part /= 2;
    }
}

#[test]
fn ctrl_c_stops_after_a_batch_and_twice_at_once() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 600);
    let started = Instant::now();
    let whole = Job::new(&prompts, folder.path().join("whole"), &[]);
    whole.finish();
    let duration = started.elapsed();

    let torn = Job::new(&prompts, folder.path().join("torn"), &["--json"]);
    let output = interrupt(&torn, 1, duration);
    let status = torn.status().expect("a store");
    assert!(status.rows_done < status.rows, "{status:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
    assert_eq!((&said["done"], &said["finished"]), (&status.rows_done.into(), &false.into()));
    let log = fs::read_to_string(torn.store.join("log.jsonl")).expect("log");
    assert!(log.lines().last().is_some_and(|line| line.contains("\"stopped\"")), "{log}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("of 600 pairs are in") && told.contains("the same command continues"), "{told}");

    // Twice: whatever it was doing, the store can be continued.
    for _ in 0..3 {
        interrupt(&torn, 2, duration);
    }
    llama_ccs().args(["store", "verify"]).arg(&torn.store).assert().success();
    torn.finish();
    compare(&whole.store, &torn.store, 0);
}

/// What launchers send: the same, with the exit codes that shells give these signals.
#[test]
fn sigterm_and_sighup_drain_as_ctrl_c_does() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 600);
    let started = Instant::now();
    let whole = Job::new(&prompts, folder.path().join("whole"), &[]);
    whole.finish();
    let duration = started.elapsed();
    let torn = Job::new(&prompts, folder.path().join("torn"), &["--json"]);
    for signals in [("-TERM", 143), ("-HUP", 129)].into_iter().filter(|(name, _)| is_heard(name)) {
        let output = signal(&torn, signals, 1, duration);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
        let done = torn.status().expect("a store").rows_done;
        assert_eq!((&said["done"], &said["finished"]), (&done.into(), &false.into()));
        let log = fs::read_to_string(torn.store.join("log.jsonl")).expect("log");
        assert!(log.lines().last().is_some_and(|line| line.contains("\"stopped\"")), "{log}");
    }
    signal(&torn, ("-TERM", 143), 2, duration);
    torn.finish();
    compare(&whole.store, &torn.store, 0);
}

/// Before there is anything to bring to an end a signal ends a program at once, whatever it is reading; what `nohup` said
/// stays.
#[test]
fn a_signal_while_reading_ends_at_once() {
    let folder = tempfile::tempdir().expect("folder");
    let start = |before: &str| {
        let mut shell = Command::new("bash");
        shell.arg("-c").arg(format!("{before} exec \"$@\"")).arg("-");
        shell.arg(assert_cmd::cargo::cargo_bin!("llama-ccs"));
        shell.args(["prompts", "--data", "/dev/stdin", "--model"]).arg(quiz().join("model"));
        shell.arg("--out").arg(folder.path().join("p.csv")).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.spawn().expect("start");
        // It waits for more data, and nothing comes.
        let mut writer = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut writer, b"{\"question\"").expect("write");
        let begun = Instant::now();
        while !listens(child.id()) {
            assert!(begun.elapsed() < Duration::from_mins(1), "it does not listen");
            sleep(Duration::from_millis(10));
        }
        (child, writer)
    };
    for (name, code) in
        [("-INT", 130), ("-TERM", 143), ("-HUP", 129)].into_iter().filter(|(name, _)| is_heard(name))
    {
        let (mut child, _writer) = start("");
        let sent = Instant::now();
        assert!(Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill").success());
        assert_eq!(child.wait().expect("wait").code(), Some(code), "{name}");
        assert!(sent.elapsed() < Duration::from_secs(3), "{name}: {:?}", sent.elapsed());
    }
    let (mut child, writer) = start("trap '' HUP;");
    assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().expect("kill").success());
    sleep(Duration::from_millis(300));
    assert!(child.try_wait().expect("wait").is_none(), "SIGHUP was ignored when it was started");
    drop(writer);
    assert_eq!(child.wait().expect("wait").code(), Some(1), "half a line of data");
}

/// Whether programs that are started here hear a signal: under `nohup` they inherit that SIGHUP is ignored, and would wait
/// for ever.
#[allow(clippy::print_stdout, reason = "a skipped case says so")]
fn is_heard(signal: &str) -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask");
    let ignores_hangups = u64::from_str_radix(ignored.trim(), 16).expect("a mask") & 1 == 1;
    if signal == "-HUP" && ignores_hangups {
        println!("SKIPPED SIGHUP: it is ignored here, as under nohup");
        return false;
    }
    true
}

/// Whether a process has a handler for SIGTERM.
fn listens(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask >> 14 & 1 == 1)
}

/// A model that is read from disk is left between two blocks, not after a group of batches.
#[test]
fn a_streamed_pass_stops_between_blocks() {
    let folder = tempfile::tempdir().expect("folder");
    let checkpoint = Checkpoint::open(quiz().join("model")).expect("model");
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    let pairs = boolq::prompts::read(prompts(folder.path(), 300)).expect("prompts").pairs;
    let pairs = llama_ccs::tokenize_all(pairs, &tokenizer).expect("tokens");
    // Just too little for the model in memory: all batches wait for each block.
    let needed = |memory: u64| {
        let out = folder.path().join("no");
        match Extraction::new(&checkpoint, &tokenizer).batch_tokens(200).max_memory(memory).run(
            &pairs,
            out,
            &mut (),
        ) {
            Err(llama_ccs::Error::TooLittleMemory { needed, .. }) => needed,
            other => panic!("{other:?}"),
        }
    };
    let memory = needed(1 << 20) + 700_000;
    let stop = AtomicBool::new(false);
    let out = folder.path().join("store");
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            // From another thread, as a signal comes: as soon as the first rows could be computed.
            let begun = Instant::now();
            while !out.join("log.jsonl").exists() && begun.elapsed() < Duration::from_mins(1) {
                sleep(Duration::from_micros(200));
            }
            stop.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let extraction =
            Extraction::new(&checkpoint, &tokenizer).batch_tokens(200).max_memory(memory).stop(&stop);
        let outcome = extraction.run(&pairs, &out, &mut ()).expect("stopped is no error");
        watcher.join().expect("watcher");
        match outcome {
            Outcome::Stopped { done, total } => assert!(done < total, "{done} of {total}"),
            _ => panic!("it was asked to stop"),
        }
    });
    let whole = folder.path().join("whole");
    Extraction::new(&checkpoint, &tokenizer).batch_tokens(200).run(&pairs, &whole, &mut ()).expect("whole");
    stop.store(false, std::sync::atomic::Ordering::SeqCst);
    let extraction =
        Extraction::new(&checkpoint, &tokenizer).batch_tokens(200).max_memory(memory).stop(&stop);
    assert!(matches!(extraction.run(&pairs, &out, &mut ()).expect("goes on"), Outcome::Finished(_)));
    assert!(contents(&whole) == contents(&out), "the same store");
}

/// Two templates of one question share a row of the layout and a batch. Interrupted, some rows are durable and some not
/// (a kill of so short a job mostly finds none), and the rest is planned and grouped as if nothing had happened.
#[test]
fn interrupted_with_templates_that_share() {
    let folder = tempfile::tempdir().expect("folder");
    let template = folder.path().join("short.jinja");
    fs::write(&template, "{{ passage }}\n\nis it so {{ question }}? {{ answer }}").expect("template");
    let prompts = folder.path().join("prompts.csv");
    let mut command = llama_ccs();
    command.arg("prompts").arg("--data").arg(quiz().join("questions.jsonl"));
    command.arg("--model").arg(quiz().join("model")).args(["--limit", "400", "--template", "llama-ccs"]);
    command.arg("--template").arg(&template).arg("--out").arg(&prompts).assert().success();
    let whole = Job::new(&prompts, folder.path().join("whole"), &[]);
    let started = Instant::now();
    whole.finish();
    let duration = started.elapsed();
    let manifest = llama_ccs::activations::Manifest::read(&whole.store).expect("manifest");
    assert!(manifest.batches.iter().any(|batch| batch.len() > 1), "nothing was shared");

    let torn = Job::new(&prompts, folder.path().join("torn"), &[]);
    while !torn.is_halfway() {
        interrupt(&torn, 1, duration);
    }
    torn.finish();
    compare(&whole.store, &torn.store, 0);
}

#[test]
fn a_changed_setting_is_refused_with_the_difference() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 20);
    let store = folder.path().join("store");
    // Said, as the default depends on the CPU.
    let own = ["--dtype", "f32"];
    extract(&prompts, &store).args(own).assert().success();
    let before = contents(&store);
    let differs = |arguments: &[&str], parts: &[&str]| {
        let output = extract(&prompts, &store).args(arguments).assert().failure().get_output().clone();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    };
    differs(&["--dtype", "bf16"], &["precision", "f32", "bf16"]);
    let tokens = ["settings.extraction.tokens", "[\"last\"]", "[\"last\",\"mean\"]"];
    differs(&["--dtype", "f32", "--tokens", "last,mean"], &tokens);
    assert!(contents(&store) == before, "nothing was touched");
    // The same settings: nothing to do, and nothing changes.
    extract(&prompts, &store).args(own).assert().success();
    assert!(contents(&store) == before);
    llama_ccs().args(["store", "verify"]).arg(&store).assert().success();
}
