//! Keys and values of tokens already seen, for generation one token at a time.

use tch::Tensor;
use torch_runtime::TensorExt as _;

use super::Llama;
use crate::error::Result;

/// Room for keys and values of every block, filled column by column.
#[derive(Debug)]
pub(crate) struct KvCache {
    /// Per block, keys and values. \[B, G, capacity, K\]
    blocks: Vec<(Tensor, Tensor)>,
    /// Columns filled in each block.
    filled: Vec<i64>,
}

impl KvCache {
    /// Room for `capacity` tokens of each of `batch` rows.
    pub(crate) fn new(llama: &Llama, batch: i64, capacity: i64) -> Result<Self> {
        let config = llama.config();
        let shape = [batch, llama.shard.share().kv_heads(), capacity, config.head_dim];
        let room = || Tensor::f_zeros(shape, (llama.precision().product(), llama.device()));
        let blocks = (0..config.n_layers).map(|_| Ok((room()?, room()?))).collect::<Result<Vec<_>>>()?;
        Ok(Self { filled: vec![0; blocks.len()], blocks })
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
