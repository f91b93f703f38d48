//! Affirmative and negated rows: what turns round is called so, what follows truth is not.

use ccs::SeedTree;
use ccs_report::sentences::{Finding, reading};
use ccs_report::{Method, PolarityReport, Report, page};
use ccs_trainer::{
    Compute, Dataset, Memory, MemoryStatements, NewRunDir, Overwrite, Rows, Run, Settings, Sweep,
};
use rand::RngExt;
use rand_distr::StandardNormal;

use crate::data::run;
use crate::statements::{Planted, settings};
use crate::store::{ccs, refused, succeeds, text};

fn quick(methods: &[Method]) -> Settings {
    Settings { methods: Some(methods.to_vec()), directions: 20, shuffles: 0, ..settings() }
}

fn fit(source: &dyn ccs_trainer::Source, settings: &Settings) -> Run {
    run(source, settings, Compute { threads: 1, ..Compute::default() }).unwrap()
}

/// Statements of one layer, a third of them negated: truth along axis 0, truth turned round by negation along axis 1.
fn statements([truth, turned]: [f32; 2], seed: u64) -> MemoryStatements {
    let mut rng = SeedTree::new(seed).child("polarity").rng();
    let (rows, dim) = (300, 6);
    let (mut labels, mut negated, mut states) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        let (label, not) = (rng.random_bool(0.5), row % 3 == 2);
        let (tau, p) = (if label { 1.0 } else { -1.0 }, if not { -1.0 } else { 1.0 });
        for axis in 0..dim {
            let mean = [truth * tau, turned * tau * p, p].get(axis).copied().unwrap_or(0.0);
            states.push(mean + rng.sample::<f32, _>(StandardNormal));
        }
        labels.push(label);
        negated.push(Some(not.to_string()));
    }
    let about = Rows {
        ids: (0..rows).map(|row| row.to_string()).collect(),
        groups: (0..rows).map(|row| format!("subject {}", row / 3)).collect(),
        labels,
        columns: [("negated".to_owned(), negated)].into_iter().collect(),
        ..Rows::default()
    };
    MemoryStatements::new(about).with_layer("hook_embed", states)
}

fn polarity(report: &Report) -> &PolarityReport {
    report.polarity.as_ref().unwrap()
}

/// Twenty sets each. By intervals that hold for two polarities and two methods at once, none of those that follow truth may
/// be called turned round but with a probability below 5% a set; all that turn round are far from chance.
#[test]
fn what_turns_round_is_called_so_and_what_follows_truth_is_not() {
    let methods = [Method::MASS_MEAN, Method::LR];
    let turned = |report: &Report| {
        report
            .verdicts
            .iter()
            .filter(|v| v.finding == Finding::TurnsWithNegation)
            .map(|v| v.method)
            .collect::<Vec<_>>()
    };
    for seed in 0..20 {
        let follows = fit(&statements([1.0, 0.0], seed), &quick(&methods)).report;
        assert_eq!(turned(&follows), [], "seed {seed}");
        let flips = fit(&statements([0.0, 3.0], seed), &quick(&methods)).report;
        assert_eq!(turned(&flips), methods, "seed {seed}: {:?}", flips.verdicts);
        let of = &polarity(&flips).methods[&Method::LR];
        // A third of the rows is negated: what holds for the others decides.
        assert!(
            of.affirmative.auroc_joint.unwrap()[0] > 0.5 && of.negated.auroc_joint.unwrap()[1] < 0.5,
            "{of:?}"
        );
        let said = reading(&flips);
        assert!(said.iter().any(|s| s.contains("ranks true below false among negated rows")), "{said:?}");
        // Noise is neither.
        let noise = fit(&statements([0.0, 0.0], seed), &quick(&methods)).report;
        assert_eq!(turned(&noise), [], "seed {seed}");
    }
}

