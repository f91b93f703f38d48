//! Tensor parallel: processes that hold one model together.

#![cfg(feature = "distributed")]

use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use llama_ccs::activations::{SideOf, Store};
use llama_ccs::llama_core::tch::{Device, Kind};
use llama_ccs::llama_core::{Checkpoint, Llama, Precision, save_meta};
use predicates::prelude::*;

use crate::ranks::{ByHand, SMALL, compare, starts, strike, text};
use crate::support::{F32, extract, llama_ccs, prompts, quiz};

/// The quiz model in two of Meta's files, and its tokenizer.
fn in_two_files(folder: &Path) -> PathBuf {
    let model = folder.join("two-files");
    let checkpoint = Checkpoint::open(quiz().join("model")).expect("model");
    let llama = Llama::load(&checkpoint, Precision::F32, Device::Cpu).expect("loaded");
    save_meta(&llama, &model, Kind::Half, 2).expect("saved");
    std::fs::copy(quiz().join("model/tokenizer.model"), model.join("tokenizer.model")).expect("copied");
    model
}

/// Every column of both stores, up to the rounding of sums in f32.
fn close(one: &Path, other: &Path) {
    let (one, other) = (Store::open(one).expect("one"), Store::open(other).expect("other"));
    assert_eq!(one.manifest().columns, other.manifest().columns);
    for column in &one.manifest().columns {
        for side in [SideOf::Plus, SideOf::Minus] {
            let read =
                |store: &Store| store.column(&column.name()).expect("column").read(side).expect("values");
            let (expected, found) = (read(&one), read(&other));
            let largest = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
            let apart = expected.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(apart <= F32 * largest, "{}: {apart} of {largest}", column.name());
        }
    }
}

#[test]
fn states_are_those_of_one_process_and_the_store_says_how_they_were_made() {
    let folder = tempfile::tempdir().expect("folder");
    let (prompts, two_files) = (prompts(folder.path(), 24), in_two_files(folder.path()));
    let store = |name: &str| folder.path().join(name);
    let hooks = [
        "--hooks",
        "hook_embed",
        "blocks.*.hook_resid_post",
        "blocks.1.attn.hook_z",
        "blocks.2.mlp.hook_post",
    ];
    let cases: [&[&str]; 3] = [&[], &["--no-sharing", "--tokens", "last,mean"], &hooks];
    for (number, arguments) in cases.into_iter().enumerate() {
        let named = |what: &str| store(&format!("{what}-{number}"));
        extract(&prompts, &named("one")).args(SMALL).args(arguments).assert().success();
        for (ranks, model) in
            [("2", quiz().join("model")), ("2", two_files.clone()), ("4", quiz().join("model"))]
        {
            let out = named(&format!("{ranks}-{}", model.file_name().expect("a name").display()));
            let mut command = llama_ccs();
            command
                .arg("extract")
                .arg("--model")
                .arg(&model)
                .arg("--prompts")
                .arg(&prompts)
                .arg("--out")
                .arg(&out);
            command.args(SMALL).args(["--dtype", "f32", "--ranks", ranks, "--tp", ranks]).args(arguments);
            let output = command.assert().success();
            assert!(output.get_output().stderr.is_empty(), "{output}");
            close(&named("one"), &out);
            let opened = Store::open(&out).expect("store");
            assert_eq!(opened.manifest().settings["extraction"]["tensor_parallel"].to_string(), ranks);
        }
    }
    // Two terms add up to the same bits in any order: again, the same store.
    let again = store("again");
    extract(&prompts, &again).args(SMALL).args(["--ranks", "2", "--tp", "2"]).assert().success();
    compare(&store("2-model-0"), &again, "twice");
    // With another number, or with one process, the bits would be others.
    for arguments in [&["--ranks", "4", "--tp", "4"][..], &["--ranks", "2"], &[]] {
        let mut other = extract(&prompts, &again);
        other
            .args(SMALL)
            .args(arguments)
            .assert()
            .code(1)
            .stderr(predicate::str::contains("tensor_parallel"));
    }
}

