//! Hostile input: whatever lies where a command expects a file, the command ends soon, with an error that ends in a hint,
//! and takes little memory. No panic, no hang, no crash.
//!
//! Every file that a command reads, one at a time, is made a device without an end, a pipe that nobody writes to, a folder,
//! an empty file, random bytes, and a file that ends too early. `LLAMA_CCS_LONG=1` cuts and changes files in many more
//! places. `LLAMA_CCS_HOSTILE=TEXT` runs only the cases with that text in their names.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::{ccs, extract, llama_ccs, prompts, quiz};

/// The longest a command may take: a busy machine, a program that is not optimized, and the patience with pipes.
const LIMIT: Duration = Duration::from_secs(30);
/// The most memory it may have resident, LibTorch's included.
const MEMORY: u64 = 1 << 30;

/// What lies in the place of a file.
#[derive(Clone, Debug)]
enum Hostile {
    Zeros,
    Pipe,
    Folder,
    Empty,
    Random,
    /// Cut off after this part of its bytes, in 256ths.
    Cut(usize),
    /// A few bytes changed, by a seed.
    Changed(u64),
}

impl Hostile {
    const SHORT: [Self; 6] =
        [Self::Zeros, Self::Pipe, Self::Folder, Self::Empty, Self::Random, Self::Cut(128)];

    fn all() -> Vec<Self> {
        let mut all = Self::SHORT.to_vec();
        if long() {
            all.extend((1..16).map(|part| Self::Cut(part * 16)));
            all.extend((0..16).map(Self::Changed));
        }
        all
    }

    /// Whether what is left may be sound: text that ends early, or says something else.
    fn may_be_sound(&self) -> bool {
        matches!(self, Self::Cut(_) | Self::Changed(_) | Self::Empty)
    }

    fn put(&self, path: &Path) {
        let bytes = fs::read(path).unwrap_or_default();
        if path.symlink_metadata().is_ok() {
            fs::remove_file(path).expect("remove");
        }
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        match self {
            Self::Zeros => symlink("/dev/zero", path).expect("link"),
            Self::Pipe => {
                assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
            }
            Self::Folder => fs::create_dir(path).expect("folder"),
            Self::Empty => fs::write(path, "").expect("write"),
            Self::Random => {
                let bytes: Vec<u8> = (0..1 << 20).map(|_| rng.random()).collect();
                fs::write(path, bytes).expect("write");
            }
            Self::Cut(part) => fs::write(path, &bytes[..bytes.len() * part / 256]).expect("write"),
            Self::Changed(seed) => {
                let (mut rng, mut bytes) = (ChaCha8Rng::seed_from_u64(*seed), bytes);
                for _ in 0..3 {
                    if let Some(byte) = (!bytes.is_empty()).then(|| rng.random_range(0..bytes.len())) {
                        bytes[byte] = rng.random();
                    }
                }
                fs::write(path, bytes).expect("write");
            }
        }
    }
}

fn long() -> bool {
    std::env::var_os("LLAMA_CCS_LONG").is_some_and(|set| set != "0" && !set.is_empty())
}

/// Sound files, from which every case takes its copy.
struct Sound {
    folder: tempfile::TempDir,
}

impl Sound {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let dir = folder.path();
        copy(&quiz().join("model"), &dir.join("model"));
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/llama-core/tests/fixtures");
        copy(&fixtures.join("llama3"), &dir.join("hf"));
        fs::copy(quiz().join("questions.jsonl"), dir.join("data.jsonl")).expect("data");
        fs::write(dir.join("data.csv"), "statement,label\nOslo is in Norway.,1\nOslo is in Spain.,0\n")
            .expect("data");
        fs::write(dir.join("t.jinja"), "{{ passage }} {{ question }}? {{ answer }}").expect("template");
        let yaml = "templates:\n  a:\n    name: one\n    jinja: '{{ passage }} {{ question }}? ||| {{ answer_choices[label] }}'\n    answer_choices: No ||| Yes\n";
        fs::write(dir.join("t.yaml"), yaml).expect("template");
        fs::write(dir.join("prefix.txt"), "Answer truthfully.").expect("prefix");
        let edits = "{ \"schema\": 1, \"edits\": [ { \"points\": [\"blocks.1.hook_mlp_out\"], \"change\": \"zero\" } ] }";
        fs::write(dir.join("edits.json"), edits).expect("edits");
        let prompts = prompts(dir, 40);
        extract(&prompts, &dir.join("store")).assert().success();
        let mut fit = ccs();
        fit.arg("fit")
            .arg(dir.join("store"))
            .arg("--out")
            .arg(dir.join("run"))
            .args(QUICK)
            .assert()
            .success();
        Self { folder }
    }
}

