//! `ccs sweep`: from store to store.

use ccs_trainer::RunDir;
use std::path::Path;

use ccs_report::Evaluation;
use ccs_report::Method;
use ccs_trainer::Error;
use ccs_trainer::StoreSource;
use ccs_trainer::{
    Dataset, Fitted, LayerSelection, Memory, NewRunDir, Overwrite, Pooled, Settings, Source as _, Sweep,
};
use serde_json::json;

use crate::data::Planted;
use crate::store::{QUICK, Stored, ccs, files, json_of, quick, refused, succeeds, text};

/// Truth along the first axis in `a` and `b`, the other way round in `c`.
fn stores(dir: &Path) {
    Stored { dataset: "a", ..Stored::default() }.write(&dir.join("one"));
    Stored { dataset: "b", seed: 2, passages_from: 100, ..Stored::default() }.write(&dir.join("two"));
    let reversed = Stored { dataset: "c", seed: 3, strength: -3.0, passages_from: 200, ..Stored::default() };
    reversed.write(&dir.join("three"));
}

fn report_rows(test: Option<&Evaluation>) -> usize {
    test.and_then(|test| test.confusion).unwrap().rows()
}

#[test]
fn probes_go_from_store_to_store() {
    let dir = tempfile::tempdir().unwrap();
    stores(dir.path());
    let done = quick(dir.path(), &["sweep", "one", "two", "three", "--out", "out"]);
    assert!(text(&done.stdout).contains("CCS: accuracy by evaluation data"), "{}", text(&done.stdout));
    let out = dir.path().join("out");
    let report = RunDir::open(&out).and_then(|run| run.report()).unwrap();
    for method in [Method::CCS, Method::LR] {
        let found = &report.transfer[&method];
        assert_eq!(found.datasets, ["a", "b", "c", "all"]);
        assert_eq!(found.layers.len(), 4);
        assert_eq!(found.layers[..3], [Some(1); 3], "{method}");
        let accuracy = |from: usize, to: usize| found.cells[from][to].as_ref().unwrap().accuracy;
        for (from, to) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)] {
            assert!(accuracy(from, to) > 0.9, "{method} {from} {to}: {}", accuracy(from, to));
        }
        for (from, to) in [(0, 2), (1, 2), (2, 0), (2, 1)] {
            assert!(accuracy(from, to) < 0.1, "{method} {from} {to}: {}", accuracy(from, to));
        }
        // Two of three.
        assert!((accuracy(0, 3) - 2.0 / 3.0).abs() < 0.15, "{method}: {}", accuracy(0, 3));
        // The diagonal is what each run says of itself, and so is the run of all.
        for (at, name) in ["a", "b", "c"].iter().enumerate() {
            let own = RunDir::open(out.join("runs").join(name)).and_then(|run| run.report()).unwrap();
            assert_eq!(own.chosen[&method].test.as_ref(), found.cells[at][at].as_ref(), "{method} {name}");
        }
        assert_eq!(report.chosen[&method].test.as_ref(), found.cells[3][3].as_ref());

        // Two that agree say nothing true of the third.
        let but_c = found.left_out[2].as_ref().unwrap();
        assert_eq!((found.left_out.len(), but_c.layer), (3, 1));
        assert!(but_c.test.accuracy < 0.1, "{method}: {}", but_c.test.accuracy);
        assert!(but_c.test.accuracy_ci.is_some());
        assert_eq!(but_c.test.confusion.unwrap().rows(), report_rows(found.cells[2][2].as_ref()));
        let over_own = but_c.against.over_own.as_ref().unwrap();
        assert!((over_own.accuracy.unwrap().value - (but_c.test.accuracy - accuracy(2, 2))).abs() < 1e-12);
        assert!(but_c.against.over_zero_shot.is_some() && but_c.against.random.is_none());

        // Directions are compared at the layer chosen for all of them.
        let directions = found.directions.as_ref().unwrap();
        assert_eq!(Some(directions.layer), report.chosen[&method].layer);
        assert_eq!(directions.datasets, ["a", "b", "c", "all"]);
        if directions.layer == 1 {
            for cosines in [&directions.cosine, &directions.mahalanobis] {
                // Of 48 rows each, in six dimensions of which one says something.
                assert!(cosines[0][1] > 0.5 && cosines[0][2] < -0.5, "{method}: {cosines:?}");
                assert!(cosines.iter().enumerate().all(|(at, row)| (row[at] - 1.0).abs() < 1e-12));
                assert!((cosines[1][2] - cosines[2][1]).abs() < 1e-12);
            }
        }
    }
    assert!(text(&done.stdout).contains("\nall others "), "{}", text(&done.stdout));
    assert_eq!(report.rows.train + report.rows.test, 240);
    assert_eq!(report.data["datasets"][1]["name"], "b");
    assert_eq!(report.data["made_by"]["dataset"], "a, b, c");
    let csv = text(&std::fs::read(out.join("transfer.csv")).unwrap());
    assert!(csv.starts_with("method,fitted_on,layer,judged_on,rows,accuracy,"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 2 * (16 + 3));
    assert_eq!(csv.lines().filter(|line| line.contains(",all but c,1,c,")).count(), 2, "{csv}");
    assert!(out.join("report.html").exists() && out.join("log.jsonl").exists());
    assert!(!out.join("layers").exists() && !out.join("unfinished").exists());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "nothing but the sweep stays");

    // A single run says where its split is from, and the sweep's folder is a run too.
    assert!(
        RunDir::open(out.join("runs/a"))
            .and_then(|run| run.report())
            .unwrap()
            .notes
            .iter()
            .any(|note| note.contains("of the sweep"))
    );
    assert_eq!(
        Fitted::open(&out, Method::LR, None).unwrap().layer,
        report.chosen[&Method::LR].layer.unwrap()
    );
    let evaluated = json_of(ccs(dir.path(), &["eval", "out/runs/a", "two", "--json"]));
    assert!(evaluated["probes"]["ccs"]["test"]["accuracy"].as_f64().unwrap() > 0.9);

    // Templates are told apart by data set in the pool, and so unknown in a store by itself; that is said.
    let pool = json_of(ccs(dir.path(), &["eval", "out", "two", "--json"]));
    assert!(pool["notes"].to_string().contains("templates that the probes were not fitted on"), "{pool}");
    assert!(!evaluated["notes"].to_string().contains("not fitted on"), "{evaluated}");

    // The same again gives the same bytes; it is asked for by --overwrite, which leaves nothing of the first.
    refused(dir.path(), &["sweep", "one", "two", "--out", "out"], &["already holds a run", "--overwrite"]);
    let before = files(&out);
    quick(dir.path(), &["sweep", "one", "two", "three", "--out", "out", "--overwrite", "--threads", "1"]);
    assert!(files(&out) == before);
    quick(dir.path(), &["sweep", "x=one", "y=two", "--out", "out", "--overwrite"]);
    assert!(out.join("runs/x").exists() && !out.join("runs/a").exists());
}

