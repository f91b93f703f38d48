//! What the model's own answers are read from: the whole answer's log-probability, its mean over tokens, and what older
//! versions stored.

use serde_json::{Value, json};

use crate::store::{QUICK, Stored, ccs, json_of, refused, succeeds, text};

/// Of whole answers the sum is right in every row, the mean in none.
fn right(label: bool) -> [f32; 2] {
    if label { [-3.0, -4.0] } else { [-4.0, -3.0] }
}

fn wrong(label: bool) -> [f32; 2] {
    right(!label)
}

fn fit(dir: &std::path::Path, arguments: &[&str]) -> Value {
    let methods = ["--methods", "lr,zero_shot,calibrated_zero_shot,majority"];
    json_of(ccs(dir, &[arguments, &methods, &QUICK, &["--json"]].concat()))
}

fn accuracy(report: &Value) -> f64 {
    report["layers"][0]["methods"]["zero_shot"]["test"]["accuracy"].as_f64().unwrap()
}

#[test]
fn zero_shot_goes_by_the_sum_unless_the_mean_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let both = Stored { answers: right, answer_means: Some(wrong), ..Stored::default() };
    both.write(&dir.join("store"));
    Stored { dataset: "other", passages_from: 1000, ..both }.write(&dir.join("other"));
    for (arguments, score, expected) in [
        (&["fit", "store", "--out", "sum"][..], "sum", 1.0),
        (&["fit", "store", "--out", "mean", "--zero-shot", "mean"], "mean", 0.0),
    ] {
        let report = fit(dir, arguments);
        assert_eq!(report["zero_shot"]["score"], score);
        assert_eq!(accuracy(&report), expected, "{score}");
        let calibrated = &report["layers"][0]["methods"]["calibrated_zero_shot"];
        assert_eq!(calibrated["test"]["auroc"], expected);
        assert!(calibrated["note"].as_str().unwrap().contains(score), "{calibrated}");
    }
    let table = ["fit", "store", "--out", "table", "--zero-shot", "mean", "--methods", "zero_shot,lr"];
    let shown = text(&succeeds(ccs(dir, &[&table[..], &QUICK].concat())).stdout);
    assert!(
        shown.contains("zero-shot scores answers by the mean log-probability of the whole answer's tokens"),
        "{shown}"
    );

    // `eval` reads the answers as the run did, or as it is told.
    let eval = |run: &str, more: &[&str]| {
        let report = json_of(ccs(dir, &[&["eval", run, "other", "--method", "lr", "--json"], more].concat()));
        (report["zero_shot_score"].clone(), report["zero_shot"]["accuracy"].as_f64().unwrap())
    };
    assert_eq!(eval("sum", &[]), (json!("sum"), 1.0));
    assert_eq!(eval("mean", &[]), (json!("mean"), 0.0));
    assert_eq!(eval("sum", &["--zero-shot", "mean"]), (json!("mean"), 0.0));
    let shown = text(&succeeds(ccs(dir, &["eval", "sum", "other", "--method", "lr"])).stdout);
    assert!(shown.contains("zero-shot goes by the log-probability of the whole answer"), "{shown}");

    let swept = fit(dir, &["sweep", "store", "other", "--out", "sweep", "--zero-shot", "mean"]);
    let answers = swept["transfer_answers"]["zero_shot"].as_array().unwrap();
    assert!(answers.iter().all(|cell| cell["accuracy"] == 0.0), "{answers:?}");
    // The bar is what the training rows choose: the sums, which rank every pair rightly.
    let over = swept["transfer"]["lr"]["against"][0][1]["over_zero_shot"]["auroc"]["value"].as_f64().unwrap();
    let lr = swept["transfer"]["lr"]["cells"][0][1]["auroc"].as_f64().unwrap();
    assert!((over - (lr - 1.0)).abs() < 1e-12, "{over} and {lr}");
    assert_eq!(swept["zero_shot"]["score"], "mean");
}

#[test]
fn a_store_without_the_mean_says_so_where_it_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Stored { answers: right, answer_means: Some(wrong), ..Stored::default() }.write(&dir.join("both"));
    Stored { answers: right, passages_from: 1000, ..Stored::default() }.write(&dir.join("store"));
    let mean = ["fit", "store", "--out", "run", "--zero-shot", "mean"];
    refused(dir, &mean, &["answer_logprob_mean", "--zero-shot sum"]);
    let alone = [&mean[..], &["--methods", "lr"]].concat();
    refused(dir, &alone, &["--zero-shot", "neither zero_shot nor calibrated_zero_shot is among"]);
    let misspelled = text(&ccs(dir, &["fit", "store", "--out", "run", "--zero-shot", "total"]).stderr);
    assert!(misspelled.contains("`total` is neither sum nor mean"), "{misspelled}");

    let blank = Stored { answers: right, prompt: "", ..Stored::default() };
    blank.write(&dir.join("blank"));
    let late = ["fit", "both", "--out", "run", "--zero-shot", "mean", "--blank", "blank"];
    refused(dir, &late, &["answer_logprob_mean"]);
    refused(
        dir,
        &["sweep", "both", "store", "--out", "run", "--zero-shot", "mean"],
        &["answer_logprob_mean"],
    );
    assert!(!dir.join("run.partial").exists(), "found before the first fit");
    fit(dir, &["fit", "both", "--out", "run", "--zero-shot", "mean"]);
    let eval = ["eval", "run", "store", "--method", "lr"];
    refused(dir, &[&eval[..], &["--zero-shot", "mean"]].concat(), &["answer_logprob_mean"]);
    let found = json_of(ccs(dir, &[&eval[..], &["--json"]].concat()));
    assert_eq!((&found["zero_shot_score"], &found["zero_shot"]["accuracy"]), (&json!("sum"), &json!(1.0)));
    let notes = found["notes"].to_string();
    assert!(notes.contains("which these data lack: here it goes by their sum"), "{notes}");
}