const QUICK: [&str; 18] = [
    "--methods",
    "ccs,lr",
    "--layers",
    "4",
    "--epochs",
    "20",
    "--restarts",
    "2",
    "--folds",
    "3",
    "--directions",
    "10",
    "--seeds",
    "1",
    "--shuffles",
    "1",
    "--recursive",
    "0",
];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("folder");
    for entry in fs::read_dir(from).expect("list") {
        let (from, name) = (entry.as_ref().expect("entry").path(), entry.expect("entry").file_name());
        copy_any(&from, &to.join(name));
    }
}

fn copy_any(from: &Path, to: &Path) {
    if from.is_dir() {
        copy(from, to);
    } else {
        fs::copy(from, to).expect("copy");
    }
}

/// A command that reads a file: the file, what of the sound folder it needs, and its words, in which `@` stands for the
/// folder. The first word is the program.
struct Target {
    file: &'static str,
    needs: &'static [&'static str],
    words: &'static str,
}

const fn target(file: &'static str, needs: &'static [&'static str], words: &'static str) -> Target {
    Target { file, needs, words }
}

const PROMPTS: &str = "llama-ccs prompts --limit 4 --out @/out.csv";
const TARGETS: &[Target] = &[
    target("data.jsonl", &["data.jsonl", "model"], "P --data @/data.jsonl --model @/model"),
    target("data.csv", &["data.csv", "model"], "P --data @/data.csv --model @/model --template statement"),
    target(
        "t.jinja",
        &["data.jsonl", "model", "t.jinja"],
        "P --data @/data.jsonl --model @/model --template @/t.jinja",
    ),
    target(
        "t.yaml",
        &["data.jsonl", "model", "t.yaml"],
        "P --data @/data.jsonl --model @/model --template @/t.yaml",
    ),
    target(
        "prefix.txt",
        &["data.jsonl", "model", "prefix.txt"],
        "P --data @/data.jsonl --model @/model --prefix @@/prefix.txt",
    ),
    target(
        "model/tokenizer.model",
        &["data.jsonl", "model"],
        "P --data @/data.jsonl --tokenizer @/model/tokenizer.model",
    ),
    target("model/tokenizer.model", &["model"], "llama-ccs generate --model @/model --max-new-tokens 2 is"),
    target("model/params.json", &["model"], "llama-ccs model info @/model"),
    target("model/params.json", &["model"], "llama-ccs hooks @/model"),
    target(
        "model/consolidated.00.pth",
        &["model"],
        "llama-ccs generate --model @/model --max-new-tokens 2 is",
    ),
    target("model/consolidated.00.pth", &["model"], "llama-ccs model info @/model"),
    target("hf/config.json", &["hf"], "llama-ccs model info @/hf"),
    target("hf/model.safetensors", &["hf"], "llama-ccs model info @/hf"),
    target("m.gguf", &[], "llama-ccs model info @/m.gguf"),
    target("tokenizer.json", &["data.jsonl"], "P --data @/data.jsonl --tokenizer @/tokenizer.json"),
    target(
        "prompts.csv",
        &["prompts.csv", "model"],
        "llama-ccs extract --model @/model --prompts @/prompts.csv --out @/new",
    ),
    target(
        "prompts.templates.json",
        &["prompts.csv", "prompts.templates.json", "model"],
        "llama-ccs extract --model @/model --prompts @/prompts.csv --out @/new",
    ),
    target(
        "edits.json",
        &["prompts.csv", "model", "edits.json"],
        "llama-ccs extract --model @/model --prompts @/prompts.csv --out @/new --edits @/edits.json",
    ),
    target("store/manifest.json", &["store"], "llama-ccs store info @/store"),
    target("store/journal", &["store"], "llama-ccs store info @/store"),
    target("store/manifest.json", &["store"], "llama-ccs store verify @/store"),
    target("store/rows.parquet", &["store"], "llama-ccs store verify @/store"),
    target("store/hook_embed/plus.npy", &["store"], "llama-ccs store verify @/store"),
    target("store/hook_embed/plus.npy", &["store"], "llama-ccs store export @/store --out @/exported"),
    target("store/manifest.json", &["store"], "F @/store --out @/new"),
    target("store/journal", &["store"], "F @/store --out @/new"),
    target("store/rows.parquet", &["store"], "F @/store --out @/new"),
    target("store/blocks.3.hook_resid_post/minus.npy", &["store"], "F @/store --out @/new"),
    target(
        "store/manifest.json",
        &["store", "prompts.csv", "model"],
        "llama-ccs extract --model @/model --prompts @/prompts.csv --out @/store",
    ),
    target(
        "store/rows.parquet",
        &["store", "prompts.csv", "model"],
        "llama-ccs extract --model @/model --prompts @/prompts.csv --out @/store",
    ),
    target(
        "store/journal",
        &["store", "prompts.csv", "model"],
        "llama-ccs extract --model @/model --prompts @/prompts.csv --out @/store",
    ),
    target("run/report.json", &["run", "store"], "ccs eval @/run @/store --keep-trained"),
    target("run/split.json", &["run", "store"], "ccs eval @/run @/store --keep-trained"),
    target("run/probes/ccs/layer_04.safetensors", &["run", "store"], "ccs eval @/run @/store --keep-trained"),
    target("run/report.json", &["run"], "ccs inspect @/run"),
    target("run/probes/lr/layer_04.safetensors", &["run"], "ccs inspect @/run"),
    target(
        "run/probes/lr/layer_04.safetensors",
        &["run"],
        "ccs inspect @/run/probes/lr/layer_04.safetensors",
    ),
    target("run/report.json", &["run"], "ccs report @/run --out @/page"),
    target(
        "run/report.json",
        &["run", "prompts.csv", "model"],
        "llama-ccs predict --run @/run --model @/model --prompts @/prompts.csv",
    ),
    target(
        "run/probes/ccs/layer_04.safetensors",
        &["run", "prompts.csv", "model"],
        "llama-ccs predict --run @/run --model @/model --prompts @/prompts.csv",
    ),
    target(
        "run/split.json",
        &["run", "prompts.csv", "model"],
        "llama-ccs predict --run @/run --model @/model --prompts @/prompts.csv",
    ),
    target(
        "prompts.csv",
        &["run", "prompts.csv", "model"],
        "llama-ccs predict --run @/run --model @/model --prompts @/prompts.csv",
    ),
    target(
        "data.jsonl",
        &["run", "data.jsonl", "model"],
        "llama-ccs predict --run @/run --model @/model --data @/data.jsonl --limit 4",
    ),
];

/// The command in a folder.
fn command(target: &Target, dir: &Path) -> Command {
    let words =
        target.words.replacen("P ", &format!("{PROMPTS} "), usize::from(target.words.starts_with("P ")));
    let fit = format!("ccs fit {} ", QUICK.join(" "));
    let words = words.replacen("F ", &fit, usize::from(words.starts_with("F ")));
    let mut words = words.split(' ');
    let program = if words.next() == Some("ccs") { ccs() } else { llama_ccs() };
    let mut command = Command::new(program.get_program());
    for word in words {
        // `@@` is an argument's own, and then the folder.
        let (own, word) = word.strip_prefix("@@").map_or(("", word), |word| ("@", word));
        let whole = if own == "@" {
            [OsStr::new("@"), dir.as_os_str(), OsStr::new(word)].map(OsStr::as_bytes).concat()
        } else if let Some(rest) = word.strip_prefix('@') {
            [dir.as_os_str(), OsStr::new(rest)].map(OsStr::as_bytes).concat()
        } else {
            word.as_bytes().to_vec()
        };
        command.arg(OsStr::from_bytes(&whole));
    }
    command.env("OMP_NUM_THREADS", "1").env("NO_COLOR", "1").env("RUST_BACKTRACE", "0");
    command
}

/// How a command ended: its exit code, if it ended by itself in time and within bounds, and what it said on stderr.
fn run(mut command: Command, said: &Path) -> Result<(Option<i32>, String), String> {
    let stderr = fs::File::create(said).expect("a file for stderr");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().expect("start");
    let (started, mut most) = (Instant::now(), 0);
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break status;
        }
        most = most.max(resident(child.id()));
        let over = if started.elapsed() > LIMIT {
            Some(format!("hangs: not done after {LIMIT:?}"))
        } else {
            (most > MEMORY).then(|| format!("takes more than {} MiB", MEMORY >> 20))
        };
        if let Some(over) = over {
            child.kill().expect("kill");
            child.wait().expect("wait");
            return Err(over);
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let said = String::from_utf8_lossy(&fs::read(said).expect("stderr")).into_owned();
    Ok((status.code(), said))
}

fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or_default() << 10
}