/// Random directions beside a probe of all data sets but the first are normalized and signed by the training rows of the
/// others: here once more, from those data sets alone.
#[test]
fn random_directions_of_all_but_one_are_of_the_rows_that_trained_there() {
    let dir = tempfile::tempdir().unwrap();
    stores(dir.path());
    let methods = ["--methods", "lr,random", "--directions", "50", "--layers", "1"];
    let arguments = ["sweep", "one", "two", "three", "--out", "out"];
    succeeds(ccs(dir.path(), &[&arguments[..], &methods, &QUICK].concat()));
    let report = RunDir::open(dir.path().join("out")).and_then(|run| run.report()).unwrap();
    let found = report.transfer[&Method::LR].left_out[0].as_ref().unwrap();

    let sources = ["one", "two", "three"].map(|name| StoreSource::open(dir.path().join(name)).unwrap());
    let split = |name: &str| RunDir::open(dir.path().join("out/runs").join(name)).unwrap().split().unwrap();
    let pairs = |at: usize, rows: &[usize], side: &str| {
        let source = &sources[at];
        let [plus, minus] = source.load(&source.layers()[1]).unwrap().sides().unwrap();
        let labels = source.rows().labels.clone();
        let names: Vec<String> = (0..labels.len()).map(|row| format!("{at} {row}")).collect();
        let templates = vec![format!("{side}{at}/t"); labels.len()];
        let all = ccs::Contrast::new(plus, minus, labels, names.clone()).unwrap();
        all.with_variants(names, templates).unwrap().select(rows).unwrap()
    };
    let test = pairs(0, &split("a").test.row, "");
    let others = [pairs(1, &split("b").train.row, ""), pairs(2, &split("c").train.row, "")];
    let both = |of: &dyn Fn(&ccs::Contrast) -> ccs::tch::Tensor| {
        ccs::tch::Tensor::cat(&others.each_ref().map(of), 0)
    };
    let labels: Vec<bool> = others.iter().flat_map(|part| part.labels().to_vec()).collect();
    let names: Vec<String> = others.iter().flat_map(|part| part.groups().to_vec()).collect();
    let templates =
        others.iter().flat_map(|part| vec![part.template_names()[0].clone(); part.rows()]).collect();
    let train =
        ccs::Contrast::new(both(&|p| p.plus().copy()), both(&|p| p.minus().copy()), labels, names.clone())
            .and_then(|train| train.with_variants(names, templates))
            .unwrap();
    let stream = ccs::SeedTree::new(0).child("random").indexed("layer", 1);
    let directions =
        ccs::baselines::random_directions_as(ccs::Normalization::default(), &train, &test, 50, &stream)
            .unwrap();
    let mut accuracies: Vec<f64> =
        directions.predictions.iter().map(|d| d.against(test.labels()).unwrap().accuracy()).collect();
    accuracies.sort_by(f64::total_cmp);
    let median = f64::midpoint(accuracies[24], accuracies[25]);
    assert!((found.against.random.as_ref().unwrap().accuracy - median).abs() < 1e-12);
    assert!(found.against.over_random.is_some());
}

