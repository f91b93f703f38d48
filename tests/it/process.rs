//! The programs as processes: full disks, closed and full pipes, terminals, signals, names that are not Unicode.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::{ccs, contents, extract, llama_ccs, prompts, quiz};

/// A program, with a limit of the shell's before it.
fn limited(limit: &str, command: &assert_cmd::Command) -> Output {
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("{limit}; exec \"$@\"")).arg("-").arg(command.get_program());
    shell.args(command.get_args()).env("OMP_NUM_THREADS", "1").env("NO_COLOR", "1");
    shell.stdin(Stdio::null()).output().expect("bash")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One error that ends in a hint, and the exit code of one.
fn assert_error(output: &Output, parts: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: ") && !said.contains("panicked"), "{said}");
    let last = said.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with("hint: ") && last.len() > 12, "{said}");
    assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} in\n{said}");
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("list")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A store of the quiz model and a run on it, for commands that read them.
struct Made {
    folder: tempfile::TempDir,
    prompts: PathBuf,
    store: PathBuf,
    run: PathBuf,
}

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let (store, run) = (folder.path().join("store"), folder.path().join("run"));
        let prompts = prompts(folder.path(), 60);
        extract(&prompts, &store).assert().success();
        fit(&store, &run).assert().success();
        Self { folder, prompts, store, run }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn fit(store: &Path, out: &Path) -> assert_cmd::Command {
    let mut command = ccs();
    command.arg("fit").arg(store).arg("--out").arg(out).args(["--methods", "ccs,lr", "--layers", "3,4"]);
    command.args(["--epochs", "30", "--restarts", "2", "--folds", "3", "--directions", "20", "--seeds", "1"]);
    command.args(["--shuffles", "1", "--recursive", "0", "--threads", "1"]);
    command
}

fn sweep(stores: [&Path; 2], out: &Path) -> assert_cmd::Command {
    let mut command = ccs();
    command
        .arg("sweep")
        .args(["a", "b"].iter().zip(stores).map(|(name, store)| format!("{name}={}", store.display())));
    command.arg("--out").arg(out).args([
        "--methods",
        "lr",
        "--layers",
        "4",
        "--folds",
        "3",
        "--directions",
        "20",
    ]);
    command.args(["--seeds", "1", "--shuffles", "1", "--threads", "1"]);
    command
}

fn make_prompts(out: &Path, limit: &str) -> assert_cmd::Command {
    let mut command = llama_ccs();
    command
        .arg("prompts")
        .arg("--data")
        .arg(quiz().join("questions.jsonl"))
        .arg("--model")
        .arg(quiz().join("model"));
    command.args(["--limit", limit, "--out"]).arg(out);
    command
}

fn predict(made: &Made) -> assert_cmd::Command {
    let mut command = llama_ccs();
    command.arg("predict").arg("--run").arg(&made.run).arg("--model").arg(quiz().join("model"));
    command.arg("--prompts").arg(&made.prompts);
    command
}

fn with(mut command: assert_cmd::Command, arguments: &[&OsStr]) -> assert_cmd::Command {
    command.args(arguments);
    command
}