#[test]
fn probes_of_one_polarity_go_to_the_other_as_far_as_truth_does() {
    let run = |strengths| fit(&statements(strengths, 3), &quick(&[Method::LR, Method::TTPD])).report;
    let (truth, turned, both) = (run([1.5, 0.0]), run([0.0, 1.5]), run([1.5, 1.5]));
    let auroc = |report: &Report, method, from: usize, to: usize| {
        let of = &polarity(report).methods[&method];
        let fitted = [&of.of_affirmative, &of.of_negated][from].as_ref().unwrap();
        fitted[to].test.auroc.unwrap()
    };
    for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        assert!(auroc(&truth, Method::LR, from, to) > 0.9);
        let found = auroc(&turned, Method::LR, from, to);
        assert!(if from == to { found > 0.9 } else { found < 0.1 }, "{from} to {to}: {found}");
        // A probe of one polarity takes what the two directions have in common there, half of which turns round.
        let found = auroc(&both, Method::LR, from, to);
        assert!(
            if from == to { found > 0.95 } else { (0.3..0.7).contains(&found) },
            "{from} to {to}: {found}"
        );
    }
    // What the tables show is said in a sentence, of probes that predict the labels.
    let said = |report: &Report, method| {
        let of = |v: &&ccs_report::sentences::Verdict| v.method == method && v.finding.is_about_transfer();
        report.verdicts.iter().find(of).map(|v| (v.finding, v.text.clone()))
    };
    let (finding, text) = said(&truth, Method::LR).unwrap();
    assert_eq!(finding, Finding::CrossesNegation, "{text}");
    let cell = polarity(&truth).methods[&Method::LR].of_affirmative.as_ref().unwrap()[1].clone();
    let numbers = format!(
        "among negated rows, AUROC {:.3} ({:.3} to {:.3})",
        cell.test.auroc.unwrap(),
        cell.auroc_joint.unwrap()[0],
        cell.auroc_joint.unwrap()[1]
    );
    assert!(text.contains(&numbers), "{text} {numbers}");
    let (finding, text) = said(&both, Method::TTPD).unwrap();
    assert_eq!(finding, Finding::CrossingNotShown, "{text}");
    assert!(page::html(&both).unwrap().contains(&text));
    assert_eq!(said(&run([0.0, 0.0]), Method::LR), None, "nothing is said of noise");
    // TTPD on both polarities keeps to what holds for both.
    let of = &polarity(&both).methods[&Method::TTPD];
    assert!(of.affirmative.test.auroc.unwrap() > 0.9 && of.negated.test.auroc.unwrap() > 0.9, "{of:?}");
    let plane = polarity(&both).plane.as_ref().unwrap();
    assert!(plane.cosine.abs() < 0.5 && plane.rows.len() == plane.general.len());
    let mean = |values: &[f64], label: bool, affirmative: bool| {
        let kept = values.iter().zip(plane.labels.iter().zip(&plane.affirmative));
        let kept: Vec<f64> =
            kept.filter(|(_, (l, a))| (**l, **a) == (label, affirmative)).map(|(v, _)| *v).collect();
        kept.iter().sum::<f64>() / kept.len() as f64
    };
    for affirmative in [true, false] {
        assert!(mean(&plane.general, true, affirmative) > mean(&plane.general, false, affirmative));
        let order = mean(&plane.sensitive, true, affirmative) > mean(&plane.sensitive, false, affirmative);
        assert_eq!(order, affirmative, "along t_P a negation turns it round");
    }
    let html = page::html(&both).unwrap();
    assert!(
        html.contains("Affirmative and negated statements") && html.contains("which was found by its name")
    );
    assert!(html.contains("polarity-sensitive, t_P"));
}

#[test]
fn decisions_are_compared_with_those_on_the_negation() {
    let source = Planted::new(200, 6, [1.5, 0.0], 5).source();
    let done = fit(&source, &quick(&[Method::LR]));
    let found = polarity(&done.report);
    // The group says as much as the column of subjects, and so do both.
    assert_eq!(found.matched_by, ["group", "subject"]);
    assert_eq!(
        (found.train[0], found.train[1], found.test[0]),
        (found.train[1], found.train[0], found.test[1])
    );
    let consistency = found.methods[&Method::LR].consistency.as_ref().unwrap();
    let predictions = done.predictions.iter().find(|of| of.method == Method::LR).unwrap();
    let says = |row: usize| {
        predictions.predicts_true(predictions.rows.iter().position(|r| *r == row).unwrap()).unwrap()
    };
    let labels = &done.rows.labels;
    let pairs: Vec<usize> = done.split.test.row.iter().copied().filter(|row| row % 2 == 0).collect();
    let count =
        |of: &dyn Fn(usize) -> bool| pairs.iter().filter(|row| of(**row)).count() as f64 / pairs.len() as f64;
    assert_eq!(consistency.pairs, pairs.len());
    assert_eq!(consistency.turned.value, count(&|row| says(row) != says(row + 1)));
    assert_eq!(
        consistency.right.value,
        count(&|row| says(row) == labels[row] && says(row + 1) == labels[row + 1])
    );
    assert!(consistency.turned.ci.unwrap()[0] > 0.7, "{consistency:?}");
}

