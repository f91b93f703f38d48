//! Every method through a whole run: saved, read back, the same again, and blind to the test rows.

use crate::data::method;
use ccs_trainer::RunDir;
use std::collections::BTreeSet;

use crate::data::run;
use ccs::Contrast;
use ccs::SeedTree;
use ccs::baselines::random_directions;
use ccs::methods::ccs::{Ccs, ccs};
use ccs::normalize::Normalization;
use ccs::stats::intervals::quantile;
use ccs_report::AnswerScore;
use ccs_report::Method;
use ccs_report::Report;
use ccs_report::sentences::Finding;
use ccs_trainer::{Compute, Fitted, Memory, Overwrite, Rows, Run, Settings};
use rand::seq::SliceRandom;

use crate::data::{Planted, three_layers};

pub(crate) fn settings() -> Settings {
    let mut settings = Settings { directions: 100, folds: 3, ..Settings::default() };
    (settings.ccs.max_iter, settings.ccs.n_init) = (200, 2);
    (settings.seeds, settings.shuffles, settings.recursive) = (3, 4, 3);
    Settings {
        methods: Some(ccs_trainer::method::all(ccs_report::RowKind::Pairs, false).collect()),
        ..settings
    }
}

pub(crate) fn fit(data: &Memory, settings: &Settings, threads: usize) -> Run {
    let mut settings = settings.clone();
    if settings.methods.as_ref().is_some_and(|methods| !methods.contains(&Method::CCS)) {
        settings.recursive = 0; // refused without CCS
    }
    run(data, &settings, Compute { threads, ..Compute::default() }).unwrap()
}

fn probes() -> impl Iterator<Item = Method> {
    ccs_trainer::method::ALL
        .iter()
        .filter(|m| m.fits_probes && m.pairs)
        .map(ccs_trainer::method::Known::method)
}

/// One layer with log-probabilities that know a little.
fn one_layer(planted: &Planted) -> Memory {
    let logprob = |sign: f64| {
        let one = |(row, &l): (usize, &bool)| if l { sign } else { -sign } + 2.0 * (row as f64).sin();
        planted.labels.iter().enumerate().map(one).collect()
    };
    let rows = Rows { answer_logprob: Some((logprob(0.5), logprob(-0.5))), ..planted.rows() };
    Memory::new(rows).with_layer("hook_embed", planted.plus.clone(), planted.minus.clone())
}

#[test]
fn every_method_is_fitted_chosen_saved_and_read_back_with_the_same_scores() {
    let data = three_layers(160, 10);
    let dir = tempfile::tempdir().unwrap();
    let done = fit(&data, &settings(), 2);
    let out = dir.path().join("run");
    done.write(&out, Overwrite::No).unwrap();
    let report = RunDir::open(&out).and_then(|run| run.report()).unwrap();
    assert_eq!(report, done.report, "every number comes back from its file");
    let test = Planted::new(160, 10, 3.0, 1).contrast().select(&done.split.test.row).unwrap();
    for method in probes() {
        assert_eq!(report.chosen[&method].layer, Some(2), "{method}");
        assert!(report.chosen[&method].test.as_ref().unwrap().accuracy > 0.95, "{method}");
        let fitted = Fitted::open(&out, method, None).unwrap();
        assert_eq!(fitted.probe.meta()["method"], method.name());
        assert!(fitted.probe.meta()["fit"]["layer_rule"].is_string() && fitted.probe.meta()["seed"] == 0);
        let (_, _, own) = done.probes.iter().find(|(m, layer, _)| (*m, *layer) == (method, 2)).unwrap();
        let scores = fitted.probe.score_pairs(&test).unwrap();
        assert_eq!(scores, own.score_pairs(&test).unwrap(), "{method}");
        let accuracy = fitted.probe.accuracy(&test).unwrap();
        assert_eq!(accuracy, report.layers[2].methods[&method].test.accuracy, "{method}");
        assert!(report.diagnostics[&method].calibration.is_some());
    }
    let truth = &report.layers[2].methods;
    assert!(truth[&method("lr_statements")].l2.is_some() && truth[&Method::LR].l2.is_none());
    assert!(truth[&method("inlp")].directions.len() > 1 && truth[&method("inlp")].note.is_some());
    assert_eq!(truth[&Method::CALIBRATED_ZERO_SHOT].test.auroc, Some(1.0));
    let csv = std::fs::read_to_string(out.join("results.csv")).unwrap();
    assert_eq!(
        csv.lines().count(),
        1 + 3 * ccs_trainer::method::all(ccs_report::RowKind::Pairs, false).count()
    );
    let summary = report.summary();
    assert!(
        ccs_trainer::method::all(ccs_report::RowKind::Pairs, false)
            .filter(|m| *m != Method::RANDOM)
            .all(|m| summary.contains(m.name()))
    );
    assert!(summary.contains("CCS's layer chosen without labels is 2"), "{summary}");
}

