//! `ccs eval` on affirmative and negated rows: the numbers are those of the probe's own scores on either part.

use ccs::Statements;
use ccs_report::Method;
use ccs_trainer::{EvalOptions, Fitted, Source as _, StoreSource, eval};
use serde_json::json;
use tch::Tensor;

use crate::statements::Planted;
use crate::store::{ccs, json_of, refused, succeeds, text};

const FIT: [&str; 11] =
    ["fit", "store", "--out", "run", "--folds", "3", "--shuffles", "0", "--directions", "20", "--methods"];

/// The share of pairs of a true and a false row that are ranked rightly.
fn auroc(rows: &[(f64, bool)]) -> f64 {
    let of = |label: bool| rows.iter().filter(move |row| row.1 == label).map(|row| row.0);
    let pairs: Vec<f64> =
        of(true).flat_map(|a| of(false).map(move |b| f64::from(a > b) + 0.5 * f64::from(a == b))).collect();
    pairs.iter().sum::<f64>() / pairs.len() as f64
}

#[test]
fn probes_are_evaluated_on_either_polarity_and_beside_negations() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    Planted::new(200, 6, [1.2, 0.8], 1).write(&path("store"), "cities");
    let there = Planted::new(160, 6, [1.2, 0.8], 2);
    there.write(&path("there"), "cities");
    succeeds(ccs(dir.path(), &[&FIT[..], &["lr,mass_mean,random"]].concat()));
    // Both sets are of the same subjects; these are other statements about them.
    let options = EvalOptions { keep_trained: true, ..EvalOptions::default() };
    let source = StoreSource::open(path("there")).unwrap();
    let found = eval(path("run"), &source, &options).unwrap();
    let about = found.polarity.as_ref().unwrap();
    assert_eq!(
        (about.column.as_str(), about.by_name, about.rows, about.results),
        ("polarity", true, [80, 80], 4)
    );
    assert_eq!(
        about.groups_of_rarer_label,
        [true, false].map(|affirmative| {
            let true_rows =
                (0..160).filter(|&r| there.affirmative[r] == affirmative && there.labels[r]).count();
            true_rows.min(80 - true_rows)
        })
    );

    for (name, probe) in &found.probes {
        let fitted = Fitted::open(path("run"), probe.method, None).unwrap();
        assert_eq!(fitted.layer, 1, "the layer that carries truth");
        let states = Tensor::from_slice(&there.states).reshape([160, 6]);
        let groups = source.rows().groups.clone();
        let rows = Statements::new(states, there.labels.clone(), groups).unwrap();
        let scores = fitted.probe.score_statements(&rows).unwrap();
        let of = |affirmative: bool| -> Vec<(f64, bool)> {
            (0..160)
                .filter(|&row| there.affirmative[row] == affirmative)
                .map(|row| (scores[row], there.labels[row]))
                .collect()
        };
        let own = probe.polarity.as_ref().unwrap();
        for (on, affirmative) in [(&own.affirmative, true), (&own.negated, false)] {
            assert!((on.test.auroc.unwrap() - auroc(&of(affirmative))).abs() < 1e-9, "{name}");
            let (plain, joint) = (on.test.auroc_ci.unwrap(), on.auroc_joint.unwrap());
            assert!(joint[0] < plain[0] && plain[1] < joint[1], "the joint interval is the wider one");
        }
        // Row 2i + 1 is the negation of row 2i.
        let threshold = fitted.probe.input().threshold();
        let says = |row: usize| scores[row] > threshold;
        let share = |holds: &dyn Fn(usize) -> bool| (0..80).filter(|i| holds(2 * i)).count() as f64 / 80.0;
        let consistency = own.consistency.as_ref().unwrap();
        assert_eq!(consistency.pairs, 80);
        assert!((consistency.turned.value - share(&|r| says(r) != says(r + 1))).abs() < 1e-12, "{name}");
        let right = |r: usize| says(r) == there.labels[r] && says(r + 1) == there.labels[r + 1];
        assert!((consistency.right.value - share(&right)).abs() < 1e-12, "{name}");
    }
}

#[test]
fn the_program_shows_polarity_and_warns_of_a_ranking_that_turns_round() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let all = Planted::new(240, 6, [0.0, 2.0], 3);
    // Fitted on affirmative statements alone, and evaluated on both.
    let affirmative: Vec<usize> = (0..240).filter(|&row| all.affirmative[row]).collect();
    let part = Planted {
        labels: affirmative.iter().map(|&row| all.labels[row]).collect(),
        affirmative: vec![true; affirmative.len()],
        states: affirmative.iter().flat_map(|&row| all.states[6 * row..6 * row + 6].to_vec()).collect(),
        dim: 6,
    };
    part.write(&path("store"), "cities");
    Planted::new(160, 6, [0.0, 2.0], 4).write(&path("both"), "cities");
    succeeds(ccs(dir.path(), &[&FIT[..], &["lr,random"]].concat()));
    let arguments = ["eval", "run", "both", "--keep-trained"];
    let found = json_of(ccs(dir.path(), &[&arguments[..], &["--json"]].concat()));
    let lr = &found["probes"][Method::LR.name()]["polarity"];
    assert!(lr["affirmative"]["test"]["auroc"].as_f64().unwrap() > 0.9, "{lr}");
    assert!(lr["negated"]["test"]["auroc"].as_f64().unwrap() < 0.1, "{lr}");
    assert!(
        found["notes"].to_string().contains("ranks true below false among negated rows"),
        "{}",
        found["notes"]
    );
    let shown = text(&succeeds(ccs(dir.path(), &arguments)).stdout);
    for part in [
        "80 affirmative and 80 negated rows (column polarity is negated, found by its name)",
        "AUROC, affirmative",
        "of 80 rows with their negations",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    // Of one polarity alone there is nothing to split; what the data lack is refused.
    let one = json_of(ccs(dir.path(), &["eval", "run", "store", "--keep-trained", "--json"]));
    assert!(one.get("polarity").is_none() && one["probes"]["lr"].get("polarity").is_none());
    let asked = ["eval", "run", "store", "--keep-trained", "--negated", "polarity=negated"];
    refused(dir.path(), &asked, &["`polarity=negated`", "no row has that value"]);
    let all = ["eval", "run", "store", "--keep-trained", "--negated", "polarity=affirmative", "--json"];
    let found = json_of(ccs(dir.path(), &all));
    assert!(found["notes"].to_string().contains("they are not split by polarity"), "{}", found["notes"]);
    let asked = ["eval", "run", "both", "--keep-trained", "--negated-by", "color"];
    refused(dir.path(), &asked, &["color"]);
    let by = ["eval", "run", "both", "--keep-trained", "--negated-by", "subject", "--json"];
    assert_eq!(json_of(ccs(dir.path(), &by))["polarity"]["matched_by"], json!(["subject"]));
}
