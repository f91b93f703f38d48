//! The forward pass in tokens per second: three shapes, f32 and bf16, with and without capturing every layer.
//!
//! `cargo bench --bench forward`. Weights are random: speed does not depend on them.

#![allow(clippy::expect_used, missing_docs)] // a benchmark that cannot be set up has nothing better to do than stop

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use llama_ccs::llama_core::{Batch, Capture, Config, HookSet, Llama, Precision, Run, Tokens};
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
    let device = torch_runtime::open("cpu").expect("LibTorch");
    for (name, config, prompts, tokens) in shapes() {
        let mut group = criterion.benchmark_group(format!("forward/{name}"));
        group.sample_size(10).throughput(Throughput::Elements((prompts * tokens) as u64));
        let ids: Vec<Vec<u32>> =
            (0..prompts).map(|p| (0..tokens).map(|t| ((7 * p + 3 * t) % 31) as u32).collect()).collect();
        let batch = Batch::new(&ids).expect("batch");
        for precision in [Precision::F32, Precision::Bf16] {
            let llama = Llama::random(&config, 0, precision, device).expect("model");
            group.bench_function(BenchmarkId::new(precision.to_string(), "nothing kept"), |bencher| {
                bencher.iter(|| capture(&llama, &batch, HookSet::new()));
            });
            group.bench_function(BenchmarkId::new(precision.to_string(), "every layer kept"), |bencher| {
                bencher.iter(|| capture(&llama, &batch, HookSet::residual_stream(config.n_layers)));
            });
        }
        group.finish();
    }
}

/// One pass to the last token's logits, keeping its state at the points of `set`.
fn capture(llama: &Llama, batch: &Batch, set: HookSet) -> usize {
    let mut capture = Capture::new(set, Tokens::Last);
    llama.forward(batch, Run::new().hook(&mut capture).logits(Tokens::Last)).expect("forward");
    capture.finish().len()
}

criterion_group!(benches, forward);
criterion_main!(benches);
