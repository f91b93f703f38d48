//! Runs on the states of all tokens: truth in one token of each prompt.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use activations::{
    BatchStates, Column, ColumnStates, Manifest, Pace, Row, RowKind, Side, Sides, StoreDtype, StoreWriter,
    TokenIds,
};
use ccs::SeedTree;
use ccs_report::sentences::Finding;
use ccs_report::{Method, Report};
use ccs_trainer::{
    Compute, Dataset, Error, EvalOptions, Event, ExportFormat, Fit, Fitted, Memory, MemoryTokens, NewRunDir,
    Outcome, Overwrite, Rows, Run, RunCard, RunControl, RunDir, Settings, Source, Sweep, eval, export,
    tokens_of,
};
use rand::RngExt;
use rand_distr::StandardNormal;

use crate::data::{method, run};
use crate::store::{ccs, every_file, refused, succeeds};

const DIM: usize = 6;
const LONGEST: usize = 18;

/// Prompts of noise. One token of each, wherever it is, is marked along the second axis and has truth along the first, which in
/// others is threefold noise.
pub(crate) struct Marked {
    labels: Vec<bool>,
    lengths: [Vec<usize>; 2],
    states: [Vec<f32>; 2],
    texts: [Vec<String>; 2],
}

impl Marked {
    pub(crate) fn new(rows: usize, truth: f32, seed: u64) -> Self {
        let mut rng = SeedTree::new(seed).child("marked").rng();
        let labels: Vec<bool> = (0..rows).map(|_| rng.random_bool(0.5)).collect();
        let (mut lengths, mut states, mut texts) = <([Vec<_>; 2], [Vec<_>; 2], [Vec<_>; 2])>::default();
        for side in 0..2 {
            for &label in &labels {
                let length = rng.random_range(2..=LONGEST);
                let marked = rng.random_range(0..length);
                let truth = if label == (side == 0) { truth } else { -truth };
                for token in 0..length {
                    for axis in 0..DIM {
                        let noise: f32 = rng.sample(StandardNormal);
                        states[side].push(match (token == marked, axis) {
                            (true, 0) => noise + truth,
                            (true, 1) => noise + 6.0,
                            (false, 0) => 3.0 * noise,
                            _ => noise,
                        });
                    }
                    texts[side].push(if token == marked { "mark" } else { "other" }.to_owned());
                }
                lengths[side].push(length);
            }
        }
        Self { labels, lengths, states, texts }
    }

    fn rows(&self) -> Rows {
        let rows = self.labels.len();
        Rows {
            ids: (0..rows).map(|row| row.to_string()).collect(),
            labels: self.labels.clone(),
            groups: (0..rows).map(|row| format!("passage {}", row / 2)).collect(),
            ..Rows::default()
        }
    }

    fn pairs(&self) -> MemoryTokens {
        MemoryTokens::new(self.rows(), self.lengths.to_vec())
            .with_layer("hook_embed", self.states.to_vec())
            .with_texts(self.texts.clone())
    }

    fn statements(&self) -> MemoryTokens {
        MemoryTokens::new(self.rows(), vec![self.lengths[0].clone()])
            .with_layer("hook_embed", vec![self.states[0].clone()])
    }
}

/// Two layers: noise, and truth.
fn two_layers(rows: usize) -> MemoryTokens {
    let (truth, mut noise) = (Marked::new(rows, 3.0, 1), Marked::new(rows, 0.0, 1));
    noise.states.iter_mut().flatten().for_each(|x| *x *= 0.5);
    MemoryTokens::new(truth.rows(), truth.lengths.to_vec())
        .with_layer("hook_embed", noise.states.to_vec())
        .with_layer("blocks.0.hook_resid_post", truth.states.to_vec())
        .with_texts(truth.texts.clone())
}

fn settings() -> Settings {
    Settings { directions: 50, folds: 3, seeds: 1, shuffles: 1, ..Settings::default() }
}

