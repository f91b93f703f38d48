//! Models and data by name: the program against a hub on the loopback, and the cache that it leaves.

use std::path::Path;

use assert_cmd::Command;
use polars::prelude::{DataFrame, IntoColumn as _, NamedFrom as _, ParquetWriter, Series};
use predicates::prelude::*;
use test_material::golden;
use test_material::hub::{Hub, Repository};

use crate::support::{contents, llama_ccs, prompts, quiz};

/// The files of a folder, as a repository has them.
fn repository(folder: &Path) -> Repository {
    let files = std::fs::read_dir(folder).expect("list").map(|entry| entry.expect("entry"));
    Repository::new(files.map(|entry| {
        (entry.file_name().into_string().expect("name"), std::fs::read(entry.path()).expect("file"))
    }))
}

/// A hub with a small model as folder and as GGUF, and the quiz questions as a data set.
fn hub() -> Hub {
    let hub = Hub::start().expect("loopback");
    let mut folder = repository(&golden("llama/hugging-face"));
    folder.files.insert("pytorch_model.bin".to_owned(), vec![0; 2000]);
    hub.put("models/org/tiny", folder);
    let gguf = std::fs::read(golden("llama/llama-f16.gguf")).expect("file");
    hub.put("models/org/tiny-GGUF", Repository::new([("f16.gguf", gguf), ("q4.gguf", vec![0; 2000])]));
    hub.put(
        "datasets/org/quiz",
        Repository::at(
            "refs/convert/parquet",
            [("default/train/0000.parquet", parquet(40)), ("default/validation/0000.parquet", parquet(20))],
        ),
    );
    hub
}

/// The first quiz questions as Parquet.
fn parquet(rows: usize) -> Vec<u8> {
    let text = std::fs::read_to_string(quiz().join("questions.jsonl")).expect("questions");
    let rows: Vec<serde_json::Value> =
        text.lines().take(rows).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let texts = |name: &str| -> Vec<String> {
        rows.iter().map(|row| row[name].as_str().unwrap_or_default().to_owned()).collect()
    };
    let answers: Vec<bool> = rows.iter().map(|row| row["answer"].as_bool().expect("answer")).collect();
    let columns =
        ["question", "passage", "title"].map(|name| Series::new(name.into(), texts(name)).into_column());
    let columns = columns.into_iter().chain([Series::new("answer".into(), answers).into_column()]).collect();
    let mut bytes = Vec::new();
    let mut table = DataFrame::new(rows.len(), columns).expect("columns of one length");
    ParquetWriter::new(&mut bytes).finish(&mut table).expect("written");
    bytes
}

/// `llama-ccs` with a cache in `home` and this hub.
fn with_hub(hub: &Hub, home: &Path) -> Command {
    let mut command = llama_ccs();
    command.env("HF_HOME", home).env("HF_ENDPOINT", hub.endpoint()).env_remove("HF_HUB_OFFLINE");
    command
}

#[test]
fn by_path_by_name_and_from_the_cache_it_is_the_same_store() {
    let (hub, folder) = (hub(), tempfile::tempdir().expect("folder"));
    let (home, prompts) = (folder.path().join("hf"), prompts(folder.path(), 4));
    let store = |command: &mut Command, model: &Path, name: &str| {
        let out = folder.path().join(name);
        command
            .arg("extract")
            .arg("--model")
            .arg(model)
            .arg("--prompts")
            .arg(&prompts)
            .arg("--out")
            .arg(&out);
        let kernels = "products=plain,attention=fused";
        command.args(["--dtype", "f32", "--kernels", kernels, "--hooks", "blocks.0.hook_resid_post"]);
        command.assert().success();
        contents(&out)
    };
    let by_path = store(&mut llama_ccs(), &golden("llama/hugging-face"), "path");
    assert!(by_path.len() > 3);
    let name = Path::new("org/tiny");
    assert!(store(&mut with_hub(&hub, &home), name, "hub") == by_path);
    assert!(hub.requests().iter().all(|request| !request.path.contains(".bin")));
    let mut offline = with_hub(&hub, &home);
    assert!(store(offline.env("HF_HUB_OFFLINE", "1"), name, "cache") == by_path);
    let cached = home.join("hub/models--org--tiny");
    assert!(store(&mut llama_ccs(), &cached, "folder") == by_path);

    let gguf = store(&mut llama_ccs(), &golden("llama/llama-f16.gguf"), "gguf");
    let named = Path::new("org/tiny-GGUF:f16.gguf");
    assert!(store(&mut with_hub(&hub, &home), named, "named") == gguf);
}