#[test]
fn a_passage_is_on_one_side_in_every_store() {
    let dir = tempfile::tempdir().unwrap();
    Stored { dataset: "a", ..Stored::default() }.write(&dir.path().join("one"));
    // The same passages and two more before them, so that a split of its own would be another.
    let more = Stored { dataset: "b", rows: 84, seed: 5, passages_from: 0, ..Stored::default() };
    more.write(&dir.path().join("two"));
    let arguments =
        ["sweep", "one", "two", "--out", "out", "--methods", "ccs,lr,random,zero_shot,calibrated_zero_shot"];
    let done = succeeds(ccs(dir.path(), &[&arguments[..], &QUICK[..]].concat()));
    let report = RunDir::open(dir.path().join("out")).and_then(|run| run.report()).unwrap();
    let run = |name: &str| {
        ccs_trainer::RunDir::open(dir.path().join("out/runs").join(name)).unwrap().split().unwrap()
    };
    let (a, b) = (run("a"), run("b"));
    let all = ccs_trainer::RunDir::open(dir.path().join("out")).unwrap().split().unwrap();
    for (tested, trained) in [(&a, &b), (&b, &a), (&a, &all), (&all, &a), (&all, &b)] {
        assert!(tested.test.group.iter().all(|group| !trained.train.group.contains(group)));
    }
    assert!(all.train.id[0].starts_with("a/"));
    assert_eq!(all.test.row.len(), a.test.row.len() + b.test.row.len());

    // Every column is judged on the rows of its own test side, whatever the probe was fitted on.
    let rows = |test: &Evaluation| {
        let c = test.confusion.unwrap();
        c.true_positive + c.false_positive + c.true_negative + c.false_negative
    };
    let found = &report.transfer[&Method::LR];
    // Of two, the other is all others.
    assert!(found.left_out.is_empty() && found.directions.is_some());
    let tested = [a.test.row.len(), b.test.row.len(), all.test.row.len()];
    for cells in &found.cells {
        assert_eq!(cells.iter().map(|cell| rows(cell.as_ref().unwrap())).collect::<Vec<_>>(), tested);
    }
    let cell = |from: usize, to: usize| found.against[from][to].as_ref().unwrap();
    let accuracy = |from: usize, to: usize| found.cells[from][to].as_ref().unwrap().accuracy;
    let over = cell(0, 1).over_own.as_ref().unwrap();
    let of_accuracy = over.accuracy.unwrap();
    assert!((of_accuracy.value - (accuracy(0, 1) - accuracy(1, 1))).abs() < 1e-12);
    assert!(of_accuracy.ci.is_some() && cell(1, 1).over_own.is_none());
    // On the diagonal the band of random directions and the model's answer are those of the run itself.
    let own = RunDir::open(dir.path().join("out/runs/b")).and_then(|run| run.report()).unwrap();
    let at = |method: Method| {
        own.layers.iter().find(|l| Some(l.layer) == found.layers[1]).unwrap().methods[&method].test.clone()
    };
    assert_eq!(cell(1, 1).random, Some(at(Method::RANDOM)));
    let answer = cell(0, 1).over_zero_shot.as_ref().unwrap().auroc.unwrap().value;
    let auroc = found.cells[0][1].as_ref().unwrap().auroc.unwrap();
    assert!((answer - (auroc - at(Method::ZERO_SHOT).auroc.unwrap())).abs() < 1e-12);
    for method in [Method::ZERO_SHOT, Method::CALIBRATED_ZERO_SHOT] {
        assert_eq!(report.transfer_answers[&method][1], Some(at(method)), "{method}");
    }
    let shown = text(&done.stdout);
    for part in ["minus that of the probe fitted there", "zero_shot", "random directions"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let csv = text(&std::fs::read(dir.path().join("out/transfer.csv")).unwrap());
    assert!(
        csv.lines()
            .next()
            .unwrap()
            .ends_with("auroc_minus_zero_shot,auroc_minus_zero_shot_low,auroc_minus_zero_shot_high")
    );
}

#[test]
fn what_cannot_be_fitted_leaves_a_note_and_not_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    Stored { dataset: "a", ..Stored::default() }.write(&dir.path().join("one"));
    let other = Stored { dataset: "b", seed: 2, passages_from: 100, ..Stored::default() };
    other.write(&dir.path().join("two"));
    // The same states in every row: nothing can be fitted.
    let constant = (vec![1.0; 80 * 6], vec![2.0; 80 * 6]);
    let labels: Vec<bool> = (0..80).map(|row| row % 3 == 0).collect();
    let flat = Stored { dataset: "c", passages_from: 200, ..Stored::default() };
    flat.write_states(&dir.path().join("three"), &labels, &constant, &constant);
    quick(dir.path(), &["sweep", "one", "two", "three", "--out", "out"]);
    let report = RunDir::open(dir.path().join("out")).and_then(|run| run.report()).unwrap();
    let found = &report.transfer[&Method::CCS];
    assert_eq!((found.layers[2], &found.cells[2]), (None, &vec![None; 4]));
    assert!(found.cells[0].iter().all(Option::is_some));
    let notes = report.notes.join("\n");
    assert!(notes.contains("ccs has no chosen layer on c"), "{notes}");

    // What would fail after the fits is found before them, by its name.
    let labels = vec![true; 20];
    let states = (vec![1.0; 20 * 6], vec![2.0; 20 * 6]);
    let one_class = Stored { dataset: "d", rows: 20, passages_from: 300, ..Stored::default() };
    one_class.write_states(&dir.path().join("four"), &labels, &states, &states);
    refused(dir.path(), &["sweep", "one", "four", "--out", "x"], &["of d are labeled true"]);
    assert!(!dir.path().join("x.partial").exists());
}