/// Pairs in which a negation moves the two sides apart along an axis of its own, far more than truth does: CCS finds that
/// axis, and with statistics within polarity truth.
#[test]
fn ccs_that_normalizes_within_polarity_finds_truth_beside_a_loud_negation() {
    let mut rng = SeedTree::new(8).child("pairs").rng();
    let (rows, dim) = (240, 5);
    let labels: Vec<bool> = (0..rows).map(|_| rng.random_bool(0.5)).collect();
    let mut side = |sign: f32| -> Vec<f32> {
        (0..rows * dim)
            .map(|at| {
                let (row, axis) = (at / dim, at % dim);
                let (tau, p) = (if labels[row] { 1.0 } else { -1.0 }, if row % 2 == 0 { 1.0 } else { -1.0 });
                let mean = [1.5 * sign * tau, 8.0 * sign * p].get(axis).copied().unwrap_or(0.0);
                mean + rng.sample::<f32, _>(StandardNormal)
            })
            .collect()
    };
    let (plus, minus) = (side(1.0), side(-1.0));
    let polarity_column =
        (0..rows).map(|row| Some(if row % 2 == 0 { "1" } else { "-1" }.to_owned())).collect();
    let about = Rows {
        ids: (0..rows).map(|row| row.to_string()).collect(),
        groups: (0..rows).map(|row| format!("passage {}", row / 2)).collect(),
        labels,
        columns: [("polarity".to_owned(), polarity_column)].into_iter().collect(),
        ..Rows::default()
    };
    let source = Memory::new(about).with_layer("hook_embed", plus, minus);
    let mut settings = Settings { seeds: 0, ..quick(&[Method::CCS, Method::LR]) };
    (settings.ccs.max_iter, settings.ccs.n_init) = (300, 3);
    let report = fit(&source, &settings).report;
    let of = &polarity(&report).methods[&Method::CCS];
    let within = of.within_polarity.as_ref().unwrap();
    assert!(within.test.auroc_ci.unwrap()[0] > 0.9, "{within:?}");
    assert!(within.change.unwrap().ci.unwrap()[0] > 0.2, "{within:?}");
    assert!(
        polarity(&report).methods[&Method::LR].within_polarity.is_none() && polarity(&report).plane.is_none()
    );
    assert!(
        page::html(&report)
            .unwrap()
            .contains("CCS once more, with means and scales taken within affirmative")
    );
}

#[test]
fn the_mean_difference_is_taken_out_and_the_report_says_that_labels_were_used() {
    let source = crate::data::three_layers(120, 6);
    let mut settings =
        Settings { seeds: 2, recursive: 2, shuffles: 2, ..quick(&[Method::CCS, Method::RANDOM]) };
    (settings.ccs.max_iter, settings.ccs.n_init) = (150, 2);
    let plain = fit(&source, &settings).report;
    settings.ccs.remove_mean_difference = true;
    let without = fit(&source, &settings).report;
    let at = |report: &Report| report.layers[2].methods[&Method::CCS].test.auroc.unwrap();
    // Truth lies along one axis alone, which the means differ in: nothing is left of it.
    assert!(at(&plain) > 0.95 && (0.2..0.8).contains(&at(&without)), "{} {}", at(&plain), at(&without));
    assert!(!plain.methods[&Method::CCS].uses_labels && without.methods[&Method::CCS].uses_labels);
    assert!(!plain.chosen_without_labels.is_empty() && without.chosen_without_labels.is_empty());
    assert!(
        without.notes.iter().any(|note| note.contains("both use labels in this run")),
        "{:?}",
        without.notes
    );
    assert_eq!(Settings::of(&without).unwrap(), settings);
    let first = |report: &Report| report.recursive.as_ref().unwrap().iterations[0].test.clone();
    assert!(first(&without).auroc.unwrap() < 0.8 && first(&plain).auroc.unwrap() > 0.95);
}

