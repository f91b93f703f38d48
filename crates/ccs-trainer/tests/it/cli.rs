//! The program `ccs` on a store that the `activations` crate wrote.

use std::path::Path;

use activations::{BatchStates, Column, ColumnStates, Manifest, Row, Side, Sides, StoreDtype, StoreWriter};
use assert_cmd::Command;
use ccs_report::Method;
use ccs_trainer::Fitted;
use serde_json::Value;

use crate::data::Planted;

const ROWS: usize = 80;
const DIM: usize = 6;

/// A store with a constant embedding, one layer of truth and log-probabilities that know nothing; and under the token
/// rule `mean` the same layer, with nothing but noise in it.
fn write_store(dir: &Path) {
    let (planted, noise) = (Planted::new(ROWS, DIM, 3.0, 1), Planted::new(ROWS, DIM, 0.0, 2));
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
            sides: Sides::Pair { plus: side("True"), minus: side("False") },
            columns: [].into(),
        })
        .collect();
    let columns = vec![
        Column::new("hook_embed", &["d_model"], &[DIM]),
        Column::new("blocks.0.hook_resid_post", &["d_model"], &[DIM]),
        Column::new("blocks.0.hook_resid_post", &["d_model"], &[DIM]).at("mean"),
        Column::scalar("answer_logprob"),
    ];
    let settings = r#"{"model": {"name": "planted"}, "extraction": {"precision": "bf16"}}"#;
    let settings = serde_json::from_str(settings).unwrap();
    let manifest = Manifest::new(StoreDtype::F32, columns, vec![(0..ROWS).collect()], settings);
    let mut writer = StoreWriter::open(dir, manifest, &rows).unwrap();
    let states = |plus: Vec<f32>, minus: Vec<f32>| ColumnStates::Pair { plus, minus };
    let columns = vec![
        states(vec![1.0; ROWS * DIM], vec![2.0; ROWS * DIM]),
        states(planted.plus, planted.minus),
        states(noise.plus, noise.minus),
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
        table.contains("blocks.0.hook_resid_post") && table.contains("identical states in all training rows"),
        "{table}"
    );
    assert!(table.contains("CCS predicts the labels at layer 1"), "{table}");
    let states = "at the last token, computed in bf16 and kept in f32";
    assert!(table.contains(states), "{table}");
    let page = text(&std::fs::read(dir.path().join("run/report.html")).unwrap());
    assert!(page.contains(states), "the page says which precision was used");

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
fn a_token_rule_is_chosen_and_its_probe_says_so() {
    let dir = tempfile::tempdir().unwrap();
    write_store(&dir.path().join("store"));
    assert!(ccs(dir.path(), &["store", "--out", "last"]).status.success());
    let done = ccs(dir.path(), &["store", "--out", "mean", "--tokens", "mean"]);
    assert!(text(&done.stdout).contains("at the mean of all tokens"), "{}", text(&done.stdout));

    let open = |run: &str, method, layer| Fitted::open(dir.path().join(run), method, layer);
    let (last, mean) = (open("last", Method::CCS, None).unwrap(), open("mean", Method::CCS, None).unwrap());
    assert_eq!(
        (last.layer, last.hook.as_str(), last.tokens.as_str()),
        (1, "blocks.0.hook_resid_post", "last")
    );
    assert_eq!(
        (mean.layer, mean.hook.as_str(), mean.tokens.as_str()),
        (1, "blocks.0.hook_resid_post", "mean")
    );
    assert_eq!(mean.report.layers.len(), 1, "the embedding is not kept under this rule");
    assert_eq!(last.made_by().model_name(), Some("planted"));
    // The rule's own states were read: truth is in those of the last token only.
    let accuracy = |fitted: &Fitted| fitted.report.chosen[&Method::CCS].test.clone().unwrap().accuracy;
    assert!(accuracy(&last) > 0.9 && accuracy(&mean) < 0.8, "{} {}", accuracy(&last), accuracy(&mean));

    let refused = |method, layer| {
        let error = open("last", method, layer).unwrap_err();
        format!("{error}\nhint: {}", error.hint().unwrap())
    };
    assert!(
        refused(Method::CCS, Some(0)).contains("layer 0: the states are the same for every training row")
    );
    let missing = refused(Method::LR, Some(7));
    assert!(missing.contains("layer 7 was not fitted\nhint: lr has a probe at the layers 1"), "{missing}");
    assert!(refused(Method::RANDOM, None).contains("the run fitted ccs, tpc, lr, mean_difference"));
    std::fs::copy(
        dir.path().join("last/probes/lr/layer_01.safetensors"),
        dir.path().join("last/probes/ccs/layer_01.safetensors"),
    )
    .unwrap();
    let said = refused(Method::CCS, None);
    assert!(said.contains("ccs/layer_01.safetensors: it was changed after it was written\nhint: "), "{said}");
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
    expect(
        &["store", "--out", "x", "--tokens", "first"],
        &["no states under the token rule `first`; it has last, mean", "`--tokens last`"],
    );
    expect(&["nowhere", "--out", "x"], &["nowhere"]);
    expect(&["store", "--out", "x", "--device", "gpu"], &["unknown device `gpu`"]);
    expect(&["store", "--out", "x", "--test-fraction", "0"], &["--test-fraction"]);
    expect(&["store", "--out", "x", "--optimizer", "sgd"], &["--optimizer", "adamw or lbfgs"]);
    expect(&["store", "--out", "x", "--loss", "hinge"], &["it is not the name of a term"]);
    expect(&["store", "--out", "x", "--normalize", "none"], &["--normalize", "burns"]);
    expect(&["store", "--out", "x", "--recursive", "3", "--hidden", "4"], &["--recursive", "hidden layers"]);
    expect(&["store", "--out", "x", "--project", "0"], &["--project"]);
    let lr = ["store", "--out", "x", "--methods", "lr"];
    expect(&[&lr[..], &["--recursive", "3"]].concat(), &["--recursive", "add ccs to `--methods`"]);
    expect(&["store", "--out", "x", "--methods", "ccs", "--lr-cross-validated"], &["add lr to `--methods`"]);
    expect(&["store", "--out", "x", "--init", "unit_sphere", "--hidden", "4"], &["--init", "uniformly"]);
    expect(&["store", "--out", "x", "--init", "zero"], &["`--restarts` cannot be 2", "give `--restarts 1`"]);
    expect(
        &["store", "--out", "x", "--optimizer", "lbfgs", "--weight-decay", "0.1"],
        &["`--weight-decay`", "--l2"],
    );
    expect(&["store", "--out", "x", "--learning-rate", "0"], &["`--learning-rate` cannot be 0"]);
    expect(&["store", "--out", "x", "--lr-c", "1", "--lr-cross-validated"], &["`--lr-c`"]);
    expect(&[&lr[..], &["--true-share", "0.3"]].concat(), &["`--true-share`", "add it to `--methods`"]);
    expect(&["store", "--out", "x", "--precision", "f16"], &["--precision", "f32 or f64"]);
    std::fs::write(dir.path().join("file"), "").unwrap();
    expect(&["store", "--out", "file/run"], &["file/run.partial"]);
    expect(&["store", "--out", "store"], &["store already holds files that are not a run"]);
    let written = ["x", "x.partial"].map(|name| dir.path().join(name).exists());
    assert_eq!(written, [false, false], "nothing is written by a run that fails");
    assert!(ccs(dir.path(), &["store", "--out", "run", "--layers", "1"]).status.success());
    expect(&["store", "--out", "run", "--layers", "1"], &["run already holds a run", "--overwrite"]);
    assert!(ccs(dir.path(), &["store", "--out", "run", "--layers", "1", "--overwrite"]).status.success());
}

