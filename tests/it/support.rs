//! The program, the quiz model, and folders to work in.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _; // stderr: libtest shows it even when a test passes
use std::path::{Path, PathBuf};

use assert_cmd::Command;

/// The built-in model and questions.
pub(crate) fn quiz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quiz")
}

/// `llama-ccs`, with one thread, so that parallel tests do not wait for each other's cores.
pub(crate) fn llama_ccs() -> Command {
    let mut command = Command::cargo_bin("llama-ccs").expect("the binary");
    command.env("OMP_NUM_THREADS", "1").env("NO_COLOR", "1").env("LLAMA_CCS_CACHE", ""); // not the user's
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

/// The shared reference results: `LLAMA_CCS_SHARED`, or `shared` beside the checkout.
pub(crate) fn shared() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    let found = std::env::var_os("LLAMA_CCS_SHARED").map_or(beside, PathBuf::from);
    if found.join("golden").is_dir() {
        return Some(found);
    }
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: no shared reference results in {} (set LLAMA_CCS_SHARED)",
        found.display()
    );
    None
}