#[test]
fn a_seed_gives_the_same_bytes_of_every_method_whatever_the_threads() {
    let data = three_layers(100, 6);
    let (one, two) = (fit(&data, &settings(), 1), fit(&data, &settings(), 3));
    assert_eq!(one.report.to_json().unwrap(), two.report.to_json().unwrap());
    assert_eq!(one.probes.len(), 2 * probes().count());
    for ((method, _, a), (_, _, b)) in one.probes.iter().zip(&two.probes) {
        assert!(a.to_bytes().unwrap() == b.to_bytes().unwrap(), "{method}");
    }
}

#[test]
fn test_rows_reach_no_probe_of_any_method_no_choice_and_no_calibration() {
    let first = Planted::new(120, 8, 1.0, 5);
    let mut other = Planted::new(120, 8, 1.0, 5);
    let one = fit(&one_layer(&first), &settings(), 1);
    for &row in &one.split.test.row {
        other.plus[row * 8..(row + 1) * 8].iter_mut().for_each(|x| *x = 100.0 - *x);
        other.minus[row * 8..(row + 1) * 8].iter_mut().for_each(|x| *x *= 3.0);
    }
    let two = fit(&one_layer(&other), &settings(), 1);
    assert_eq!(one.probes.iter().map(|p| p.0).collect::<Vec<_>>(), probes().collect::<Vec<_>>());
    assert_eq!(one.probes.len(), two.probes.len());
    for ((method, _, a), (_, _, b)) in one.probes.iter().zip(&two.probes) {
        assert!(a.to_bytes().unwrap() == b.to_bytes().unwrap(), "{method}");
        let of = |run: &Run| run.report.layers[0].methods[method].clone();
        assert_eq!(of(&one).cross_validation, of(&two).cross_validation, "{method}");
        assert_eq!((of(&one).train, of(&one).l2), (of(&two).train, of(&two).l2), "{method}");
        let platt = |run: &Run| run.report.diagnostics[method].calibration.clone().unwrap().platt;
        assert_eq!(platt(&one), platt(&two), "{method}");
    }
    let losses = |run: &Run| -> Vec<_> {
        run.report.recursive.as_ref().unwrap().iterations.iter().map(|i| i.train_loss).collect()
    };
    assert_eq!(losses(&one), losses(&two));
}

