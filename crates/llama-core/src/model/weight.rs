//! Reading a model's weights.

use tch::Tensor;

use super::Llama;
use super::blocks::{Block, Blocks};
use crate::checkpoint::{BlockWeight, Wanted, Weight};
use crate::error::{Error, Result};

impl Llama {
    /// A weight, in the type and on the device that the model computes with.
    ///
    /// For a model in memory this is a view: it costs nothing, and writing to it changes the model. For packed products
    /// ([`crate::Kernels`]), a block's matrix is a copy; for a streamed model, a block's weight is read from disk.
    ///
    /// What each head of block 1 adds to a token's logit (direct logit attribution), from its output and three weights:
    ///
    /// ```
    /// use llama_core::{Batch, BlockWeight, Config, HookPoint, Llama, Precision, Site, Weight, tch};
    ///
    /// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// # let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
    /// let (heads, result, scale) = (HookPoint::Block(1, Site::Z), HookPoint::Block(1, Site::Result), HookPoint::FinalScale);
    /// let (_, cache) = llama.run_with_cache(&Batch::new(&[[1, 2, 3]])?, vec![heads, result, scale])?;
    /// let w_o = llama.weight(Weight::Block(1, BlockWeight::O))?.f_view([8, 2, 4])?; // [D, H, K]
    /// let z = cache.get(heads).unwrap(); // [S, H, K]
    /// let written = tch::Tensor::f_einsum("shk,dhk->shd", &[z, &w_o], None::<i64>)?; // [S, H, D]
    /// assert!(written.allclose(cache.get(result).unwrap(), 1e-5, 1e-6, false));
    ///
    /// let direction = llama.weight(Weight::Unembed)?.f_get(7)?.f_mul(&llama.weight(Weight::FinalNorm)?)?; // [D]
    /// let logit = written.f_matmul(&direction)?.f_div(cache.get(scale).unwrap())?; // [S, H]
    /// assert_eq!(logit.size(), [3, 2]);
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    ///
    /// # Shapes
    /// → [`Weight::shape`]
    ///
    /// # Errors
    /// [`Error::NoSuchBlock`]; [`Error::NoSuchWeight`]; [`Error::Headless`] for the unembedding of a model without one; of a streamed model, what
    /// reading its files gives; [`Error::Shard`] for what ranks have parts of.
    pub fn weight(&self, weight: Weight) -> Result<Tensor> {
        let there = match weight {
            Weight::Embed => self.is_first_stage(),
            Weight::FinalNorm | Weight::Unembed => self.is_last_stage(),
            Weight::Block(index, _) => index >= self.config.n_layers || self.stage.contains(&index),
        };
        if !there {
            return Err(Error::Stage { reason: format!("another stage has {weight:?}") });
        }
        if self.shard.share().wanted(weight).part.is_some() {
            self.check_whole(&format!("others have the rest of {weight:?}"))?;
        }
        match weight {
            Weight::Embed => Ok(self.embed.f_alias()?),
            Weight::FinalNorm => Ok(self.final_gain.f_alias()?),
            Weight::Unembed => Ok(self.unembedding()?.f_alias()?),
            Weight::Block(index, part) => {
                let n_layers = self.config.n_layers;
                match &self.blocks {
                    _ if index >= n_layers => {
                        Err(Error::NoSuchBlock { pattern: format!("{weight:?}"), n_layers })
                    }
                    _ if !part.is_of(&self.config) => {
                        Err(Error::NoSuchWeight { weight: format!("{weight:?}") })
                    }
                    Blocks::Resident(blocks) => self.part(&blocks[index - self.stage.start], part),
                    Blocks::Streamed(checkpoint) => {
                        let gain = part.is_gain();
                        let kind = if gain { self.precision.stream() } else { self.precision.product() };
                        let into = Tensor::f_empty(weight.shape(&self.config), (kind, self.device))?;
                        checkpoint.copy(weight, Wanted::ALL, &into)?;
                        Ok(into)
                    }
                }
            }
        }
    }

    /// The unembedding, which may be the embedding. \[V, D\]
    pub(super) fn unembedding(&self) -> Result<&Tensor> {
        if self.config.headless {
            return Err(Error::Headless);
        }
        Ok(self.unembed.as_ref().unwrap_or(&self.embed))
    }

    /// A weight of a block, which may be some rows of a fused one.
    fn part(&self, block: &Block, part: BlockWeight) -> Result<Tensor> {
        let c = &self.config;
        let (q, kv) = (c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim);
        let there = |tensor: &Option<Tensor>| -> Result<Tensor> {
            let missing = || Error::NoSuchWeight { weight: format!("{part:?}") };
            Ok(tensor.as_ref().ok_or_else(missing)?.f_alias()?)
        };
        Ok(match part {
            BlockWeight::Ln1 => there(&block.ln1_gain)?,
            BlockWeight::Q => block.w_qkv.plain()?.f_narrow(0, 0, q)?,
            BlockWeight::K => block.w_qkv.plain()?.f_narrow(0, q, kv)?,
            BlockWeight::V => block.w_qkv.plain()?.f_narrow(0, q + kv, kv)?,
            BlockWeight::O => block.w_o.plain()?,
            BlockWeight::Ln2 => there(&block.ln2_gain)?,
            BlockWeight::Gate => block.w_gate_up.plain()?.f_narrow(0, 0, c.hidden_dim)?,
            BlockWeight::Up => block.w_gate_up.plain()?.f_narrow(0, c.hidden_dim, c.hidden_dim)?,
            BlockWeight::Down => block.w_down.plain()?,
            BlockWeight::QBias => there(&block.b_qkv)?.f_narrow(0, 0, q)?,
            BlockWeight::KBias => there(&block.b_qkv)?.f_narrow(0, q, kv)?,
            BlockWeight::VBias => there(&block.b_qkv)?.f_narrow(0, q + kv, kv)?,
            BlockWeight::OBias => there(&block.b_o)?,
            BlockWeight::QNorm => there(&block.q_gain)?,
            BlockWeight::KNorm => there(&block.k_gain)?,
            BlockWeight::Ln1Post => there(&block.ln1_post_gain)?,
            BlockWeight::Ln2Post => there(&block.ln2_post_gain)?,
        })
    }
}
