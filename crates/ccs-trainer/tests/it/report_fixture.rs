//! The report that `ccs-report` tests its page with is one that a run writes: `LLAMA_CCS_WRITE_FIXTURES=1` writes it anew.

use std::collections::BTreeSet;
use std::path::Path;

use crate::data::run;
use ccs::SeedTree;
use ccs_trainer::{Compute, Memory, Rows, Settings};
use rand::RngExt;
use serde_json::Value;

/// A constant layer, two of noise and one of truth, with log-probabilities.
fn report() -> ccs_report::Report {
    let (rows, dim) = (60, 3);
    let mut rng = SeedTree::new(1).rng();
    let labels: Vec<bool> = (0..rows).map(|i| i % 5 < 3).collect();
    let logprob = |sign: f64| labels.iter().map(|&l| if l { sign } else { -sign }).collect();
    let about = Rows {
        ids: (0..rows).map(|i| i.to_string()).collect(),
        groups: (0..rows).map(|i| format!("passage {}", i / 2)).collect(),
        answer_logprob: Some((logprob(0.5), logprob(-0.5))),
        labels: labels.clone(),
        ..Rows::default()
    };
    let mut side = |truth: f32| -> Vec<f32> {
        let state = |i: usize| if labels[i / dim] == i.is_multiple_of(2) { truth } else { -truth };
        (0..rows * dim).map(|i| state(i) + rng.random_range(-1.0..1.0)).collect()
    };
    let mut data = Memory::new(about).with_layer("hook_embed", vec![1.0; rows * dim], vec![2.0; rows * dim]);
    for (block, truth) in [0.0, 0.0, 2.0].into_iter().enumerate() {
        let (plus, minus) = (side(truth), side(-truth));
        data = data.with_layer(&format!("blocks.{block}.hook_resid_post"), plus, minus);
    }
    let mut settings = Settings { directions: 30, folds: 3, ..Settings::default() };
    (settings.ccs.max_iter, settings.ccs.n_init) = (40, 2);
    run(&data, &settings, Compute { threads: 1, ..Compute::default() }).unwrap().report
}

/// Every key, by its path; places in lists apart.
fn keys(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            found.insert(format!("{path}/{key}"));
            keys(&format!("{path}/{key}"), value, found);
        }),
        Value::Array(items) => items.iter().for_each(|value| keys(path, value, found)),
        _ => {}
    }
}

#[test]
fn the_fixture_of_the_report_s_page_is_a_report_of_this_version() {
    let made = report();
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../ccs-report/tests/fixtures/report.json"));
    if std::env::var_os("LLAMA_CCS_WRITE_FIXTURES").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, made.to_json().unwrap()).unwrap();
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let [mut here, mut there] = [BTreeSet::new(), BTreeSet::new()];
    keys("", &serde_json::to_value(made).unwrap(), &mut here);
    keys("", &kept, &mut there);
    assert_eq!(here, there);
}