#[test]
fn flags_reach_the_settings_and_all_means_all_that_the_store_allows() {
    let dir = tempfile::tempdir().unwrap();
    write_store(&dir.path().join("store"));
    let flags = [
        "--methods",
        "all",
        "--layers",
        "1",
        "--normalize",
        "burns",
        "--loss",
        "ccs+0.5*js",
        "--optimizer",
        "lbfgs",
        "--init",
        "pca",
        "--no-bias",
        "--l2",
        "0.01",
        "--project",
        "4",
        "--recursive",
        "2",
        "--seeds",
        "3",
        "--shuffles",
        "4",
        "--lr-cross-validated",
        "--lr-c",
        "0.5",
        "--precision",
        "f64",
        "--directions",
        "70",
        "--true-share",
        "0.4",
        "--json",
    ];
    let done = ccs(dir.path(), &[&["store", "--out", "run"], &flags[..]].concat());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(
        report["settings"]["methods"].as_array().unwrap().len(),
        ccs_trainer::method::all(ccs_report::RowKind::Pairs, false).count()
    );
    let ccs_options = &report["settings"]["ccs"];
    for (name, value) in
        [("loss", "ccs+0.5*js"), ("optimizer", "lbfgs"), ("init", "pca"), ("normalization", "burns")]
    {
        assert_eq!(ccs_options[name], value);
    }
    assert_eq!((ccs_options["bias"].as_bool(), ccs_options["l2"].as_f64()), (Some(false), Some(0.01)));
    assert_eq!((ccs_options["project"].as_u64(), ccs_options["restarts"].as_u64()), (Some(4), Some(2)));
    assert_eq!(
        (ccs_options["precision"].as_str(), report["settings"]["lr"]["c"].as_f64()),
        (Some("f64"), Some(0.5))
    );
    let number = |name: &str| report["settings"][name].as_f64().unwrap();
    assert_eq!(["directions", "true_share"].map(number), [70.0, 0.4]);
    assert_eq!(report["recursive"]["iterations"].as_array().unwrap().len(), 2);
    assert_eq!(report["shuffled"]["lda"]["accuracies"].as_array().unwrap().len(), 4);
    assert!(report["seeds"]["ccs"].is_null(), "principal directions draw nothing");
    assert_eq!(report["seeds"]["bss"]["accuracies"].as_array().unwrap().len(), 3);
    let methods = &report["layers"][0]["methods"];
    assert!(methods["lr"]["l2"].is_f64() && methods["lr_pairs"]["l2"].is_f64(), "{methods}");

    let hidden = ["store", "--out", "mlp", "--methods", "ccs", "--hidden", "8,4", "--layers", "1", "--json"];
    let report: Value = serde_json::from_slice(&ccs(dir.path(), &hidden).stdout).unwrap();
    assert_eq!(report["settings"]["ccs"]["hidden"], serde_json::json!([8, 4]));
    let probe = Fitted::open(dir.path().join("mlp"), Method::CCS, None).unwrap().probe;
    assert_eq!((probe.hidden_layers().layers().len(), probe.dim()), (2, DIM));
}

#[test]
fn help_shows_examples() {
    let help = Command::cargo_bin("ccs").unwrap().args(["fit", "--help"]).output().unwrap();
    assert!(text(&help.stdout).contains("--layers 0,5-12 --seed 7"));
}
