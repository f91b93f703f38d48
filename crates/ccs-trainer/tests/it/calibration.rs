//! Probabilities: what they are fitted on, which probe has any, and where they are kept.

use crate::data::method;
use ccs::Probe;
use ccs::stats::calibrate::Platt;
use ccs_report::Method;
use ccs_trainer::{Fitted, Memory, Overwrite, Settings};

use crate::data::Planted;
use crate::methods::{fit, settings};

fn one_layer(planted: &Planted) -> Memory {
    Memory::new(planted.rows()).with_layer("hook_embed", planted.plus.clone(), planted.minus.clone())
}

fn quick(methods: &[Method]) -> Settings {
    let methods = Some([methods, &[Method::RANDOM]].concat());
    Settings { methods, seeds: 0, shuffles: 0, recursive: 0, ..settings() }
}

#[test]
fn the_scaling_is_saved_with_every_probe_and_the_report_s_is_the_chosen_one_s() {
    let probes: Vec<Method> = ccs_trainer::method::ALL
        .iter()
        .filter(|m| m.fits_probes && m.pairs)
        .map(ccs_trainer::method::Known::method)
        .collect();
    let done = fit(&one_layer(&Planted::new(160, 6, 1.0, 3)), &quick(&probes), 1);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    done.write(&out, Overwrite::No).unwrap();
    let own =
        [Method::CCS, Method::LR, method("lr_statements"), method("lr_pairs"), method("lda"), method("inlp")];
    for method in probes {
        let fitted = Fitted::open(&out, method, None).unwrap();
        let platt = fitted.probe.calibration().platt.unwrap();
        let close = &done.report.diagnostics[&method];
        let calibration = close.calibration.as_ref().unwrap();
        assert_eq!(
            (platt.a, platt.b),
            (calibration.platt.a, calibration.platt.b),
            "{method}: to the last bit"
        );
        assert!(platt.a > 0.0, "{method}: {platt:?}");
        assert!(calibration.fitted_on.contains("held-out scores of 3-fold"), "{}", calibration.fitted_on);
        assert_eq!(fitted.probe.meta()["fit"]["platt"], calibration.fitted_on.as_str());
        // Directions of no fixed scale have no probabilities before it.
        let says = own.contains(&method);
        assert_eq!(fitted.probe.own_probability(0.3).is_some(), says, "{method}");
        assert_eq!(calibration.ece_before.is_some(), says, "{method}");
        assert_eq!(close.histogram.as_ref().unwrap().calibrated, !says, "{method}");
        assert!(calibration.reliability.ece < 0.2, "{method}: {}", calibration.reliability.ece);
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(
        page.contains("the unscaled scores are not probabilities") && page.contains("p, after Platt scaling")
    );
}

#[test]
fn where_rows_are_fewer_than_dimensions_training_scores_are_not_believed() {
    // Nothing to be found: every fit separates its training rows all the same.
    let planted = Planted::new(90, 200, 0.0, 21);
    let done = fit(&one_layer(&planted), &quick(&[Method::LR, method("mean_difference")]), 1);
    let pairs = planted.contrast();
    let train = pairs.select(&done.split.train.row).unwrap();
    let test = pairs.select(&done.split.test.row).unwrap();
    assert_eq!(done.probes.len(), 2);
    for (method, _, probe) in &done.probes {
        assert!(probe.accuracy(&train).unwrap() > 0.99, "{method}");
        let in_sample = Platt::fit(&probe.score_pairs(&train).unwrap(), train.labels()).unwrap();
        let mean_certainty = |platt: &Platt| {
            let p = platt.probabilities(&probe.score_pairs(&test).unwrap());
            p.iter().map(|p| (p - 0.5).abs()).sum::<f64>() / p.len() as f64
        };
        let held_out = probe.calibration().platt.unwrap();
        assert!(mean_certainty(&in_sample) > 0.3, "{method}: {}", mean_certainty(&in_sample));
        assert!(mean_certainty(&held_out) < 0.15, "{method}: {}", mean_certainty(&held_out));
    }
}

#[test]
fn a_turned_fold_is_read_with_its_own_sign() {
    // CCS and TPC find an axis; which end of it is truth each fold says anew.
    let done = fit(&one_layer(&Planted::new(200, 4, 3.0, 8)), &quick(&[Method::CCS, method("tpc")]), 1);
    assert_eq!(done.probes.len(), 2);
    for (method, _, probe) in &done.probes {
        let held_out = done.report.layers[0].methods[method].cross_validation.unwrap();
        assert!(held_out.accuracy > 0.95, "{method}");
        let threshold = probe.input().threshold();
        let [above, below] = [0.4, -0.4].map(|by| probe.probability(threshold + by).unwrap());
        assert!(above > 0.55 && below < 0.45, "{method}: {above} {below}");
    }
}

#[test]
fn a_probe_without_a_scaling_still_opens() {
    let done = fit(&one_layer(&Planted::new(80, 4, 2.0, 4)), &quick(&[Method::LR, method("tpc")]), 1);
    for (method, _, mut probe) in done.probes {
        probe.set_platt(None);
        let file = tempfile::NamedTempFile::new().unwrap();
        probe.save(file.path()).unwrap();
        let back = Probe::load(file.path()).unwrap();
        assert_eq!(back.calibration(), probe.calibration());
        assert_eq!(back.probability(1.0).is_some(), method == Method::LR);
    }
}

#[test]
fn a_penalty_is_not_passed_over_in_what_is_said_of_too_few_rows_and_of_its_choice() {
    let planted = Planted::new(90, 200, 1.0, 5);
    let mut settings = quick(&[Method::CCS, method("lr_statements")]);
    let plain = fit(&one_layer(&planted), &settings, 1).report;
    assert!(plain.layers[0].notes[0].contains("CCS reaches zero loss") && plain.layers[0].underdetermined);
    let note = plain.layers[0].methods[&method("lr_statements")].note.as_ref().unwrap();
    assert!(note.contains("was chosen on the same 3 folds"), "{note}");
    assert!(plain.layers[0].methods[&Method::CCS].note.is_none());
    settings.ccs.l2 = 0.01;
    settings.ccs.optimizer = ccs::methods::ccs::Optimizer::Lbfgs;
    let penalized = fit(&one_layer(&planted), &settings, 1).report;
    let note = &penalized.layers[0].notes[0];
    assert!(penalized.layers[0].underdetermined && note.contains("the L2 penalty of 0.01"), "{note}");
    assert!(!note.contains("regularize"), "{note}");
}

#[test]
fn a_guess_in_place_of_a_fit_is_marked_in_tables_and_on_the_page() {
    // The sides vary, but one as the other: some methods have nothing to fit.
    let planted = Planted::new(80, 5, 1.0, 6);
    let data = Memory::new(planted.rows())
        .with_layer("hook_embed", planted.plus.clone(), planted.plus.clone())
        .with_layer("blocks.0.hook_resid_post", planted.plus.clone(), planted.minus.clone());
    let done = fit(&data, &quick(&[method("tpc"), Method::LR, Method::MAJORITY]), 1);
    assert!(
        !done.report.layers[0].degenerate && done.report.lacks_fit(&done.report.layers[0], method("tpc"))
    );
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    done.write(&out, Overwrite::No).unwrap();

    let csv = std::fs::read_to_string(out.join("results.csv")).unwrap();
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let at = |name: &str| head.iter().position(|column| *column == name).unwrap();
    let lr_fits = done.report.layers[0].methods[&Method::LR].probe.is_some().to_string();
    for row in lines {
        let expected = match (row[at("method")], row[at("layer")]) {
            ("tpc", "0") => "false",
            ("lr", "0") => &lr_fits,
            ("tpc" | "lr", _) => "true",
            _ => "", // fits nothing
        };
        assert_eq!(row[at("fitted")], expected, "{row:?}");
    }
    let summary = done.report.summary();
    let layer = summary.lines().find(|line| line.contains("hook_embed")).unwrap();
    assert!(layer.contains(" †"), "{summary}");
    assert!(summary.contains("† not fitted, the majority class instead: tpc at 0"), "{summary}");
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("fit failed</span> – the numbers") && page.contains(" †<"), "legend and mark");
}

