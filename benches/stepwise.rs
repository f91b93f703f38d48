//! llama-ccs' own way through our model: all prompts of a batch up to the shortest one's end, then one token of each a
//! forward up to the longest one's. A peer of `cargo xtask bench-peers`; prints one line of JSON.
//!
//! `cargo bench --bench stepwise -- MODEL PROMPTS.csv PAIRS`

#![allow(clippy::expect_used, clippy::print_stdout, missing_docs)] // a benchmark that cannot be set up stops

use std::time::Instant;

use llama_ccs::llama_core::{Checkpoint, Llama, Precision, Sampling};
use llama_ccs::{boolq, tokenize_all, torch_runtime};

/// Pairs of a batch: 32 prompts, as llama-ccs is run.
const PAIRS: usize = 16;

fn main() {
    // cargo adds `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [model, prompts, pairs] = args.as_slice() else { return };
    let device = torch_runtime::open("cpu").expect("LibTorch");
    let checkpoint = Checkpoint::open(model).expect("model");
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    let pairs = pairs.parse().expect("a number of pairs");
    let mut rows = boolq::prompts::read(prompts).expect("prompts").pairs;
    rows.truncate(pairs);
    let rows = tokenize_all(rows, &tokenizer).expect("tokens");
    let llama = Llama::load(&checkpoint, Precision::F32, device).expect("model");
    let started = Instant::now();
    for batch in rows.chunks(PAIRS) {
        let prompts: Vec<&[u32]> =
            batch.iter().flat_map(|pair| [pair.plus.ids.as_slice(), pair.minus.ids.as_slice()]).collect();
        let shortest = prompts.iter().map(|p| p.len()).min().unwrap_or(0);
        let longest = prompts.iter().map(|p| p.len()).max().unwrap_or(0);
        let beginnings: Vec<&[u32]> = prompts.iter().map(|p| &p[..shortest]).collect();
        // The steps cost what they cost whichever tokens they take. Keeping states would come on top of this.
        let max_new_tokens = longest - shortest + 1; // the first comes from the beginnings' own pass
        let greedy = Sampling { temperature: 0.0, max_new_tokens, ..Sampling::default() };
        llama.generate(&beginnings, &greedy).expect("steps");
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{{\"peer\": \"stepwise\", \"pairs_per_second\": {:.3}}}", rows.len() as f64 / seconds);
}
