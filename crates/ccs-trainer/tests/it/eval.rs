//! `ccs eval` and `ccs fit --blank`: a run's probes on other stores.

use crate::data::run;
use assert_cmd::Command;
use ccs_report::Method;
use ccs_trainer::Error;
use ccs_trainer::Source as _;
use ccs_trainer::{Compute, Dataset, EvalOptions, LayerSelection, Memory, Overwrite, Pooled, Settings};
use serde_json::json;

use crate::data::Planted;
use crate::store::{Stored, ccs, json_of, quick, refused, succeeds, text};

#[test]
fn a_store_evaluated_on_itself_gives_the_runs_own_numbers() {
    let dir = tempfile::tempdir().unwrap();
    Stored::default().write(&dir.path().join("store"));
    quick(dir.path(), &["fit", "store", "--out", "run"]);

    let found = json_of(ccs(dir.path(), &["eval", "run", "store", "--json"]));
    let report = json_of(ccs(dir.path(), &["report", "run", "--json"]));
    // The rows that trained are left out, and what is left are the test rows with the intervals of the report.
    assert_eq!((&found["rows"], &found["trained_rows"]), (&report["rows"]["test"], &report["rows"]["train"]));
    for method in ["ccs", "lr"] {
        assert_eq!(found["probes"][method]["layer"], report["chosen"][method]["layer"]);
        assert_eq!(found["probes"][method]["test"], report["chosen"][method]["test"]);
        assert_eq!(found["probes"][method]["own"], report["chosen"][method]["test"]);
    }
    assert_eq!(found["majority"], report["majority"]);
    assert_eq!(found["zero_shot"], report["layers"][1]["methods"]["zero_shot"]["test"]);
    assert!(!found.to_string().contains(&*dir.path().to_string_lossy()), "no path in results");

    let kept = json_of(ccs(dir.path(), &["eval", "run", "store", "--keep-trained", "--json"]));
    assert_eq!((&kept["rows"], &kept["trained_kept"]), (&json!(80), &json!(true)));
    let shown = text(&succeeds(ccs(dir.path(), &["eval", "run", "store"])).stdout);
    assert!(shown.contains("are of passages that the probes were trained on, left out"), "{shown}");
    let one = json_of(ccs(dir.path(), &["eval", "run", "store", "--method", "lr", "--layer", "0", "--json"]));
    assert_eq!(one["probes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["lr"]);
    assert_eq!(one["probes"]["lr"]["hook"], "hook_embed");
    assert_eq!(one["probes"]["lr"]["test"], report["layers"][0]["methods"]["lr"]["test"]);
}

#[test]
fn a_shift_ruins_a_probe_until_its_normalization_is_taken_anew() {
    let dir = tempfile::tempdir().unwrap();
    Stored::default().write(&dir.path().join("store"));
    quick(dir.path(), &["fit", "store", "--out", "run"]);
    // The same kind of rows elsewhere in space, further along the axis of truth than truth reaches.
    let (mut there, noise) = (Planted::new(60, 6, 3.0, 9), Planted::new(60, 6, 0.0, 8));
    there.plus.iter_mut().step_by(6).for_each(|x| *x += 20.0);
    let other = Stored { dataset: "other", passages_from: 1000, ..Stored::default() };
    other.write_states(
        &dir.path().join("other"),
        &there.labels,
        &(there.plus, there.minus),
        &(noise.plus, noise.minus),
    );
    let found = json_of(ccs(dir.path(), &["eval", "run", "other", "--reestimate", "--json"]));
    assert_eq!((&found["rows"], &found["trained_rows"]), (&json!(60), &json!(0)));
    let accuracy = |name: &str| found["probes"][name]["test"]["accuracy"].as_f64().unwrap();
    for method in ["ccs", "lr"] {
        assert!(accuracy(method) < 0.7, "{method}: {}", accuracy(method));
        let anew = format!("{method}_reestimated");
        assert!(accuracy(&anew) > 0.95, "{anew}: {}", accuracy(&anew));
        assert_eq!(found["probes"][&anew]["reestimated"], true);
    }
    assert!(found["notes"].to_string().contains("transductive"));
    // Unasked nothing is taken anew.
    let plain = json_of(ccs(dir.path(), &["eval", "run", "other", "--json"]));
    assert_eq!(plain["probes"].as_object().unwrap().len(), 2);
    assert_eq!(plain["probes"]["ccs"], found["probes"]["ccs"]);
}

#[test]
fn states_of_another_kind_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    Stored::default().write(&dir.path().join("store"));
    quick(dir.path(), &["fit", "store", "--out", "run"]);
    let expect = |name: &str, stored: Stored, parts: &[&str]| {
        stored.write(&dir.path().join(name));
        refused(dir.path(), &["eval", "run", name], parts);
    };
    let settings = |model: &str, tokenizer: &str| json!({ "model": { "name": "planted", "identity": model }, "tokenizer": { "identity": tokenizer } });
    let here = || Stored { passages_from: 1000, ..Stored::default() };
    expect(
        "model",
        Stored { settings: settings("fedcba9876543210", "00ff"), ..here() },
        &["the model is fedcba987654… (planted); the probe is 0123456789ab… (planted)"],
    );
    expect(
        "tokenizer",
        Stored { settings: settings("0123456789abcdef", "aaaa"), ..here() },
        &["the tokenizer is aaaa; the probe is 00ff"],
    );
    let mut edited = here();
    edited.settings["edits"] = json!(["blocks.0: zero"]);
    expect("edited", edited, &["the edits of the model"]);
    expect("tokens", Stored { tokens: "mean", ..here() }, &["the token rule is mean", "is last"]);
    expect(
        "hook",
        Stored { hook: "blocks.0.hook_resid_mid", ..here() },
        &["hook point", "`blocks.0.hook_resid_post` (layer 1)"],
    );
    expect("layer", Stored { hook: "blocks.3.hook_resid_post", ..here() }, &["hook point"]);
    expect("dim", Stored { dim: 5, ..here() }, &["the length of a state is 5", "is 6"]);
    refused(dir.path(), &["eval", "store", "store"], &["no run in store"]);
    refused(dir.path(), &["eval", "run", "nowhere"], &["nowhere"]);
    refused(dir.path(), &["eval", "run", "store", "--method", "random"], &["the run fitted ccs, lr"]);
    refused(dir.path(), &["eval", "run", "store", "--layer", "7"], &["layer 7 was not fitted"]);
    // Nothing but rows that trained.
    let split = ccs_trainer::RunDir::open(dir.path().join("run")).unwrap().split().unwrap();
    let passage: usize = split.train.group[0].trim_start_matches("passage ").parse().unwrap();
    let trained = Stored { rows: 2, passages_from: passage, ..Stored::default() };
    expect("trained", trained, &["all 2 rows are of groups (passages)", "--keep-trained"]);
    // A store that does not say what made it cannot be compared; that is said.
    Stored { settings: json!({}), ..here() }.write(&dir.path().join("silent"));
    let shown = text(&succeeds(ccs(dir.path(), &["eval", "run", "silent"])).stdout);
    assert!(shown.contains("the store does not say what the model is"), "{shown}");
}

#[test]
fn a_blank_passage_leaves_what_is_not_read_from_it() {
    let dir = tempfile::tempdir().unwrap();
    Stored::default().write(&dir.path().join("store"));
    let (truth, noise) = (Planted::new(80, 6, 3.0, 1), Planted::new(80, 6, 0.0, 7));
    // The same questions, nothing of the truth in the states; passages are all the same then.
    let blank = |name: &str, labels: &[bool]| {
        let states = (noise.plus.clone(), noise.minus.clone());
        Stored { passages_from: 500, prompt: "question", ..Stored::default() }.write_states(
            &dir.path().join(name),
            labels,
            &states,
            &states,
        );
    };
    blank("blank", &truth.labels);
    quick(dir.path(), &["fit", "store", "--out", "run", "--blank", "blank"]);
    let report = json_of(ccs(dir.path(), &["report", "run", "--json"]));
    for method in ["ccs", "lr"] {
        assert!(report["chosen"][method]["test"]["accuracy"].as_f64().unwrap() > 0.9);
        assert!(report["blank"][method]["accuracy"].as_f64().unwrap() < 0.75, "{method}");
        assert!(report["blank"][method]["auroc_ci"].is_array());
        // Every row has a counterpart, so what it is held against is what the run found; the change is paired.
        let blank = &report["blank"][method];
        assert_eq!(blank["with"], report["chosen"][method]["test"]);
        let number = |v: &serde_json::Value| v.as_f64().unwrap();
        let change = &blank["change"]["accuracy"];
        let unpaired = number(&blank["accuracy"]) - number(&blank["with"]["accuracy"]);
        assert!((number(&change["value"]) - unpaired).abs() < 1e-12);
        assert!(number(&change["ci"][1]) < 0.0 && number(&change["ci"][0]) < number(&change["ci"][1]));
    }
    let counts = report["blank"]["ccs"]["confusion"].as_object().unwrap().values();
    assert_eq!(json!(counts.map(|c| c.as_u64().unwrap()).sum::<u64>()), report["rows"]["test"]);
    assert!(report["notes"].to_string().contains("test rows have a counterpart in the store with blank"));
    let answers = &report["blank"]["zero_shot"];
    assert_eq!(answers["with"], report["layers"][0]["methods"]["zero_shot"]["test"]);
    assert_eq!(answers["change"]["auroc"]["value"], 0.0, "the same answers, row by row");
    let page = std::fs::read_to_string(dir.path().join("run/report.html")).unwrap();
    assert!(page.contains("<h2 id=\"blank\">") && page.contains("Change: accuracy in points"));

    let fit = |name: &'static str| ["fit", "store", "--out", "x", "--methods", "lr", "--blank", name];
    let flipped: Vec<bool> = truth.labels.iter().map(|l| !l).collect();
    blank("flipped", &flipped);
    refused(dir.path(), &fit("flipped"), &["has another label"]);
    Stored { dataset: "else", ..Stored::default() }.write(&dir.path().join("else"));
    refused(dir.path(), &fit("else"), &["no row asks a question of the run's rows"]);
    let settings = json!({ "model": { "identity": "ffff" } });
    Stored { settings, ..Stored::default() }.write(&dir.path().join("model"));
    refused(dir.path(), &fit("model"), &["the blank store: the model is ffff"]);
    // What is no blank store is refused before anything is fitted.
    refused(dir.path(), &fit("store"), &["it is the run's own store", "--blank-passage"]);
    Stored { seed: 3, ..Stored::default() }.write_states(
        &dir.path().join("full"),
        &truth.labels,
        &(noise.plus.clone(), noise.minus.clone()),
        &(noise.plus.clone(), noise.minus.clone()),
    );
    refused(dir.path(), &fit("full"), &["not shorter than those of the run's row 0", "still there"]);
    let hook = "blocks.0.hook_resid_mid";
    let other = Stored { hook, prompt: "question", ..Stored::default() };
    let states = (noise.plus.clone(), noise.minus.clone());
    other.write_states(&dir.path().join("hook"), &truth.labels, &states, &states);
    refused(dir.path(), &fit("hook"), &["hook point"]);
    let narrow = Planted::new(80, 5, 0.0, 7);
    let states = (narrow.plus, narrow.minus);
    let other = Stored { dim: 5, prompt: "question", ..Stored::default() };
    other.write_states(&dir.path().join("dim"), &truth.labels, &states, &states);
    refused(dir.path(), &fit("dim"), &["the length of a state is 5"]);
    assert!(!dir.path().join("x").exists());
}

/// Rows without a counterpart are left out of both sides of every difference.
#[test]
fn a_blank_store_with_fewer_rows_is_compared_on_those() {
    let dir = tempfile::tempdir().unwrap();
    Stored::default().write(&dir.path().join("store"));
    let (truth, noise) = (Planted::new(80, 6, 3.0, 1), Planted::new(60, 6, 0.0, 7));
    let states = (noise.plus, noise.minus);
    let fewer = Stored { prompt: "question", ..Stored::default() };
    fewer.write_states(&dir.path().join("blank"), &truth.labels[..60], &states, &states);
    quick(dir.path(), &["fit", "store", "--out", "run", "--blank", "blank"]);
    let report = json_of(ccs(dir.path(), &["report", "run", "--json"]));
    let rows = |test: &serde_json::Value| -> u64 {
        test["confusion"].as_object().unwrap().values().map(|c| c.as_u64().unwrap()).sum()
    };
    let blank = &report["blank"]["ccs"];
    assert_eq!(rows(blank), rows(&blank["with"]));
    assert!(rows(blank) < report["rows"]["test"].as_u64().unwrap());
}

/// What stands beside a probe on another store, as people see it and as JSON.
#[test]
fn a_probe_elsewhere_is_held_against_random_directions_and_the_models_answer() {
    let dir = tempfile::tempdir().unwrap();
    Stored::default().write(&dir.path().join("store"));
    Stored { dataset: "other", seed: 2, passages_from: 30, ..Stored::default() }
        .write(&dir.path().join("other"));
    quick(dir.path(), &["fit", "store", "--out", "run"]);
    let found = json_of(ccs(dir.path(), &["eval", "run", "other", "--json"]));
    let again = Command::cargo_bin("ccs")
        .unwrap()
        .current_dir(dir.path())
        .args(["eval", "run", "other", "--json"])
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    assert_eq!(json_of(again), found, "whatever the number of threads");
    for method in ["ccs", "lr"] {
        let judged = &found["probes"][method];
        let band: Vec<f64> = serde_json::from_value(judged["random"]["accuracy_ci"].clone()).unwrap();
        // The better way round, in six dimensions of which one is the truth.
        assert!(band[0] > 0.4 && band[1] > 0.85, "{band:?}");
        assert!(judged["random"]["auroc_ci"][0].as_f64().unwrap() >= 0.5);
        let over = &judged["over_random"]["auroc"];
        let median = judged["random"]["auroc"].as_f64().unwrap();
        let auroc = judged["test"]["auroc"].as_f64().unwrap();
        assert!((over["value"].as_f64().unwrap() - (auroc - median)).abs() < 1e-12);
        let zero_shot = found["zero_shot"]["auroc"].as_f64().unwrap();
        let over = judged["over_zero_shot"]["auroc"]["value"].as_f64().unwrap();
        assert!((over - (auroc - zero_shot)).abs() < 1e-12);
    }
    assert!(found["calibrated_zero_shot"]["accuracy"].is_number());
    let shown = text(&succeeds(ccs(dir.path(), &["eval", "run", "other"])).stdout);
    for part in [
        "minus random",
        "minus zero_shot",
        "calibrated_zero_shot",
        "random: 1000 random directions",
        "accuracy on the run's own test rows: ccs ",
        "of the store's 80 rows are of passages that the probes were trained on, left out",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

/// The row that an error names is the store's, not its place among the judged rows.
#[test]
fn a_broken_row_is_named_by_its_number_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let planted = Planted::new(60, 4, 2.0, 1);
    let mut broken = (planted.plus.clone(), planted.minus.clone());
    let source = |states: &(Vec<f32>, Vec<f32>)| {
        Memory::new(planted.rows()).with_layer("hook_embed", states.0.clone(), states.1.clone())
    };
    let mut settings = Settings { methods: Some(vec![Method::LR]), ..Settings::default() };
    settings.folds = 3;
    let whole = source(&broken);
    let fitted = run(&whole, &settings, Compute::default()).unwrap();
    let out = dir.path().join("run");
    fitted.write(&out, Overwrite::No).unwrap();
    let row = *fitted.split.test.row.last().unwrap();
    broken.1[row * 4 + 2] = f32::NAN;
    let error = ccs_trainer::eval(&out, &source(&broken), &EvalOptions::default()).unwrap_err();
    assert!(
        matches!(error, Error::Probe(ccs::Error::NotFinite { row: found, column: Some(2), .. }) if found == row),
        "{error}"
    );
    // In a pool: the store, and its row.
    let parts = [Dataset { name: "a", source: &whole }, Dataset { name: "b", source: &source(&broken) }];
    let pooled = Pooled::new(&parts, &LayerSelection::All).unwrap();
    let error = match run(&pooled, &settings, Compute::default()) {
        Err(Error::InLayer { source, .. }) => source.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(error.contains(&format!("b: the minus state of row {row} is not finite")), "{error}");
}

/// A control store of 500 rows in which nothing is true, of the size of the noise in the store that is evaluated.
#[test]
fn unrelated_text_sets_the_threshold_that_recall_is_counted_at() {
    let dir = tempfile::tempdir().unwrap();
    Stored::default().write(&dir.path().join("store"));
    quick(dir.path(), &["fit", "store", "--out", "run"]);
    let there = Stored { rows: 120, seed: 5, passages_from: 1000, ..Stored::default() };
    there.write(&dir.path().join("there"));
    let unrelated =
        |rows, from| Stored { rows, strength: 0.0, seed: 7, passages_from: from, ..Stored::default() };
    unrelated(1000, 2000).write(&dir.path().join("control"));

    let arguments = ["eval", "run", "there", "--control", "control", "--method", "lr"];
    let found = json_of(ccs(dir.path(), &[&arguments[..], &["--json"]].concat()));
    assert_eq!((&found["control"]["rows"], &found["control"]["groups"]), (&json!(1000), &json!(500)));
    let recall = &found["probes"]["lr"]["recall"];
    assert_eq!(recall["false_positives"], 10);

    // The same from the probe itself.
    let fitted = ccs_trainer::Fitted::open(dir.path().join("run"), Method::LR, None).unwrap();
    let scores = |name: &str| {
        let source = ccs_trainer::StoreSource::open(dir.path().join(name)).unwrap();
        let [plus, minus] = source.load(&source.layers()[fitted.layer]).unwrap().sides().unwrap();
        (fitted.probe.scores(&plus, &minus).unwrap(), source.rows().labels.clone())
    };
    let (mut control, _) = scores("control");
    control.sort_by(|a, b| b.total_cmp(a));
    assert!((recall["threshold"].as_f64().unwrap() - control[10]).abs() < 1e-9);
    let (there, labels) = scores("there");
    for (key, label) in [("true_rows", true), ("false_rows", false)] {
        let rows: Vec<f64> =
            there.iter().zip(&labels).filter(|(_, l)| **l == label).map(|(s, _)| *s).collect();
        let share = rows.iter().filter(|score| **score > control[10]).count() as f64 / rows.len() as f64;
        assert!((recall[key]["value"].as_f64().unwrap() - share).abs() < 1e-12, "{key}");
        let ci: [f64; 2] = serde_json::from_value(recall[key]["ci"].clone()).unwrap();
        assert!(ci[0] <= share && share <= ci[1] && ci[0] < ci[1], "{key}: {ci:?}");
    }
    assert!(recall["true_rows"]["value"].as_f64().unwrap() > 0.5);
    assert!(recall["false_rows"]["value"].as_f64().unwrap() < 0.1);
    let shown = text(&succeeds(ccs(dir.path(), &arguments)).stdout);
    assert!(
        shown.contains("above the score that 1% of the control text exceeds (1000 rows in 500 groups)"),
        "{shown}"
    );
    // Without a control store nothing is said of it.
    let plain = json_of(ccs(dir.path(), &["eval", "run", "there", "--method", "lr", "--json"]));
    assert!(plain.get("control").is_none() && plain["probes"]["lr"].get("recall").is_none());
    assert_eq!(plain["probes"]["lr"]["test"], found["probes"]["lr"]["test"]);

    // Too few rows for a percent, for an upper limit, and of another model.
    unrelated(99, 4000).write(&dir.path().join("few"));
    refused(dir.path(), &["eval", "run", "there", "--control", "few"], &["the control store: 1% of 99 rows"]);
    unrelated(200, 4000).write(&dir.path().join("some"));
    let found = json_of(ccs(dir.path(), &["eval", "run", "there", "--control", "some", "--json"]));
    assert!(found["notes"].to_string().contains("are of 100 groups: below 437"), "{}", found["notes"]);
    assert_eq!(found["probes"]["lr"]["recall"]["true_rows"]["ci"][0], 0.0);
    let settings = json!({ "model": { "identity": "ffff", "name": "other" } });
    Stored { settings, ..unrelated(200, 4000) }.write(&dir.path().join("other"));
    let parts = &["the control store: the model is ffff"];
    refused(dir.path(), &["eval", "run", "there", "--control", "other"], parts);
    Stored { tokens: "mean", ..unrelated(200, 4000) }.write(&dir.path().join("mean"));
    let parts = &["the control store: the token rule is mean"];
    refused(dir.path(), &["eval", "run", "there", "--control", "mean"], parts);
    Stored { hook: "blocks.3.hook_resid_post", ..unrelated(200, 4000) }.write(&dir.path().join("hook"));
    refused(
        dir.path(),
        &["eval", "run", "there", "--control", "hook"],
        &["the control store: the hook point"],
    );
}
