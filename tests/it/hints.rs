//! Every error of every command names what is at fault and ends in a hint, plain errors of the system too.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{ccs, extract, llama_ccs, prompts, quiz};

/// A wrong invocation: what the shell does before it, the words (`@` is the folder, `%` the quiz), and what the error must
/// name.
const WRONG: [(&str, &str, &str); 54] = [
    // Nothing there.
    ("", "llama-ccs prompts --data @/no.jsonl --model %/model --out @/p.csv", "no.jsonl"),
    ("", "llama-ccs prompts --data %/questions.jsonl --model @/no --out @/p.csv", "/no"),
    ("", "llama-ccs prompts --data %/questions.jsonl --tokenizer @/no.model --out @/p.csv", "no.model"),
    ("", "llama-ccs prompts --data %/questions.jsonl --out @/p.csv", "tokenizer"),
    (
        "",
        "llama-ccs prompts --data %/questions.jsonl --model %/model --out @/no/folder/p.csv",
        "no/folder/p.csv",
    ),
    (
        "",
        "llama-ccs prompts --data %/questions.jsonl --model %/model --out @/p.csv --template @/no.jinja",
        "no.jinja",
    ),
    (
        "",
        "llama-ccs prompts --data %/questions.jsonl --model %/model --out @/p.csv --template @/no.yaml:one",
        "no.yaml",
    ),
    (
        "",
        "llama-ccs prompts --data %/questions.jsonl --model %/model --out @/p.csv --prefix @@/no.txt",
        "no.txt",
    ),
    ("", "llama-ccs extract --model @/no --prompts @/good.csv --out @/s", "/no"),
    ("", "llama-ccs extract --model %/model --prompts @/no.csv --out @/s", "no.csv"),
    ("", "llama-ccs extract --model %/model --prompts @/good.csv --out @/s --tokenizer @/no.json", "no.json"),
    (
        "",
        "llama-ccs extract --model %/model --prompts @/good.csv --out @/s --edits @/no-edits.json",
        "no-edits.json",
    ),
    (
        "",
        "llama-ccs extract --model %/model --prompts @/good.csv --out @/s --template @/no.jinja",
        "no.jinja",
    ),
    ("", "llama-ccs predict --run @/no-run --model %/model --prompts @/good.csv", "no-run"),
    ("", "llama-ccs predict --run @/run --model @/no --prompts @/good.csv", "/no"),
    ("", "llama-ccs predict --run @/run --model %/model --prompts @/no.csv", "no.csv"),
    ("", "llama-ccs predict --run @/run --model %/model --data @/no.jsonl", "no.jsonl"),
    ("", "llama-ccs predict --run @/run --model %/model --prompts @/good.csv --layer 99", "run"),
    ("", "llama-ccs predict --run @/run --model %/model --prompts @/good.csv --method lda", "run"),
    ("", "llama-ccs generate --model @/no is", "/no"),
    ("", "llama-ccs generate --model %/model --temperature=-1 is", "temperature"),
    ("", "llama-ccs store info @/no-store", "no-store"),
    ("", "llama-ccs store verify @/no-store", "no-store"),
    ("", "llama-ccs store export @/no-store --out @/e", "no-store"),
    ("", "llama-ccs store export @/store --out @/store", "store"),
    ("", "llama-ccs store export @/store --out @/e --tokens first", "first"),
    ("", "llama-ccs model info @/no", "/no"),
    ("", "llama-ccs model info @/empty", "empty"),
    ("", "llama-ccs hooks @/no", "/no"),
    ("", "ccs fit @/no-store --out @/r", "no-store"),
    ("", "ccs fit @/store --out @/run", "run"),
    ("", "ccs fit @/store --out @/r --methods nothing", "nothing"),
    ("", "ccs fit @/store --out @/r --layers 99", "99"),
    ("", "ccs fit @/store --out @/r --blank @/no-store", "no-store"),
    ("", "ccs fit @/store --out @/r --tokens mean", "mean"),
    ("", "ccs sweep @/store @/no-store --out @/r", "no-store"),
    ("", "ccs eval @/no-run @/store", "no-run"),
    ("", "ccs eval @/run @/no-store", "no-store"),
    ("", "ccs inspect @/no-run", "no-run"),
    ("", "ccs report @/no-run", "no-run"),
    // Of another kind.
    ("", "llama-ccs prompts --data @ --model %/model --out @/p.csv", "@"),
    ("", "llama-ccs prompts --data %/questions.jsonl --model %/model --out @", "@"),
    ("", "llama-ccs prompts --data %/questions.jsonl --model %/model --out /dev/null", "/dev/null"),
    (
        "",
        "llama-ccs prompts --data %/questions.jsonl --model %/model --out @/good.csv/p.csv",
        "good.csv/p.csv",
    ),
    ("", "llama-ccs extract --model %/model --prompts @/store --out @/s", "store"),
    ("", "llama-ccs extract --model %/model --prompts @/good.csv --out @/good.csv", "good.csv"),
    ("", "llama-ccs store info @/good.csv", "good.csv"),
    ("", "llama-ccs store export @/store --out @/good.csv/e", "good.csv"),
    ("", "ccs fit @/good.csv --out @/r", "good.csv"),
    ("", "ccs fit @/store --out @/good.csv", "good.csv"),
    ("", "ccs inspect @/good.csv", "good.csv"),
    ("", "ccs report @/run --out @/good.csv", "good.csv"),
    ("", "ccs eval @/run @/store --device cuda:7", "cuda"),
    // Limits of the process.
    ("ulimit -n 12", "llama-ccs extract --model %/model --prompts @/good.csv --out @/s", "open"),
];