#[test]
fn the_table_of_methods_has_its_controls_and_fits_a_terminal() {
    let all = ccs_trainer::method::all(ccs_report::RowKind::Pairs, false).collect();
    let done = fit(&crate::data::three_layers(160, 8), &Settings { methods: Some(all), ..settings() }, 1);
    let summary = done.report.summary();
    let table: Vec<&str> = summary.lines().skip_while(|line| !line.starts_with("method ")).collect();
    assert!(
        table[0]
            .split_whitespace()
            .eq(["method", "layer", "accuracy", "AUROC", "ECE", "random", "seeds", "shuffled"])
    );
    let end = table.iter().position(|line| line.starts_with('(')).unwrap();
    assert!(table[..=end].iter().all(|line| line.chars().count() <= 100), "{summary}");
    let row = |name: &str| table.iter().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
    let seeds = &done.report.seeds[&Method::CCS].accuracies;
    let highest = seeds.iter().copied().fold(0.0, f64::max);
    assert!(row("ccs").contains(&format!("/{highest:.2}  ")), "{summary}");
    let ece = done.report.diagnostics[&Method::CCS].calibration.as_ref().unwrap().reliability.ece;
    assert!(row("ccs").contains(&format!("  {ece:.2}  ")), "{summary}");
    let [low, high] = done.report.layers[2].methods[&Method::RANDOM].test.accuracy_ci.unwrap();
    assert!(row("lr").contains(&format!("{low:.2}-{high:.2}")), "{summary}");
    // What a run does not have takes no room.
    let bare = fit(&crate::data::three_layers(100, 4), &quick(&[Method::LR]), 1).report.summary();
    assert!(!bare.contains("seeds") && !bare.contains("shuffled"), "{bare}");
}
