//! Attention over what each token sees: by LibTorch's fused kernel, by matrix products, or step by step.

use tch::{Device, Kind, Tensor};
use torch_runtime::{TensorChain as _, TensorExt as _};

use super::Llama;
use super::kernels::Attention;
use crate::batch::{Attends, Batch, KeptTokens};
use crate::error::Result;
use crate::hooks::{Halt, HookPoint, Hooks};

/// Which keys each query sees.
#[derive(Debug)]
pub(super) struct Sight {
    /// What is added to scores: 0 where a key is seen, −∞ elsewhere, in the type of the scores. Rows of a batch that see
    /// alike have one. \[B or 1, 1, T, S\]
    mask: Tensor,
    /// Whether no query sees a key behind its own place: query t of T at most the key S − T + t. Kept tokens are taken
    /// out of their places.
    in_order: bool,
    /// Whether every query sees all of those: GPUs have a kernel for that which reads no mask.
    causal: bool,
}

/// Queries at once on a CPU. Fewer leave out more of the keys that nobody sees (half of all at best), and take more
/// calls. On two cores, six trees of 340 tokens of `SmolLM2` took 20.3 ms at once, 15.0 by 128, 13.9 by 64 in f32, and in
/// bf16 27.3, 20.5, 17.2 (Intel Xeon, family 6 model 207, `avx512_bf16`, one thread's time).
const QUERIES: i64 = 64;

impl Sight {
    /// What a batch's tokens see, for scores of a type.
    pub(super) fn of(batch: &Batch, kind: Kind, device: Device) -> Result<Self> {
        match &batch.attends {
            Attends::Causal => Self::causal(batch.shape().1, kind, device),
            Attends::Mask(seen) => {
                Ok(Self { mask: mask(&seen.f_to_device(device)?, kind)?, in_order: true, causal: false })
            }
        }
    }

    /// Every token sees those before it and itself.
    pub(super) fn causal(width: i64, kind: Kind, device: Device) -> Result<Self> {
        let seen = Tensor::f_ones([1, 1, width, width], (Kind::Bool, device))?.f_tril(0)?;
        Ok(Self { mask: mask(&seen, kind)?, in_order: true, causal: true })
    }

    /// What the kept tokens see.
    pub(super) fn of_kept(&self, kept: &KeptTokens, (rows, width): (i64, i64)) -> Result<Self> {
        let index = kept.index(self.mask.device())?; // [B·M]
        let (.., keys) = self.mask.dims4("mask")?;
        let mask = self.mask.f_expand([rows, 1, width, keys], true)?.f_reshape([rows * width, keys])?;
        let mask = mask.f_index_select(0, &index)?.f_view([rows, 1, kept.width(), keys])?; // [B, 1, M, S]
        Ok(Self { mask, in_order: false, causal: false })
    }

    /// `softmax(q kᵀ / √K) v` over the keys that are seen.
    ///
    /// # Shapes
    /// `q` \[B, H, T, K\], `k` and `v` \[B, G, S, K\] → \[B, H, T, K\]
    pub(super) fn attend(&self, [q, k, v]: [&Tensor; 3], kernel: Attention) -> Result<Tensor> {
        let ((_, _, t, _), (_, _, s, _)) = (q.dims4("q")?, k.dims4("k")?);
        if self.causal && q.device() != Device::Cpu {
            return Ok(Tensor::f_scaled_dot_product_attention(
                q,
                k,
                v,
                None::<Tensor>,
                0.0,
                true,
                None,
                true,
            )?);
        }
        let at_once = if self.in_order && q.device() == Device::Cpu { QUERIES } else { t };
        let mut parts = Vec::new(); // [B, t, H, K]: results lie token after token, as they are read next
        let mut from = 0;
        while from < t {
            let count = at_once.min(t - from);
            let keys = if self.in_order { s - t + from + count } else { s };
            let q = q.f_narrow(2, from, count)?;
            let (k, v) = (k.f_narrow(2, 0, keys)?, v.f_narrow(2, 0, keys)?);
            let mask = self.mask.f_narrow(2, from, count)?.f_narrow(3, 0, keys)?;
            let part = match kernel {
                Attention::Fused => {
                    Tensor::f_scaled_dot_product_attention(&q, &k, &v, Some(&mask), 0.0, false, None, true)?
                }
                Attention::Products => by_products([&q, &k, &v], &mask)?,
            };
            parts.push(part.f_transpose(1, 2)?);
            from += count;
        }
        let whole = if let [only] = parts.as_slice() { only.f_alias()? } else { Tensor::f_cat(&parts, 1)? };
        Ok(whole.f_transpose(1, 2)?)
    }
}

