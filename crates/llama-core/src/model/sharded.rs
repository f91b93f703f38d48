//! One rank's share of a model that several hold together.

use tch::{Device, Tensor};
use torch_runtime::TensorChain as _;

use super::{Llama, Precision};
use crate::checkpoint::{Checkpoint, Wanted, Weight};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::shard::{Divided, Shard, Share, Together};

impl Llama {
    /// Reads one rank's share of a checkpoint, tensor parallel: of every block some heads and some of the MLP's columns, of
    /// embedding and unembedding some of the vocabulary. Of Meta's files in as many parts as there are ranks, each rank reads
    /// its own.
    ///
    /// All ranks run the same batches with the same hooks, in the same order. On every rank hooks see, and runs return, what
    /// they would of the whole model, up to rounding: an activation that is divided is gathered if a hook wants it, and of
    /// what replaces it each rank goes on with its part. Hooks must give the same on every rank, and [`Llama::unembed`],
    /// [`Llama::log_probs`], and [`Llama::generate`] are called on all of them, too.
    ///
    /// Key and value heads are divided as far as they go, in whole groups of query heads; more ranks than those have copies.
    ///
    /// ```no_run
    /// use llama_core::{Batch, Checkpoint, Forward, Llama, Precision, Together, Tokens, tch::Device};
    ///
    /// # fn shown(ranks: Box<dyn Together>) -> llama_core::Result<()> {
    /// let checkpoint = Checkpoint::open("llama-13b")?; // on each of two hosts
    /// let llama = Llama::sharded(&checkpoint, Precision::F32, Device::Cpu, ranks)?;
    /// let batch = Batch::new(&[[1, 2, 3]])?;
    /// let logits = llama.forward(&batch, Forward::new().logits(Tokens::Last))?.logits; // on both
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Shard`] for more ranks than heads; as [`Llama::load`].
    pub fn sharded(
        checkpoint: &Checkpoint,
        precision: Precision,
        device: Device,
        ranks: Box<dyn Together>,
    ) -> Result<Self> {
        Self::divided(checkpoint, precision, device, ranks, None)
    }

    /// The same with its blocks on disk, as [`Llama::streamed`].
    ///
    /// # Errors
    /// As [`Llama::sharded`].
    pub fn streamed_shard(
        checkpoint: &Checkpoint,
        precision: Precision,
        device: Device,
        ranks: Box<dyn Together>,
    ) -> Result<Self> {
        Self::divided(checkpoint, precision, device, ranks, Some(checkpoint.clone()))
    }

    fn divided(
        checkpoint: &Checkpoint,
        precision: Precision,
        device: Device,
        ranks: Box<dyn Together>,
        streamed: Option<Checkpoint>,
    ) -> Result<Self> {
        let config = checkpoint.config();
        let shard = Shard::new(config, ranks, checkpoint.embedding_axis()?)?;
        let mut source = |weight, wanted: Wanted, into: &Tensor| checkpoint.copy(weight, wanted, into);
        let of = (streamed, 0..config.n_layers);
        Self::assemble(config, precision, device, &mut source, of, shard)
    }

    /// Whether a model can be divided among so many ranks.
    ///
    /// # Errors
    /// [`Error::Shard`] if not.
    pub fn check_ranks(config: &Config, ranks: usize) -> Result<()> {
        Share::new(config, 0, ranks, 0).map(drop)
    }

    /// The bytes that a rank's weights take in memory, of the first one of so many, which has no less than any other.
    ///
    /// # Errors
    /// As [`Llama::check_ranks`].
    pub fn shard_bytes(config: &Config, precision: Precision, ranks: usize) -> Result<u64> {
        let share = Share::new(config, 0, ranks, 0)?;
        let numbers =
            |weight: Weight| share.wanted(weight).shape(weight.shape(config)).iter().product::<i64>();
        let bytes = |weight: Weight| {
            let stream = weight.is_gain() || weight == Weight::Embed;
            let kind = if stream { precision.stream() } else { precision.product() };
            numbers(weight) as u64 * kind.elt_size_in_bytes() as u64
        };
        let twice = config.tied_embeddings && precision.stream() != precision.product();
        let tied = if twice { bytes(Weight::Unembed) } else { 0 };
        Ok(Weight::all(config).map(bytes).sum::<u64>() + tied)
    }

    /// Which rank's share it is, and of how many; rank 0 of 1 is all of the model.
    pub fn rank(&self) -> (usize, usize) {
        (self.shard.share().rank(), self.shard.share().size())
    }

    /// The embeddings of tokens.
    ///
    /// # Shapes
    /// `tokens` \[B, T\] → \[B, T, D\]
    pub(super) fn embedded(&self, tokens: &Tensor) -> Result<Tensor> {
        let lookup = |ids: &Tensor| Tensor::f_embedding(&self.embed, ids, -1, false, false);
        let share = self.shard.share();
        if self.shard.is_whole() {
            return Ok(lookup(tokens)?);
        }
        if share.embedding() == Divided::Dim {
            return self.shard.gathered(&lookup(tokens)?, 2, Divided::Dim);
        }
        // Of tokens that another rank has: zeros, which add nothing.
        let own = share.own(Divided::Vocab);
        let elsewhere = tokens.f_lt(own.start)?.f_logical_or(&tokens.f_ge(own.end)?)?; // [B, T]
        let ids = tokens.f_sub_scalar(own.start)?.f_masked_fill(&elsewhere, 0)?;
        let x = lookup(&ids).masked_fill(&elsewhere.f_unsqueeze(-1)?, 0.0)?; // [B, T, D]
        self.shard.sum(x, self.precision.stream())
    }

    /// The token ids that rank 0 chose, of ids that every rank has chosen.
    pub(crate) fn chosen_by_first(&self, ids: Vec<u32>) -> Result<Vec<u32>> {
        let ids = self.shard.of_first(ids.into_iter().map(i64::from).collect(), self.device)?;
        Ok(ids.into_iter().map(|id| id as u32).collect())
    }

    /// What only the whole model can do.
    pub(super) fn check_whole(&self, what: &str) -> Result<()> {
        let (rank, size) = self.rank();
        if self.shard.is_whole() {
            return Ok(());
        }
        Err(Error::Shard { reason: format!("rank {rank} of {size} holds a part of the model: {what}") })
    }
}
