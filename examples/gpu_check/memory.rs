//! An extraction on a device whose memory is nearly full: it halves its batches, says so, and writes the same states.

use std::ops::ControlFlow;

use llama_ccs::activations::{SideOf, Store};
use llama_ccs::llama_core::tch::{Device, Kind, Tensor};
use llama_ccs::llama_core::{Checkpoint, Tokenizer};
use llama_ccs::{Extraction, Observer, Outcome, boolq::TokenizedPair};
use serde_json::{Value, json};

use crate::{AnyError, Bench, round, trainer};

/// The pieces in which memory is filled, in MiB, and how much of it is left, from much to little.
const PIECE: i64 = 64;
const LEFT: [i64; 5] = [1024, 512, 256, 128, 64];

pub(crate) fn check(bench: &Bench) -> Result<Value, AnyError> {
    if bench.device == Device::Cpu {
        return Ok(json!({ "left_out": "a CPU's memory is not filled" }));
    }
    let quiz = bench.cases.join("quiz");
    let checkpoint = Checkpoint::open(quiz.join("model"))?;
    let tokenizer = checkpoint.tokenizer()?;
    let pairs = trainer::pairs(&quiz, &tokenizer, 600)?;
    let all = job(bench, &checkpoint, &tokenizer, &pairs, "roomy")?;
    let mut ballast = fill(bench.device);
    let filled = ballast.len() as i64 * PIECE;
    let mut tried = Vec::new();
    for left in LEFT {
        // The pieces given back stay with LibTorch, which gives them to whoever asks next.
        let pieces = (left / PIECE) as usize;
        let given_back = ballast.split_off(ballast.len().saturating_sub(pieces));
        drop(given_back);
        let tight = job(bench, &checkpoint, &tokenizer, &pairs, &format!("left-{left}"));
        ballast.extend(fill(bench.device));
        match tight {
            Ok((store, notices)) if !notices.is_empty() => {
                let difference = difference(&all.0, &store)?;
                return Ok(json!({
                    "passed": difference < 1e-4, "filled_mib": filled, "left_mib": left, "notices": notices,
                    "largest_relative_difference": round(difference), "tried": tried,
                }));
            }
            Ok(_) => tried.push(json!({ "left_mib": left, "result": "it fitted" })),
            Err(error) => tried.push(json!({ "left_mib": left, "result": error.to_string() })),
        }
    }
    Ok(json!({ "passed": false, "filled_mib": filled, "tried": tried }))
}

/// Fills the device until it refuses.
fn fill(device: Device) -> Vec<Tensor> {
    let piece = || Tensor::f_empty([PIECE << 20], (Kind::Uint8, device)).ok();
    std::iter::from_fn(piece).collect()
}

struct Notices(Vec<String>);

impl Observer for Notices {
    fn rows(&mut self, _done: usize, _total: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn notice(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

/// All prompts in one batch: the store, and what was said on the way.
fn job(
    bench: &Bench,
    checkpoint: &Checkpoint,
    tokenizer: &Tokenizer,
    pairs: &[TokenizedPair],
    name: &str,
) -> Result<(Store, Vec<String>), AnyError> {
    let mut notices = Notices(Vec::new());
    let extraction = Extraction::new(checkpoint, tokenizer).device(bench.device).batch_tokens(1 << 24);
    match extraction.run(pairs, bench.scratch.join(name), &mut notices)? {
        Outcome::Finished(store) => Ok((store, notices.0)),
        _ => Err("the extraction stopped".into()),
    }
}

/// The largest difference of a state's numbers, relative to the largest of its layer.
fn difference(a: &Store, b: &Store) -> Result<f64, AnyError> {
    let mut largest = 0.0f64;
    for (_, column) in a.layers("last") {
        for side in [SideOf::Plus, SideOf::Minus] {
            let read = |store: &Store| -> Result<Vec<f32>, AnyError> {
                Ok(store.column(&column.name())?.read(side)?)
            };
            let (a, b) = (read(a)?, read(b)?);
            let scale = a.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            let apart = a.iter().zip(&b).fold(0.0f32, |most, (x, y)| most.max((x - y).abs()));
            largest = largest.max(f64::from(apart / scale));
        }
    }
    Ok(largest)
}
