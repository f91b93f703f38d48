//! The forward pass in tokens per second, and as a share of the machine's rate of matrix products in that type: three
//! shapes, f32 and bf16, with and without capturing every layer.
//!
//! `cargo bench --bench forward`. Weights are random: speed does not depend on them. `LLAMA_CCS_DEVICE=cuda:0` runs it on
//! a GPU.

// A benchmark that cannot be set up has nothing better to do than stop; what criterion does not show is printed.
#![allow(clippy::expect_used, clippy::print_stdout, missing_docs)]

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use llama_ccs::llama_core::tch::{self, Device, Kind, Tensor};
use llama_ccs::llama_core::{Batch, Capture, Config, Forward, HookSet, Llama, Precision, Tokens};
use llama_ccs::torch_runtime;

/// A name, a shape, prompts and tokens of each.
type Shape = (&'static str, Config, usize, usize);

fn shapes() -> [Shape; 3] {
    let quiz = Config {
        dim: 128,
        n_layers: 4,
        n_heads: 4,
        n_kv_heads: 4,
        head_dim: 32,
        hidden_dim: 352,
        vocab_size: 78,
        norm_eps: 1e-5,
        ..Config::default()
    };
    let smollm2_135m = Config {
        dim: 576,
        n_layers: 30,
        n_heads: 9,
        n_kv_heads: 3,
        head_dim: 64,
        hidden_dim: 1536,
        vocab_size: 49_152,
        norm_eps: 1e-5,
        ..Config::default()
    };
    let llama_7b_block = Config {
        dim: 4096,
        n_layers: 1,
        n_heads: 32,
        n_kv_heads: 32,
        head_dim: 128,
        hidden_dim: 11_008,
        vocab_size: 32,
        norm_eps: 1e-6,
        ..Config::default()
    };
    // Prompt lengths are about BoolQ's; the quiz's prompts have 45 tokens.
    [
        ("quiz", quiz, 32, 45),
        ("smollm2-135m", smollm2_135m, 2, 320),
        ("llama-7b block", llama_7b_block, 2, 320),
    ]
}

fn forward(criterion: &mut Criterion) {
    let device = std::env::var("LLAMA_CCS_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    let device = torch_runtime::open(&device).expect("LibTorch");
    for (name, config, prompts, tokens) in shapes() {
        let mut group = criterion.benchmark_group(format!("forward/{name}"));
        group.sample_size(10).throughput(Throughput::Elements((prompts * tokens) as u64));
        let ids: Vec<Vec<u32>> =
            (0..prompts).map(|p| (0..tokens).map(|t| ((7 * p + 3 * t) % 31) as u32).collect()).collect();
        let batch = Batch::new(&ids).expect("batch");
        for precision in [Precision::F32, Precision::Bf16] {
            let peak = products(precision.product(), device);
            let llama = Llama::random(&config, 0, precision, device).expect("model");
            for (kept, set) in [
                ("nothing kept", HookSet::new()),
                ("every layer kept", HookSet::residual_stream(config.n_layers)),
            ] {
                let mut fastest = Duration::MAX;
                group.bench_function(BenchmarkId::new(precision.to_string(), kept), |bencher| {
                    bencher.iter_custom(|times| {
                        let runs = (0..times).map(|_| capture(&llama, &batch, set.clone()));
                        runs.inspect(|took| fastest = fastest.min(*took)).sum()
                    });
                });
                if fastest == Duration::MAX {
                    continue; // left out by the command line's filter
                }
                let rate = operations(&config, prompts, tokens) / fastest.as_secs_f64();
                println!(
                    "{name} {precision}, {kept}: {:.0} GFLOP/s at best, {:.0} % of the {:.0} that products of 2048 x 2048 reach",
                    rate / 1e9,
                    100.0 * rate / peak,
                    peak / 1e9
                );
            }
        }
        group.finish();
    }
}

/// One pass to the last token's logits, keeping its state at the points of `set`.
fn capture(llama: &Llama, batch: &Batch, set: HookSet) -> Duration {
    let started = Instant::now();
    let mut capture = Capture::new(set, Tokens::Last);
    llama.forward(batch, Forward::new().hook(&mut capture).logits(Tokens::Last)).expect("forward");
    drop(capture.finish());
    finish(llama.device());
    started.elapsed()
}

/// The operations of a pass: two a weight and token in the blocks, attention over what each token sees, the logits.
fn operations(c: &Config, prompts: usize, tokens: usize) -> f64 {
    let (b, t) = (prompts as f64, tokens as f64);
    let width = (c.n_heads + 2 * c.n_kv_heads) * c.head_dim + c.n_heads * c.head_dim + 3 * c.hidden_dim;
    let weights = (c.dim * width) as f64 * c.n_layers as f64;
    let attention = (2 * c.n_heads * c.head_dim) as f64 * (t + 1.0) * c.n_layers as f64;
    b * t * (2.0 * weights + attention) + b * (2 * c.dim * c.vocab_size) as f64
}

/// Operations a second of square matrix products, at best.
fn products(kind: Kind, device: Device) -> f64 {
    let n = if device == Device::Cpu { 2048 } else { 8192 };
    let matrix = || Tensor::randn([n, n], (Kind::Float, device)).to_kind(kind);
    let (a, b) = (matrix(), matrix());
    let mut fastest = Duration::MAX;
    for _ in 0..12 {
        let started = Instant::now();
        drop(a.matmul(&b));
        finish(device);
        fastest = fastest.min(started.elapsed());
    }
    2.0 * (n as f64).powi(3) / fastest.as_secs_f64()
}

/// Waits for what a GPU has still to do.
fn finish(device: Device) {
    if let Device::Cuda(index) = device {
        tch::Cuda::synchronize(index as i64);
    }
}

criterion_group!(benches, forward);
criterion_main!(benches);