#[test]
fn stores_that_do_not_belong_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let here = |seed| Stored { seed, dataset: "d", passages_from: 100 * seed as usize, ..Stored::default() };
    here(1).write(&dir.path().join("store"));
    let expect = |name: &str, stored: Stored, parts: &[&str]| {
        stored.write(&dir.path().join(name));
        refused(dir.path(), &["sweep", "store", name, "--out", "out"], parts);
        assert!(!dir.path().join("out").exists() && !dir.path().join("out.partial").exists());
    };
    let settings = json!({ "model": { "identity": "ffff", "name": "other" } });
    expect(
        "model",
        Stored { settings, ..here(2) },
        &["model: the model is ffff (other); store is 0123456789ab…"],
    );
    expect("dim", Stored { dim: 5, ..here(2) }, &["dim: the length of a state is 5; store is 6"]);
    expect(
        "hook",
        Stored { hook: "blocks.1.hook_resid_post", ..here(2) },
        &["hook: the list of hook points"],
    );
    refused(dir.path(), &["sweep", "store", "--out", "out"], &["one data set", "`ccs fit` is for one"]);
    refused(dir.path(), &["sweep", "a=store", "a=store", "--out", "out"], &["called"]);
    refused(dir.path(), &["sweep", "all=store", "b=store", "--out", "out"], &["`all`"]);
    // At the layers that both have, they go together.
    let arguments = ["sweep", "store", "hook", "--out", "out", "--layers", "0", "--methods", "lr"];
    succeeds(ccs(dir.path(), &[&arguments[..], &QUICK[..]].concat()));
}

