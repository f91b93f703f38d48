//! One model held by several ranks together, tensor parallel: each has some heads, some of the MLP's columns, and some of
//! the vocabulary ([`Share`]), and what they exchange ([`Together`]).
//!
//! The residual stream is whole on every rank, and the same bits. Queries, keys, values, gate, and up are divided by rows, so
//! that a rank computes its own heads and columns from the whole stream; attention's output and down by columns, so that
//! what a rank computes is one term of a sum over all ranks (Shoeybi et al. 2019, Megatron-LM).

use std::fmt;

use tch::{Device, Kind, Tensor};

use crate::config::Config;
use crate::error::{Error, Result};

mod share;

pub(crate) use share::{Divided, Share};

/// What goes wrong between ranks.
type Problem = Box<dyn std::error::Error + Send + Sync>;

/// Ranks that hold one model together ([`Llama::sharded`](crate::Llama::sharded)), as one of them sees them: threads of a
/// process, processes, or hosts.
///
/// Every rank makes the same calls in the same order. Tensors lie one number after the other, have the same shape and type
/// on every rank, and are on the model's device.
pub trait Together: Send {
    /// This rank's number, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// The sum over all ranks, in place, and with the same bits on all of them.
    ///
    /// # Errors
    /// A rank that is gone, or that asks for something else.
    fn sum(&self, tensor: &Tensor) -> Result<(), Problem>;

    /// Every rank's tensor, on every rank.
    ///
    /// # Shapes
    /// `tensor` \[…\] → \[ranks, …\]
    ///
    /// # Errors
    /// As [`Together::sum`].
    fn all_gather(&self, tensor: &Tensor) -> Result<Tensor, Problem>;
}

/// A rank's share of a model, and the other ranks; all of it in a model that one process holds.
pub(crate) struct Shard {
    share: Share,
    ranks: Option<Box<dyn Together>>,
}

impl Shard {
    /// All of a model.
    pub(crate) fn whole(config: &Config) -> Self {
        Self { share: Share::whole(config), ranks: None }
    }

    /// This rank's share, the embedding divided along an axis.
    ///
    /// # Errors
    /// [`Error::Shard`] for a model that cannot be divided among so many.
    pub(crate) fn new(config: &Config, ranks: Box<dyn Together>, embedding_axis: usize) -> Result<Self> {
        let share = Share::new(config, ranks.rank(), ranks.size(), embedding_axis)?;
        Ok(Self { share, ranks: Some(ranks) })
    }

    /// What this rank holds.
    pub(crate) fn share(&self) -> Share {
        self.share
    }

    /// Whether that is all.
    pub(crate) fn is_whole(&self) -> bool {
        self.ranks.is_none()
    }

    /// The sum of what each rank has one term of, in the type of the sum. In a whole model the only term as it is.
    pub(crate) fn sum(&self, term: Tensor, kind: Kind) -> Result<Tensor> {
        let Some(ranks) = &self.ranks else { return Ok(term) };
        let sum = term.f_to_kind(kind)?.f_contiguous()?;
        if sum.numel() > 0 {
            ranks.sum(&sum).map_err(|source| self.failed(source))?;
        }
        Ok(sum)
    }

    /// The whole of what each rank has a part of along an axis.
    pub(crate) fn gathered(&self, part: &Tensor, axis: usize, of: Divided) -> Result<Tensor> {
        let Some(ranks) = &self.ranks else { return Ok(part.f_alias()?) };
        let mut shape = part.size();
        shape[axis] = self.share.largest(of);
        let axis = axis as i64;
        // As wide on every rank as where it is widest.
        let mut same = part.f_contiguous()?;
        if part.size() != shape {
            same = Tensor::f_zeros(&shape, (part.kind(), part.device()))?;
            same.f_narrow(axis, 0, part.size()[axis as usize])?.f_copy_(part)?;
        }
        let all = ranks.all_gather(&same).map_err(|source| self.failed(source))?; // [ranks, …]
        let own = |rank: usize| {
            let (from, count) = self.share.first_held(of, rank);
            Ok(all.f_get(rank as i64)?.f_narrow(axis, from, count)?)
        };
        let parts = (0..ranks.size()).map(own).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&parts, axis)?)
    }

    /// This rank's part of a whole, a view of it.
    pub(crate) fn cut(&self, whole: &Tensor, axis: usize, of: Divided) -> Result<Tensor> {
        let own = self.share.own(of);
        Ok(whole.f_narrow(axis as i64, own.start, own.end - own.start)?)
    }

    /// What rank 0 has of some numbers, on every rank.
    pub(crate) fn of_first(&self, own: Vec<i64>, device: Device) -> Result<Vec<i64>> {
        let Some(ranks) = &self.ranks else { return Ok(own) };
        let own = Tensor::f_from_slice(&own)?.f_to_device(device)?;
        let all = ranks.all_gather(&own).map_err(|source| self.failed(source))?; // [ranks, numbers]
        Ok(Vec::try_from(all.f_get(0)?.f_to_device(Device::Cpu)?)?)
    }

    /// Whether all ranks are about to compute the same thing, by a description of it; an error on all of them if not.
    pub(crate) fn agree(&self, description: impl FnOnce() -> Result<Vec<u8>>, device: Device) -> Result<()> {
        if self.is_whole() {
            return Ok(());
        }
        let hash = blake3::hash(&description()?);
        let (words, _) = hash.as_bytes().as_chunks::<8>();
        let own: Vec<i64> = words.iter().map(|word| i64::from_le_bytes(*word)).collect();
        let Some(ranks) = &self.ranks else { return Ok(()) };
        let sent = Tensor::f_from_slice(&own)?.f_to_device(device)?;
        let all = ranks.all_gather(&sent).map_err(|source| self.failed(source))?; // [ranks, 4]
        let all: Vec<Vec<i64>> = Vec::try_from(all.f_to_device(Device::Cpu)?)?;
        match all.iter().position(|theirs| *theirs != all[0]) {
            None => Ok(()),
            Some(other) => {
                let reason = format!(
                    "rank {other} was given other prompts, hook points, or logits than rank 0; all ranks compute the same run"
                );
                Err(Error::Shard { reason })
            }
        }
    }

    fn failed(&self, source: Problem) -> Error {
        Error::Together { rank: self.share.rank(), source }
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("share", &self.share).finish_non_exhaustive()
    }
}
