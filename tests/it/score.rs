//! `llama-ccs score`, `llama-ccs generate` with edits, and `llama-ccs model check`, as programs.

use std::path::Path;

use llama_ccs::llama_core::tch::{Device, Kind, Tensor};
use llama_ccs::llama_core::{
    Batch, Change, Checkpoint, Edit, Edits, Forward, HookPoint, Llama, Precision, Sampling, Tokens,
};
use predicates::prelude::*;
use serde_json::{Value, json};

use crate::support::{llama_ccs, quiz};

const PROMPT: &str = "The cup is red.\n\nAfter reading this passage, I have a question: is the cup red?\n\nTrue or False: True";

fn loaded() -> (Checkpoint, Llama) {
    let checkpoint = Checkpoint::open(quiz().join("model")).expect("checkpoint");
    let llama = Llama::load(&checkpoint, Precision::F64, Device::Cpu).expect("loaded");
    (checkpoint, llama)
}

/// log P of the tokens from `from` on, of one text alone.
fn log_prob(llama: &Llama, ids: &[u32], from: usize) -> f64 {
    let output = llama.forward(&Batch::new(&[ids]).expect("batch"), Forward::new().logits(Tokens::All));
    let log_p = output.expect("run").logits.expect("logits").log_softmax(-1, Kind::Double);
    (from..ids.len()).map(|at| log_p.double_value(&[at as i64 - 1, i64::from(ids[at])])).sum()
}

#[test]
fn pairs_are_scored_from_any_file_and_standard_input() {
    let folder = tempfile::tempdir().expect("folder");
    let (checkpoint, llama) = loaded();
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    let pairs = [
        (PROMPT, " right"),
        (PROMPT, " wrong"),
        ("The cup ", "is red. The cup is in the attic."),
        ("", "The cup"),
    ];
    let lines = pairs.map(|(context, continuation)| {
        json!({ "context": context, "continuation": continuation }).to_string()
    });
    let path = folder.path().join("pairs.jsonl");
    std::fs::write(&path, lines.join("\n")).expect("write");
    let score = |arguments: &[&str], stdin: &str| {
        let mut command = llama_ccs();
        command
            .arg("score")
            .arg("--model")
            .arg(quiz().join("model"))
            .args(["--dtype", "f64"])
            .args(arguments);
        String::from_utf8(command.write_stdin(stdin).assert().success().get_output().stdout.clone())
            .expect("text")
    };
    let file = path.to_str().expect("UTF-8");
    let all: Vec<Value> = serde_json::from_str(&score(&[file, "--json", "--tokens"], "")).expect("json");
    for (own, (context, continuation)) in all.iter().zip(pairs) {
        let ids = tokenizer.ids(&format!("{context}{continuation}")).expect("ids");
        let from = tokenizer.ids(context.trim_end()).expect("ids").len();
        let expected = log_prob(&llama, &ids, from);
        assert!((own["log_prob"].as_f64().expect("number") - expected).abs() < 1e-9, "{own} {expected}");
        assert_eq!(own["tokens"], ids.len() - from);
        assert_eq!(own["log_probs"].as_array().map(Vec::len), Some(ids.len() - from));
    }
    assert_eq!((&all[0]["greedy"], &all[1]["greedy"]), (&json!(true), &json!(false)));
    assert_eq!(all[3]["id"], "3");
    // The same as lines, as a table, and from a table on standard input.
    let lines = score(&[file, "--format", "jsonl", "--batch-tokens", "1"], "");
    let same = |one: &Value, other: &Value| {
        (one.as_f64().expect("number") - other.as_f64().expect("number")).abs() < 1e-9
    };
    for (line, own) in lines.lines().zip(&all) {
        let line: Value = serde_json::from_str(line).expect("an object a line");
        assert!(same(&line["log_prob"], &own["log_prob"]) && line["greedy"] == own["greedy"], "{line}");
    }
    let table = "id,context,continuation\n\"a,\"\"b\",The cup,\" is red.\"\nc,The cup,\" is\"\n";
    let text = score(&["-"], table);
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows[0], "id,log_prob,tokens,greedy");
    assert!(rows[1].starts_with("\"a,\"\"b\",-") && rows[2].starts_with("c,-") && rows.len() == 3, "{text}");
}

#[test]
fn pairs_that_cannot_be_scored_are_named() {
    let refused = |text: &str, flags: &[&str], why: &str| {
        let mut command = llama_ccs();
        command.arg("score").arg("--model").arg(quiz().join("model")).args(flags).arg("-").write_stdin(text);
        let assert = command.assert().failure().code(1).stdout("");
        assert.stderr(predicate::str::contains(why).and(predicate::str::contains("\nhint: ")));
    };
    refused(
        "context,continuation\nThe cup,\n",
        &[],
        "row 0 (counted from 0): the continuation \"\" cannot be scored",
    );
    refused("context,text\nThe cup,x\n", &[], "no column `continuation`");
    refused("{\"context\":\"a\",\"continuation\":null}\n", &[], "row 0");
    refused("context,continuation\nThe cup, is\n", &["--tokens"], "--tokens has no column in CSV");
}

