//! Where a model's weights are while it runs: in memory if they fit, otherwise on disk, block after block.

use std::ops::Range;

use llama_core::tch::Device;
use llama_core::{Checkpoint, Config, Kernels, Llama, Precision};
use torch_runtime::machine;

use super::{Extraction, Observer};
use crate::error::{Error, Result};

/// What a program needs beside the model: LibTorch, the prompts, files that are being written.
const PROGRAM: u64 = 768 << 20;

/// Tokens that one pass over a streamed model's weights is made for. One token takes two operations a weight and a weight
/// is two bytes, so computing hides reading from (operations a second) / (bytes a second) tokens on: 400 for a CPU of
/// 400 GFLOP/s and a disk of 1 GB/s, 50,000 for a GPU of 500 TFLOP/s fed with 10 GB/s. More than needed costs memory, and
/// work when a run is interrupted.
const GROUP_CPU: usize = 8192;
const GROUP_CUDA: usize = 262_144;

/// Most tokens of a batch where nothing else is said. Larger batches leave a CPU's cache; a GPU needs them to be busy.
pub(super) fn batch_tokens(
    config: &Config,
    precision: Precision,
    device: Device,
    memory: Option<u64>,
) -> usize {
    let usual = if device == Device::Cpu { Extraction::BATCH_TOKENS } else { 16_384 };
    // What one machine plans must not depend on what else runs there at the moment.
    let memory = memory.or_else(|| if device == Device::Cpu { machine::total_memory() } else { None });
    let fitting = memory.map_or(usual as u64, |bytes| bytes / 8 / bytes_per_token(config, precision));
    usual.min(fitting as usize).max(256)
}

/// How often a batch's states are there: computed, waiting to be read, read, and waiting to be written, where two wait.
const COPIES: u64 = 6;
/// The most bytes of states of one batch, where all tokens' are stored and nothing else is said.
const STATES: u64 = 256 << 20;

/// Most tokens of a batch whose tokens' states are all stored, `kept` bytes a token.
pub(super) fn batch_tokens_kept(usual: usize, kept: u64) -> usize {
    STATES.checked_div(kept).map_or(usual, |fitting| usual.min((fitting as usize).max(64)))
}

/// Some blocks of a model, or all, ready to run (for batches of so many tokens, of each of which so many bytes are stored), and the tokens, padding included, that one pass over its weights is made for: 0 if they are in memory.
pub(crate) fn load(
    checkpoint: &Checkpoint,
    (precision, kernels): (Precision, Kernels),
    device: Device,
    max_memory: Option<u64>,
    blocks: Range<usize>,
    (batch_tokens, kept): (usize, u64),
    observer: &mut dyn Observer,
) -> Result<(Llama, usize)> {
    let config = checkpoint.config();
    let batch = batch_bytes(config, precision, (batch_tokens, kept));
    // A GPU does not say what it has left; there memory is found out by asking for it.
    let limit = max_memory.or_else(|| if device == Device::Cpu { machine::available_memory() } else { None });
    let whole = Llama::stage_bytes(config, precision, &blocks, false) + batch + PROGRAM;
    if limit.is_none_or(|limit| whole <= limit) {
        let stage = Llama::stage(checkpoint, precision, device, blocks.clone());
        match stage.and_then(|llama| llama.with_kernels(kernels)) {
            Err(error) if error.is_out_of_memory() => {}
            loaded => return Ok((loaded?, 0)),
        }
    }
    let needed = Llama::stage_bytes(config, precision, &blocks, true) + batch + PROGRAM;
    let left = limit.map(|limit| limit.checked_sub(needed).ok_or(Error::TooLittleMemory { limit, needed }));
    let most = if device == Device::Cpu { GROUP_CPU } else { GROUP_CUDA };
    let fitting =
        left.transpose()?.map_or(most, |left| (left / (bytes_waiting(config, precision) + kept)) as usize);
    let group = fitting.clamp(batch_tokens, most.max(batch_tokens));
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    observer.notice(&format!(
        "the model takes {:.1} GiB as {precision}{}: its blocks are read from disk, once for every {group} tokens",
        gib(whole),
        limit.map_or(String::new(), |limit| format!(", of {:.1} GiB", gib(limit))),
    ));
    Ok((Llama::streamed_stage(checkpoint, precision, device, blocks)?.with_kernels(kernels)?, group))
}

/// Whether some blocks fit into memory with what a batch needs.
#[cfg(feature = "distributed")]
pub(super) fn fits(
    (config, precision): (&Config, Precision),
    blocks: &Range<usize>,
    batch: (usize, u64),
    limit: Option<u64>,
) -> bool {
    let whole = Llama::stage_bytes(config, precision, blocks, false);
    limit.is_none_or(|limit| whole + batch_bytes(config, precision, batch) + PROGRAM <= limit)
}

/// Bytes of memory that each of so many ranks needs that hold a model together.
#[cfg(feature = "distributed")]
pub(super) fn part_bytes(
    (config, precision): (&Config, Precision),
    ranks: usize,
    batch: (usize, u64),
) -> Result<u64> {
    Ok(Llama::shard_bytes(config, precision, ranks)? + batch_bytes(config, precision, batch) + PROGRAM)
}

/// Bytes that a batch of so many tokens takes, where so many bytes are stored of each.
fn batch_bytes(config: &Config, precision: Precision, (tokens, kept): (usize, u64)) -> u64 {
    tokens as u64 * (bytes_per_token(config, precision) + COPIES * kept)
}

/// Bytes that a token's activations take at the widest point of a pass: the stream three times over, what an MLP reads and
/// makes, a row of a mask.
fn bytes_per_token(config: &Config, precision: Precision) -> u64 {
    let (stream, product) = (precision.stream(), precision.product());
    let width = |kind: llama_core::tch::Kind, numbers: i64| numbers as u64 * kind.elt_size_in_bytes() as u64;
    width(stream, 3 * config.dim) + width(product, 2 * config.dim + 4 * config.hidden_dim) + 8192
}

/// Bytes that a token takes while its batch waits for the next block: its residual stream, and its share of the states
/// that were captured.
fn bytes_waiting(config: &Config, precision: Precision) -> u64 {
    let stream = config.dim as u64 * precision.stream().elt_size_in_bytes() as u64;
    stream + stream / 4 + 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_smaller_where_memory_is() {
        let seven = Config::default();
        let tokens = |memory| batch_tokens(&seven, Precision::F32, Device::Cpu, Some(memory));
        assert_eq!(tokens(24 << 30), 2048);
        let few = tokens(2 << 30);
        assert!((256..2048).contains(&few), "{few}");
        assert_eq!(tokens(1), 256);
        assert_eq!(batch_tokens(&seven, Precision::Mixed, Device::Cuda(0), None), 16_384);
    }
}