#[test]
fn every_wrong_invocation_names_its_fault_and_hints() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let quick = [
        "--methods",
        "ccs,lr",
        "--layers",
        "4",
        "--epochs",
        "20",
        "--folds",
        "3",
        "--directions",
        "10",
        "--seeds",
        "1",
    ];
    let more = ["--shuffles", "1", "--recursive", "0"];
    let good = prompts(dir, 40);
    fs::rename(&good, dir.join("good.csv")).expect("rename");
    extract(&dir.join("good.csv"), &dir.join("store")).assert().success();
    fs::create_dir(dir.join("empty")).expect("folder");
    let mut fit = ccs();
    fit.arg("fit")
        .arg(dir.join("store"))
        .arg("--out")
        .arg(dir.join("run"))
        .args(quick)
        .args(more)
        .assert()
        .success();
    let wrong = WRONG.iter().filter_map(|(limit, words, named)| {
        let (code, said) = said(limit, words, dir);
        let last = said.trim_end().lines().last().unwrap_or_default();
        let named = if *named == "@" { dir.display().to_string() } else { (*named).to_owned() };
        let right = code == Some(1)
            && said.contains("error: ")
            && said.contains(&named)
            && !said.contains("panicked");
        (!right || !last.starts_with("hint: ") || last.len() < 15)
            .then(|| format!("{words}\n  {code:?} {said}"))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), WRONG.len(), wrong.join("\n"));
}

fn said(limit: &str, words: &str, dir: &Path) -> (Option<i32>, String) {
    let mut words = words.split(' ');
    let program = if words.next() == Some("ccs") { ccs() } else { llama_ccs() };
    let whole = |word: &str| {
        let (own, word) =
            word.strip_prefix("@@").map_or(("", word.to_owned()), |rest| ("@", format!("@{rest}")));
        let word = word.strip_prefix('@').map_or(word.clone(), |rest| format!("{}{rest}", dir.display()));
        format!(
            "{own}{}",
            word.strip_prefix('%').map_or(word.clone(), |rest| format!("{}{rest}", quiz().display()))
        )
    };
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(format!("{limit}; exec \"$@\"").trim_start_matches("; ")).arg("-");
    shell.arg(program.get_program()).args(words.map(whole)).stdin(Stdio::null()).stdout(Stdio::null());
    let output = shell.env("OMP_NUM_THREADS", "1").env("NO_COLOR", "1").output().expect("bash");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
