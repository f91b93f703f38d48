//! Fitting probes on one layer: CCS by AdamW (10 restarts, 1000 epochs) and by L-BFGS, closed forms, logistic regression.
//!
//! `cargo bench --bench probe`

#![allow(clippy::expect_used, missing_docs)] // a benchmark that cannot be set up has nothing better to do than stop

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use llama_ccs::ccs::Contrast;
use llama_ccs::ccs::SeedTree;
use llama_ccs::ccs::methods::ccs::{Ccs, Optimizer, ccs};
use llama_ccs::ccs::methods::logistic::{LrOptions, logistic};
use llama_ccs::ccs::methods::quadratic::{Objective, quadratic};
use llama_ccs::ccs::normalize::Normalization;
use llama_ccs::llama_core::tch::{self, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Uniform noise, and a truth in every dimension that both sides carry with opposite signs.
fn planted(pairs: usize, dim: usize) -> Contrast {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let labels: Vec<bool> = (0..pairs).map(|_| rng.random_bool(0.5)).collect();
    let mut side = |sign: f32| {
        let value = |label: &bool, rng: &mut ChaCha8Rng| {
            let truth = sign * if *label { 0.1 } else { -0.1 };
            (0..dim).map(|_| truth + rng.random::<f32>() - 0.5).collect::<Vec<f32>>()
        };
        let values: Vec<f32> = labels.iter().flat_map(|label| value(label, &mut rng)).collect();
        Tensor::from_slice(&values).view([pairs as i64, dim as i64])
    };
    let (plus, minus) = (side(1.0), side(-1.0));
    let groups = (0..pairs).map(|i| i.to_string()).collect();
    Contrast::new(plus, minus, labels, groups).expect("planted data")
}

fn probe(criterion: &mut Criterion) {
    // As in a run, where layers are fitted side by side.
    tch::set_num_threads(1);
    let mut group = criterion.benchmark_group("probe");
    group.sample_size(10);
    for (pairs, dim) in [(360, 128), (180, 576), (1000, 4096)] {
        let data = planted(pairs, dim);
        let size = format!("{pairs} pairs, dim {dim}");
        group.bench_function(BenchmarkId::new("ccs", &size), |bencher| {
            bencher.iter(|| ccs(&data, &Ccs::default(), &SeedTree::new(0)).expect("ccs"));
        });
        let lbfgs = Ccs { optimizer: Optimizer::Lbfgs, ..Ccs::default() };
        group.bench_function(BenchmarkId::new("ccs, L-BFGS", &size), |bencher| {
            bencher.iter(|| ccs(&data, &lbfgs, &SeedTree::new(0)).expect("ccs"));
        });
        for (name, objective) in [("tpc", Objective::TPC), ("drc", Objective::DRC)] {
            group.bench_function(BenchmarkId::new(name, &size), |bencher| {
                bencher.iter(|| quadratic(&data, objective, Normalization::ElementWise).expect(name));
            });
        }
        group.bench_function(BenchmarkId::new("lr", &size), |bencher| {
            bencher.iter(|| logistic(&data, &LrOptions::default()).expect("lr"));
        });
    }
    group.finish();
}

criterion_group!(benches, probe);
criterion_main!(benches);