/// Rows of templates that a probe has no statistics for are counted, store by store.
#[test]
fn templates_that_are_new_to_a_probe_are_noted() {
    let dir = tempfile::tempdir().unwrap();
    let memory = |seed: u64, second: &str| {
        let planted = Planted::new(80, 4, 3.0, seed);
        let mut rows = planted.rows();
        rows.groups = (0..80).map(|i| format!("{seed} {}", i / 2)).collect();
        rows.templates = (0..80).map(|i| if i % 2 == 0 { "t" } else { second }.to_owned()).collect();
        Memory::new(rows).with_layer("hook_embed", planted.plus, planted.minus)
    };
    let (a, b) = (memory(1, "u"), memory(2, "v"));
    let parts = [Dataset { name: "a", source: &a }, Dataset { name: "b", source: &b }];
    let mut settings = Settings { methods: Some(vec![Method::LR]), ..Settings::default() };
    settings.folds = 3;
    let out = dir.path().join("out");
    let place = NewRunDir::reserve(&out, Overwrite::No).unwrap();
    let report = Sweep::new(&parts).settings(settings).run_to(place).unwrap().finished().unwrap();
    let notes = report.notes.join("\n");
    let half = ccs_trainer::RunDir::open(out.join("runs/b")).unwrap().split().unwrap().test.row.len() / 2;
    assert!(
        notes.contains(&format!("from a to b: {half} of {} test rows are of templates", 2 * half)),
        "{notes}"
    );
    assert!(notes.contains("from b to a: ") && !notes.contains("from all"), "{notes}");
}