/// 0 where a key is seen, −∞ elsewhere.
fn mask(seen: &Tensor, kind: Kind) -> Result<Tensor> {
    let zeros = Tensor::f_zeros(seen.size().as_slice(), (kind, seen.device()))?;
    Ok(zeros.f_masked_fill(&seen.f_logical_not()?, f64::NEG_INFINITY)?)
}

/// Attention as two batched products, a key and value head with all of its queries' heads in one.
///
/// # Shapes
/// `q` \[B, H, T, K\], `k` and `v` \[B, G, S, K\], `mask` \[B or 1, 1, T, S\] → \[B, H, T, K\]
fn by_products([q, k, v]: [&Tensor; 3], mask: &Tensor) -> Result<Tensor> {
    let ((b, h, t, width), (_, g, s, _)) = (q.dims4("q")?, k.dims4("k")?);
    let scale = Tensor::f_scalar_tensor((width as f64).sqrt().recip(), (q.kind(), q.device()))?;
    let q = q.f_reshape([b * g, h / g * t, width])?;
    let (k, v) = (k.f_reshape([b * g, s, width])?, v.f_reshape([b * g, s, width])?);
    let scores = q.f_bmm(&k.f_transpose(1, 2)?).view(&[b, h, t, s])?;
    let pattern = mask.f_addcmul(&scores, &scale)?.f_softmax(-1, None::<Kind>)?; // [B, H, T, S]
    Ok(pattern.f_view([b * g, h / g * t, s])?.f_bmm(&v).view(&[b, h, t, width])?)
}

impl Llama {
    /// Attention step by step, for hooks that look at scores or pattern; its result counts only if they replaced them,
    /// otherwise LibTorch's fused kernel gives it.
    ///
    /// # Shapes
    /// `q` \[B, H, T, K\], `k` and `v` \[B, G, S, K\] → \[B, H, T, K\]
    pub(super) fn explicit_attention(
        &self,
        [q, k, v]: [&Tensor; 3],
        sight: &Sight,
        [scores_point, pattern_point]: [HookPoint; 2],
        hooks: &mut Hooks<'_, '_>,
    ) -> Result<Option<Tensor>, Halt> {
        let group = self.config.n_heads / self.config.n_kv_heads;
        let k = k.f_repeat_interleave_self_int(group, 1, None)?; // [B, H, S, K]
        let v = v.f_repeat_interleave_self_int(group, 1, None)?; // [B, H, S, K]
        let scale = (self.config.head_dim as f64).sqrt().recip();
        let hidden = sight.mask.f_isneginf()?;
        let k = k.f_transpose(2, 3)?; // [B, H, K, S]
        let scores = q.f_matmul(&k).mul(scale).masked_fill(&hidden, f64::NEG_INFINITY)?; // [B, H, T, S]
        let edited = hooks.look(scores_point, &scores)?;
        let untouched = edited.is_none();
        let scores = edited.unwrap_or(scores);
        let wide = if scores.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let pattern = scores.f_softmax(-1, wide).to_kind(q.kind())?; // [B, H, T, S]
        let edited = hooks.look(pattern_point, &pattern)?;
        if untouched && edited.is_none() {
            return Ok(None);
        }
        Ok(Some(edited.unwrap_or(pattern).f_matmul(&v)?)) // [B, H, T, K]
    }
}
