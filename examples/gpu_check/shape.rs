//! LLaMA 7B's shape with random weights made on the device: tokens a second, with and without sharing, beside the rate of
//! its matrix products.

use std::time::Instant;

use llama_ccs::llama_core::tch::Device;
use llama_ccs::llama_core::{Batch, Capture, Config, Forward, HookSet, Llama, Precision, Tokens};
use serde_json::{Map, Value, json};

use crate::{AnyError, Bench, rates, round};

/// Tokens of a prompt, as BoolQ's are long, and those at its end that its pair does not share.
const TOKENS: usize = 160;
const ANSWER: usize = 2;

pub(crate) fn config(small: bool) -> Config {
    let (dim, n_heads, n_layers, hidden_dim) = if small { (256, 4, 2, 688) } else { (4096, 32, 32, 11_008) };
    let vocab_size = if small { 512 } else { 32_000 };
    Config {
        dim,
        n_heads,
        n_kv_heads: n_heads,
        n_layers,
        head_dim: dim / n_heads,
        hidden_dim,
        vocab_size,
        ..Config::default()
    }
}

/// A block's matrices as they are multiplied, \[out, in\]: queries, keys and values at once, and gate and up.
pub(crate) fn matrices(c: &Config) -> [[i64; 2]; 4] {
    let (queries, keys) = (c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim);
    [[queries + 2 * keys, c.dim], [c.dim, queries], [2 * c.hidden_dim, c.dim], [c.dim, c.hidden_dim]]
}

pub(crate) fn weights(config: &Config) -> i64 {
    matrices(config).iter().map(|[out, inputs]| out * inputs).sum()
}

pub(crate) fn measure(bench: &Bench) -> Value {
    let config = config(bench.small);
    let mut found = Map::new();
    for precision in [Precision::Bf16, Precision::Mixed, Precision::F32] {
        // What does not fit, or fails in one precision, leaves the others their numbers.
        let one = in_precision(bench, &config, precision);
        found
            .insert(precision.to_string(), one.unwrap_or_else(|error| json!({ "error": error.to_string() })));
    }
    let failed = found.values().all(|one| one.get("error").is_some());
    json!({ "passed": !failed, "layers": config.n_layers, "width": config.dim, "precisions": found })
}

fn in_precision(bench: &Bench, config: &Config, precision: Precision) -> Result<Value, AnyError> {
    let started = Instant::now();
    let llama = Llama::random_on(config, precision, bench.device)?;
    let made = started.elapsed().as_secs_f64();
    let pairs: Vec<[Vec<u32>; 2]> = (0..if bench.small { 4 } else { 48 }).map(pair).collect();
    let rows = pairs.len() as i64 * TOKENS as i64;
    let rate = rates::rate(config, rows, precision.product(), bench.device)?;

    let shared = run(&llama, &Batch::shared(&pairs)?)?;
    let alone = run(&llama, &Batch::new(&pairs.concat())?)?;
    let pairs = pairs.len() as f64;
    let operations = 2.0 * (weights(config) * config.n_layers as i64) as f64;
    let of = |(tokens, seconds): (f64, f64)| {
        json!({
            "tokens": tokens, "seconds": round(seconds), "tokens_per_second": round(tokens / seconds),
            "pairs_per_second": round(pairs / seconds),
            "share_of_products_rate": round(tokens * operations / seconds / rate),
        })
    };
    Ok(json!({
        "made_in_seconds": round(made), "products_gflops": round(rate / 1e9),
        "with_sharing": of(shared), "without_sharing": of(alone),
    }))
}

/// Two prompts that differ in their last tokens.
fn pair(number: usize) -> [Vec<u32>; 2] {
    [0, 1].map(|side| {
        let id = |place: usize| {
            let own = if place + ANSWER < TOKENS { 0 } else { 17 * (side + 1) };
            ((7 * number + 3 * place + own) % 509) as u32
        };
        (0..TOKENS).map(id).collect()
    })
}

/// The layout's tokens, and the seconds of the fastest of three passes that keep the last token's state at every layer.
fn run(llama: &Llama, batch: &Batch) -> Result<(f64, f64), AnyError> {
    let (rows, width) = batch.shape();
    let mut fastest = f64::INFINITY;
    for _ in 0..4 {
        let started = Instant::now();
        let mut capture = Capture::new(HookSet::residual_stream(llama.config().n_layers), Tokens::Last);
        llama.forward(batch, Forward::new().hook(&mut capture))?;
        let mut finite = true;
        for (_, states) in capture.finish() {
            finite &= bool::try_from(states.f_isfinite()?.f_all()?.f_to_device(Device::Cpu)?)?;
        }
        if !finite {
            return Err("a state is not finite".into());
        }
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    Ok(((rows * width) as f64, fastest))
}