/// The first store may be silent; the others must agree all the same. Two texts of one template stay apart.
#[test]
fn what_the_first_store_does_not_say_is_asked_of_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let model = |identity: &str, text: &str| {
        let template = json!({ "identity": text, "text": { "source": text, "answers": ["True", "False"] } });
        json!({ "model": { "identity": identity }, "templates": { "t": template } })
    };
    let write = |name: &str, from: usize, settings: serde_json::Value| {
        let dataset = "d";
        Stored { dataset, passages_from: from, settings, ..Stored::default() }.write(&dir.path().join(name));
        StoreSource::open(dir.path().join(name)).unwrap()
    };
    let silent = write("silent", 0, json!({}));
    let (a, b) = (write("a", 100, model("aaaa", "one")), write("b", 200, model("bbbb", "one")));
    let (c, d) = (write("c", 300, model("aaaa", "two")), write("d", 400, model("aaaa", "one")));
    let pool = |sources: &[&StoreSource]| {
        let names = ["first", "second", "third"];
        let parts: Vec<Dataset<'_>> =
            names.iter().zip(sources).map(|(name, source)| Dataset { name, source: *source }).collect();
        let pooled = Pooled::new(&parts, &LayerSelection::All)?;
        let made_by = serde_json::Value::from(pooled.made_by().unwrap());
        Ok::<_, Error>((made_by, pooled.notes().to_vec()))
    };
    let error = pool(&[&silent, &a, &b]).unwrap_err().to_string();
    assert!(error.contains("third: the model is bbbb; second is aaaa"), "{error}");
    let (made_by, notes) = pool(&[&silent, &a, &c]).unwrap();
    assert!(notes.iter().any(|note| note.contains("first does not say what the model is")), "{notes:?}");
    assert_eq!(made_by["model"]["identity"], "aaaa");
    assert_eq!(made_by["templates"]["second/t"]["identity"], "one");
    assert_eq!(made_by["templates"]["third/t"]["identity"], "two");
    assert_eq!(made_by["template"], "second/t, t, third/t");
    let (made_by, _) = pool(&[&a, &d]).unwrap();
    assert_eq!((&made_by["template"], &made_by["templates"]["t"]["identity"]), (&json!("t"), &json!("one")));
}

#[test]
fn pooled_rows_keep_passages_and_tell_templates_of_data_sets_apart() {
    let memory = |seed: u64, label: bool| {
        let planted = Planted::new(4, 2, 1.0, seed);
        let mut rows = planted.rows();
        rows.labels = vec![true, true, false, label];
        rows.questions = (0..4).map(|i| format!("q{}", i / 2)).collect();
        rows.templates = (0..4).map(|i| format!("t{}", i % 2)).collect();
        rows.labels[1] = rows.labels[0];
        rows.labels[2] = label;
        Memory::new(rows).with_layer("hook_embed", planted.plus, planted.minus)
    };
    let (a, b, other) = (memory(1, false), memory(2, false), memory(3, true));
    let pool = |first, second| {
        let parts = [Dataset { name: "a", source: first }, Dataset { name: "b", source: second }];
        let pooled = Pooled::new(&parts, &LayerSelection::All).unwrap();
        (pooled.rows().clone(), pooled.load(&pooled.layers()[0]).unwrap().sides().unwrap()[0].size())
    };
    let (rows, size) = pool(&a, &b);
    assert_eq!(size, [8, 2]);
    assert_eq!(rows.groups[4], rows.groups[0], "a passage is one wherever it is asked about");
    assert_eq!((rows.templates[0].as_str(), rows.templates[5].as_str()), ("a/t0", "b/t1"));
    assert_eq!(rows.questions[4], "q0", "one question of two stores stays one");
    // Questions of one name that are not the same are told apart.
    assert_eq!(pool(&a, &other).0.questions[4], "b/q0");

    let wide =
        Memory::new(Planted::new(4, 2, 1.0, 1).rows()).with_layer("hook_embed", vec![0.0; 12], vec![0.0; 12]);
    let parts = [Dataset { name: "a", source: &a }, Dataset { name: "wide", source: &wide }];
    let error = Pooled::new(&parts, &LayerSelection::All).unwrap_err();
    assert!(matches!(&error, Error::OtherStates { what: "the length of a state", .. }), "{error}");
}