fn fit(source: &dyn Source, settings: &Settings) -> Run {
    run(source, settings, Compute { threads: 1, ..Compute::default() }).unwrap()
}

const PROBES: [Method; 4] = [Method::LAST, Method::MEAN, Method::ATTENTION, Method::MULTI_MAX];

#[test]
fn a_learned_place_is_found_and_said_to_be_better_than_fixed_ones() {
    let done = fit(&two_layers(200), &settings());
    let report = &done.report;
    let methods: Vec<Method> = report.methods.keys().copied().collect();
    assert_eq!(methods, [&PROBES[..], &[Method::RANDOM, Method::MAJORITY]].concat());
    let auroc = |method| report.layers[1].methods[&method].test.auroc.unwrap();
    for method in [Method::ATTENTION, Method::MULTI_MAX] {
        assert_eq!(report.chosen[&method].layer, Some(1), "{method}");
        assert!(auroc(method) > 0.95, "{method}: {}", auroc(method));
        let verdict =
            report.verdicts.iter().find(|v| v.method == method && v.finding == Finding::PlaceLearned);
        let text = &verdict.unwrap().text;
        assert!(text.contains("than logistic regression on the mean token and on the last token"), "{text}");
        assert!(text.contains("for all methods at once"), "{text}");
        for second in [Method::MEAN, Method::LAST] {
            let found = report.comparisons.iter().map(|c| &c.difference);
            let found = found.clone().find(|d| (d.first, d.second) == (method, second)).unwrap();
            let [low, _] = found.auroc.unwrap().ci.unwrap();
            assert!(low > 0.0 && found.accuracy.is_some(), "{method} {second}");
        }
    }
    for method in [Method::LAST, Method::MEAN] {
        assert!(auroc(method) < 0.9, "{method}: {}", auroc(method));
    }
    // Of noise nobody makes anything.
    for method in PROBES {
        let [low, high] = report.layers[0].methods[&method].test.auroc_ci.unwrap();
        assert!(low < 0.5 && high > 0.5, "{method}");
    }
    let reading = ccs_report::sentences::reading(report);
    assert!(reading[1].starts_with("Attention probe predicts the labels at layer 1"), "{reading:?}");
    assert!(reading[2].contains("on the mean token and on the last token"), "{reading:?}");
    // What is of one state is not there, or says so.
    assert!(report.directions.is_none() && report.projections.is_none());
    let note = report.layers[1].methods[&Method::RANDOM].note.as_ref().unwrap();
    assert!(note.contains("of the last token's states"), "{note}");
    assert!(report.notes.iter().any(|note| note.contains("directions of the last token's states")));
    assert!(PROBES.iter().all(|method| report.shuffled[method].accuracies.len() == 1));
    let drawn: Vec<Method> = report.seeds.keys().copied().collect();
    assert_eq!(drawn, [Method::ATTENTION, Method::MULTI_MAX]);
}