#[test]
fn texts_are_steered_by_files_of_edits_and_by_strengths() {
    let folder = tempfile::tempdir().expect("folder");
    let (checkpoint, llama) = loaded();
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    let direction = (Tensor::arange(llama.config().dim, (Kind::Float, Device::Cpu)) * 0.9).sin();
    let add =
        |scale| Edit::new(HookPoint::of_layer(2), Tokens::Last, Change::add(&direction, scale).expect("add"));
    let path = folder.path().join("steer.json");
    Edits::from(add(1.0)).save(&path).expect("saved");
    let edits = path.to_str().expect("UTF-8");
    let generate = |arguments: &[&str]| {
        let mut command = llama_ccs();
        command.arg("generate").arg("--model").arg(quiz().join("model")).args([
            "--dtype",
            "f64",
            "--temperature",
            "0",
        ]);
        command.args(arguments);
        command
    };
    let flags =
        ["--max-new-tokens", "6", "--edits", edits, "--strength=-4,0,4", "--json", PROMPT, "The cup is"];
    let output = generate(&flags).assert().success().get_output().stdout.clone();
    let rows: Vec<Value> = serde_json::from_slice(&output).expect("json");
    let sampling = Sampling {
        temperature: 0.0,
        max_new_tokens: 6,
        stop: tokenizer.eos().to_vec(),
        ..Sampling::default()
    };
    let mut expected = Vec::new();
    for prompt in [PROMPT, "The cup is"] {
        for strength in [-4.0, 0.0, 4.0] {
            let mut hook = Edits::from(add(strength)).hook(llama.config(), Device::Cpu).expect("fits");
            let ids = tokenizer.ids(prompt).expect("ids");
            let text = llama
                .generate_text(&tokenizer, &[ids], &sampling, &[], Some(&mut hook))
                .expect("text")
                .remove(0);
            expected.push(json!({ "prompt": prompt, "strength": strength, "text": text.text, "tokens": text.ids.len() }));
        }
    }
    let found: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "prompt": row["prompt"], "strength": row["strength"], "text": row["text"], "tokens": row["tokens"] }))
        .collect();
    assert_eq!(found, expected);
    assert_ne!(rows[0]["text"], rows[2]["text"], "it steers");

    let plain =
        generate(&["--max-new-tokens", "6", "The cup is"]).assert().success().get_output().stdout.clone();
    let plain = String::from_utf8(plain).expect("text");
    let word = plain.trim_end().rsplit(' ').next().expect("a word").to_owned();
    let stopped =
        generate(&["--max-new-tokens", "6", "--stop", &word, "--json", "The cup is"]).assert().success();
    let stopped: Vec<Value> = serde_json::from_slice(&stopped.get_output().stdout).expect("json");
    assert_eq!((&stopped[0]["ended"], &stopped[0]["stop"]), (&json!("text"), &json!(word)));
    assert!(!stopped[0]["text"].as_str().expect("text").contains(&word));

    let refused = |path: &Path, flags: &[&str], why: &str| {
        let mut command = generate(flags);
        command
            .arg("--edits")
            .arg(path)
            .arg("The cup")
            .assert()
            .failure()
            .stderr(predicate::str::contains(why.to_owned()));
    };
    let zero = folder.path().join("zero.json");
    Edits::from(Edit::new("blocks.1.hook_mlp_out", Tokens::All, Change::Zero)).save(&zero).expect("saved");
    refused(&zero, &["--strength", "2"], "adds nothing that a strength could multiply");
    let rows = folder.path().join("rows.json");
    Edits::from(add(1.0).rows([0])).save(&rows).expect("saved");
    refused(&rows, &["--strength", "2"], "has edits of certain rows");
    refused(&folder.path().join("none.json"), &[], "none.json");
    generate(&["--strength", "2", "x"]).assert().failure().code(2);
}

#[test]
fn a_model_is_checked_and_a_damaged_one_is_named() {
    let check = |model: &Path| {
        let mut command = llama_ccs();
        command
            .args(["model", "check"])
            .arg(model)
            .args(["--dtype", "f32", "--text"])
            .arg(format!("{PROMPT} right"));
        command
    };
    let model = quiz().join("model");
    check(&model).assert().success().stdout(predicate::str::contains("nothing looks wrong"));
    let folder = tempfile::tempdir().expect("folder");
    for file in ["consolidated.00.pth", "tokenizer.model"] {
        std::fs::copy(model.join(file), folder.path().join(file)).expect("copy");
    }
    let params = std::fs::read(model.join("params.json")).expect("params");
    let mut params: Value = serde_json::from_slice(&params).expect("json");
    params["rope_theta"] = 1e6.into();
    std::fs::write(folder.path().join("params.json"), params.to_string()).expect("write");
    let assert = check(folder.path()).arg("--json").assert().code(1);
    let found: Value = serde_json::from_slice(&assert.get_output().stdout).expect("json");
    assert_eq!(found["sound"], false);
    let problem = found["problems"][0].as_str().expect("a problem");
    assert!(problem.contains("nats a token if the rotary embedding has the base 10000"), "{found}");
}