#[test]
fn texts_and_predictions_are_those_of_one_process_and_said_once() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 60);
    let text = |model: &Path, arguments: &[&str]| {
        let mut command = llama_ccs();
        command.arg("generate").arg("--model").arg(model).args([
            "--temperature",
            "0",
            "--max-new-tokens",
            "12",
        ]);
        command.args(["--dtype", "f32", "The cup is", "Is it"]).args(arguments);
        let output = command.assert().success();
        assert!(output.get_output().stderr.is_empty(), "{output}");
        String::from_utf8(output.get_output().stdout.clone()).expect("text")
    };
    let model = quiz().join("model");
    let alone = text(&model, &[]);
    assert_eq!(text(&model, &["--ranks", "2", "--tp", "2"]), alone);
    assert_eq!(text(&in_two_files(folder.path()), &["--ranks", "2", "--tp", "2"]), alone);

    let (store, run) = (folder.path().join("store"), folder.path().join("run"));
    extract(&prompts, &store).assert().success();
    crate::support::ccs()
        .arg("fit")
        .arg(&store)
        .arg("--out")
        .arg(&run)
        .args(["--methods", "lr"])
        .assert()
        .success();
    let predicted = |arguments: &[&str]| -> serde_json::Value {
        let mut command = llama_ccs();
        command
            .arg("predict")
            .arg("--run")
            .arg(&run)
            .arg("--model")
            .arg(&model)
            .arg("--prompts")
            .arg(&prompts);
        command.args(["--method", "lr", "--json"]).args(arguments);
        let output = command.assert().success();
        serde_json::from_slice(&output.get_output().stdout).expect("one value")
    };
    let (alone, together) = (predicted(&[]), predicted(&["--ranks", "2", "--tp", "2"]));
    let rows = |found: &serde_json::Value| found["predictions"].as_array().expect("rows").clone();
    assert_eq!(rows(&alone).len(), 60);
    for (alone, together) in rows(&alone).iter().zip(rows(&together)) {
        assert_eq!(alone["idx"], together["idx"]);
        // Rounding of 1e-5 of a state's size, and a probe that weighs 128 numbers of it.
        let apart = alone["score"].as_f64().expect("a score") - together["score"].as_f64().expect("a score");
        assert!(apart.abs() < 1e-2, "{alone} {together}");
    }
}

#[test]
fn processes_that_cannot_hold_a_model_together_say_so() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 4);
    let store = folder.path().join("store");
    let refused = |arguments: &[&str], says: &str| {
        let mut command = extract(&prompts, &store);
        command
            .args(arguments)
            .assert()
            .code(1)
            .stderr(predicate::str::contains(says).and(predicate::str::contains("hint: ")));
        assert!(!store.exists(), "{says}");
    };
    refused(&["--tp", "2"], "2 processes cannot hold the model together: there is one");
    refused(&["--tp", "2", "--ranks", "3"], "2 processes cannot hold the model together: there are 3");
    refused(&["--tp", "5", "--ranks", "5"], "4 heads cannot be divided among 5 ranks");
    let generate = |arguments: &[&str]| {
        let mut command = llama_ccs();
        command.arg("generate").arg("--model").arg(quiz().join("model")).arg("Once").args(arguments);
        command.assert()
    };
    generate(&["--tp", "2"]).code(1).stderr(predicate::str::contains("there is one"));
    generate(&["--tp", "5", "--ranks", "5"]).code(1).stderr(predicate::str::contains("4 heads"));
    generate(&["--ranks", "2"]).code(1).stderr(predicate::str::contains("hint: with `--tp`"));
    // Under a launcher, without it, one runs.
    let mut later = llama_ccs();
    later.arg("generate").arg("--model").arg("/nowhere").arg("Once");
    later.env("RANK", "1").env("WORLD_SIZE", "2").env("MASTER_ADDR", "127.0.0.1");
    later.assert().success().stdout("");
}

#[test]
fn a_rank_that_is_lost_ends_all_and_the_store_goes_on() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 200);
    let (whole, torn) = (folder.path().join("whole"), folder.path().join("torn"));
    let arguments = [&SMALL[..], &["--tp", "2"]].concat();
    extract(&prompts, &whole).args(&arguments).args(["--ranks", "2"]).assert().success();
    for (number, signal) in ["-KILL", "-TERM", "-STOP", "-KILL"].into_iter().enumerate() {
        let world = ByHand::new(2);
        let before = starts(&torn);
        let mut ranks: Vec<Child> =
            (0..2).map(|rank| world.start(rank, &prompts, &torn, &arguments)).collect();
        while starts(&torn) == before && ranks[0].try_wait().expect("wait").is_none() {
            sleep(Duration::from_millis(1));
        }
        sleep(Duration::from_millis(150));
        if ranks[0].try_wait().expect("wait").is_some() {
            // A fast machine, or a finished store: there is nothing to be struck.
            let ended = ranks.remove(0).wait_with_output().expect("ended");
            assert!(ended.status.success(), "{}", text(&ended));
            ranks.remove(0).wait().expect("ended");
            continue;
        }
        strike(ranks, number % 2, signal, number as u64);
    }
    extract(&prompts, &torn).args(&arguments).args(["--ranks", "2"]).assert().success();
    compare(&whole, &torn, "after all signals");
}
