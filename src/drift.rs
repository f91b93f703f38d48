//! How far a model's states move when it computes in a narrower type: measured on prompts, layer by layer.

use activations::{BatchStates, ColumnStates};
use llama_core::tch::Device;
use llama_core::{Checkpoint, HookSet, Kernels, Llama, Precision};

use crate::error::{Error, Result};
use crate::extract::{Examples, Extraction, TokenRule, batch, pipeline, plan};

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

/// Runs the model over pairs, or statements, in f32 and in `precision` and compares the residual streams at the last token.
///
/// The models are in memory one after the other.
///
/// # Errors
/// No examples; what the model refuses.
pub fn drift<'e>(
    checkpoint: &Checkpoint,
    examples: impl Into<Examples<'e>>,
    (precision, kernels): (Precision, Kernels),
    device: Device,
) -> Result<Vec<Drift>> {
    let examples: Examples<'e> = examples.into();
    if examples.is_empty() {
        return Err(Error::NoPairs);
    }
    let n_layers = checkpoint.config().n_layers;
    let reference = layers(checkpoint, examples, (Precision::F32, Kernels::default()), device)?;
    let found = layers(checkpoint, examples, (precision, kernels), device)?;
    let both = reference.iter().zip(&found).take(n_layers + 1).enumerate();
    Ok(both.map(|(layer, (reference, found))| between(layer, reference, found, examples.len())).collect())
}

/// The residual stream at every layer, batch after batch.
fn layers(
    checkpoint: &Checkpoint,
    examples: Examples<'_>,
    (precision, kernels): (Precision, Kernels),
    device: Device,
) -> Result<Vec<ColumnStates>> {
    let llama = Llama::load(checkpoint, precision, device)?.with_kernels(kernels)?;
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
    let (kind, examples) = (examples.kind(), examples.rows());
    let mut all = BatchStates::default();
    for rows in plan::batches(&examples, Extraction::BATCH_TOKENS, plan::Grouping::Questions) {
        for states in runner.states(&examples, kind, &[rows])? {
            pipeline::append(&mut all, states);
        }
    }
    Ok(all.columns)
}

fn between(layer: usize, reference: &ColumnStates, found: &ColumnStates, rows: usize) -> Drift {
    let (mut difference, mut largest, mut squares, mut prompts) = (0f64, 0f64, 0f64, 0);
    for ((_, reference), (_, found)) in reference.sides().zip(found.sides()) {
        let dim = reference.len() / rows;
        prompts += rows;
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
    Drift { layer, largest, relative: (squares / prompts as f64).sqrt() }
}
