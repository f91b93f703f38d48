//! Scores of continuations against transformers in float64 (`fixtures/score/make.py`), which runs every pair alone.

use std::path::{Path, PathBuf};

use llama_core::tch::Device;
use llama_core::{Checkpoint, Continuation, Error, Llama, Precision, Score, Tokenizer};
use serde::Deserialize;

use crate::support::{prompts, random};
use crate::with_hint;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[derive(Deserialize)]
struct Expected {
    models: std::collections::BTreeMap<String, Vec<Pair>>,
    pairs: std::collections::BTreeMap<String, Vec<Texts>>,
}

#[derive(Deserialize)]
struct Pair {
    context: Vec<u32>,
    continuation: Vec<u32>,
    log_probs: Vec<f64>,
    greedy: bool,
}

#[derive(Deserialize)]
struct Texts {
    context: String,
    continuation: String,
    ids: [Vec<u32>; 2],
}

fn expected() -> Expected {
    let path = root().join("crates/llama-core/tests/fixtures/score/expected.json");
    serde_json::from_slice(&std::fs::read(path).expect("expected")).expect("json")
}

fn continuations(pairs: &[Pair]) -> Vec<Continuation> {
    let own = |pair: &Pair| Continuation { context: pair.context.clone(), ids: pair.continuation.clone() };
    pairs.iter().map(own).collect()
}

/// In f64 what is left is the order of sums.
fn assert_same(what: &str, found: &[Score], pairs: &[Pair]) {
    assert_eq!(found.len(), pairs.len());
    for (number, (score, pair)) in found.iter().zip(pairs).enumerate() {
        assert_eq!(score.log_probs.len(), pair.log_probs.len(), "{what}, pair {number}");
        for (found, expected) in score.log_probs.iter().zip(&pair.log_probs) {
            assert!((found - expected).abs() < 1e-9, "{what}, pair {number}: {found} {expected}");
        }
        assert_eq!(score.is_greedy, pair.greedy, "{what}, pair {number}");
        let sum: f64 = pair.log_probs.iter().sum();
        assert!(
            (score.sum() - sum).abs() < 1e-8
                && (score.mean() - sum / pair.log_probs.len() as f64).abs() < 1e-8
        );
    }
}

#[test]
fn scores_are_transformers_however_texts_are_laid_out() {
    for (case, pairs) in expected().models {
        let folder = root().join("crates/llama-core/tests/fixtures/families").join(&case);
        let checkpoint = Checkpoint::open(folder).expect("checkpoint");
        let llama = Llama::load(&checkpoint, Precision::F64, Device::Cpu).expect("loaded");
        // All in one batch, in batches of a few rows, and every text alone.
        for batch_tokens in [100_000, 40, 1] {
            let found = llama.score(&continuations(&pairs), batch_tokens).expect("scores");
            assert_same(&format!("{case}, {batch_tokens} tokens"), &found, &pairs);
        }
        let streamed = Llama::streamed(&checkpoint, Precision::F64, Device::Cpu).expect("streamed");
        let mut told = Vec::new();
        let found =
            streamed.score_with(&continuations(&pairs), 24, &mut |done| told.push(done)).expect("scores");
        assert_same(&format!("{case}, from disk"), &found, &pairs);
        assert_eq!(told.last(), Some(&pairs.len()));
        assert!(pairs.iter().any(|pair| pair.greedy) && pairs.iter().any(|pair| !pair.greedy));
    }
}

#[test]
fn pairs_are_tokenized_as_the_harness_does() {
    for (path, texts) in expected().pairs {
        let tokenizer = Tokenizer::open(root().join(&path)).expect("tokenizer");
        for Texts { context, continuation, ids: [before, after] } in texts {
            let found = tokenizer.continuation(&context, &continuation).expect("tokens");
            assert_eq!(
                (&found.context, &found.ids),
                (&before, &after),
                "{path}: {context:?} {continuation:?}"
            );
        }
        let error = with_hint(&tokenizer.continuation("The sky", "").expect_err("nothing to score"));
        assert!(error.contains("no tokens of it are left"), "{error}");
    }
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let llama = random(Precision::F32);
    let of = |context: &[u32], ids: &[u32]| Continuation { context: context.to_vec(), ids: ids.to_vec() };
    assert!(llama.score(&[], 10).expect("nothing").is_empty());
    for (pair, reason) in [(of(&[], &[1]), "its context has no tokens"), (of(&[1], &[]), "it has no tokens")]
    {
        let error = with_hint(&llama.score(&[of(&prompts()[0], &[2]), pair], 10).expect_err("refused"));
        assert!(error.contains(reason), "{error}");
    }
    for pair in [of(&[50], &[1]), of(&[1], &[50]), of(&[1], &[2, 50])] {
        let error = llama.score(&[pair], 10).expect_err("outside the vocabulary");
        assert!(matches!(error, Error::TokenOutOfRange { .. } | Error::NextTokens { .. }), "{error}");
    }
}