#[test]
fn controls_are_as_many_as_asked_for_and_say_what_they_should() {
    let planted = Planted::new(240, 8, 2.0, 4);
    let report = fit(&one_layer(&planted), &settings(), 1).report;
    let of = |method| report.layers[0].methods[&method].test.clone();
    let seeded: Vec<Method> = report.seeds.keys().copied().collect();
    assert_eq!(seeded, [Method::CCS, method("bss"), method("kmeans")]);
    assert!(report.seeds.values().all(|r| r.accuracies.len() == 3 && r.accuracies.iter().all(|&a| a > 0.9)));
    let cosines = report.seeds[&Method::CCS].cosines.as_ref().unwrap();
    assert!(cosines.matrix.len() == 4 && cosines.matrix.iter().all(|row| row.len() == 4));
    assert!(0.9 < cosines.min && cosines.min <= cosines.median && cosines.median <= cosines.max);
    assert!(report.seeds[&method("bss")].cosines.is_none());

    // Every method that fits a probe, four times each, in a band that has all of that in mind.
    let shuffled: Vec<Method> = report.shuffled.keys().copied().collect();
    assert_eq!(shuffled, probes().collect::<Vec<_>>());
    for (method, found) in &report.shuffled {
        assert_eq!((found.accuracies.len(), found.aurocs.len(), found.asked), (4, 4, 4), "{method}");
        let band = found.band.as_ref().unwrap();
        assert_eq!(
            (band.results, band.draws, band.outside),
            (4 * 14, 40 * 4 * 14 - 1, 0),
            "{method} {found:?}"
        );
        assert!(of(*method).accuracy > band.accuracy[1], "the truth lies outside: {method}");
        // Label-free directions are judged by labels that say nothing too.
        assert!(found.accuracies.iter().all(|a| (a - of(*method).accuracy).abs() > 0.05), "{method}");
    }
    let labels: BTreeSet<String> =
        report.shuffled[&method("tpc")].accuracies.iter().map(ToString::to_string).collect();
    assert!(labels.len() > 1, "a shuffle of its own each time");

    let recursive = report.recursive.as_ref().unwrap();
    assert_eq!((recursive.iterations.len(), recursive.layer), (3, 0));
    assert_eq!(recursive.iterations[0].test, of(Method::CCS), "the first is the run's own fit");
    assert!(recursive.iterations[1].test.accuracy < 0.8, "truth is taken out");
    assert!(recursive.seeds_cosine.unwrap() > 0.95 && recursive.random_accuracy.is_some());
    let untrained = &recursive.untrained;
    assert!(untrained.directions == 50 && untrained.loss.sd > 0.0);
    // Of eight directions in which only one is truth.
    assert!((0.45..0.8).contains(&untrained.accuracy.mean), "{untrained:?}");
    assert!(recursive.iterations[0].train_loss.total() < untrained.loss.mean - 2.0 * untrained.loss.sd);

    let close = &report.diagnostics[&Method::LR];
    let calibration = close.calibration.as_ref().unwrap();
    assert_eq!(calibration.reliability.bins.iter().map(|b| b.rows).sum::<usize>(), report.rows.test);
    let bins = close.histogram.as_ref().unwrap();
    assert_eq!(bins.positives.iter().sum::<usize>(), report.positives.test);
    assert!(close.templates.is_empty() && close.ensembles.is_empty(), "one template");

    // Every probe against random directions, the model's own answers, the majority and logistic regression, which is not
    // compared with itself.
    let pairs: BTreeSet<(Method, Method)> =
        report.comparisons.iter().map(|c| (c.difference.first, c.difference.second)).collect();
    assert_eq!(pairs.len(), 5 * probes().count() - 1);
    let none = Settings { seeds: 0, shuffles: 0, recursive: 0, ..settings() };
    let bare = fit(&one_layer(&planted), &none, 1).report;
    assert!(bare.seeds.is_empty() && bare.shuffled.is_empty() && bare.recursive.is_none());
    assert_eq!(bare.layers, report.layers);
}

#[test]
fn comparisons_have_the_layers_looked_at_in_mind() {
    let report = fit(&three_layers(160, 8), &Settings { methods: None, ..settings() }, 1).report;
    assert!(
        report.notes.iter().any(|note| note.starts_with("3 layers were evaluated")),
        "{:?}",
        report.notes
    );
    for c in &report.comparisons {
        assert_eq!(c.layers, 3);
        assert_eq!(c.methods, 4);
        let wider = |plain: ccs_report::Estimate, wide: ccs_report::Interval| {
            let plain = plain.ci.unwrap();
            wide[0] <= plain[0] && plain[1] <= wide[1]
        };
        let of_all = [(c.accuracy_ci, c.auroc_ci), (c.of_methods.accuracy_ci, c.of_methods.auroc_ci)];
        for (accuracy_ci, auroc_ci) in of_all {
            assert!(c.difference.accuracy.is_none_or(|plain| wider(plain, accuracy_ci.unwrap())), "{c:?}");
            assert!(c.difference.auroc.is_none_or(|plain| wider(plain, auroc_ci.unwrap())), "{c:?}");
        }
        // Of accuracy against the majority class and other probes, of AUROC against all that rank.
        assert_eq!(c.auroc_ci.is_some(), c.difference.second != Method::MAJORITY, "{c:?}");
        let decides = matches!(c.difference.second, Method::MAJORITY | Method::LR);
        assert_eq!(c.accuracy_ci.is_some(), decides, "{c:?}");
    }
    let beside = |first: Method, comparisons: &[ccs_report::Comparison]| -> Vec<Method> {
        let of = comparisons.iter().map(|c| &c.difference).filter(|d| d.first == first);
        of.map(|d| d.second).collect()
    };
    let controls = [Method::RANDOM, Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT, Method::MAJORITY];
    assert_eq!(beside(Method::LR, &report.comparisons), controls);
    assert_eq!(beside(Method::CCS, &report.comparisons), [&controls[..], &[Method::LR]].concat());
    assert_eq!(
        beside(Method::CCS, &report.layers[1].differences),
        [&[Method::RANDOM, Method::LR], &controls[1..]].concat()
    );
    let above = |v: &&ccs_report::sentences::Verdict| v.finding.is_above_chance();
    let verdict = report.verdicts.iter().find(above).unwrap();
    assert!(verdict.text.contains("for all methods at once"), "{}", verdict.text);
    let own = report.verdicts.iter().find(|v| v.finding == Finding::NoBetterThanZeroShot).unwrap();
    assert!(
        own.text.contains("is not shown to rank statements better than the model's own answers"),
        "{}",
        own.text
    );
    let without = &report.chosen_without_labels[&Method::CCS];
    assert_eq!((without.layer, without.uses_labels), (Some(2), false));
    assert!(without.rule.contains("lowest CCS loss") && without.oracle.unwrap().gap == 0.0);
}

