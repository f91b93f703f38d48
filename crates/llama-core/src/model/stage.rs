//! A range of a model's blocks, so that several devices or hosts hold a model together: each takes the residual stream from
//! the one before it and hands it on to the next.

use std::ops::Range;

use tch::{Device, Tensor};

use super::load::bytes;
use super::{Forward, Llama, Precision};
use crate::batch::Batch;
use crate::checkpoint::{Checkpoint, Wanted, Weight};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::shard::Shard;

impl Llama {
    /// Reads some blocks of a checkpoint: with the first the embedding, with the last the final norm and the unembedding.
    ///
    /// [`Forward::entering`] gives such a stage the residual stream that the one before left in
    /// [`Output::leaving`](crate::Output::leaving). Every stage is given the same hooks and shows them the points of its
    /// own blocks; the operations, and so the numbers, are those of the whole model.
    ///
    /// ```no_run
    /// use llama_core::{Batch, Checkpoint, Forward, Llama, Precision, Tokens, tch::Device};
    ///
    /// let checkpoint = Checkpoint::open("llama-7b")?;
    /// let stage = |blocks| Llama::stage(&checkpoint, Precision::F32, Device::Cpu, blocks);
    /// let (first, second) = (stage(0..16)?, stage(16..32)?); // on two hosts
    /// let batch = Batch::new(&[[1, 2, 3]])?;
    /// let stream = first.forward(&batch, Forward::new().logits(Tokens::Last))?.leaving.unwrap(); // [B, T, D]
    /// let logits = second.forward(&batch, Forward::new().entering(stream).logits(Tokens::Last))?.logits;
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Stage`] for blocks that the model does not have; as [`Llama::load`].
    pub fn stage(
        checkpoint: &Checkpoint,
        precision: Precision,
        device: Device,
        blocks: Range<usize>,
    ) -> Result<Self> {
        Self::of_blocks(checkpoint, precision, device, (None, blocks))
    }

    /// The same with its blocks on disk, as [`Llama::streamed`].
    ///
    /// # Errors
    /// As [`Llama::stage`].
    pub fn streamed_stage(
        checkpoint: &Checkpoint,
        precision: Precision,
        device: Device,
        blocks: Range<usize>,
    ) -> Result<Self> {
        Self::of_blocks(checkpoint, precision, device, (Some(checkpoint.clone()), blocks))
    }

    fn of_blocks(
        checkpoint: &Checkpoint,
        precision: Precision,
        device: Device,
        (streamed, blocks): (Option<Checkpoint>, Range<usize>),
    ) -> Result<Self> {
        check(checkpoint.config(), &blocks)?;
        let mut source = |weight, wanted: Wanted, into: &Tensor| checkpoint.copy(weight, wanted, into);
        let (config, of) = (checkpoint.config(), (streamed, blocks));
        Self::assemble(config, precision, device, &mut source, of, Shard::whole(config))
    }

    /// The blocks that it has: all, unless it is a [stage](Llama::stage).
    pub fn blocks(&self) -> Range<usize> {
        self.stage.clone()
    }

    /// The bytes that a stage's weights take in memory; `streamed` if its blocks are on disk.
    pub fn stage_bytes(config: &Config, precision: Precision, blocks: &Range<usize>, streamed: bool) -> u64 {
        let block: u64 = Weight::all(config)
            .filter(|weight| matches!(weight, Weight::Block(0, _)))
            .map(|weight| bytes(weight, config, precision.product()))
            .sum();
        let (stream, product) = (precision.stream(), precision.product());
        let (begins, ends) = (blocks.start == 0, blocks.end == config.n_layers);
        let embed = if begins { bytes(Weight::Embed, config, stream) } else { 0 };
        let unembed = match ends && !config.headless {
            false => 0,
            true if config.tied_embeddings && begins && stream == product => 0, // it is the embedding
            true => bytes(Weight::Unembed, config, product),
        };
        let norm = if ends { bytes(Weight::FinalNorm, config, stream) } else { 0 };
        let there = if streamed { blocks.len().min(2) } else { blocks.len() };
        embed + unembed + norm + there as u64 * block
    }

    pub(super) fn is_first_stage(&self) -> bool {
        self.stage.start == 0
    }

    pub(super) fn is_last_stage(&self) -> bool {
        self.stage.end == self.config.n_layers
    }
}

impl<H: ?Sized> Forward<'_, H> {
    /// The residual stream that the stage before left ([`Output::leaving`](crate::Output::leaving)), of a batch laid out
    /// alike.
    ///
    /// # Shapes
    /// `stream` \[B, T, D\], in the batch's layout, padding included
    #[must_use]
    pub fn entering(mut self, stream: Tensor) -> Self {
        self.entering = Some(stream);
        self
    }
}

/// The residual stream that enters a stage, on its device.
///
/// # Shapes
/// `stream` \[B, T, D\] → the same
pub(super) fn enter(llama: &Llama, batch: &Batch, stream: Option<Tensor>) -> Result<Option<Tensor>> {
    let refuse = |reason: String| Err(Error::Stage { reason });
    match stream {
        None if llama.is_first_stage() => Ok(None),
        None => {
            refuse(format!("it begins with block {} and no residual stream enters it", llama.stage.start))
        }
        Some(_) if llama.is_first_stage() => {
            refuse("it begins with the embedding, and a residual stream enters it".to_owned())
        }
        Some(stream) => {
            let (b, t) = batch.shape();
            let (expected, kind) = ([b, t, llama.config.dim], llama.precision.stream());
            if stream.size() != expected || stream.kind() != kind {
                let (found, of) = (stream.size(), stream.kind());
                return refuse(format!(
                    "the residual stream that enters it is {of:?} {found:?}, not {kind:?} {expected:?}"
                ));
            }
            Ok(Some(stream.f_to_device(llama.device)?))
        }
    }
}

fn check(config: &Config, blocks: &Range<usize>) -> Result<()> {
    if blocks.is_empty() || blocks.end > config.n_layers {
        let reason =
            format!("the model has blocks 0 to {}, not {blocks:?}", config.n_layers.saturating_sub(1));
        return Err(Error::Stage { reason });
    }
    Ok(())
}
