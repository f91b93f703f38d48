//! Whole runs on data in memory: what the report says, and that it says the same again.

use crate::data::run;
use ccs::Probe;
use ccs_report::Method;
use ccs_report::Report;
use ccs_report::sentences::Finding;
use ccs_trainer::Error;
use ccs_trainer::RunDir;
use ccs_trainer::{Compute, Memory, NewRunDir, Overwrite, Run, Settings};
use serde_json::Value;

use crate::data::{Planted, three_layers};
use crate::store::every_file;

fn settings() -> Settings {
    let mut settings = Settings { directions: 100, folds: 3, ..Settings::default() };
    settings.ccs.max_iter = 300;
    settings.ccs.n_init = 3;
    settings
}

fn fit(data: &Memory, settings: &Settings, threads: usize) -> Run {
    run(data, settings, Compute { threads, ..Compute::default() }).unwrap()
}

#[test]
fn truth_is_found_where_it_is_and_nowhere_else() {
    let done = fit(&three_layers(240, 12), &settings(), 0);
    let report = &done.report;
    let [constant, noise, truth] = &report.layers[..] else { panic!() };

    assert!(constant.degenerate && constant.notes[0].contains("the same for every training row"));
    let guess = &constant.methods[&Method::CCS];
    assert_eq!((guess.test.auroc, guess.test.auroc_ci), (Some(0.5), Some([0.5, 0.5])));
    assert!(guess.probe.is_none() && guess.cross_validation.is_none());

    let auroc = |layer: &ccs_report::LayerReport, method| layer.methods[&method].test.auroc_ci.unwrap();
    for method in [Method::CCS, Method::LR] {
        assert!(auroc(noise, method)[0] < 0.5 && 0.5 < auroc(noise, method)[1], "{method}");
        assert!(auroc(truth, method)[0] > 0.9, "{method}");
        let chosen = &report.chosen[&method];
        assert_eq!(chosen.layer, Some(2));
        assert_eq!(chosen.test.as_ref(), Some(&truth.methods[&method].test));
        let oracle = chosen.oracle.unwrap();
        assert_eq!((oracle.layer, oracle.gap), (2, 0.0));
    }
    let random = &truth.methods[&Method::RANDOM].test;
    let [low, high] = random.accuracy_ci.unwrap();
    assert!(low < random.accuracy && random.accuracy < high);
    assert_eq!(truth.methods[&Method::ZERO_SHOT].test.accuracy, 1.0);
    let majority = &truth.methods[&Method::MAJORITY].test;
    assert!(majority.accuracy <= report.majority && majority.auroc == Some(0.5));

    let about = |finding| report.verdicts.iter().any(|v| v.method == Method::CCS && v.finding == finding);
    assert!(about(Finding::BetterThanRandom), "{:?}", report.verdicts);
    let difference = truth
        .differences
        .iter()
        .map(|c| &c.difference)
        .find(|d| d.second == Method::RANDOM && d.first == Method::CCS)
        .unwrap();
    assert!(difference.auroc.unwrap().ci.unwrap()[0] > 0.0 && difference.accuracy.is_none());
    assert!(truth.methods[&Method::LR].gradient.unwrap() <= 1e-6);
    let loss = truth.methods[&Method::CCS].loss.as_ref().unwrap();
    assert_eq!(loss.restarts.len(), 3);
    assert_eq!(loss.train.total(), loss.restarts.iter().copied().flatten().fold(f64::INFINITY, f64::min));
}

#[test]
fn noise_is_reported_as_chance_and_too_few_rows_as_such() {
    let noise = Planted::new(160, 120, 0.0, 9);
    let data = Memory::new(noise.rows()).with_layer("hook_embed", noise.plus.clone(), noise.minus.clone());
    let report = fit(&data, &settings(), 0).report;
    assert!(report.layers[0].underdetermined);
    let ccs: Vec<_> = report.verdicts.iter().filter(|v| v.method == Method::CCS).collect();
    let chance = ccs.iter().find(|v| v.finding == Finding::NotShown).unwrap();
    assert!(chance.text.starts_with("CCS is not shown to predict the labels at layer"), "{}", chance.text);
    assert!(ccs.iter().any(|v| v.finding == Finding::Underdetermined && v.text.contains("zero loss")));
    assert!(ccs.iter().all(|v| v.layer.is_some()), "neither is above chance: there is nothing to compare");
}

