//! What a model's prompts ask of a machine: how fast its matrix products run, and how many operations a pair takes. For
//! `cargo xtask bench-peers`; prints one line of JSON.
//!
//! `cargo bench --bench rates -- MODEL PROMPTS.csv PAIRS`
//!
//! The rates are of the products of one block, of 640 tokens, by LibTorch's own choice of kernel or with weights packed
//! for oneDNN, whichever is faster: what any program on LibTorch could reach. Operations are two a weight and token of the
//! blocks' matrices; attention, norms and logits are left out of both.

#![allow(clippy::expect_used, clippy::print_stdout, missing_docs)] // a benchmark that cannot be set up stops

use std::time::{Duration, Instant};

use llama_ccs::boolq::{self, TokenizedPair};
use llama_ccs::llama_core::tch::{self, Device, Kind, Tensor};
use llama_ccs::llama_core::{Batch, Checkpoint, Config};
use llama_ccs::tokenize_all;
use llama_ccs::torch_runtime::{self, PackedWeight};

/// Rows of the products: about two prompts of BoolQ, a batch of the peers.
const ROWS: i64 = 640;
/// A product is repeated for so long, and the fastest time counts: others may use the machine.
const REPEATED: Duration = Duration::from_millis(300);

fn main() {
    // cargo adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [model, prompts, pairs] = args.as_slice() else { return };
    torch_runtime::open("cpu").expect("LibTorch");
    let checkpoint = Checkpoint::open(model).expect("model");
    let config = checkpoint.config();
    let mut rows = boolq::prompts::read(prompts).expect("prompts").pairs;
    rows.truncate(pairs.parse().expect("a number of pairs"));
    let rows = tokenize_all(rows, &checkpoint.tokenizer().expect("tokenizer")).expect("tokens");

    let mean = |tokens: fn(&TokenizedPair) -> usize| {
        rows.iter().map(tokens).sum::<usize>() as f64 / rows.len() as f64
    };
    let alone = mean(|pair| pair.plus.ids.len() + pair.minus.ids.len());
    let shared = mean(|pair| Batch::shared_len(&[&pair.plus.ids, &pair.minus.ids]));
    let operations = weights(config) as f64 * 2.0 * config.n_layers as f64;
    println!(
        "{{\"f32\": {:.1}, \"bf16\": {:.1}, \"alone\": {:.3}, \"shared\": {:.3}}}",
        rate(config, Kind::Float) / 1e9,
        rate(config, Kind::BFloat16) / 1e9,
        alone * operations / 1e9,
        shared * operations / 1e9
    );
}

/// The matrices of one block, \[out, in\], as they are multiplied: queries, keys and values at once, and gate and up.
fn matrices(c: &Config) -> [[i64; 2]; 4] {
    let (queries, keys) = (c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim);
    [[queries + 2 * keys, c.dim], [c.dim, queries], [2 * c.hidden_dim, c.dim], [c.dim, c.hidden_dim]]
}

fn weights(config: &Config) -> i64 {
    matrices(config).iter().map(|[out, inputs]| out * inputs).sum()
}

/// Operations a second of one block's products.
fn rate(config: &Config, kind: Kind) -> f64 {
    let seconds: f64 = matrices(config).iter().map(|&shape| product(shape, kind).as_secs_f64()).sum();
    2.0 * (ROWS * weights(config)) as f64 / seconds
}

/// The fastest product of that shape: by LibTorch's own choice, or with the weight packed for oneDNN.
fn product([out, inputs]: [i64; 2], kind: Kind) -> Duration {
    let random =
        |shape: [i64; 2]| Tensor::f_randn(shape, (Kind::Float, Device::Cpu)).expect("memory").to_kind(kind);
    let (x, weight) = (random([ROWS, inputs]), random([out, inputs]));
    let _no_gradients = tch::no_grad_guard();
    let plain = fastest(|| drop(x.f_linear(&weight, None::<Tensor>).expect("product")));
    match PackedWeight::new(&weight, ROWS) {
        Ok(packed) => plain.min(fastest(|| drop(packed.linear(&x).expect("product")))),
        Err(_) => plain, // a LibTorch without oneDNN
    }
}

fn fastest(mut run: impl FnMut()) -> Duration {
    run();
    let (started, mut best) = (Instant::now(), Duration::MAX);
    while started.elapsed() < REPEATED {
        let this = Instant::now();
        run();
        best = best.min(this.elapsed());
    }
    best
}
