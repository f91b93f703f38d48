//! Runs on single statements: what they find, against NumPy (`fixtures/statements.py`), and what they refuse.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use activations::{BatchStates, Column, ColumnStates, Manifest, Prompt, Row, Sides, StoreDtype, StoreWriter};
use ccs::SeedTree;
use ccs_report::sentences::{Finding, reading};
use ccs_report::{Method, Report, RowKind, page};
use ccs_trainer::{
    Compute, Dataset, Error, EvalOptions, Event, Fit, Fitted, Memory, MemoryStatements, NewRunDir, Outcome,
    Overwrite, Rows, Run, RunControl, Settings, Source, Sweep, eval,
};
use indexmap::IndexMap;
use rand::RngExt;
use rand_distr::StandardNormal;
use serde::Deserialize;
use tch::Tensor;

use crate::data::{method, run, three_layers};
use crate::store::{ccs, every_file, files, json_of, refused, succeeds, text};

/// Statements about `rows / 2` subjects, an affirmative and a negated one each.
#[derive(Debug, Clone)]
pub(crate) struct Planted {
    pub(crate) labels: Vec<bool>,
    pub(crate) affirmative: Vec<bool>,
    pub(crate) states: Vec<f32>,
    pub(crate) dim: usize,
}

impl Planted {
    /// Truth of one strength along axis 0, and of another, turned round by negation, along axis 1; axis 2 tells negated
    /// statements. A negation has the opposite label.
    pub(crate) fn new(rows: usize, dim: usize, [truth, turned]: [f32; 2], seed: u64) -> Self {
        let mut rng = SeedTree::new(seed).child("planted statements").rng();
        let (mut labels, mut affirmative, mut states) = (Vec::<bool>::new(), Vec::new(), Vec::new());
        for row in 0..rows {
            let affirms = row % 2 == 0;
            let label = if affirms { rng.random_bool(0.5) } else { !labels[row - 1] };
            let (tau, p) = (if label { 1.0 } else { -1.0 }, if affirms { 1.0 } else { -1.0 });
            for axis in 0..dim {
                let mean = [truth * tau, turned * tau * p, 2.0 * p].get(axis).copied().unwrap_or(0.5);
                states.push(mean + rng.sample::<f32, _>(StandardNormal));
            }
            labels.push(label);
            affirmative.push(affirms);
        }
        Self { labels, affirmative, states, dim }
    }

    pub(crate) fn rows(&self) -> Rows {
        let polarity =
            self.affirmative.iter().map(|&a| Some(if a { "affirmative" } else { "negated" }.to_owned()));
        let subject = (0..self.labels.len()).map(|row| Some(format!("subject {}", row / 2)));
        let columns = [("polarity", polarity.collect()), ("subject", subject.collect())];
        Rows {
            ids: (0..self.labels.len()).map(|row| row.to_string()).collect(),
            groups: (0..self.labels.len()).map(|row| format!("subject {}", row / 2)).collect(),
            labels: self.labels.clone(),
            columns: columns
                .map(|(name, values)| (name.to_owned(), values))
                .into_iter()
                .collect::<IndexMap<_, _>>(),
            ..Rows::default()
        }
    }

    /// A store of one side, as an extraction writes it: noise, and these states.
    pub(crate) fn write(&self, dir: &Path, dataset: &str) {
        let about = self.rows();
        let row = |idx: usize| Row {
            idx: idx as u64,
            label: self.labels[idx],
            question_id: format!("q{idx}"),
            group: about.groups[idx].clone(),
            template: String::new(),
            dataset: dataset.to_owned(),
            sides: Sides::Single {
                statement: Prompt {
                    prompt: format!(
                        "Subject {} is{} so.",
                        idx / 2,
                        if self.affirmative[idx] { "" } else { " not" }
                    ),
                    tokens: 5,
                    captured_id: 1,
                    captured_text: ".".to_owned(),
                },
            },
            columns: about
                .columns
                .iter()
                .map(|(name, of)| (name.clone(), of[idx].clone().unwrap()))
                .collect(),
        };
        let rows: Vec<Row> = (0..self.labels.len()).map(row).collect();
        let at = |hook: &str| Column::new(hook, &["d_model"], &[self.dim]).at("last");
        let columns = vec![at("hook_embed"), at("blocks.0.hook_resid_post")];
        let settings = serde_json::from_value(serde_json::json!({
            "model": { "name": "planted", "identity": "0123456789abcdef" },
            "tokenizer": { "identity": "00ff" }, "extraction": { "precision": "f32" }, "dataset": dataset,
        }));
        let manifest =
            Manifest::new(StoreDtype::F32, columns, vec![(0..rows.len()).collect()], settings.unwrap())
                .of(activations::RowKind::Statements);
        let mut writer = StoreWriter::open(dir, manifest, &rows).unwrap();
        let noise = Self::new(self.labels.len(), self.dim, [0.0, 0.0], 77);
        let columns = [noise.states, self.states.clone()].map(|statement| ColumnStates::Single { statement });
        writer.commit(0, BatchStates { columns: columns.into() }).unwrap();
        writer.finish().unwrap();
    }