#[test]
fn with_labels_that_mean_nothing_no_method_leaves_the_random_band() {
    let mut planted = Planted::new(600, 12, 2.0, 11);
    planted.labels.shuffle(&mut SeedTree::new(3).rng());
    let mut settings = settings();
    settings.recursive = 0;
    let done = fit(&one_layer(&planted), &settings, 1);
    let all = planted.contrast();
    let select = |rows: &[usize]| all.select(rows).unwrap();
    let (train, test) = (select(&done.split.train.row), select(&done.split.test.row));
    let band = random_directions(&train, &test, 4000, &SeedTree::new(2)).unwrap();
    let mut accuracies: Vec<f64> = band.test.iter().map(|q| q.accuracy).collect();
    accuracies.sort_by(f64::total_cmp);
    let found: Vec<(String, f64)> =
        probes().map(|m| (m.to_string(), done.report.layers[0].methods[&m].test.accuracy)).collect();
    // Shuffled once more, under their own joint band.
    assert!(done.report.shuffled.values().all(|r| r.band.as_ref().unwrap().outside == 0));
    assert!(!done.report.notes.iter().any(|note| note.contains("shuffled labels")));
    let miss = 0.05 / found.len() as f64;
    let [low, high] = [miss / 2.0, 1.0 - miss / 2.0].map(|q| quantile(&accuracies, q).unwrap());
    for (name, accuracy) in found {
        assert!((low..=high).contains(&accuracy), "{name}: {accuracy} outside {low} to {high}");
    }
}

#[test]
fn the_share_that_calibration_takes_to_be_true_can_be_said() {
    let planted = Planted::new(200, 3, 1.0, 15);
    let logprob = |scale: f64| Some((0..200).map(|row| scale * f64::from(row).sin()).collect());
    let rows = Rows { answer_logprob: logprob(1.0).zip(logprob(0.3)), ..planted.rows() };
    let data = Memory::new(rows).with_layer("hook_embed", planted.plus, planted.minus);
    let settings = Settings { methods: Some(vec![Method::CALIBRATED_ZERO_SHOT]), ..settings() };
    let report = fit(&data, &Settings { true_share: 0.2, ..settings }, 1).report;
    let found = &report.layers[0].methods[&Method::CALIBRATED_ZERO_SHOT];
    let confusion = found.train.confusion.as_ref().unwrap();
    let judged_true = confusion.true_positive + confusion.false_positive;
    assert_eq!(judged_true, (report.rows.train as f64 * 0.2).round() as usize);
    assert!(found.note.as_ref().unwrap().contains("20 % of the training rows"), "{:?}", found.note);
}