#[test]
fn few_test_groups_conclude_nothing() {
    for (rows, test_fraction, groups) in [(40, 0.4, 8), (24, 0.08, 1)] {
        let truth = Planted::new(rows, 2, 5.0, 3);
        let data = Memory::new(truth.rows()).with_layer("hook_embed", truth.plus, truth.minus);
        let report = fit(&data, &Settings { folds: 2, test_fraction, ..settings() }, 1).report;
        assert_eq!(report.groups.test, groups);
        assert!(report.groups_of_rarer_label < 10, "{:?}", report.groups_of_rarer_label);
        assert!(report.notes[0].contains("(fewer than 10)"), "{:?}", report.notes);
        let findings: Vec<Finding> = report.verdicts.iter().map(|v| v.finding).collect();
        assert_eq!(findings, [Finding::TooFewGroups; 4], "{:?}", report.verdicts);
        let one_label = report.positives.test == 0 || report.positives.test == report.rows.test;
        let said = report.notes.iter().any(|note| note.contains("test rows are labeled"));
        assert_eq!(said, one_label, "{:?}", report.notes);
        let layer = &report.layers[0];
        assert_eq!(layer.methods[&Method::CCS].test.accuracy_ci.is_some(), groups > 1);
        let of_accuracy = layer.differences.iter().filter_map(|c| c.difference.accuracy);
        assert!(
            of_accuracy.clone().count() > 0 && of_accuracy.clone().all(|d| d.ci.is_some() == (groups > 1))
        );
    }
}

#[test]
fn only_degenerate_layers_choose_none() {
    let rows = Planted::new(40, 1, 0.0, 9).rows();
    let data = Memory::new(rows).with_layer("hook_embed", vec![1.0; 80], vec![2.0; 80]);
    let done = fit(&data, &settings(), 0);
    assert_eq!(done.report.chosen[&Method::CCS].layer, None);
    assert!(done.report.verdicts.iter().any(|v| v.finding == Finding::NothingToFit));
    assert!(done.probes.is_empty());
}

#[test]
fn a_subset_of_layers_gives_the_bytes_of_the_full_run() {
    let data = three_layers(120, 8);
    let full = fit(&data, &settings(), 2);
    let part = fit(&data, &Settings { layers: "2".parse().unwrap(), ..settings() }, 1);
    // All but the intervals that have the number of layers in mind.
    let json = |report: &Report, at: usize| {
        let mut layer = report.layers[at].clone();
        for c in &mut layer.differences {
            assert_eq!(c.layers, report.layers.len());
            (c.layers, c.accuracy_ci, c.auroc_ci) = (1, None, None);
        }
        serde_json::to_string(&layer).unwrap()
    };
    assert_eq!(json(&part.report, 0), json(&full.report, 2));
    let probes = |run: &Run| -> Vec<Vec<u8>> {
        run.probes.iter().filter(|(_, layer, _)| *layer == 2).map(|(_, _, p)| p.to_bytes().unwrap()).collect()
    };
    assert_eq!(probes(&part).len(), 4);
    assert_eq!(probes(&part), probes(&full));
    assert_eq!(part.split, full.split);
}