#[test]
fn a_sweep_knows_negated_data_sets_by_name_and_pictures_tell_polarity() {
    let all = Planted::new(240, 6, [1.5, 1.0], 6);
    // Every statement in one data set, its negation in the other, under one subject.
    let part = |affirmative: bool| {
        let kept: Vec<usize> = (0..240).filter(|&row| all.affirmative[row] == affirmative).collect();
        let mut rows = all.rows();
        rows.columns.shift_remove("polarity");
        let about = Rows {
            ids: kept.iter().map(|&row| rows.ids[row].clone()).collect(),
            groups: kept.iter().map(|&row| rows.groups[row].clone()).collect(),
            labels: kept.iter().map(|&row| rows.labels[row]).collect(),
            columns: rows
                .columns
                .iter()
                .map(|(name, of)| (name.clone(), kept.iter().map(|&row| of[row].clone()).collect()))
                .collect(),
            ..Rows::default()
        };
        let states = kept.iter().flat_map(|&row| all.states[row * 6..(row + 1) * 6].to_vec()).collect();
        MemoryStatements::new(about).with_layer("hook_embed", states)
    };
    let (cities, negated) = (part(true), part(false));
    let parts =
        [Dataset { name: "cities", source: &cities }, Dataset { name: "neg_cities", source: &negated }];
    let dir = tempfile::tempdir().unwrap();
    let out = NewRunDir::reserve(dir.path().join("sweep"), Overwrite::No).unwrap();
    let settings =
        Settings { negated: Some("neg_cities".parse().unwrap()), ..quick(&[Method::LR, Method::TTPD]) };
    let report = Sweep::new(&parts).settings(settings).run_to(out).unwrap().finished().unwrap();
    let found = polarity(&report);
    assert_eq!(
        (found.column.as_str(), found.by_name, &found.values[..]),
        ("dataset", false, &["neg_cities".to_owned()][..])
    );
    assert_eq!(found.matched_by, ["group", "subject"]);
    assert!(found.methods[&Method::TTPD].negated.test.auroc.unwrap() > 0.8);
    assert!(found.methods[&Method::LR].consistency.as_ref().unwrap().pairs > 30);
    let marks = report.projections.as_ref().unwrap().marks.as_ref().unwrap();
    assert!(marks.column == "dataset" || marks.column == "template", "{marks:?}");
    assert_eq!(marks.values.len(), 2);
    let single = std::fs::read(dir.path().join("sweep/runs/cities/report.json")).unwrap();
    assert!(Report::from_json(&single).unwrap().polarity.is_none(), "it has one polarity");
}

const FIT: [&str; 9] = ["fit", "store", "--folds", "3", "--shuffles", "0", "--directions", "50", "--out"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    FIT.iter().chain(more).copied().collect()
}

#[test]
fn the_program_takes_polarity_and_refuses_what_the_data_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Planted::new(120, 6, [1.5, 0.5], 8).write(&dir.join("store"), "cities");
    succeeds(ccs(dir, &with(&["run", "--negated", "polarity=negated", "--negated-by", "subject"])));
    let report = Report::from_json(&std::fs::read(dir.join("run/report.json")).unwrap()).unwrap();
    assert_eq!(
        (polarity(&report).by_name, &polarity(&report).matched_by[..]),
        (false, &["subject".to_owned()][..])
    );
    refused(
        dir,
        &with(&["x", "--negated", "neg_cities"]),
        &["all rows are of one data set", "--negated polarity=negated"],
    );
    refused(dir, &with(&["x", "--negated", "polarity=no"]), &["`polarity=no`", "no row has that value"]);
    refused(dir, &with(&["x", "--negated", "poalrity=negated"]), &["did you mean `polarity`?"]);
    refused(dir, &with(&["x", "--negated-by", "polarity"]), &["`--negated-by` cannot be polarity"]);
    refused(
        dir,
        &with(&["x", "--remove-mean-difference", "--methods", "lr"]),
        &["ccs is not among the methods"],
    );
    let help = text(&succeeds(ccs(dir, &["fit", "--help"])).stdout);
    assert!(help.contains("--negated <[COLUMN=]VALUE>"), "{help}");
}
