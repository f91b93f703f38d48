//! Models that do not fit into memory, and states that do not depend on what else is computed.

use std::path::Path;

use llama_ccs::activations::{SideOf, Store};
use llama_ccs::boolq::{self, TokenizedPair};
use llama_ccs::llama_core::Checkpoint;
use llama_ccs::{Extraction, Outcome, tokenize_all};

use crate::support::{F32, contents, extract, prompts, quiz};

#[test]
fn a_model_that_does_not_fit_is_read_block_by_block_and_gives_the_same_store() {
    let folder = tempfile::tempdir().expect("folder");
    let prompts = prompts(folder.path(), 60);
    let run = |name: &str, memory: &str| {
        let mut command = extract(&prompts, &folder.path().join(name));
        command.args(["--batch-tokens", "200", "--tokens", "last,mean", "--max-memory", memory]);
        command
    };
    let said = |output: &assert_cmd::assert::Assert| {
        String::from_utf8_lossy(&output.get_output().stderr).into_owned()
    };

    run("whole", "20GiB").assert().success();
    let refused = said(&run("refused", "1MiB").assert().failure());
    assert!(refused.contains("1048576 are allowed") && refused.contains("--max-memory"), "{refused}");
    let needed: u64 = refused
        .split("needs ")
        .nth(1)
        .and_then(|s| s.split(' ').next())
        .expect("a number")
        .parse()
        .expect("bytes");

    let whole = contents(&folder.path().join("whole"));
    // Just enough: one batch for each reading of the weights. A little more, and several batches wait for each block.
    for (name, memory) in [("least", needed), ("more", needed + 700_000)] {
        let streamed = said(&run(name, &memory.to_string()).assert().success());
        assert!(streamed.contains("read from disk"), "{streamed}");
        assert!(contents(&folder.path().join(name)) == whole, "{name}: another store");
    }
}

/// Two templates of the quiz' first questions.
fn pairs(checkpoint: &Checkpoint) -> Vec<TokenizedPair> {
    let templates = [
        boolq::Template::named("llama-ccs").expect("template"),
        boolq::Template::from_source("short", "{{ passage }}\n\nis it so {{ question }}? {{ answer }}")
            .expect("template"),
    ];
    let mut data = boolq::Dataset::load(quiz().join("questions.jsonl")).expect("questions");
    data.questions.truncate(12);
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    tokenize_all(boolq::pairs_with(&data, &templates).expect("pairs").pairs, &tokenizer).expect("tokens")
}

/// Each row's states at the last layer and its answers' log-probabilities.
fn rows(
    checkpoint: &Checkpoint,
    pairs: &[TokenizedPair],
    out: &Path,
    deterministic: bool,
    tokens: usize,
) -> Vec<Vec<f32>> {
    let tokenizer = checkpoint.tokenizer().expect("tokenizer");
    let extraction =
        Extraction::new(checkpoint, &tokenizer).deterministic(deterministic).batch_tokens(tokens);
    let Outcome::Finished(store) = extraction.run(pairs, out, &mut ()).expect("extract") else {
        panic!("stopped")
    };
    let read =
        |store: &Store, column: &str, side| store.column(column).expect("column").read(side).expect("values");
    let mut rows = vec![Vec::new(); pairs.len()];
    for column in ["blocks.1.hook_resid_post", "blocks.3.hook_resid_post", "answer_logprob"] {
        for side in [SideOf::Plus, SideOf::Minus] {
            let values = read(&store, column, side);
            let width = values.len() / pairs.len();
            rows.iter_mut().zip(values.chunks(width)).for_each(|(row, own)| row.extend(own));
        }
    }
    rows
}

#[test]
fn a_deterministic_row_has_the_same_bytes_in_any_company() {
    let folder = tempfile::tempdir().expect("folder");
    let checkpoint = Checkpoint::open(quiz().join("model")).expect("model");
    let pairs = pairs(&checkpoint);
    let of = |name: &str, pairs: &[TokenizedPair], deterministic: bool, tokens: usize| {
        rows(&checkpoint, pairs, &folder.path().join(name), deterministic, tokens)
    };
    let all = of("all", &pairs, true, 100_000);
    let few: Vec<TokenizedPair> = pairs.iter().skip(1).step_by(3).cloned().collect();
    let few_rows = of("few", &few, true, 1);
    let same = all.iter().skip(1).step_by(3).zip(&few_rows);
    same.for_each(|(all, few)| assert!(all.iter().zip(few).all(|(a, b)| a.to_bits() == b.to_bits())));
    // And they are the states that batches give, up to rounding.
    let batched = of("batched", &pairs, false, 100_000);
    for (alone, batched) in all.iter().zip(&batched) {
        let largest = alone.iter().fold(0f32, |m, v| m.max(v.abs()));
        let apart = alone.iter().zip(batched).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(apart <= F32 * largest, "{apart} of {largest}");
    }
}
