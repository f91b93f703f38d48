//! Keys and values of tokens already seen, for generation one token at a time.

use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::Llama;
use crate::batch::Batch;
use crate::error::{Error, Result};

/// The keys and values of prompts that grow token by token, for loops of one's own ([`Llama::generate`] is one).
///
/// A pass with a cache ([`crate::Forward::cache`]) keeps what it computes for the next one, so that every token goes through
/// the model once. Hooks see the tokens of that pass alone; which [`crate::Tokens`] those are is said at
/// [`Llama::generate_with`].
///
/// Contrastive decoding (Li et al. 2022) of a steered model against itself, greedily:
///
/// ```
/// use llama_core::{Batch, Change, Config, Edit, Edits, Forward, HookPoint, KvCache, Llama, Precision, Tokens, tch};
///
/// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
/// #     vocab_size: 10, ..Config::default() };
/// let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
/// let direction = tch::Tensor::f_ones([8], (tch::Kind::Float, tch::Device::Cpu))?;
/// let steer: Edits = Edit::new(HookPoint::resid_post(0), Tokens::All, Change::add(&direction, 0.5)?).into();
/// let mut hook = steer.hook(llama.config(), llama.device())?;
///
/// let prompts = [vec![1, 2, 3], vec![4, 5]];
/// let (mut steered, mut step) = KvCache::begin(&llama, &prompts, 4)?; // room for 4 new tokens
/// let (mut plain, _) = KvCache::begin(&llama, &prompts, 4)?;
/// let mut texts = prompts.to_vec();
/// for _ in 0..4 {
///     let run = Forward::new().cache(&mut steered).hook(&mut hook).logits(Tokens::Last);
///     let with = llama.forward(&step, run)?.logits.unwrap(); // [2, V]
///     let run = Forward::new().cache(&mut plain).logits(Tokens::Last);
///     let without = llama.forward(&step, run)?.logits.unwrap(); // [2, V]
///     let best = with.f_mul_scalar(2.0)?.f_sub(&without)?.f_argmax(-1, false)?;
///     let next: Vec<u32> = Vec::<i64>::try_from(best)?.into_iter().map(|id| id as u32).collect();
///     texts.iter_mut().zip(&next).for_each(|(text, &id)| text.push(id));
///     step = steered.next(&next)?; // one token of each prompt
///     plain.next(&next)?;
/// }
/// assert_eq!(texts.concat().len(), 3 + 2 + 2 * 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct KvCache {
    /// Per block, keys and values. \[B, G, capacity, K\]
    blocks: Vec<(Tensor, Tensor)>,
    /// Columns filled in each block.
    filled: Vec<i64>,
    /// Which columns hold tokens, those of the batch that comes next included. \[B, S\] bool
    seen: Tensor,
    /// Each prompt's tokens, those of the batch that comes next included.
    lengths: Vec<usize>,
}

impl KvCache {
    /// A cache with room for prompts of token ids and `new_tokens` more of each, and the batch to begin with.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`]; what LibTorch refuses (memory).
    pub fn begin<P: AsRef<[u32]>>(llama: &Llama, prompts: &[P], new_tokens: usize) -> Result<(Self, Batch)> {
        let batch = Batch::growing(prompts)?;
        let (rows, width) = batch.shape();
        let capacity = width.saturating_add(i64::try_from(new_tokens).unwrap_or(i64::MAX));
        let (blocks, lengths) = (Self::room(llama, rows, capacity)?, batch.lengths());
        let starts: Vec<i64> = lengths.iter().map(|&own| width - own as i64).collect();
        let starts = Tensor::f_from_slice(&starts)?.f_unsqueeze(1)?; // [B, 1]
        let seen = Tensor::f_arange(width, (Kind::Int64, Device::Cpu))?.f_ge_tensor(&starts)?; // [B, T]
        Ok((Self { filled: vec![0; blocks.len()], blocks, seen, lengths }, batch))
    }

    /// Room for `capacity` tokens of each of `batch` rows.
    fn room(llama: &Llama, batch: i64, capacity: i64) -> Result<Vec<(Tensor, Tensor)>> {
        let config = llama.config();
        let shape = [batch, llama.shard.share().kv_heads(), capacity, config.head_dim];
        let room = || Tensor::f_zeros(shape, (llama.precision().product(), llama.device()));
        (0..config.n_layers).map(|_| Ok((room()?, room()?))).collect()
    }

    /// One further token of each prompt, as the batch to go on with.
    ///
    /// # Errors
    /// [`Error::Cache`] for another number of ids than of prompts.
    pub fn next(&mut self, ids: &[u32]) -> Result<Batch> {
        if ids.len() != self.lengths.len() {
            let reason =
                format!("it holds {} prompts, and {} tokens were given", self.lengths.len(), ids.len());
            return Err(Error::Cache { reason });
        }
        let new = Tensor::f_ones([ids.len() as i64, 1], (Kind::Bool, Device::Cpu))?;
        self.seen = Tensor::f_cat(&[&self.seen, &new], 1)?;
        let step = Batch::step(ids, &self.lengths, &self.seen)?;
        for length in &mut self.lengths {
            *length += 1;
        }
        Ok(step)
    }

    /// Each prompt's number of tokens, those of the batch that [`KvCache::begin`] or [`KvCache::next`] gave last included.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Whether a batch is what comes next.
    pub(super) fn check(&self, llama: &Llama, batch: &Batch) -> Result<()> {
        let refuse = |reason: String| Err(Error::Cache { reason });
        let config = llama.config();
        let filled = self.filled.first().copied().unwrap_or(0);
        if self.filled.iter().any(|&own| own != filled) {
            return refuse(
                "a pass ended before the last block, so some blocks lack keys and values".to_owned(),
            );
        }
        let (rows, width) = batch.shape();
        let columns = self.seen.dims2("columns seen")?.1;
        let before: Vec<usize> =
            self.lengths.iter().map(|&own| if filled == 0 { 0 } else { own - 1 }).collect();
        if batch.past() != Some(&before[..]) || columns != filled + width {
            return refuse("the batch is not the one that it gave last".to_owned());
        }
        let Some((keys, _)) = self.blocks.first().filter(|_| self.blocks.len() == config.n_layers) else {
            return refuse(format!("it has {} blocks, and the model {}", self.blocks.len(), config.n_layers));
        };
        let (own_rows, heads, capacity, head_dim) = keys.dims4("keys")?;
        let own_heads = llama.shard.share().kv_heads();
        if (own_rows, heads, head_dim) != (rows, own_heads, config.head_dim) {
            return refuse("it was made for another model".to_owned());
        }
        if columns > capacity {
            return refuse(format!("it has room for {capacity} tokens, and this would be token {columns}"));
        }
        Ok(())
    }

    /// Adds a block's new keys and values and returns all of them.
    ///
    /// # Shapes
    /// `k`, `v` \[B, G, T, K\] → both \[B, G, S, K\], S columns filled so far
    pub(super) fn append(&mut self, block: usize, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (_, _, new, _) = k.dims4("k")?;
        let from = self.filled[block];
        let (keys, values) = &self.blocks[block];
        keys.f_narrow(2, from, new)?.f_copy_(k)?;
        values.f_narrow(2, from, new)?.f_copy_(v)?;
        self.filled[block] = from + new;
        Ok((keys.f_narrow(2, 0, from + new)?, values.f_narrow(2, 0, from + new)?))
    }
}