    /// One and the same state for all rows, noise, and these states.
    pub(crate) fn source(&self) -> MemoryStatements {
        let noise = Self::new(self.labels.len(), self.dim, [0.0, 0.0], 77);
        let constant = (0..self.states.len()).map(|at| (at % self.dim) as f32).collect();
        MemoryStatements::new(self.rows())
            .with_layer("hook_embed", constant)
            .with_layer("blocks.0.hook_resid_post", noise.states)
            .with_layer("blocks.1.hook_resid_post", self.states.clone())
    }
}

pub(crate) fn settings() -> Settings {
    Settings { directions: 100, folds: 3, shuffles: 2, ..Settings::default() }
}

fn fit(source: &dyn Source, settings: &Settings) -> Run {
    run(source, settings, Compute { threads: 1, ..Compute::default() }).unwrap()
}

#[test]
fn every_method_for_statements_finds_truth_where_it_is_and_says_so() {
    let done = fit(&Planted::new(240, 8, [1.5, 0.0], 1).source(), &settings());
    let report = &done.report;
    assert_eq!(report.row_kind, RowKind::Statements);
    let names: Vec<&str> = report.methods.keys().map(Method::name).collect();
    assert_eq!(
        names,
        ["mass_mean", "mass_mean_covariance", "lr", "lda", "ttpd", "inlp", "random", "majority"]
    );
    for (method, chosen) in &report.chosen {
        let test = chosen.test.as_ref().unwrap();
        assert_eq!(chosen.layer, Some(2), "{method}");
        assert!(test.auroc_ci.unwrap()[0] > 0.9, "{method}: {test:?}");
        let noise = report.layers[1].methods[method].test.auroc_ci.unwrap();
        assert!(noise[0] < 0.5 && 0.5 < noise[1], "{method}: {noise:?}");
        // The same layer for every method: compared with random directions, the majority class, and logistic regression.
        let against = |other| {
            report.comparisons.iter().any(|c| (c.difference.first, c.difference.second) == (*method, other))
        };
        assert!(against(Method::RANDOM) && against(Method::MAJORITY), "{method}");
        assert!(*method == Method::LR || against(Method::LR), "{method}");
        let shuffled = &report.shuffled[method];
        assert!(shuffled.accuracies.len() == 2 && shuffled.band.as_ref().unwrap().outside == 0, "{method}");
        assert!(
            done.predictions
                .iter()
                .any(|of| of.method == *method && of.rows.len() == 240 && of.sides.is_none())
        );
    }
    assert_eq!(report.chosen_difference.as_ref().unwrap().first, Method::MASS_MEAN);
    assert!(report.directions.as_ref().unwrap().spectra.is_empty(), "spectra are of pairs");
    let picture = report.projections.as_ref().unwrap().layers.last().unwrap();
    assert!(!picture.plus_x.is_empty() && picture.minus_x.is_empty());
    assert!(
        report.examples.as_ref().unwrap().disagreements.as_ref().unwrap().methods
            == [Method::MASS_MEAN, Method::LR]
    );

    let said = reading(report);
    assert!(
        said[0].starts_with("Which of 240 statements are true, and can that be read from hidden states?"),
        "{said:?}"
    );
    assert!(said[1].starts_with("Mass mean predicts the labels at layer 2, better than random"), "{said:?}");
    let (html, summary) = (page::html(report).unwrap(), report.summary());
    for word in ["contrast pair", "own answers (", "affirmed", "passage", "of CCS"] {
        assert!(!html.contains(word), "the page says {word}");
    }
    assert!(!summary.contains("pairs") && summary.contains("mass_mean: accuracy"), "{summary}");
}