#[test]
fn a_report_says_and_shows_where_probes_look() {
    let done = fit(&two_layers(200), &settings());
    let places = &done.report.token_places;
    assert_eq!(places.keys().copied().collect::<Vec<_>>(), [Method::ATTENTION, Method::MULTI_MAX]);
    for (method, found) in places {
        assert_eq!((found.layer, found.heads.len()), (1, 4), "{method}");
        for head in &found.heads {
            let whole = head.from_end.iter().sum::<f64>() + head.earlier;
            assert!((whole - 1.0).abs() < 1e-9 && head.from_end.len() == 16, "{method}: {whole}");
            assert_eq!(head.tokens.len(), 2);
            assert!(head.tokens[0].share >= head.tokens[1].share);
        }
        let first = |head: &ccs_report::HeadPlaces| head.tokens[0].text == "mark";
        for token in found.heads.iter().flat_map(|head| &head.tokens) {
            let most = token.most.as_ref().unwrap();
            assert!(most.share >= token.share && most.token == token.text, "{token:?}");
            // Six tokens on either side at most, and one of them all is marked.
            let around = format!("{}{}{}", most.before, most.token, most.after);
            assert!(around.matches("other").count() <= 12 && around.matches("mark").count() <= 1, "{around}");
            assert!(done.split.test.row.contains(&most.row));
        }
        assert!(found.heads.iter().any(first), "{method}: {:?}", found.heads);
    }
    let page = ccs_report::page::html(&done.report).unwrap();
    assert!(page.contains("Which tokens probes read") && page.contains("<code>mark</code>"));
    assert!(page.contains("<mark>mark</mark>") && page.contains("Where it is read most"));
    assert!(page.contains("AUROC minus the mean token"));
    // Row by row: what the attention of a prompt is mostly on, which is the marked token where truth is.
    for predictions in &done.predictions {
        let learns = matches!(predictions.method, Method::ATTENTION | Method::MULTI_MAX);
        assert_eq!(predictions.reads.is_some(), learns, "{}", predictions.method);
        let Some(reads) = &predictions.reads else { continue };
        assert_eq!(reads.len(), 200);
        let marked = reads.iter().filter(|read| read.text[1] == "mark").count();
        assert!(marked > 150, "{}: {marked}", predictions.method);
        assert!(reads.iter().all(|read| read.share > 0.0 && read.share <= 1.0 + 1e-9));
    }
    assert_eq!(Report::from_json(&done.report.to_json().unwrap()).unwrap(), done.report);
}

#[test]
fn single_statements_and_templates_are_read_too() {
    let marked = Marked::new(160, 3.0, 4);
    let report = fit(&marked.statements(), &settings()).report;
    let auroc = |report: &Report, method| report.layers[0].methods[&method].test.auroc.unwrap();
    assert!(auroc(&report, Method::ATTENTION) > 0.9 && auroc(&report, Method::MEAN) < 0.9);
    let mut rows = marked.rows();
    rows.templates = (0..160).map(|row| if row % 2 == 0 { "a" } else { "b" }.to_owned()).collect();
    let two =
        MemoryTokens::new(rows, marked.lengths.to_vec()).with_layer("hook_embed", marked.states.to_vec());
    let methods = Some(vec![Method::MEAN, Method::ATTENTION]);
    let report = fit(&two, &Settings { methods, ..settings() }).report;
    assert!(auroc(&report, Method::ATTENTION) > 0.9);
    assert_eq!(report.diagnostics[&Method::ATTENTION].templates.len(), 2);
}

#[test]
fn a_seed_gives_the_same_bytes_whatever_the_threads_and_where_it_was_stopped() {
    let (dir, data) = (tempfile::tempdir().unwrap(), two_layers(80));
    let whole = |threads: usize, name: &str| {
        let out = dir.path().join(name);
        let compute = Compute { threads, ..Compute::default() };
        let fit = Fit::new(&data).settings(settings()).compute(compute);
        fit.run_to(NewRunDir::reserve(&out, Overwrite::No).unwrap()).unwrap().finished().unwrap();
        every_file(&out)
    };
    let one = whole(1, "one");
    assert!(one == whole(2, "two"));
    assert!(one.contains_key("probes/attention/layer_01.safetensors"), "{:?}", one.keys());

    let (out, stop) = (dir.path().join("stopped"), AtomicBool::new(false));
    let observe = |event: Event<'_>| stop.store(matches!(event, Event::Layer { .. }), Ordering::Relaxed);
    let control = RunControl { stop: Some(&stop), observer: Some(&observe) };
    let fit = Fit::new(&data).settings(settings()).compute(Compute { threads: 1, ..Compute::default() });
    let begun = NewRunDir::reserve(&out, Overwrite::No).unwrap();
    let found = fit.clone().control(control).run_to(begun).unwrap();
    assert!(matches!(found, Outcome::Stopped { done: 1, layers: 2, kept: true }));
    fit.run_to(NewRunDir::reserve(&out, Overwrite::No).unwrap()).unwrap().finished().unwrap();
    assert!(every_file(&out) == one);
}