/// Every command that writes files, where none may grow beyond some bytes: an error that names what could not be written,
/// nothing half-written under its name, no temporary file, and what was there before as it was.
#[test]
fn a_full_disk_is_an_error_and_leaves_nothing_half_written() {
    let made = Made::new();
    let small = |command: &assert_cmd::Command| limited("ulimit -f 1", command); // 1 KiB a file

    // The companion alone is too large: before, it was left empty, and nobody said so.
    let template = made.path("long.jinja");
    let folder = made.path("prompts");
    fs::create_dir(&folder).expect("folder");
    let many = make_prompts(&folder.join("p.csv"), "40");
    assert_error(&small(&many), &["p.csv", "File too large", "ulimit -f"]);
    assert!(names(&folder).is_empty(), "{:?}", names(&folder));
    let mut long = make_prompts(&folder.join("p.csv"), "1");
    fs::write(&template, format!("{{# {} #}}{{{{ question }}}}? {{{{ answer }}}}", "x".repeat(3000)))
        .expect("template");
    long.arg("--template").arg(&template);
    assert_error(&small(&long), &["p.templates.json", "File too large"]);
    assert_eq!(names(&folder), ["p.csv"], "nothing empty is left for `extract` to find");

    // What is there stays.
    fs::write(folder.join("p.csv"), "old").expect("old");
    assert_error(&small(&make_prompts(&folder.join("p.csv"), "40")), &["p.csv"]);
    assert_eq!(fs::read_to_string(folder.join("p.csv")).expect("read"), "old");

    let store = made.path("other-store");
    assert_error(&small(&extract(&made.prompts, &store)), &["other-store", "hint: "]);
    let left = if store.exists() { names(&store) } else { Vec::new() };
    assert!(!left.iter().any(|name| name == "manifest.json" || name.contains(".tmp")), "{left:?}");

    let exported = made.path("exported");
    let mut export = llama_ccs();
    export.args(["store", "export"]).arg(&made.store).arg("--out").arg(&exported);
    assert_error(&small(&export), &["exported"]);
    assert!(!exported.exists());

    let before = contents(&made.run);
    let run = made.path("other-run");
    assert_error(&small(&fit(&made.store, &run)), &["other-run"]);
    assert!(!run.exists());
    assert_error(&small(&with(fit(&made.store, &made.run), &["--overwrite".as_ref()])), &["run"]);
    assert!(contents(&made.run) == before, "the run that was there is as it was");
    let both = made.path("sweep");
    assert_error(&small(&sweep([&made.store, &made.store], &both)), &["sweep"]);
    assert!(!both.exists());

    let mut report = ccs();
    report.arg("report").arg(&made.run);
    assert_error(&small(&report), &["report.html"]);
    assert!(contents(&made.run) == before);
    let all: Vec<String> = names(made.folder.path());
    assert!(!all.iter().any(|name| name.contains(".tmp") || name.contains("partial-")), "{all:?}");
}

/// Every command that writes to standard output, where that is full: an error, and no exit code 0. A reader that has seen
/// enough is none.
#[test]
fn standard_output_is_checked() {
    let made = Made::new();
    let model = quiz().join("model");
    let os = OsStr::new;
    let program = |arguments: &[&OsStr]| with(llama_ccs(), arguments);
    let of_ccs = |arguments: &[&OsStr]| with(ccs(), arguments);
    let json = os("--json");
    let commands = [
        with(make_prompts(&made.path("q.csv"), "8"), &[json]),
        with(make_prompts(&made.path("q.csv"), "8"), &[os("--preview"), os("2")]),
        with(extract(&made.prompts, &made.store), &[json]),
        with(extract(&made.prompts, &made.path("drift")), &[os("--compare-f32"), os("1")]),
        predict(&made),
        with(predict(&made), &[json]),
        program(&[
            os("generate"),
            os("--model"),
            model.as_ref(),
            os("--max-new-tokens"),
            os("2"),
            os("is the"),
        ]),
        program(&[os("store"), os("info"), made.store.as_ref()]),
        program(&[os("store"), os("verify"), made.store.as_ref()]),
        program(&[
            os("store"),
            os("export"),
            made.store.as_ref(),
            os("--out"),
            made.path("e").as_ref(),
            json,
        ]),
        program(&[os("model"), os("info"), model.as_ref()]),
        program(&[os("hooks"), model.as_ref()]),
        program(&[os("hooks"), model.as_ref(), os("--names")]),
        program(&[os("doctor")]),
        program(&[os("--help")]),
        program(&[os("--version")]),
        with(fit(&made.store, &made.path("f")), &[json]),
        sweep([&made.store, &made.store], &made.path("s")),
        of_ccs(&[os("eval"), made.run.as_ref(), made.store.as_ref(), os("--keep-trained")]),
        of_ccs(&[os("inspect"), made.run.as_ref(), json]),
        of_ccs(&[os("report"), made.run.as_ref()]),
        of_ccs(&[os("fit"), os("--help")]),
    ];
    for command in &commands {
        assert_error(&limited("exec >/dev/full", command), &["standard output", "No space left"]);
    }
    for command in [&commands[4], &commands[9], &commands[11], &commands[19]] {
        let _ = fs::remove_dir_all(made.path("e"));
        let output = limited("exec > >(head -c 1 >/dev/null; exit); sleep 0.3", command);
        assert!(output.status.success() && !said(&output).contains("error"), "{output:?}");
    }
    // And a standard error that takes nothing ends no command.
    let output = limited("exec 2>/dev/full", &program(&[os("hooks"), os("nowhere")]));
    assert_eq!(output.status.code(), Some(1));
}