/// What is wrong with how a case ended.
fn fault(target: &Target, hostile: &Hostile, sound: &Path, dir: &Path) -> Option<String> {
    fs::create_dir(dir).expect("folder");
    for name in target.needs {
        let from = sound.join(name);
        copy_any(&from, &dir.join(name));
    }
    hostile.put(&dir.join(target.file));
    let ended = run(command(target, dir), &dir.with_extension("stderr"));
    let (code, said) = match ended {
        Ok(ended) => ended,
        Err(over) => return Some(over),
    };
    let last = said.trim_end().lines().last().unwrap_or_default().to_owned();
    let verifies = target.words.contains(" verify ");
    let problem = match code {
        None => "a signal ended it".to_owned(),
        _ if said.contains("panicked") => "a panic".to_owned(),
        Some(0) if hostile.may_be_sound() => return None,
        // What is not read changes nothing.
        Some(0) => "exit code 0".to_owned(),
        Some(1) if verifies && said.is_empty() => return None, // its problems are on stdout
        Some(1 | 2) if last.starts_with("hint: ") && said.contains("error: ") => return None,
        Some(1 | 2) => "no hint at the end".to_owned(),
        Some(code) => format!("exit code {code}"),
    };
    Some(format!("{problem}: {}", said.trim().chars().take(400).collect::<String>()))
}