#[derive(Deserialize)]
struct Oracle {
    rows: usize,
    dim: usize,
    states: Vec<f32>,
    labels: Vec<bool>,
    negated: Vec<bool>,
    tested: Vec<usize>,
    mass_mean: Expected,
    mass_mean_covariance: Expected,
    ttpd_alone: Expected,
    ttpd: Expected,
}

#[derive(Deserialize)]
struct Expected {
    direction: Vec<f64>,
    scores: Vec<f64>,
    accuracy: f64,
    auroc: f64,
}

/// The states are f32 of numbers of four decimals below 10, 24 bits of each: scores of six terms are off by about 1e-6 of
/// what they consist of, and through a covariance with a condition number below 100 by a hundred times as much. Weights are
/// kept in f32.
#[test]
fn directions_scores_and_accuracies_are_those_of_the_papers_formulae() {
    let oracle: Oracle = serde_json::from_str(include_str!("../fixtures/statements.json")).unwrap();
    let polarity = oracle.negated.iter().map(|&n| Some(if n { "negated" } else { "affirmative" }.to_owned()));
    let with_polarity = [("polarity".to_owned(), polarity.collect())].into_iter().collect::<IndexMap<_, _>>();
    let rows = |columns| Rows {
        ids: (0..oracle.rows).map(|row| row.to_string()).collect(),
        groups: (0..oracle.rows).map(|row| format!("subject {}", row / 2)).collect(),
        labels: oracle.labels.clone(),
        columns,
        ..Rows::default()
    };
    let found = |columns| {
        let source = MemoryStatements::new(rows(columns)).with_layer("hook_embed", oracle.states.clone());
        assert_eq!(source.dim(&source.layers()[0]), Some(oracle.dim));
        let settings = Settings { shuffles: 0, ..settings() }.normalized(ccs::Normalization::MeanOnly);
        fit(&source, &settings)
    };
    let (alone, polar) = (found(IndexMap::new()), found(with_polarity));
    let mut tested: Vec<usize> = alone.split.test.row.iter().map(|row| row / 2).collect();
    tested.dedup();
    assert_eq!(tested, oracle.tested, "the split that the script was given");
    let covariance = Method::MASS_MEAN_COVARIANCE;
    for (run, method, want) in [
        (&alone, Method::MASS_MEAN, &oracle.mass_mean),
        (&alone, covariance, &oracle.mass_mean_covariance),
        (&alone, Method::TTPD, &oracle.ttpd_alone),
        (&polar, Method::MASS_MEAN, &oracle.mass_mean),
        (&polar, Method::TTPD, &oracle.ttpd),
    ] {
        let of = &run.report.layers[0].methods[&method];
        assert_eq!(of.test.accuracy, want.accuracy, "{method}");
        assert!((of.test.auroc.unwrap() - want.auroc).abs() < 1e-12, "{method}");
        let (.., probe) = run.probes.iter().find(|(m, ..)| *m == method).unwrap();
        let weight = probe.affine(None).unwrap().unwrap().plus;
        let off = (weight - Tensor::from_slice(&want.direction)).abs().max().double_value(&[]);
        let size = want.direction.iter().fold(0f64, |most, w| most.max(w.abs()));
        assert!(off < 1e-4 * size, "{method}: {off} of {size}");
        let predictions = run.predictions.iter().find(|of| of.method == method).unwrap();
        let scores = predictions.rows.iter().zip(&predictions.scores);
        let tested = scores.filter(|(row, _)| run.split.test.row.contains(row)).map(|(_, score)| *score);
        let spread = want.scores.iter().fold(0f64, |most, s| most.max(s.abs()));
        for (score, want) in tested.zip(&want.scores) {
            assert!((score - want).abs() < 1e-4 * spread, "{method}: {score} {want}");
        }
    }
}