#[test]
fn test_rows_reach_no_probe_and_no_choice() {
    let first = Marked::new(100, 1.0, 5);
    let one = fit(&first.pairs(), &settings());
    let mut other = Marked::new(100, 1.0, 5);
    for (lengths, states) in other.lengths.iter().zip(&mut other.states) {
        let mut token = 0;
        for (row, length) in lengths.iter().enumerate() {
            if one.split.test.row.contains(&row) {
                states[token * DIM..(token + length) * DIM].iter_mut().for_each(|x| *x = 100.0 - 3.0 * *x);
            }
            token += length;
        }
    }
    let two = fit(&other.pairs(), &settings());
    assert_eq!(one.probes.iter().map(|p| p.0).collect::<Vec<_>>(), PROBES);
    for ((method, _, a), (_, _, b)) in one.probes.iter().zip(&two.probes) {
        assert!(a.to_bytes().unwrap() == b.to_bytes().unwrap(), "{method}");
        let of = |run: &Run| run.report.layers[0].methods[method].clone();
        assert_eq!(of(&one).cross_validation, of(&two).cross_validation, "{method}");
        assert_eq!(of(&one).train, of(&two).train, "{method}");
    }
}

#[test]
fn what_does_not_go_together_is_refused_by_name() {
    let tokens = Marked::new(40, 3.0, 1);
    let states: Vec<f32> = (0..80).map(|x| (x as f32).sin()).collect();
    let single = Memory::new(tokens.rows()).with_layer("hook_embed", states.clone(), states);
    let asked = |source: &dyn Source, name: &str| {
        let settings = Settings { methods: Some(vec![method(name)]), ..settings() };
        run(source, &settings, Compute::default()).unwrap_err()
    };
    for name in ["last", "mean", "attention", "multi_max"] {
        let error = asked(&single, name);
        assert!(matches!(error, Error::AllTokens { .. }) && error.to_string().contains(name), "{error}");
        assert!(error.hint().unwrap().contains("all tokens"));
    }
    for name in ["ccs", "lr", "inlp", "ttpd"] {
        let error = asked(&tokens.pairs(), name);
        assert!(matches!(error, Error::OneState { .. }) && error.to_string().contains(name), "{error}");
        assert!(error.hint().unwrap().contains("multi_max"));
    }
    let pairs = tokens.pairs();
    let error = Fit::new(&pairs).blank(&pairs).run().unwrap_err();
    assert!(error.to_string().contains("`blank`"), "{error}");
    let parts = [Dataset { name: "a", source: &pairs }, Dataset { name: "b", source: &pairs }];
    let dir = tempfile::tempdir().unwrap();
    let out = NewRunDir::reserve(dir.path().join("sweep"), Overwrite::No).unwrap();
    let error = Sweep::new(&parts).run_to(out).unwrap_err();
    assert!(error.to_string().contains("`tokens` cannot be all"), "{error}");
    let leace = Settings { methods: Some(vec![Method::ATTENTION]), ..settings() };
    let error = run(&pairs, &leace.normalized(ccs::Normalization::Leace), Compute::default()).unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("element-wise")), "{error}");
}

impl Marked {
    /// A store of them, as an extraction of all tokens writes it; the marked tokens have the id 7.
    pub(crate) fn store(&self, dir: &Path) {
        self.write_store(dir, true);
    }

