//! Bad input: one clear error that names the file, row or tensor and ends in a hint, exit code 1, nothing lost.

use std::fs;
use std::path::{Path, PathBuf};

use llama_ccs::llama_core::tch::{Device, Kind, no_grad};
use llama_ccs::llama_core::{Checkpoint, Llama, Precision, save_meta};

use crate::support::{contents, llama_ccs, prompts, quiz};

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
    let words: Vec<String> = (0..100).map(|word| format!("▁w{word}")).collect();
    fs::write(other.join("tokenizer.model"), ::llama_ccs::llama_core::word_model(&words)).expect("write");
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
        refusal(with_model(&model).args(["--hooks", "blocks.4.hook_resid_post"]), dir),
    ));

    for (what, text) in &said {
        assert!(text.contains("error: ") && text.contains("hint: "), "{what}:\n{text}");
        assert!(!text.contains("panicked"), "{what}:\n{text}");
    }
    let all: String = said.iter().flat_map(|(what, text)| ["--- ", what, "\n", text, "\n"]).collect();
    insta::assert_snapshot!(all);
    assert!(!dir.join("s").exists(), "no store was begun");
}

#[test]
fn a_model_that_makes_nan_is_located_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 8);
    let store = folder.path().join("store");
    // Every weight is finite, their product is not.
    let model = copied_model(folder.path());
    let checkpoint = Checkpoint::open(&model).expect("open");
    let llama = Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect("load");
    let mut weights = llama.trainable().expect("weights").into_iter();
    let (_, mut gain) = weights.find(|(name, _)| name == "blocks.1.ln1_gain").expect("gain");
    let _ = no_grad(|| gain.fill_(3e38));
    save_meta(&llama, &model, Kind::Float, 1).expect("save");

    let mut command = llama_ccs();
    command.arg("extract").arg("--model").arg(&model).arg("--prompts").arg(&prompts).arg("--out").arg(&store);
    let said = refusal(&mut command, folder.path());
    assert!(
        said.contains("blocks.1.hook_resid_post") && said.contains("row") && said.contains("hint:"),
        "{said}"
    );
    // The store that was begun says that nothing is in it, and no array has its final name.
    let info =
        llama_ccs().args(["store", "info", "--json"]).arg(&store).assert().success().get_output().clone();
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).expect("json");
    assert_eq!((&info["done"], &info["rows"]), (&0.into(), &8.into()));
    assert!(contents(&store).keys().all(|name| name.extension().is_none_or(|e| e != "npy")));
}