#[test]
fn methods_of_the_other_kind_are_refused_by_name() {
    let (statements, pairs) = (Planted::new(40, 4, [1.0, 0.0], 2).source(), three_layers(40, 4));
    let asked = |source: &dyn Source, name: &str| {
        let settings = Settings { methods: Some(vec![Method::LR, method(name)]), ..settings() };
        Fit::new(source).settings(settings).run().unwrap_err()
    };
    for name in ["ccs", "tpc", "zero_shot", "mean_difference"] {
        let error = asked(&statements, name);
        assert_eq!(error.to_string(), format!("`{name}` is not for single statements, which the data holds"));
        assert_eq!(
            error.hint().unwrap(),
            "the methods for single statements are mass_mean, mass_mean_covariance, lr, lda, ttpd, inlp, random, majority"
        );
    }
    for name in ["mass_mean", "mass_mean_covariance", "ttpd"] {
        let error = asked(&pairs, name);
        assert_eq!(error.to_string(), format!("`{name}` is not for contrast pairs, which the data holds"));
        assert!(error.hint().unwrap().starts_with("the methods for contrast pairs are ccs, tpc, "));
    }
    let settings = Settings { recursive: 2, ..settings() };
    let error = Fit::new(&statements).settings(settings).run().unwrap_err();
    assert!(matches!(error, Error::Setting { name: "recursive", .. }), "{error}");
    let parts = [Dataset { name: "a", source: &statements }, Dataset { name: "b", source: &pairs }];
    let out = tempfile::tempdir().unwrap();
    let out = NewRunDir::reserve(out.path().join("x"), Overwrite::No).unwrap();
    let error = Sweep::new(&parts).run_to(out).unwrap_err().to_string();
    assert!(error.contains("the kind of its rows is contrast pairs; a is single statements"), "{error}");
}