    fn write_store(&self, dir: &Path, with_texts: bool) {
        let side = |side: usize, row: usize| {
            let tokens = self.lengths[side][row] as u32;
            Side {
                prompt: format!("prompt {row}"),
                tokens,
                answer_start: tokens - 1,
                answer_end: tokens,
                captured_id: 1,
                captured_text: "x".to_owned(),
            }
        };
        let row = |(row, &label): (usize, &bool)| Row {
            idx: row as u64,
            label,
            question_id: format!("q{row}"),
            group: format!("passage {}", row / 2),
            template: "t".to_owned(),
            dataset: "marked".to_owned(),
            sides: Sides::Pair { plus: side(0, row), minus: side(1, row) },
            columns: indexmap::IndexMap::new(),
        };
        let rows: Vec<Row> = self.labels.iter().enumerate().map(row).collect();
        let mut ids = TokenIds::new(RowKind::Pairs);
        let mut from = [0, 0];
        for row in 0..rows.len() {
            let of = [0, 1].map(|side| {
                let end = from[side] + self.lengths[side][row];
                let texts = &self.texts[side][from[side]..end];
                from[side] = end;
                texts.iter().map(|text| if text == "mark" { 7 } else { 8 }).collect::<Vec<u32>>()
            });
            ids.push(&[&of[0], &of[1]]).unwrap();
        }
        let ids = if with_texts { ids.with_texts(|id| if id == 7 { "mark" } else { "other" }) } else { ids };
        let columns = vec![Column::new("hook_embed", &["d_model"], &[DIM]).at("all")];
        let plan = vec![(0..rows.len()).collect()];
        let manifest = Manifest::new(StoreDtype::F32, columns, plan, serde_json::Map::new());
        let manifest = manifest.with_tokens(&ids).unwrap();
        let mut writer = StoreWriter::open_with(dir, manifest, &rows, Some(&ids), Pace::default()).unwrap();
        let [plus, minus] = self.states.clone();
        writer.commit(0, BatchStates { columns: vec![ColumnStates::Pair { plus, minus }] }).unwrap();
        writer.finish().unwrap();
    }
}