/// A companion that is there and cannot be read is not "none".
#[test]
fn a_damaged_companion_is_an_error() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 4);
    let companion = folder.path().join("prompts.templates.json");
    let whole = fs::read(&companion).expect("written beside");
    let refused = |what: &str| {
        let output = extract(&prompts, &folder.path().join("s")).output().expect("run");
        assert_error(&output, &["prompts.templates.json", what]);
    };
    for damaged in [&b""[..], &whole[..whole.len() / 2], b"{}", b"\xff\xfe"] {
        fs::write(&companion, damaged).expect("write");
        refused("not the templates of prompts");
    }
    fs::remove_file(&companion).expect("remove");
    fs::create_dir(&companion).expect("folder");
    refused("it is a folder");
    fs::remove_dir(&companion).expect("remove");
    extract(&prompts, &folder.path().join("s")).assert().success();
}

/// Names of any bytes are read and written; where JSON repeats them, what is not Unicode is replaced.
#[test]
fn names_need_not_be_unicode() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path().join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&dir).expect("folder");
    let data = dir.join(OsStr::from_bytes(b"\xff.jsonl"));
    fs::copy(quiz().join("questions.jsonl"), &data).expect("copy");
    let model = dir.join("model");
    fs::create_dir(&model).expect("folder");
    for file in ["params.json", "consolidated.00.pth", "tokenizer.model"] {
        fs::copy(quiz().join("model").join(file), model.join(file)).expect("copy");
    }
    let ok = |mut command: assert_cmd::Command| -> serde_json::Value {
        let output = command.arg("--json").assert().success().get_output().clone();
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let (csv, store, run) = (dir.join(OsStr::from_bytes(b"p\xfe.csv")), dir.join("store"), dir.join("run"));
    let mut command = llama_ccs();
    command
        .arg("prompts")
        .arg("--data")
        .arg(&data)
        .arg("--model")
        .arg(&model)
        .args(["--limit", "60", "--out"])
        .arg(&csv);
    assert!(ok(command)["out"].as_str().is_some_and(|out| out.ends_with("p\u{fffd}.csv")));
    let mut command = llama_ccs();
    command.arg("extract").arg("--model").arg(&model).arg("--prompts").arg(&csv).arg("--out").arg(&store);
    assert_eq!(ok(command)["finished"], true);
    let manifest = llama_ccs::activations::Manifest::read(&store).expect("manifest");
    assert!(manifest.settings.contains_key("templates"), "the companion was found");
    ok(fit(&store, &run));
    assert!(fs::read_to_string(run.join("log.jsonl")).expect("log").contains("caf\u{fffd}/store"));
    for words in [&["model", "info"][..], &["store", "info"], &["store", "verify"]] {
        let mut command = llama_ccs();
        command.args(words).arg(if words[0] == "model" { &model } else { &store });
        ok(command);
    }
    let mut command = llama_ccs();
    command.args(["store", "export"]).arg(&store).arg("--out").arg(dir.join(OsStr::from_bytes(b"\x80")));
    ok(command);
    let mut command = llama_ccs();
    command.arg("predict").arg("--run").arg(&run).arg("--model").arg(&model).arg("--prompts").arg(&csv);
    ok(command);
    // As text, and in errors.
    let mut command = llama_ccs();
    let output =
        command.args(["model", "info"]).arg(dir.join(OsStr::from_bytes(b"\x9b31m"))).output().expect("run");
    assert_error(&output, &["is not a model"]);
}