#[test]
fn the_same_bytes_again_and_after_a_stop() {
    let planted = Planted::new(80, 6, [1.5, 0.5], 3);
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, threads| {
        let out = dir.path().join(name);
        let fit = Fit::new(&planted.source())
            .settings(settings())
            .compute(Compute { threads, ..Compute::default() })
            .run_to(NewRunDir::reserve(&out, Overwrite::No).unwrap());
        assert!(fit.unwrap().finished().is_some());
        every_file(&out)
    };
    let once = write("once", 1);
    assert!(once == write("again", 3));
    // Stopped after a layer, and in the diagnostics.
    for (name, after) in [("layer", 1), ("diagnostics", 5)] {
        let out = dir.path().join(name);
        let (stop, seen) = (AtomicBool::new(false), std::sync::atomic::AtomicUsize::new(0));
        let observe = |event: Event<'_>| {
            if matches!(event, Event::Layer { .. } | Event::Diagnosed { .. })
                && seen.fetch_add(1, Ordering::Relaxed) + 1 == after
            {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let control = RunControl { stop: Some(&stop), observer: Some(&observe) };
        let one = Compute { threads: 1, ..Compute::default() };
        let source = planted.source();
        let begun = Fit::new(&source).settings(settings()).compute(one).control(control);
        let begun = begun.run_to(NewRunDir::reserve(&out, Overwrite::No).unwrap()).unwrap();
        assert!(matches!(begun, Outcome::Stopped { kept: true, .. }), "{name}");
        assert!(write(name, 1) == once, "{name}");
    }
    let report = Report::from_json(&once["report.json"]).unwrap();
    assert_eq!(report.row_kind, RowKind::Statements);
}

#[test]
fn probes_go_to_other_statements_and_to_pairs_and_not_back() {
    let dir = tempfile::tempdir().unwrap();
    let (here, there) = (Planted::new(160, 6, [1.5, 0.0], 4), Planted::new(160, 6, [1.5, 0.0], 5));
    let out = dir.path().join("run");
    fit(&here.source(), &settings()).write(&out, Overwrite::No).unwrap();
    let options = EvalOptions { keep_trained: true, ..EvalOptions::default() };
    let found = eval(&out, &there.source(), &options).unwrap();
    assert_eq!(found.probes.len(), 6);
    assert!(found.probes.values().all(|probe| probe.test.auroc_ci.unwrap()[0] > 0.85), "{:?}", found.probes);
    // Of a pair, how much truer its plus side is.
    let opposite: Vec<f32> =
        there.states.chunks(6).flat_map(|x| [vec![-x[0]], x[1..].to_vec()].concat()).collect();
    let same = |x: &Vec<f32>| x.clone();
    let pairs = Memory::new(there.rows())
        .with_layer("hook_embed", same(&there.states), same(&opposite))
        .with_layer("blocks.0.hook_resid_post", same(&there.states), same(&opposite))
        .with_layer("blocks.1.hook_resid_post", there.states.clone(), opposite);
    let found = eval(&out, &pairs, &options).unwrap();
    assert!(found.probes["lr"].test.auroc_ci.unwrap()[0] > 0.85);
    assert!(
        found.notes.iter().any(|note| note.contains("how much truer the plus side is")),
        "{:?}",
        found.notes
    );
    let fitted = Fitted::open(&out, Method::LR, None).unwrap();
    let states = Tensor::from_slice(&there.states).reshape([160, 6]);
    let statements = ccs::Statements::new(states, there.labels.clone(), there.rows().groups).unwrap();
    assert_eq!(fitted.probe.score_statements(&statements).unwrap().len(), 160);

    let of_pairs = dir.path().join("pairs");
    let quick = Settings { methods: Some(vec![Method::LR]), ..settings() };
    fit(&pairs, &quick).write(&of_pairs, Overwrite::No).unwrap();
    let error = eval(&of_pairs, &there.source(), &options).unwrap_err();
    assert_eq!(error.to_string(), "the data holds single statements");
    assert_eq!(error.hint().unwrap(), "give a store of contrast pairs");
}

#[test]
fn a_sweep_goes_from_statements_to_statements() {
    let (a, b) = (Planted::new(120, 6, [1.5, 0.0], 6).source(), Planted::new(120, 6, [1.5, 0.0], 7).source());
    let parts = [Dataset { name: "a", source: &a }, Dataset { name: "b", source: &b }];
    let dir = tempfile::tempdir().unwrap();
    let out = NewRunDir::reserve(dir.path().join("sweep"), Overwrite::No).unwrap();
    let report = Sweep::new(&parts)
        .settings(Settings { shuffles: 0, ..settings() })
        .run_to(out)
        .unwrap()
        .finished()
        .unwrap();
    assert_eq!(report.row_kind, RowKind::Statements);
    let cells = &report.transfer[&Method::TTPD].cells;
    assert!(cells[0][1].as_ref().unwrap().auroc.unwrap() > 0.85, "{cells:?}");
    assert!(
        report
            .verdicts
            .iter()
            .any(|v| v.method == Method::MASS_MEAN && v.finding == Finding::BetterThanRandom)
    );
}

#[test]
fn the_program_fits_a_store_of_one_side_and_everything_reads_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    Planted::new(120, 6, [1.5, 0.0], 8).write(&dir.join("store"), "cities");
    Planted::new(120, 6, [1.5, 0.0], 9).write(&dir.join("other"), "others");
    let quick = ["--folds", "3", "--shuffles", "2", "--directions", "100"];
    let with = |arguments: &[&str]| succeeds(ccs(dir, &[arguments, &quick].concat()));
    let said = text(&with(&["fit", "store", "--out", "run"]).stdout);
    assert!(said.contains("mass_mean") && said.contains("ttpd"), "{said}");
    with(&["fit", "store", "--out", "again", "--methods", "all", "--threads", "1"]);
    let (run, again) = (files(&dir.join("run")), files(&dir.join("again")));
    assert!(
        run["predictions.csv"] == again["predictions.csv"],
        "`all` is what a run on statements does anyway"
    );
    let page = text(&run["report.html"]);
    assert!(page.contains("Subject ") && page.contains(" is not so."), "the statements are on the page");
    assert!(run.contains_key("rows.parquet"));
    succeeds(ccs(dir, &["explore", "run"]));

    refused(
        dir,
        &["fit", "store", "--out", "x", "--methods", "ccs"],
        &["`ccs` is not for single statements", "mass_mean"],
    );
    refused(
        dir,
        &["fit", "store", "--out", "x", "--recursive", "2", "--methods", "ccs,lr"],
        &["single statements"],
    );
    let found = json_of(ccs(dir, &["eval", "run", "other", "--keep-trained", "--json"]));
    assert!(found["probes"]["ttpd"]["test"]["auroc"].as_f64().unwrap() > 0.85, "{found}");
    with(&["sweep", "store", "other", "--out", "sweep"]);
    succeeds(ccs(dir, &["report", "run"]));
    let shown = text(&succeeds(ccs(dir, &["inspect", "run"])).stdout);
    assert!(shown.contains("mass_mean"), "{shown}");
    succeeds(ccs(
        dir,
        &["export", "run", "--method", "mass_mean", "--format", "json", "--out", "mass_mean.json"],
    ));
    succeeds(ccs(
        dir,
        &[
            "fit",
            "store",
            "--out",
            "half",
            "--only",
            "polarity=affirmative",
            "--shuffles",
            "0",
            "--directions",
            "50",
        ],
    ));
}