#[test]
fn a_store_of_all_tokens_is_fitted_from_the_command_line_as_the_same_states_in_memory() {
    let (dir, marked) = (tempfile::tempdir().unwrap(), Marked::new(80, 3.0, 6));
    marked.store(&dir.path().join("store"));
    let quick = ["--folds", "3", "--directions", "50", "--shuffles", "0", "--seeds", "0", "--threads", "1"];
    let fit_store =
        |more: &[&str]| ccs(dir.path(), &[&["fit", "store", "--out", "run"], &quick[..], more].concat());
    succeeds(fit_store(&["--tokens", "all"]));
    let report = RunDir::open(dir.path().join("run")).and_then(|run| run.report()).unwrap();
    let settings = Settings { shuffles: 0, seeds: 0, ..settings() };
    let same = fit(&marked.pairs(), &settings);
    for method in PROBES {
        let of = |report: &Report| report.layers[0].methods[&method].test.clone();
        assert_eq!(of(&report), of(&same.report), "{method}");
    }
    assert_eq!(report.token_places, same.report.token_places);
    // What is read of each row comes back, and stands on the page of rows.
    let read = RunDir::open(dir.path().join("run")).and_then(|run| run.predictions()).unwrap();
    let reads = |all: &[ccs_trainer::MethodPredictions]| -> Vec<_> {
        all.iter().filter(|of| of.reads.is_some()).map(|of| (of.method, of.reads.clone())).collect()
    };
    assert_eq!((reads(&read), reads(&read).len()), (reads(&same.predictions), 2));
    succeeds(ccs(dir.path(), &["explore", "run", "--out", "rows.html"]));
    let page = std::fs::read_to_string(dir.path().join("rows.html")).unwrap();
    assert!(page.contains("\"reads\":[[[\""), "the page has no tokens");
    // Of a store without texts, none are shown.
    marked.write_store(&dir.path().join("older"), false);
    succeeds(ccs(dir.path(), &[&["fit", "older", "--out", "plain", "--tokens", "all"], &quick[..]].concat()));
    let plain = RunDir::open(dir.path().join("plain")).unwrap();
    let heads = plain.report().unwrap().token_places[&Method::ATTENTION].heads.clone();
    assert!(heads.iter().all(|head| head.tokens.is_empty() && head.from_end.len() > 1));
    assert!(plain.predictions().unwrap().iter().all(|of| of.reads.is_none()));
    assert_eq!(report.states.as_deref(), Some("at all tokens, kept in f32"));
    // Heads and starts are settings, which the report keeps.
    let two = [
        "--tokens",
        "all",
        "--methods",
        "multi_max,mean",
        "--token-heads",
        "2",
        "--token-starts",
        "1",
        "--overwrite",
    ];
    succeeds(fit_store(&two));
    let of_two = RunDir::open(dir.path().join("run")).and_then(|run| run.report()).unwrap();
    assert_eq!(of_two.token_places[&Method::MULTI_MAX].heads.len(), 2);
    let kept = Settings::of(&of_two).unwrap();
    assert_eq!((kept.token_heads, kept.token_starts), (Some(2), Some(1)));
    refused(
        dir.path(),
        &["fit", "store", "--out", "other", "--tokens", "all", "--token-heads", "0"],
        &["`--token-heads` cannot be 0", "at least one is needed"],
    );
    let fixed =
        ["fit", "store", "--out", "other", "--tokens", "all", "--methods", "mean", "--token-starts", "2"];
    refused(dir.path(), &fixed, &["`--token-starts` cannot be 2", "neither is fitted"]);
    succeeds(fit_store(&["--tokens", "all", "--overwrite"]));
    // Nothing else reads it by mistake.
    refused(
        dir.path(),
        &["fit", "store", "--out", "other"],
        &["no states under the token rule `last`; it has all"],
    );
    let ccs_there = ["fit", "store", "--out", "other", "--tokens", "all", "--methods", "ccs"];
    refused(dir.path(), &ccs_there, &["`ccs` reads one state a prompt", "attention and multi_max"]);
    refused(
        dir.path(),
        &["eval", "run", "store", "--method", "attention"],
        &["`attention` reads the states of all tokens"],
    );
    let sweep = ["sweep", "a=store", "b=store", "--out", "sweep", "--tokens", "all"];
    refused(dir.path(), &sweep, &["`--tokens` cannot be all"]);
}

/// A probe of all tokens has no direction to export, and nothing to read in other stores; that of the last token is one like any
/// other.
#[test]
fn probes_of_all_tokens_stay_where_they_are_and_the_last_tokens_travels() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let data = two_layers(60);
    fit(&data, &settings()).write(&out, Overwrite::No).unwrap();
    let fitted = |method| Fitted::open(&out, method, None).unwrap();
    for method in [Method::MEAN, Method::ATTENTION, Method::MULTI_MAX] {
        assert_eq!(fitted(method).tokens, "all");
        let error = export(&fitted(method), ExportFormat::Npy, dir.path().join("x.npy")).unwrap_err();
        assert!(
            matches!(error, Error::NoDirection { .. }) && error.to_string().contains("all tokens"),
            "{error}"
        );
        let options = EvalOptions { methods: Some(vec![method]), ..EvalOptions::default() };
        let error = eval(&out, &data, &options).unwrap_err();
        assert!(matches!(error, Error::ReadsTokens { .. }), "{error}");
        assert!(error.hint().unwrap().contains("`last`"));
    }
    assert_eq!(fitted(Method::LAST).tokens, "last");
    export(&fitted(Method::LAST), ExportFormat::Npy, dir.path().join("last.npy")).unwrap();
    let options = EvalOptions { methods: Some(vec![Method::LAST]), ..EvalOptions::default() };
    assert_eq!(tokens_of(&out, &options).unwrap(), "last");
    let report = RunDir::open(&out).and_then(|run| run.report()).unwrap();
    assert!(report.reads_all_tokens());
    assert_eq!(RunCard::open(&out).unwrap().chosen.len(), 4);
}
