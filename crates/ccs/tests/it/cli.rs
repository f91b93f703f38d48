//! The program `ccs` on a store that the `activations` crate wrote.

use std::path::Path;

use activations::{BatchStates, Column, ColumnStates, Manifest, Row, Side, StoreDtype, StoreWriter};
use assert_cmd::Command;
use serde_json::Value;

use crate::data::Planted;

const ROWS: usize = 80;
const DIM: usize = 6;

/// A store with a constant embedding, one layer of truth and log-probabilities that know nothing.
fn write_store(dir: &Path) {
    let planted = Planted::new(ROWS, DIM, 3.0, 1);
    let side = |answer: &str| Side {
        prompt: format!("question {answer}"),
        tokens: 2,
        answer_start: 1,
        answer_end: 2,
        captured_id: 1,
        captured_text: answer.to_owned(),
    };
    let rows: Vec<Row> = planted
        .labels
        .iter()
        .zip(planted.groups())
        .zip(0..)
        .map(|((&label, group), idx)| Row {
            idx,
            label,
            question_id: idx.to_string(),
            group,
            template: "t".to_owned(),
            dataset: "planted".to_owned(),
            plus: side("True"),
            minus: side("False"),
        })
        .collect();
    let columns = vec![
        Column::new("hook_embed", &["d_model"], &[DIM]),
        Column::new("blocks.0.hook_resid_post", &["d_model"], &[DIM]),
        Column::scalar("answer_logprob"),
    ];
    let settings = serde_json::from_str(r#"{"model": {"name": "planted"}}"#).unwrap();
    let manifest = Manifest::new(StoreDtype::F32, columns, vec![(0..ROWS).collect()], settings);
    let mut writer = StoreWriter::open(dir, manifest, &rows).unwrap();
    let states = |plus: Vec<f32>, minus: Vec<f32>| ColumnStates { plus, minus };
    let columns = vec![
        states(vec![1.0; ROWS * DIM], vec![2.0; ROWS * DIM]),
        states(planted.plus, planted.minus),
        states(vec![-1.0; ROWS], vec![-2.0; ROWS]),
    ];
    writer.commit(0, BatchStates { columns }).unwrap();
    writer.finish().unwrap();
}

fn ccs(dir: &Path, arguments: &[&str]) -> std::process::Output {
    let quick = ["--epochs", "100", "--restarts", "2", "--folds", "3"];
    let mut command = Command::cargo_bin("ccs").unwrap();
    command.current_dir(dir).arg("fit").args(arguments).args(quick).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_store_becomes_a_run_folder_a_table_and_json() {
    let dir = tempfile::tempdir().unwrap();
    write_store(&dir.path().join("store"));

    let done = ccs(dir.path(), &["store", "--out", "run"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(text(&done.stderr), "", "silent in a pipe");
    let table = text(&done.stdout);
    assert!(
        table.contains("blocks.0.hook_resid_post") && table.contains("the states are the same"),
        "{table}"
    );
    assert!(table.contains("CCS reads truth at layer 1"), "{table}");

    let json = ccs(dir.path(), &["store", "--out", "again", "--json"]);
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(report["chosen"]["ccs"]["layer"], 1);
    assert_eq!(report["data"]["made_by"]["model"]["name"], "planted");
    assert_eq!(report["layers"][1]["methods"]["zero_shot"]["test"]["auroc"], 0.5);
    let bytes = |run: &str| std::fs::read(dir.path().join(run).join("report.json")).unwrap();
    assert_eq!(bytes("run"), json.stdout, "the table's run and the JSON's are one");
    assert_eq!(bytes("run"), bytes("again"));
    assert!(!text(&bytes("run")).contains(&*dir.path().to_string_lossy()), "no absolute path in results");
    assert!(dir.path().join("run/probes/ccs/layer_01.safetensors").exists());
    assert!(text(&std::fs::read(dir.path().join("run/log.jsonl")).unwrap()).contains("unix_time"));
}

#[test]
fn mistakes_end_in_one_error_a_hint_and_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    write_store(&dir.path().join("store"));
    let expect = |arguments: &[&str], parts: &[&str]| {
        let done = ccs(dir.path(), arguments);
        let error = text(&done.stderr);
        assert!(!done.status.success() && done.stdout.is_empty(), "{arguments:?}: {error}");
        assert!(error.starts_with("error: ") && error.contains("\nhint: "), "{arguments:?}: {error}");
        for part in parts {
            assert!(error.contains(part), "{arguments:?} without `{part}`: {error}");
        }
    };
    expect(&["store", "--out", "x", "--methods", "ccs,lrr"], &["unknown method `lrr`", "did you mean `lr`?"]);
    expect(&["store", "--out", "x", "--layers", "0-3"], &["layer 2 is not in the store", "0-1"]);
    expect(&["nowhere", "--out", "x"], &["nowhere"]);
    expect(&["store", "--out", "x", "--device", "gpu"], &["unknown device `gpu`"]);
    expect(&["store", "--out", "x", "--test-fraction", "0"], &["--test-fraction"]);
    expect(&["store", "--out", "store"], &["store already holds files that are not a run"]);
    assert!(!dir.path().join("x").exists(), "nothing is written by a run that fails");
    assert!(ccs(dir.path(), &["store", "--out", "run", "--layers", "1"]).status.success());
    expect(&["store", "--out", "run", "--layers", "1"], &["run already holds a run", "--overwrite"]);
    assert!(ccs(dir.path(), &["store", "--out", "run", "--layers", "1", "--overwrite"]).status.success());
}

#[test]
fn help_shows_examples() {
    let help = Command::cargo_bin("ccs").unwrap().args(["fit", "--help"]).output().unwrap();
    assert!(text(&help.stdout).contains("--layers 0,5-12 --seed 7"));
}