/// What data says goes to no terminal as it is, and the same in JSON.
#[test]
fn terminals_are_told_nothing_by_data() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let evil = "\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\r\u{8}";
    let line = |n: usize| {
        let question = format!("is cup {n} red {evil}");
        let row = serde_json::json!({ "question": question, "answer": n.is_multiple_of(2), "passage": format!("Cup {n} is {evil}.") });
        format!("{row}\n")
    };
    fs::write(dir.join("d.jsonl"), (0..6).map(line).collect::<String>()).expect("data");
    let template = dir.join(format!("evil{evil}.jinja"));
    fs::write(&template, "{{ passage }} {{ question }}? {{ answer }}").expect("template");
    let csv = dir.join("p.csv");
    let command = |json: bool| {
        let mut command = llama_ccs();
        command
            .arg("prompts")
            .arg("--data")
            .arg(dir.join("d.jsonl"))
            .arg("--model")
            .arg(quiz().join("model"));
        command.args(["--preview", "3", "--template"]).arg(&template).arg("--out").arg(&csv);
        if json {
            command.arg("--json");
        }
        command.output().expect("run")
    };
    let safe = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        assert!(!text.contains(host::text::is_unsafe), "{text:?}");
        text
    };
    let output = command(false);
    let text = safe(&output.stdout);
    safe(&output.stderr);
    if output.status.success() {
        assert!(text.contains("\\u{1b}]0;owned\\u{7}\\u{9b}31m\\u{202e}"), "{text}");
        let store = dir.join("store");
        let extracted = extract(&csv, &store).output().expect("run");
        safe(&extracted.stderr);
        let info = llama_ccs().args(["store", "info"]).arg(&store).output().expect("run");
        assert!(safe(&info.stdout).contains("evil\\u{1b}"), "{info:?}");
        let info = llama_ccs().args(["store", "info", "--json"]).arg(&store).output().expect("run");
        let info: serde_json::Value = serde_json::from_str(&safe(&info.stdout)).expect("JSON");
        assert_eq!(info["settings"]["template"], format!("evil{evil}"), "and JSON says it whole");
    }
    let output = command(true);
    safe(&output.stdout);
    // Arguments that are repeated: ours, and clap's, who takes some sequences out itself.
    for arguments in [&["hooks", evil][..], &["--no-such", evil], &[evil], &["extract", "--dtype", evil]] {
        let output = llama_ccs().args(arguments).output().expect("run");
        let text = safe(&output.stderr);
        assert!(text.contains("\\u{") || text.contains("--no-such"), "{text}");
        assert!(text.trim_end().lines().last().is_some_and(|line| line.starts_with("hint: ")), "{text}");
    }
    let output = ccs().args(["fit", evil, "--out", "x"]).output().expect("run");
    assert!(safe(&output.stderr).contains("\\u{1b}"));
}

#[test]
fn threads_wait_passively_and_the_process_keeps_its_name() {
    let folder = tempfile::tempdir().expect("folder");
    let pipe = folder.path().join("questions.jsonl");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    // Both ends, so that the program waits for what is never written.
    let _open = fs::OpenOptions::new().read(true).write(true).open(&pipe).expect("pipe");
    let mut command = Command::new(llama_ccs().get_program());
    command.arg("prompts").arg("--data").arg(&pipe).arg("--out").arg(folder.path().join("x.csv"));
    let mut child =
        command.env_remove("OMP_WAIT_POLICY").env_remove("GOMP_SPINCOUNT").spawn().expect("program");
    let of = |name: &str| fs::read(format!("/proc/{}/{name}", child.id())).unwrap_or_default();
    let passive = || of("environ").split(|byte| *byte == 0).any(|text| text == b"OMP_WAIT_POLICY=passive");
    let found = (0..200).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        passive()
    });
    let name = of("comm");
    child.kill().expect("kill");
    child.wait().expect("its end");
    assert!(found && name == b"llama-ccs\n", "{found}, {}", String::from_utf8_lossy(&name));
}
