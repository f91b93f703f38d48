//! `ccs sweep`: from store to store.

use std::path::Path;

use ccs::run::{Dataset, Fitted, LayerSelection, Memory, Pooled, Report, Source as _};
use ccs::{Error, Method};
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

#[test]
fn probes_go_from_store_to_store() {
    let dir = tempfile::tempdir().unwrap();
    stores(dir.path());
    let done = quick(dir.path(), &["sweep", "one", "two", "three", "--out", "out"]);
    assert!(text(&done.stdout).contains("CCS: accuracy by what it is judged on"), "{}", text(&done.stdout));
    let out = dir.path().join("out");
    let report = Report::read(&out).unwrap();
    for method in [Method::Ccs, Method::Lr] {
        let found = &report.transfer[&method];
        assert_eq!(found.datasets, ["a", "b", "c", "all"]);
        assert_eq!(found.layers.len(), 4);
        assert_eq!(found.layers[..3], [1, 1, 1], "{method}");
        let accuracy = |from: usize, to: usize| found.cells[from][to].accuracy;
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
            let own = Report::read(out.join("runs").join(name)).unwrap();
            assert_eq!(own.chosen[&method].test.as_ref(), Some(&found.cells[at][at]), "{method} {name}");
        }
        assert_eq!(report.chosen[&method].test.as_ref(), Some(&found.cells[3][3]));
    }
    assert_eq!(report.rows.train + report.rows.test, 240);
    assert_eq!(report.data["datasets"][1]["name"], "b");
    assert_eq!(report.data["made_by"]["dataset"], "a, b, c");
    let csv = text(&std::fs::read(out.join("transfer.csv")).unwrap());
    assert!(csv.starts_with("method,fitted_on,layer,judged_on,rows,accuracy,"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 2 * 16);
    assert!(out.join("report.html").exists() && out.join("log.jsonl").exists());
    assert!(!out.join("layers").exists() && !out.join("unfinished").exists());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "nothing but the sweep stays");

    // A run of its store alone is the same run, and the sweep's folder is a run too.
    quick(dir.path(), &["fit", "one", "--out", "alone"]);
    assert!(files(&dir.path().join("alone")) == files(&out.join("runs/a")));
    assert_eq!(
        Fitted::open(&out, Method::Lr, None).unwrap().layer,
        report.chosen[&Method::Lr].layer.unwrap()
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

#[test]
fn passages_that_trained_a_probe_do_not_judge_it() {
    let dir = tempfile::tempdir().unwrap();
    Stored { dataset: "a", ..Stored::default() }.write(&dir.path().join("one"));
    // The same passages with one more before them, so that the split is another.
    let more = Stored { dataset: "b", rows: 84, seed: 5, passages_from: 0, ..Stored::default() };
    more.write(&dir.path().join("two"));
    quick(dir.path(), &["sweep", "one", "two", "--out", "out"]);
    let report = Report::read(dir.path().join("out")).unwrap();
    let note = report.notes.iter().find(|note| note.contains("passages that trained the probe")).unwrap();
    assert!(note.contains("from a to b ("), "{note}");
    let run = |name: &str| ccs::run::SplitReport::read(dir.path().join("out/runs").join(name)).unwrap();
    let (a, b) = (run("a"), run("b"));
    let left = b.test.group.iter().filter(|group| !a.train.group.contains(group)).count();
    let c = report.transfer[&Method::Lr].cells[0][1].confusion.unwrap();
    assert_eq!(c.true_positive + c.false_positive + c.true_negative + c.false_negative, left);
    assert!(0 < left && left < b.test.group.len());
    // In the pool a passage is on one side, whichever store its rows are of.
    let all = ccs::run::SplitReport::read(dir.path().join("out")).unwrap();
    assert!(all.test.group.iter().all(|group| !all.train.group.contains(group)));
    assert!(all.train.id[0].starts_with("a/"));
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
        (pooled.rows().clone(), pooled.load(&pooled.layers()[0]).unwrap().0.size())
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
