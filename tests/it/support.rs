//! The program, the quiz model, and folders to work in.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

use assert_cmd::Command;

/// How far f32 states of the quiz model may be apart that differ only in how their sums were added up (other batches, other
/// tokens beside them, another CPU), over the largest of their column.
///
/// A sum of n products is off by about √n · 2⁻²⁴ of its terms' size (Higham and Mary 2019; n times that at worst): 1.1e-6 for
/// the 352 of the longest sum here. A block has seven products one after another on the way to its output, the model four
/// blocks, and such errors are independent: √28 · 1.1e-6 = 6e-6. What is wrong differs by 1e-3 and more.
pub(crate) const F32: f32 = 1e-5;

/// A port that nobody has, and that no connection is given before it is used; each call gives another.
pub(crate) fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let ports = (0..1000).map(|_| {
        let number =
            NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(7).wrapping_add(std::process::id() as u16);
        10_000 + number % 5_000
    });
    let mut free = ports.filter(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok());
    free.next().expect("a port")
}

/// The built-in model and questions.
pub(crate) fn quiz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quiz")
}

/// `llama-ccs`, with one thread, so that parallel tests do not wait for each other's cores.
pub(crate) fn llama_ccs() -> Command {
    let mut command = Command::cargo_bin("llama-ccs").expect("the binary");
    command.env("OMP_NUM_THREADS", "1").env("NO_COLOR", "1").env("LLAMA_CCS_CACHE", ""); // not the user's
    // What looks like a name is looked up nowhere.
    command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", "/nonexistent");
    command
}

/// `ccs`, which cargo builds beside `llama-ccs` for its own tests: `cargo test` of the workspace's members does.
pub(crate) fn ccs() -> Command {
    let program = assert_cmd::cargo::cargo_bin!("llama-ccs").with_file_name("ccs");
    assert!(program.exists(), "no {}: test `-p llama-ccs -p ccs` together", program.display());
    let mut command = Command::new(program);
    command.env("OMP_NUM_THREADS", "1").env("NO_COLOR", "1");
    command
}

/// Every command of the program by its words, `store` with each of its own: what `--help` lists.
pub(crate) fn commands() -> Vec<Vec<String>> {
    let listed = |path: &[String]| -> Vec<Vec<String>> {
        let output = llama_ccs().args(path).arg("--help").assert().success();
        let help = String::from_utf8(output.get_output().stdout.clone()).expect("text");
        let Some((_, commands)) = help.split_once("Commands:\n") else { return Vec::new() };
        let lines = commands.lines().take_while(|line| !line.is_empty());
        let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let names = names.filter(|name| !name.is_empty() && *name != "help");
        names.map(|name| [path, &[name.to_owned()]].concat()).collect()
    };
    let top = listed(&[]);
    top.into_iter().flat_map(|path| [vec![path.clone()], listed(&path)].concat()).collect()
}

/// `prompts.csv` in `folder`, made from the first quiz questions.
pub(crate) fn prompts(folder: &Path, limit: usize) -> PathBuf {
    let out = folder.join("prompts.csv");
    let mut command = llama_ccs();
    command.arg("prompts").arg("--data").arg(quiz().join("questions.jsonl"));
    command.arg("--model").arg(quiz().join("model")).arg("--out").arg(&out);
    command.args(["--limit", &limit.to_string()]).assert().success();
    out
}

/// `llama-ccs extract` of the quiz model, ready to run.
pub(crate) fn extract(prompts: &Path, store: &Path) -> Command {
    let mut command = llama_ccs();
    command.arg("extract").arg("--model").arg(quiz().join("model"));
    command.arg("--prompts").arg(prompts).arg("--out").arg(store);
    command
}

/// Every file of a folder with its bytes, but for the log, which tells the time.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("list") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|n| n != "log.jsonl") {
                let name = path.strip_prefix(folder).expect("inside").to_owned();
                files.insert(name, fs::read(&path).expect("read"));
            }
        }
    }
    files
}