#[test]
fn whatever_lies_where_a_file_is_expected() {
    let sound = Sound::new();
    let only = std::env::var("LLAMA_CCS_HOSTILE").unwrap_or_default();
    let name =
        |target: &Target, hostile: &Hostile| format!("{hostile:?} as {}: {}", target.file, target.words);
    let mut cases: VecDeque<(usize, &Target, Hostile)> = VecDeque::new();
    for target in TARGETS {
        for hostile in Hostile::all() {
            if name(target, &hostile).contains(&only) {
                cases.push_back((cases.len(), target, hostile));
            }
        }
    }
    let (count, started) = (cases.len(), Instant::now());
    let (cases, faults) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let work = || loop {
        let Some((number, target, hostile)) = cases.lock().expect("queue").pop_front() else { return };
        let dir = sound.folder.path().join(format!("case-{number}"));
        if let Some(fault) = fault(target, &hostile, sound.folder.path(), &dir) {
            let fault = format!("{}\n    {fault}", name(target, &hostile));
            println!("- {fault}"); // also where the test is ended before it is done
            faults.lock().expect("faults").push(fault);
        }
        let _ = fs::remove_dir_all(&dir);
    };
    // Some wait for a pipe's writer.
    let workers = 2 * std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let mut faults = faults.into_inner().expect("faults");
    faults.sort();
    let all = faults.iter().fold(String::new(), |mut all, fault| {
        let _ = writeln!(all, "- {fault}");
        all
    });
    println!("{count} cases in {:?}", started.elapsed());
    assert!(faults.is_empty(), "{} of {count} cases:\n{all}", faults.len());
}

/// Data, templates and prompts come through pipes too, where somebody writes to them.
#[test]
fn a_pipe_with_a_writer_is_read() {
    let folder = tempfile::tempdir().expect("folder");
    let piped = |file: &Path, words: &[&OsStr]| {
        let mut shell = Command::new("bash");
        let program = llama_ccs();
        shell.arg("-c").arg("file=$1; shift; exec \"$@\" < <(cat \"$file\")").arg("-").arg(file);
        shell.arg(program.get_program()).args(words).env("OMP_NUM_THREADS", "1");
        let output = shell.output().expect("bash");
        assert!(output.status.success(), "{output:?}");
    };
    let (os, model) = (OsStr::new, quiz().join("model"));
    let csv: PathBuf = folder.path().join("p.csv");
    let data = [
        os("prompts"),
        os("--data"),
        os("/dev/stdin"),
        os("--model"),
        model.as_ref(),
        os("--limit"),
        os("4"),
        os("--out"),
        csv.as_ref(),
    ];
    piped(&quiz().join("questions.jsonl"), &data);
    let store = folder.path().join("store");
    let extract = [
        os("extract"),
        os("--model"),
        model.as_ref(),
        os("--prompts"),
        os("/dev/stdin"),
        os("--out"),
        store.as_ref(),
    ];
    piped(&csv, &extract);
}