#[test]
fn data_by_name_make_the_prompts_of_their_file() {
    let (hub, folder) = (hub(), tempfile::tempdir().expect("folder"));
    let home = folder.path().join("hf");
    let file = folder.path().join("quiz.parquet");
    std::fs::write(&file, parquet(20)).expect("written");
    let made = |data: &Path, tokenizer: &Path| {
        let out = folder.path().join("prompts.csv");
        let mut command = with_hub(&hub, &home);
        command
            .arg("prompts")
            .arg("--data")
            .arg(data)
            .arg("--tokenizer")
            .arg(tokenizer)
            .arg("--out")
            .arg(&out);
        command.args(["--max-seq-len", "4096"]).assert().success();
        std::fs::read_to_string(out).expect("prompts")
    };
    let by_path = made(&file, &golden("llama/hugging-face"));
    let by_name = made(Path::new("org/quiz:validation"), Path::new("org/tiny"));
    assert_eq!(by_name.replace(",org/quiz:validation", ",quiz"), by_path);
    assert!(by_path.lines().count() > 10);
    assert!(
        hub.requests()
            .iter()
            .all(|request| !request.path.contains("train") && !request.path.contains("model-"))
    );
}

#[test]
fn names_that_lead_nowhere_are_one_error_each() {
    let (hub, folder) = (hub(), tempfile::tempdir().expect("folder"));
    let home = folder.path().join("hf");
    let info = |model: &str| {
        let mut command = with_hub(&hub, &home);
        command.args(["model", "info", model]);
        command
    };
    let says = |command: &mut Command, parts: &[&str]| {
        let output = command.assert().code(1).get_output().clone();
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(error.starts_with("error: ") && error.lines().count() == 2, "{error}");
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    };
    says(
        &mut info("org/tinny"),
        &[
            "there is no file or folder `org/tinny`, and by that name: http://127.0.0.1:",
            "has no model org/tinny",
            "hint: check how it is written",
        ],
    );
    says(&mut info("org/tiny-GGUF"), &["several GGUF files: f16.gguf, q4.gguf", "name one: ORG/NAME:FILE"]);
    says(&mut info("org/tiny@v2"), &["no revision `v2`"]);
    says(
        info("org/tiny").env("HF_HUB_OFFLINE", "1"),
        &["`org/tiny`", "is not in the cache", "HF_HUB_OFFLINE"],
    );
    says(
        info("org/tiny").env("HF_ENDPOINT", "http://127.0.0.1:1"),
        &["`org/tiny`", "cannot be reached", "HTTPS_PROXY"],
    );
    says(info("org/tiny").env("HF_ENDPOINT", "hub"), &["HF_ENDPOINT is `hub`"]);
    // Which is no concern of a path's.
    let path = quiz().join("model");
    let mut by_path = info(path.to_str().expect("text"));
    by_path.env("HF_ENDPOINT", "hub").env_remove("HOME").env_remove("HF_HOME").assert().success();
    // What cannot be a name stays a path.
    for path in ["models/llama.gguf", "./org/tiny", "llama-7b"] {
        says(&mut info(path), &[path, "there is no such file or folder"]);
    }
    let out = folder.path().join("p.csv");
    let mut prompts = with_hub(&hub, &home);
    prompts.args(["prompts", "--tokenizer"]).arg(quiz().join("model")).arg("--out").arg(&out);
    says(prompts.args(["--data", "org/quiz"]), &["2 splits", "org/quiz:train, org/quiz:validation"]);
    let mut prompts = with_hub(&hub, &home);
    prompts.args(["prompts", "--tokenizer"]).arg(quiz().join("model")).arg("--out").arg(&out);
    prompts
        .args(["--data", "boolq/dev.jsonl"])
        .assert()
        .code(1)
        .stderr(predicate::str::contains("boolq/dev.jsonl"));
}