#[test]
fn a_seed_gives_the_same_folder_and_another_seed_another() {
    let data = three_layers(120, 8);
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, settings: &Settings, threads| {
        let path = dir.path().join(name);
        fit(&data, settings, threads).write(&path, Overwrite::No).unwrap();
        every_file(&path)
    };
    let first = write("a", &settings(), 1);
    assert!(first == write("b", &settings(), 3), "the number of threads must not matter");
    assert!(first["split.json"] != write("c", &Settings { seed: 1, ..settings() }, 1)["split.json"]);
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "plots/accuracy.svg",
            "plots/auroc.svg",
            "predictions.csv",
            "predictions.parquet",
            "probes/ccs/layer_01.safetensors",
            "probes/ccs/layer_02.safetensors",
            "probes/lr/layer_01.safetensors",
            "probes/lr/layer_02.safetensors",
            "probes/mean_difference/layer_01.safetensors",
            "probes/mean_difference/layer_02.safetensors",
            "probes/tpc/layer_01.safetensors",
            "probes/tpc/layer_02.safetensors",
            "report.html",
            "report.json",
            "results.csv",
            "results.parquet",
            "rows.parquet",
            "split.json",
            "sums.json",
        ]
    );
}

#[test]
fn a_folder_holds_what_the_run_found() {
    let data = three_layers(120, 8);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let done = fit(&data, &settings(), 0);
    done.write(&out, Overwrite::No).unwrap();
    assert_eq!(RunDir::open(&out).and_then(|run| run.report()).unwrap(), done.report);

    // The keys that others read.
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert!(report["majority"].as_f64().unwrap() >= 0.5);
    assert_eq!(report["rows"]["train"].as_u64().unwrap() + report["rows"]["test"].as_u64().unwrap(), 120);
    assert_eq!(report["layers"][2]["layer"], 2);
    for method in ["ccs", "lr", "random", "zero_shot", "calibrated_zero_shot", "majority"] {
        let test = &report["layers"][2]["methods"][method]["test"];
        assert!(test["accuracy"].is_f64() && test["accuracy_ci"].as_array().unwrap().len() == 2, "{method}");
        assert!(test["auroc"].is_f64() && test["auroc_ci"].as_array().unwrap().len() == 2, "{method}");
    }
    assert_eq!(report["chosen"]["ccs"]["layer"], 2);
    assert!(report["chosen"]["lr"]["rule"].as_str().unwrap().contains("3-fold"));
    assert_eq!(report["chosen"]["lr"]["uses_labels"], true);

    // The probe that the report names gives the report's accuracy on the split's test rows.
    let name = report["layers"][2]["methods"]["ccs"]["probe"].as_str().unwrap();
    let probe = Probe::load(out.join(name)).unwrap();
    assert_eq!(probe.meta()["layer"], 2);
    let test = Planted::new(120, 8, 3.0, 1).contrast().select(&done.split.test.row).unwrap();
    assert_eq!(probe.accuracy(&test).unwrap(), done.report.layers[2].methods[&Method::CCS].test.accuracy);

    // No group on both sides.
    assert!(done.split.test.group.iter().all(|g| !done.split.train.group.contains(g)));
    let csv = std::fs::read_to_string(out.join("results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 3 * 8);
    assert!(csv.starts_with("layer,hook,method,chosen,test_accuracy,"), "{csv}");
}

#[test]
fn a_run_is_not_overwritten_unasked_and_foreign_files_never() {
    let data = three_layers(120, 8);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let done = fit(&data, &Settings { layers: "2".parse().unwrap(), ..settings() }, 0);
    done.write(&out, Overwrite::No).unwrap();
    assert!(matches!(done.write(&out, Overwrite::No), Err(Error::RunExists { .. })));
    done.write(&out, Overwrite::Yes).unwrap();
    std::fs::write(out.join("notes.txt"), "mine").unwrap();
    std::fs::write(out.join("log.jsonl"), "{}\n").unwrap();
    std::fs::write(out.join("probes/ccs/layer_77.safetensors"), "of an earlier run").unwrap();
    done.write(&out, Overwrite::Yes).unwrap();
    let kept = every_file(&out);
    assert!(kept["notes.txt"] == b"mine" && kept["log.jsonl"] == b"{}\n");
    assert!(!kept.contains_key("probes/ccs/layer_77.safetensors"), "nothing of the earlier run stays");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing but the run stays");
    std::fs::write(dir.path().join("thesis.tex"), "mine").unwrap();
    assert!(matches!(done.write(dir.path(), Overwrite::Yes), Err(Error::RunExists { .. })));
}

#[test]
fn a_write_that_died_does_not_stand_in_the_way() {
    let data = three_layers(120, 8);
    let done = fit(&data, &Settings { layers: "2".parse().unwrap(), ..settings() }, 0);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let partial = dir.path().join("run.partial");
    // Killed among the probes, killed between the two renames.
    std::fs::create_dir_all(partial.join("probes/ccs")).unwrap();
    std::fs::write(partial.join("unfinished"), "").unwrap();
    done.write(&out, Overwrite::No).unwrap();
    let whole = every_file(&out);
    std::fs::rename(&out, dir.path().join("run.replaced")).unwrap();
    done.write(&out, Overwrite::No).unwrap();
    assert!(every_file(&out) == whole);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing but the run stays");

    // A folder of the same name that no write left behind.
    std::fs::create_dir(&partial).unwrap();
    std::fs::write(partial.join("thesis.tex"), "mine").unwrap();
    let error = done.write(&out, Overwrite::Yes).unwrap_err();
    assert!(matches!(&error, Error::RunExists { path, .. } if path.ends_with("run.partial")), "{error}");
    assert!(partial.join("thesis.tex").exists() && every_file(&out) == whole, "the run stays as it was");
}

#[test]
fn a_place_is_held_by_one_and_found_unwritable_before_the_fit() {
    let data = three_layers(120, 8);
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let listed = || std::fs::read_dir(dir.path()).unwrap().count();
    let held = NewRunDir::reserve(&out, Overwrite::No).unwrap();
    let error = NewRunDir::reserve(&out, Overwrite::No).unwrap_err();
    assert!(matches!(&error, Error::OutInUse { path } if path.ends_with("run")), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.starts_with("wait until it is done")), "{error}");
    let done = fit(&data, &Settings { layers: "2".parse().unwrap(), ..settings() }, 0);
    assert!(matches!(done.write(&out, Overwrite::Yes), Err(Error::OutInUse { .. })));
    assert!(dir.path().join("run.partial/unfinished").exists(), "what another holds stays");
    drop(held);
    assert_eq!(listed(), 0, "nothing stays of a place that was not used");

    let held = NewRunDir::reserve(&out, Overwrite::No).unwrap();
    held.write(&done).unwrap();
    let whole = every_file(&out);
    assert!(listed() == 1 && !whole.contains_key("unfinished"));
    // Somebody else's run came between.
    let held = NewRunDir::reserve(dir.path().join("late"), Overwrite::No).unwrap();
    std::fs::rename(&out, dir.path().join("late")).unwrap();
    assert!(matches!(held.write(&done), Err(Error::RunExists { .. })));
    assert!(every_file(&dir.path().join("late")) == whole, "it stays as it was");

    std::fs::write(dir.path().join("a file"), "").unwrap();
    let error = NewRunDir::reserve(dir.path().join("a file/run"), Overwrite::No).unwrap_err();
    assert!(error.to_string().contains("a file/run.partial"), "{error}");
}

#[test]
fn what_the_test_rows_would_have_kept_stands_beside_what_was_kept() {
    let weak = Planted::new(160, 40, 0.4, 5);
    let data = Memory::new(weak.rows()).with_layer("hook_embed", weak.plus, weak.minus);
    let settings = Settings { methods: Some(vec![Method::CCS]), ..settings() };
    let report = fit(&data, &settings, 1).report;
    let within = report.within_layer.as_ref().unwrap();
    let ccs = &report.layers[0].methods[&Method::CCS];
    assert_eq!((within.accuracy, Some(within.sign)), (ccs.test.accuracy, ccs.sign));
    let sign = within.oracle_sign;
    assert_eq!(sign.accuracy, within.accuracy.max(1.0 - within.accuracy));
    assert_eq!(sign.gap, sign.accuracy - within.accuracy);
    let restart = within.oracle_restart.unwrap();
    assert_eq!(restart.kept, ccs.loss.as_ref().unwrap().restart);
    assert!(restart.accuracy >= within.accuracy && restart.restart < 3, "{restart:?}");
    assert!(report.summary().contains(&within.sentence()));

    let mut hidden = settings;
    hidden.ccs.hidden = vec![3];
    assert!(fit(&data, &hidden, 1).report.within_layer.unwrap().oracle_restart.is_none());
}

#[test]
fn a_foreign_report_is_not_a_run() {
    let data = three_layers(120, 8);
    let done = fit(&data, &Settings { layers: "2".parse().unwrap(), ..settings() }, 0);
    let dir = tempfile::tempdir().unwrap();
    let next = serde_json::to_string(&Report { schema: Report::SCHEMA + 1, ..done.report.clone() }).unwrap();
    for foreign in ["{\"tests\": 12}", &next] {
        std::fs::write(dir.path().join("report.json"), foreign).unwrap();
        assert!(matches!(done.write(dir.path(), Overwrite::Yes), Err(Error::RunExists { .. })));
        assert_eq!(std::fs::read_to_string(dir.path().join("report.json")).unwrap(), foreign);
    }
}

#[test]
fn test_rows_change_no_probe_and_no_choice() {
    let planted = Planted::new(120, 8, 1.0, 5);
    let memory = |planted: &Planted, ids: Vec<String>| {
        let rows = ccs_trainer::Rows { ids, ..planted.rows() };
        Memory::new(rows).with_layer("hook_embed", planted.plus.clone(), planted.minus.clone())
    };
    let first = fit(&memory(&planted, planted.rows().ids), &settings(), 1);
    let mut other = Planted::new(120, 8, 1.0, 5);
    let mut ids = other.rows().ids;
    for &row in &first.split.test.row {
        ids[row].push_str(" renamed");
        other.plus[row * 8..(row + 1) * 8].iter_mut().for_each(|x| *x = 100.0 - *x);
    }
    let second = fit(&memory(&other, ids), &settings(), 1);
    assert_eq!((first.probes.len(), second.probes.len()), (4, 4));
    for ((_, _, a), (_, _, b)) in first.probes.iter().zip(&second.probes) {
        assert_eq!(a.to_bytes().unwrap(), b.to_bytes().unwrap());
        assert!(a.meta()["fit"]["cross_validation_accuracy"].is_f64(), "{:?}", a.meta());
    }
    for method in [Method::CCS, Method::LR] {
        let of = |run: &Run| run.report.layers[0].methods[&method].clone();
        assert_eq!(of(&first).cross_validation, of(&second).cross_validation);
        assert_eq!(of(&first).train, of(&second).train);
        assert_ne!(of(&first).test, of(&second).test);
        assert_eq!(first.report.chosen[&method].layer, second.report.chosen[&method].layer);
    }
}

#[test]
fn threads_change_nothing_where_libtorch_would_share_out_a_sum() {
    // Large enough for LibTorch to use several threads of its own, were it let to.
    let layers = [1, 2].map(|seed| Planted::new(600, 256, 0.5, seed));
    let data = layers.iter().fold(Memory::new(layers[0].rows()), |data, layer| {
        data.with_layer("hook", layer.plus.clone(), layer.minus.clone())
    });
    let mut settings = Settings { directions: 10, folds: 2, ..settings() };
    (settings.ccs.max_iter, settings.ccs.n_init) = (20, 2);
    let (one, two) = (fit(&data, &settings, 1), fit(&data, &settings, 2));
    assert_eq!(one.report, two.report);
    assert_eq!((one.probes.len(), two.probes.len()), (8, 8));
    for ((_, _, a), (_, _, b)) in one.probes.iter().zip(&two.probes) {
        assert!(a.to_bytes().unwrap() == b.to_bytes().unwrap());
    }
    let layer = &one.report.layers[0];
    assert!(layer.underdetermined == (one.split.train.row.len() / 2 < 256), "{:?}", layer.notes);
    assert!(layer.notes.iter().all(|note| note.contains("in a fold")), "{:?}", layer.notes);
}
