//! Attention over what each token sees: by LibTorch's fused kernel, by matrix products, or step by step.

use tch::{Device, Kind, Tensor};
use torch_runtime::{TensorChain as _, TensorExt as _};

use super::Llama;
use super::kernels::Attention;
use crate::batch::{Attends, Batch, KeptTokens};
use crate::error::Result;
use crate::hooks::{Halt, HookPoint, Hooks};

/// Which keys each query sees, as what is added to scores: 0 where a key is seen, −∞ elsewhere, in their type.
#[derive(Debug)]
pub(super) enum Sight {
    /// Every query those of its own place and before: a strip of the diagonal, wherever that is needed. In its row r, the
    /// first T + r + 1 numbers are 0. \[1, 1, 64, T + 64\]
    Causal(Tensor),
    /// No query a key behind its own place: query t of T at most the key S − T + t. \[B, 1, T, S\]
    InOrder(Tensor),
    /// Any query any key. \[B, 1, T, S\]
    Anyhow(Tensor),
}

/// Queries at once on a CPU. Fewer leave out more of the keys that nobody sees (half of all at best), and take more
/// calls. Six trees of 340 tokens of `SmolLM2` took 20.3 ms at once, 15.0 by 128, 13.9 by 64 in f32, and in bf16 27.3,
/// 20.5, 17.2 (Intel Xeon, family 6 model 207, `avx512_bf16`, one thread's time).
const QUERIES: i64 = 64;

impl Sight {
    /// What a batch's tokens see, for scores of a type.
    pub(super) fn of(batch: &Batch, kind: Kind, device: Device) -> Result<Self> {
        match &batch.attends {
            Attends::Causal => Self::causal(batch.shape().1, kind, device),
            Attends::Mask(seen) => Ok(Self::InOrder(mask(&seen.f_to_device(device)?, kind)?)),
        }
    }

    /// Every token of rows of a width sees those before it and itself.
    pub(super) fn causal(width: i64, kind: Kind, device: Device) -> Result<Self> {
        let seen = Tensor::f_ones([1, 1, QUERIES, width + QUERIES], (Kind::Bool, device))?.f_tril(width)?;
        Ok(Self::Causal(mask(&seen, kind)?))
    }

    /// What the kept tokens of rows of a width see.
    pub(super) fn of_kept(&self, kept: &KeptTokens, (rows, width): (i64, i64)) -> Result<Self> {
        let (Self::Causal(mask) | Self::InOrder(mask) | Self::Anyhow(mask)) = self;
        let index = kept.index(mask.device())?; // [B·M]
        let rows_of_kept = if let Self::Causal(strip) = self {
            let columns = Tensor::f_arange(width, (Kind::Int64, index.device()))?.f_unsqueeze(0)?; // [1, T]
            let seen = columns.f_le_tensor(&index.f_remainder(width)?.f_unsqueeze(1)?)?;
            self::mask(&seen, strip.kind())? // [B·M, T]
        } else {
            mask.f_flatten(0, 2)?.f_index_select(0, &index)? // [B·M, S]
        };
        let (_, keys) = rows_of_kept.dims2("mask")?;
        Ok(Self::Anyhow(rows_of_kept.f_view([rows, 1, kept.width(), keys])?))
    }

    /// What `count` queries from one on see of the first `keys` keys.
    ///
    /// # Shapes
    /// → \[B or 1, 1, count, keys\]
    fn of_queries(&self, from: i64, count: i64, keys: i64) -> Result<Tensor> {
        match self {
            Self::Causal(strip) => {
                let (.., width) = strip.dims4("mask")?;
                // Key j is seen by query `from` + r up to j = from + r: in row r, what stands at width − from + j.
                Ok(strip.f_narrow(2, 0, count)?.f_narrow(3, width - QUERIES - from, keys)?)
            }
            Self::InOrder(mask) | Self::Anyhow(mask) => {
                Ok(mask.f_narrow(2, from, count)?.f_narrow(3, 0, keys)?)
            }
        }
    }

    /// `softmax(q kᵀ / √K) v` over the keys that are seen.
    ///
    /// # Shapes
    /// `q` \[B, H, T, K\], `k` and `v` \[B, G, S, K\] → \[B, H, T, K\]
    pub(super) fn attend(&self, [q, k, v]: [&Tensor; 3], kernel: Attention) -> Result<Tensor> {
        let ((_, _, t, _), (_, _, s, _)) = (q.dims4("q")?, k.dims4("k")?);
        if t == 0 {
            return Ok(q.f_alias()?); // nobody asks
        }
        let fused = |[q, k, v]: [&Tensor; 3], mask: Option<&Tensor>| {
            Tensor::f_scaled_dot_product_attention(q, k, v, mask, 0.0, mask.is_none(), None, true)
        };
        let at_once = match self {
            // GPUs have a kernel for it that reads no mask.
            Self::Causal(_) if q.device() != Device::Cpu => return Ok(fused([q, k, v], None)?),
            Self::InOrder(_) | Self::Causal(_) if q.device() == Device::Cpu => QUERIES,
            _ => t,
        };
        let mut parts = Vec::new(); // [B, t, H, K]: results lie token after token, as they are read next
        for from in (0..t).step_by(at_once as usize) {
            let count = at_once.min(t - from);
            let keys = if matches!(self, Self::Anyhow(_)) { s } else { s - t + from + count };
            let q = q.f_narrow(2, from, count)?;
            let (k, v) = (k.f_narrow(2, 0, keys)?, v.f_narrow(2, 0, keys)?);
            let mask = self.of_queries(from, count, keys)?;
            let part = match kernel {
                Attention::Fused => fused([&q, &k, &v], Some(&mask))?,
                Attention::Products => by_products([&q, &k, &v], &mask)?,
            };
            parts.push(part.f_transpose(1, 2)?);
        }
        let whole = if let [only] = parts.as_slice() { only.f_alias()? } else { Tensor::f_cat(&parts, 1)? };
        Ok(whole.f_transpose(1, 2)?)
    }

    /// Where a key is not seen.
    ///
    /// # Shapes
    /// → \[B or 1, 1, T, S\] bool
    fn hidden(&self, t: i64, s: i64) -> Result<Tensor> {
        match self {
            Self::Causal(strip) => {
                let seen = Tensor::f_ones([1, 1, t, s], (Kind::Bool, strip.device()))?.f_tril(s - t)?;
                Ok(seen.f_logical_not()?)
            }
            Self::InOrder(mask) | Self::Anyhow(mask) => Ok(mask.f_isneginf()?),
        }
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
    let q = q.f_reshape([b * g, h / g * t, width])?;
    let (k, v) = (k.f_reshape([b * g, s, width])?, v.f_reshape([b * g, s, width])?);
    // 0 · nothing + q kᵀ / √K: the factor goes in before scores are rounded to their type.
    let nothing = Tensor::f_zeros([1], (q.kind(), q.device()))?;
    let scale = (width as f64).sqrt().recip();
    let scores = nothing.f_baddbmm(&q, &k.f_transpose(1, 2)?, 0.0, scale).view(&[b, h, t, s])?; // [B, H, T, S]
    let pattern = scores.f_add(mask)?.f_softmax(-1, None::<Kind>)?; // [B, H, T, S]
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
        let ((_, _, t, _), (_, _, s, _)) = (q.dims4("q")?, k.dims4("k")?);
        let hidden = sight.hidden(t, s)?;
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
