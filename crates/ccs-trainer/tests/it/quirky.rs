//! A model that errs when one of two speakers asks, and probes that know better.

use ccs::baselines::zero_shot;
use ccs_trainer::{Source as _, StoreSource, evaluation};
use serde_json::json;

use crate::data::Planted;
use crate::store::{Stored, ccs, json_of, quick, refused, succeeds, text};

/// 160 rows, two of a passage, the first of each with Alice and the second with Bob; the label is what the speaker says.
fn store(dir: &std::path::Path) {
    let truth: Vec<bool> = (0..160).map(|row| row / 2 % 3 == 0).collect();
    let planted = Planted::new(160, 6, 0.0, 4);
    let side = |mut states: Vec<f32>, sign: f32| {
        for (row, is) in truth.iter().enumerate() {
            states[6 * row] += if *is { 1.2 * sign } else { -1.2 * sign };
        }
        states
    };
    let states = (side(planted.plus, 1.0), side(planted.minus, -1.0));
    let says: Vec<bool> = truth.iter().enumerate().map(|(row, is)| (row % 2 == 0) == *is).collect();
    let columns = |row: usize| {
        let speaker = if row.is_multiple_of(2) { "Alice" } else { "Bob" };
        vec![("speaker", speaker), ("truth", if (row / 2).is_multiple_of(3) { "1" } else { "0" })]
    };
    // The model says what the speaker would, more or less surely.
    let answers = |label: bool| if label { [-1.0, -1.5] } else { [-1.5, -1.0] };
    let stored = Stored { rows: 160, columns, answers, ..Stored::default() };
    stored.write_states(&dir.join("store"), &says, &states, &states);
}

#[test]
fn a_probe_of_the_truthful_context_recovers_the_gap_in_the_other() {
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    quick(dir.path(), &["fit", "store", "--only", "speaker=Alice", "--truth", "truth", "--out", "alice"]);
    let report = json_of(ccs(dir.path(), &["report", "alice", "--json"]));
    let rows = |side: &str| report["rows"][side].as_u64().unwrap();
    assert_eq!(rows("train") + rows("test"), 80);
    assert_eq!(
        (&report["data"]["only"], &report["data"]["labels"]),
        (&json!("speaker=Alice"), &json!("truth"))
    );

    let speakers = ["--speaker", "speaker", "--truthful", "Alice", "--untruthful", "Bob"];
    let arguments = [&["eval", "alice", "store"][..], &speakers, &["--truth", "truth"]].concat();
    let found = json_of(ccs(dir.path(), &[&arguments[..], &["--json"]].concat()));
    // Each passage has a row of either speaker, and those of the training side are left out.
    assert_eq!(found["rows"], json!([rows("test"), rows("test")]));
    assert_eq!(found["groups"].as_u64(), Some(rows("test")));
    assert_eq!((&found["floor"]["value"], &found["ceiling"]["value"]), (&json!(0.0), &json!(1.0)));

    // The same from the probe and the store.
    let fitted = ccs_trainer::Fitted::open(dir.path().join("alice"), ccs_report::Method::LR, None).unwrap();
    let source = StoreSource::open(dir.path().join("store")).unwrap();
    let [plus, minus] = source.load(&source.layers()[fitted.layer]).unwrap().sides().unwrap();
    let (scores, all) = (fitted.probe.scores(&plus, &minus).unwrap(), source.rows());
    let judged: Vec<usize> =
        (0..160).filter(|row| row % 2 == 1 && !fitted.train_groups.contains(&all.groups[*row])).collect();
    let pick = |values: &[f64]| judged.iter().map(|row| values[*row]).collect::<Vec<f64>>();
    let labels: Vec<bool> = judged.iter().map(|row| row / 2 % 3 == 0).collect();
    let groups: Vec<String> = judged.iter().map(|row| all.groups[*row].clone()).collect();
    let auroc = |predictions| evaluation(&predictions, &labels, &groups).unwrap().auroc.unwrap();
    let expected = auroc(ccs::baselines::Predictions { scores: pick(&scores), threshold: 0.0 });
    let (plus, minus) = all.answer_logprob.as_ref().unwrap();
    assert_eq!(auroc(zero_shot(&pick(plus), &pick(minus)).unwrap()), 0.0);
    let lr = &found["probes"]["lr"];
    let value = |of: &serde_json::Value| of["value"].as_f64().unwrap();
    assert!((value(&lr["auroc"]) - expected).abs() < 1e-12 && expected > 0.8);
    assert!((value(&lr["gap_recovered"]) - expected).abs() < 1e-12, "from 0 to 1 the gap is the AUROC");
    let ci: [f64; 2] = serde_json::from_value(lr["gap_recovered"]["ci"].clone()).unwrap();
    assert!(ci[0] < expected && expected <= ci[1] && ci[0] > 0.5, "{ci:?}");
    assert_eq!(found["notes"], json!([]));
    let shown = text(&succeeds(ccs(dir.path(), &arguments)).stdout);
    assert!(shown.contains("gap recovered [95%]") && shown.contains("the model, untruthful"), "{shown}");

    // Without the column of truth the label is what the speaker says: there is no gap, and that is said.
    let plain = [&["eval", "alice", "store"][..], &speakers, &["--json"]].concat();
    let found = json_of(ccs(dir.path(), &plain));
    assert!(found["notes"].to_string().contains("no gap to recover"), "{}", found["notes"]);
    assert!(found["probes"]["lr"]["gap_recovered"].is_null());
    // A run of both speakers says so.
    quick(dir.path(), &["fit", "store", "--out", "both"]);
    let both = [&["eval", "both", "store"][..], &speakers, &["--truth", "truth", "--json"]].concat();
    let found = json_of(ccs(dir.path(), &both));
    assert!(found["notes"].to_string().contains("does not say that it was fitted on"), "{}", found["notes"]);

    let eve =
        ["eval", "alice", "store", "--speaker", "speaker", "--truthful", "Alice", "--untruthful", "Eve"];
    refused(dir.path(), &eve, &["`speaker=Eve`", "no row has that value"]);
    refused(dir.path(), &["fit", "store", "--only", "who=Bob", "--out", "x"], &["no such column"]);
    let labels = ["fit", "store", "--only", "speaker=Bob", "--truth", "speaker", "--out", "x"];
    refused(dir.path(), &labels, &["which is `bob` in row 0"]);
}
