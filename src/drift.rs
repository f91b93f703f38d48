//! How far a model's states move when it computes in a narrower type: measured on pairs, layer by layer.

use activations::{BatchStates, ColumnStates};
use boolq::TokenizedPair;
use llama_core::tch::Device;
use llama_core::{Checkpoint, HookSet, Llama, Precision};

use crate::error::{Error, Result};
use crate::extract::{Extraction, TokenRule, batch, plan};

/// How far one layer's states are from those computed in f32.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Drift {
    /// The layer, as stores count: 0 is the embedding.
    pub layer: usize,
    /// The largest difference, over the largest value.
    pub largest: f64,
    /// The root mean square over prompts of |difference| / |state|.
    pub relative: f64,
}

/// Runs the model over the pairs in f32 and in `precision` and compares the residual streams at the last token.
///
/// The models are in memory one after the other.
///
/// # Errors
/// No pairs; what the model refuses.
pub fn drift(
    checkpoint: &Checkpoint,
    pairs: &[TokenizedPair],
    precision: Precision,
    device: Device,
) -> Result<Vec<Drift>> {
    if pairs.is_empty() {
        return Err(Error::NoPairs);
    }
    let n_layers = checkpoint.config().n_layers;
    let reference = layers(checkpoint, pairs, Precision::F32, device)?;
    let found = layers(checkpoint, pairs, precision, device)?;
    let both = reference.iter().zip(&found).take(n_layers + 1).enumerate();
    Ok(both.map(|(layer, (reference, found))| between(layer, reference, found, pairs.len())).collect())
}

/// The residual stream at every layer, batch after batch.
fn layers(
    checkpoint: &Checkpoint,
    pairs: &[TokenizedPair],
    precision: Precision,
    device: Device,
) -> Result<Vec<ColumnStates>> {
    let llama = Llama::load(checkpoint, precision, device)?;
    let hooks = HookSet::residual_stream(checkpoint.config().n_layers);
    let rules = [TokenRule::Last];
    let runner = batch::BatchRunner {
        llama: &llama,
        hooks: &hooks,
        rules: &rules,
        edits: None,
        sharing: true,
        stop: None,
    };
    let mut all: Vec<ColumnStates> = Vec::new();
    for rows in plan::batches(pairs, Extraction::BATCH_TOKENS, plan::Grouping::Questions) {
        let Some(BatchStates { columns }) = runner.states(pairs, &[rows])?.pop() else { continue };
        if all.is_empty() {
            all = columns;
            continue;
        }
        for (all, new) in all.iter_mut().zip(columns) {
            all.plus.extend(new.plus);
            all.minus.extend(new.minus);
        }
    }
    Ok(all)
}

fn between(layer: usize, reference: &ColumnStates, found: &ColumnStates, pairs: usize) -> Drift {
    let (mut difference, mut largest, mut squares) = (0f64, 0f64, 0f64);
    for (reference, found) in [(&reference.plus, &found.plus), (&reference.minus, &found.minus)] {
        let dim = reference.len() / pairs;
        for (reference, found) in reference.chunks(dim).zip(found.chunks(dim)) {
            let (mut apart, mut length) = (0f64, 0f64);
            for (&r, &f) in reference.iter().zip(found) {
                let (r, d) = (f64::from(r), f64::from(f) - f64::from(r));
                difference = difference.max(d.abs());
                largest = largest.max(r.abs());
                apart += d * d;
                length += r * r;
            }
            squares += if length > 0.0 { apart / length } else { 0.0 };
        }
    }
    let largest = if largest > 0.0 { difference / largest } else { 0.0 };
    Drift { layer, largest, relative: (squares / (2 * pairs) as f64).sqrt() }
}