/// The answers' sums rank the test rows perfectly, and their means the training rows.
#[test]
fn which_answers_are_the_bar_is_chosen_on_training_rows() {
    let planted = Planted::new(200, 3, 1.0, 15);
    let labels = planted.rows().labels;
    let plain = Settings { methods: Some(vec![Method::LR]), ..settings() };
    let (plus, minus) = (planted.plus.clone(), planted.minus.clone());
    let data = Memory::new(planted.rows()).with_layer("hook_embed", plus.clone(), minus.clone());
    let tests = fit(&data, &plain, 1).split.test.row;
    let answers = |perfect: &dyn Fn(usize) -> bool| {
        let sign = |row: usize| if labels[row] { 1.0 } else { -1.0 };
        let score =
            |row: usize| f64::from(row as u32).sin() + if perfect(row) { 3.0 * sign(row) } else { 0.0 };
        Some(((0..200).map(score).collect(), vec![0.0; 200]))
    };
    let rows = Rows {
        answer_logprob: answers(&|row| tests.contains(&row)),
        answer_logprob_mean: answers(&|row| !tests.contains(&row)),
        ..planted.rows()
    };
    let data = Memory::new(rows).with_layer("hook_embed", plus, minus);
    let methods = Some(vec![Method::LR, Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT]);
    let report = fit(&data, &Settings { methods, ..settings() }, 1).report;
    let own = report.zero_shot.unwrap();
    assert_eq!(own.readings.len(), 4);
    assert_eq!(own.bar_reading().unwrap().score, AnswerScore::Mean);
    assert_eq!(own.bar_reading().unwrap().train.auroc, Some(1.0));
    let oracle = &own.readings[own.oracle.unwrap()];
    assert_eq!((oracle.score, oracle.test.auroc), (AnswerScore::Sum, Some(1.0)));
    // Without intervals on training rows, with them on test rows.
    assert!(own.readings.iter().all(|r| r.train.auroc_ci.is_none() && r.test.auroc_ci.is_some()));
    let [beyond] = &own.beyond[..] else { panic!("{:?}", own.beyond) };
    let lr = report.chosen[&Method::LR].test.as_ref().unwrap().auroc.unwrap();
    let bar = own.readings[own.bar.unwrap()].test.auroc.unwrap();
    assert!((beyond.difference.auroc.unwrap().value - (lr - bar)).abs() < 1e-12);
    let verdict = report.verdicts.iter().find(|v| v.finding == Finding::BetterThanZeroShot).unwrap();
    assert!(
        verdict.text.contains("(mean log-probability, of 4 readings the best on the training rows)"),
        "{}",
        verdict.text
    );
}

#[test]
fn a_layer_where_a_method_has_nothing_to_fit_says_so_and_the_others_go_on() {
    // The sides vary, but one as the other.
    let planted = Planted::new(80, 5, 1.0, 6);
    let data = Memory::new(planted.rows())
        .with_layer("hook_embed", planted.plus.clone(), planted.plus.clone())
        .with_layer("blocks.0.hook_resid_post", planted.plus.clone(), planted.minus.clone());
    let methods = probes().chain([Method::RANDOM]).collect();
    let report = fit(&data, &Settings { methods: Some(methods), ..settings() }, 1).report;
    let tpc = &report.layers[0].methods[&method("tpc")];
    assert!(tpc.probe.is_none() && tpc.note.as_ref().unwrap().contains("could not be fitted"), "{tpc:?}");
    assert!(probes().all(|m| report.chosen[&m].layer.is_some()));
    assert_eq!(report.chosen[&method("tpc")].layer, Some(1));
}

#[test]
fn projecting_makes_ccs_determined_and_its_weights_lie_in_the_span() {
    let planted = Planted::new(90, 200, 4.0, 8);
    let settings = Settings { methods: Some(vec![Method::CCS, Method::LR]), ..settings() };
    let mut settings = settings.normalized(Normalization::MeanOnly);
    settings.seeds = 0;
    settings.shuffles = 0;
    let wide = fit(&one_layer(&planted), &settings, 1).report;
    let marked = |v: &&ccs_report::sentences::Verdict| v.finding == Finding::Underdetermined;
    let mark = wide.verdicts.iter().find(marked).unwrap();
    assert!(mark.text.contains("regularize CCS with L2, project"), "{}", mark.text);
    settings.ccs.project = Some(5);
    let done = fit(&one_layer(&planted), &settings, 1);
    assert!(!done.report.layers[0].underdetermined && !done.report.verdicts.iter().any(|v| marked(&v)));
    let accuracy = |report: &Report| report.layers[0].methods[&Method::CCS].test.accuracy;
    assert!(accuracy(&done.report) > 0.95, "{} {}", accuracy(&done.report), accuracy(&wide));
    let fits = done.report.recursive.unwrap();
    assert_eq!(fits.iterations[0].test, done.report.layers[0].methods[&Method::CCS].test);

    // All directions that there are: nothing is projected away, only turned.
    let small = Planted::new(60, 6, 2.0, 9).contrast();
    let options = Ccs { n_init: 2, max_iter: 50, project: Some(3), ..Ccs::default() };
    let fit = ccs(&small, &options, &SeedTree::new(0)).unwrap();
    let differences = fit.probe.normalizer().differences(&small, tch::Kind::Double).unwrap();
    let (_, _, v) = differences.svd(true, true); // [6, 6]
    let rest = v.narrow(1, 3, 3).tr().mv(&fit.probe.weight().to_kind(tch::Kind::Double));
    assert!(rest.abs().max().double_value(&[]) < 1e-5, "{rest:?}");
    assert_eq!(fit.probe.dim(), 6);
    assert_eq!(in_hidden_layers(&small), 6);
}

