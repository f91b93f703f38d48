//! Bad input: one clear error that names the file, row or tensor and ends in a hint, exit code 1, nothing lost.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{contents, extract, llama_ccs, prompts, quiz};

/// What the command says on stderr when it fails with exit code 1, the folder's name replaced.
fn refusal(command: &mut assert_cmd::Command, folder: &Path) -> String {
    let output = command.assert().failure().code(1).get_output().clone();
    assert!(output.stdout.is_empty(), "nothing on stdout");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.replace(&folder.display().to_string(), "DIR").replace(&quiz().display().to_string(), "QUIZ")
}

fn copied_model(folder: &Path) -> PathBuf {
    let model = folder.join("model");
    fs::create_dir_all(&model).expect("create");
    for file in ["params.json", "consolidated.00.pth", "tokenizer.model"] {
        fs::copy(quiz().join("model").join(file), model.join(file)).expect("copy");
    }
    model
}

#[test]
fn errors_say_what_and_end_in_a_hint() {
    let folder = tempfile::tempdir().expect("folder");
    let dir = folder.path();
    let good = prompts(dir, 4);
    let model = quiz().join("model");
    let with_model = |model: &Path| {
        let mut command = llama_ccs();
        command
            .arg("extract")
            .arg("--model")
            .arg(model)
            .arg("--prompts")
            .arg(&good)
            .arg("--out")
            .arg(dir.join("s"));
        command
    };
    let make_prompts = |name: &str, text: &str| {
        fs::write(dir.join(name), text).expect("write");
        let mut command = llama_ccs();
        command.arg("prompts").arg("--data").arg(dir.join(name)).arg("--model").arg(&model);
        command.arg("--out").arg(dir.join("p.csv"));
        command
    };

    let mut said = vec![
        ("no such model", refusal(&mut with_model(&dir.join("nowhere")), dir)),
        ("an empty folder", refusal(&mut with_model(dir), dir)),
    ];
    let broken = copied_model(dir);
    let weights = fs::read(broken.join("consolidated.00.pth")).expect("read");
    fs::write(broken.join("consolidated.00.pth"), &weights[..weights.len() / 2]).expect("write");
    said.push(("a truncated checkpoint", refusal(&mut with_model(&broken), dir)));
    fs::write(broken.join("consolidated.00.pth"), &weights).expect("write");
    fs::write(broken.join("params.json"), "{\"dim\": 128").expect("write");
    said.push(("a truncated params.json", refusal(&mut with_model(&broken), dir)));
    let other = copied_model(dir);
    fs::write(other.join("tokenizer.model"), llama_ccs::llama_core::word_model(&["▁a".to_owned()]))
        .expect("write");
    said.push(("a tokenizer of another model", refusal(&mut with_model(&other), dir)));
    fs::write(other.join("tokenizer.model"), "not a tokenizer").expect("write");
    said.push(("no tokenizer at all", refusal(&mut with_model(&other), dir)));

    let line = "{\"question\": \"is the cup red\", \"answer\": true, \"passage\": \"The cup is red.\"}\n";
    let malformed = format!("{line}{line}{{\"question\": \"is the\n");
    said.push(("malformed JSONL", refusal(&mut make_prompts("bad.jsonl", &malformed), dir)));
    let label = line.replace("true", "\"perhaps\"");
    said.push((
        "a label that is no boolean",
        refusal(&mut make_prompts("label.jsonl", &format!("{line}{label}")), dir),
    ));
    let empty = line.replace("is the cup red", "");
    said.push((
        "an empty question",
        refusal(&mut make_prompts("empty.jsonl", &format!("{line}{empty}")), dir),
    ));
    said.push((
        "everything dropped",
        refusal(make_prompts("long.jsonl", line).args(["--max-seq-len", "5"]), dir),
    ));
    said.push((
        "an unknown template",
        refusal(make_prompts("t.jsonl", line).args(["--template", "lama-ccs"]), dir),
    ));
    said.push(("an unknown device", refusal(with_model(&model).args(["--device", "gpu"]), dir)));
    said.push((
        "an unknown hook",
        refusal(with_model(&model).args(["--hooks", "blocks.0.hook_resid_psot"]), dir),
    ));
    said.push((
        "a block too many",
        refusal(with_model(&model).args(["--hooks", "blocks.3.hook_resid_post"]), dir),
    ));

    for (what, text) in &said {
        assert!(text.starts_with("error: ") && text.contains("hint: "), "{what}:\n{text}");
        assert!(!text.contains("panicked"), "{what}:\n{text}");
    }
    let all: String = said.iter().map(|(what, text)| format!("--- {what}\n{text}\n")).collect();
    insta::assert_snapshot!(all);
    assert!(!dir.join("s").exists(), "no store was begun");
}

#[test]
fn weights_that_make_nan_are_located_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 8);
    let store = folder.path().join("store");
    // Finite weights whose products overflow f16's range only when stored: refused by row, hook and side.
    let model = copied_model(folder.path());
    let params = fs::read_to_string(model.join("params.json")).expect("read");
    let eps = params.lines().find(|l| l.contains("norm_eps")).expect("norm_eps");
    // A tiny epsilon changes nothing; a huge rotary base neither: the model stays finite. Scale the embedding instead.
    assert!(eps.contains("norm_eps"));
    scale_embedding(&model.join("consolidated.00.pth"));
    let mut command = llama_ccs();
    command.arg("extract").arg("--model").arg(&model).arg("--prompts").arg(&prompts).arg("--out").arg(&store);
    let said = refusal(command.args(["--store-dtype", "f16"]), folder.path());
    assert!(said.contains("hook_embed") && said.contains("row") && said.contains("f32"), "{said}");
    // The store that was begun is unfinished, says so, and no array has its final name.
    let info =
        llama_ccs().args(["store", "info", "--json"]).arg(&store).assert().success().get_output().clone();
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).expect("json");
    assert_eq!((&info["done"], &info["rows"]), (&0.into(), &8.into()));
    assert!(contents(&store).keys().all(|name| name.extension().is_none_or(|e| e != "npy")));
}

/// Multiplies the stored f16 embedding (the archive's `data/0`) so that it leaves f16's range once the first block
/// adds to it: sets every value to the largest finite f16.
fn scale_embedding(path: &Path) {
    let bytes = fs::read(path).expect("read");
    let mut archive = llama_ccs::activations::half::f16::MAX.to_le_bytes().repeat(0);
    archive.extend(&bytes);
    let name = b"consolidated.00/data/0";
    let at = archive.windows(name.len()).position(|w| w == name).expect("entry");
    // The entry's bytes follow its name and the padding that aligns them to 64.
    let start = (at + name.len()).next_multiple_of(64);
    for value in archive[start..start + 128 * 16].chunks_exact_mut(2) {
        value.copy_from_slice(&llama_ccs::activations::half::f16::MAX.to_le_bytes());
    }
    fs::write(path, archive).expect("write");
}