/// D of a probe with a hidden layer on projected states.
fn in_hidden_layers(pairs: &Contrast) -> usize {
    let hidden = vec![4];
    let options = Ccs { n_init: 2, max_iter: 20, project: Some(3), hidden, ..Ccs::default() };
    let fit = ccs(pairs, &options, &SeedTree::new(0)).unwrap();
    let p: Vec<f64> = fit.probe.score_pairs(pairs).unwrap();
    assert!(p.iter().all(|p| (0.0..=1.0).contains(p)));
    let terms = fit.probe.loss(pairs).unwrap();
    assert!((terms.total() - fit.terms.total()).abs() < 1e-5, "the lifted probe is the one that was fitted");
    fit.probe.dim()
}

#[test]
fn every_normalization_reaches_every_method() {
    let planted = Planted::new(160, 6, 2.0, 12);
    for kind in Normalization::ALL {
        let settings = Settings { recursive: 1, seeds: 1, shuffles: 1, ..settings() }.normalized(kind);
        let done = fit(&one_layer(&planted), &settings, 1);
        assert_eq!(done.probes.len(), probes().count());
        for (method, _, probe) in &done.probes {
            assert_eq!(probe.normalizer().kind(), kind, "{method}");
            let accuracy = done.report.layers[0].methods[method].test.accuracy;
            assert!(accuracy > 0.9, "{method} under {kind}: {accuracy}");
        }
    }
}

#[test]
fn the_penalty_of_plain_logistic_regression_is_chosen_too_if_asked_for() {
    let planted = Planted::new(160, 6, 0.5, 13);
    let methods = Some(vec![Method::LR, method("lr_pairs")]);
    let chosen = Settings { lr_cross_validated: true, methods, ..settings() };
    let done = fit(&one_layer(&planted), &chosen, 1);
    let found = &done.report.layers[0].methods;
    let l2 = found[&Method::LR].l2.unwrap();
    let grid = ccs::methods::logistic::GRID;
    assert!(grid.contains(&l2) && grid.contains(&found[&method("lr_pairs")].l2.unwrap()));
    assert_eq!(done.probes[0].2.meta()["fit"]["l2"], l2);
    let close = fit(&one_layer(&planted), &chosen, 2).report.diagnostics;
    assert_eq!(close, done.report.diagnostics);
}

#[test]
fn parts_that_a_run_does_not_have_are_optional() {
    let planted = Planted::new(80, 4, 2.0, 14);
    let done = fit(&one_layer(&planted), &Settings { methods: None, ..settings() }, 1);
    let mut bare = serde_json::to_value(&done.report).unwrap();
    let parts = ["diagnostics", "seeds", "shuffled", "recursive", "comparisons", "chosen_without_labels"];
    for part in parts {
        bare.as_object_mut().unwrap().remove(part);
    }
    for part in ["normalization", "lr_cross_validated", "recursive", "seeds", "shuffles", "true_share"] {
        bare["settings"].as_object_mut().unwrap().remove(part);
    }
    let read = Report::from_json(&serde_json::to_vec(&bare).unwrap()).unwrap();
    assert_eq!(read.layers, done.report.layers);
    assert!(read.comparisons.is_empty() && read.summary().contains("CCS predicts the labels at layer"));
}
