//! Attention over what each token sees: by LibTorch's fused kernel, by matrix products, or step by step.

use tch::{Device, Kind, Tensor};
use torch_runtime::{TensorChain as _, TensorExt as _};

use super::Llama;
use super::kernels::Attention;
use crate::batch::{Attends, Batch, KeptTokens};
use crate::config::Config;
use crate::error::Result;
use crate::hooks::{Halt, HookPoint, Hooks};

/// Which keys each query sees, as what is added to scores: 0 where a key is seen, −∞ elsewhere, in their type.
#[derive(Debug)]
pub(super) enum Sight {
    /// Every query those of its own place and before, or the last of them that a window holds.
    Causal {
        /// A strip of the diagonal, wherever that is needed. In its row r, the first T + r + 1 numbers are 0, or with a
        /// window of w the last w of these. \[1, 1, 64, T + 64\]
        strip: Tensor,
        /// Keys that a query sees, its own included.
        window: Option<i64>,
    },
    /// No query a key behind its own place: query t of T at most the key S − T + t. \[B, 1, T, S\]
    InOrder(Tensor),
    /// Any query any key. \[B, 1, T, S\]
    Anyhow(Tensor),
}

/// How products of queries and keys become scores: `scale · q kᵀ`, and `cap · tanh(· / cap)` of it where there is a cap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scores {
    /// `None` is `1/√K`.
    scale: Option<f64>,
    cap: Option<f64>,
}

impl Scores {
    pub(super) fn of(config: &Config) -> Self {
        Self { scale: config.multipliers.scores, cap: config.soft_caps.scores }
    }

    fn scale(self, width: i64) -> f64 {
        self.scale.unwrap_or_else(|| (width as f64).sqrt().recip())
    }

    /// `cap · tanh(scores / cap)`
    fn capped(self, scores: Tensor) -> Result<Tensor> {
        match self.cap {
            None => Ok(scores),
            Some(cap) => Ok(scores.f_div_scalar(cap).tanh().mul(cap)?),
        }
    }
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

    /// The same through a window: of those tokens the last `window`, itself included.
    pub(super) fn through(window: usize, batch: &Batch, kind: Kind, device: Device) -> Result<Self> {
        let (_, width) = batch.shape();
        let window = i64::try_from(window).unwrap_or(i64::MAX).min(width.max(1) + QUERIES);
        match &batch.attends {
            Attends::Causal => {
                let seen = Tensor::f_ones([1, 1, QUERIES, width + QUERIES], (Kind::Bool, device))?;
                let strip = mask(&seen.f_tril(width)?.f_triu(width - window + 1)?, kind)?;
                Ok(Self::Causal { strip, window: Some(window) })
            }
            Attends::Mask(seen) => {
                let seen = seen.f_logical_and(&batch.within(window)?)?;
                Ok(Self::InOrder(mask(&seen.f_to_device(device)?, kind)?))
            }
        }
    }

    /// Every token of rows of a width sees those before it and itself.
    pub(super) fn causal(width: i64, kind: Kind, device: Device) -> Result<Self> {
        let seen = Tensor::f_ones([1, 1, QUERIES, width + QUERIES], (Kind::Bool, device))?.f_tril(width)?;
        Ok(Self::Causal { strip: mask(&seen, kind)?, window: None })
    }

    /// What the kept tokens of rows of a width see.
    pub(super) fn of_kept(&self, kept: &KeptTokens, (rows, width): (i64, i64)) -> Result<Self> {
        let (Self::Causal { strip: mask, .. } | Self::InOrder(mask) | Self::Anyhow(mask)) = self;
        let index = kept.index(mask.device())?; // [B·M]
        let rows_of_kept = if let Self::Causal { strip, window } = self {
            let columns = Tensor::f_arange(width, (Kind::Int64, index.device()))?.f_unsqueeze(0)?; // [1, T]
            let own = index.f_remainder(width)?.f_unsqueeze(1)?; // [B·M, 1]
            let mut seen = columns.f_le_tensor(&own)?;
            if let Some(window) = window {
                seen = seen.f_logical_and(&columns.f_gt_tensor(&own.f_sub_scalar(*window)?)?)?;
            }
            self::mask(&seen, strip.kind())? // [B·M, T]
        } else {
            mask.f_flatten(0, 2)?.f_index_select(0, &index)? // [B·M, S]
        };
        let (_, keys) = rows_of_kept.dims2("mask")?;
        Ok(Self::Anyhow(rows_of_kept.f_view([rows, 1, kept.width(), keys])?))
    }

    /// What `count` queries from one on see of the keys `first` to `end`.
    ///
    /// # Shapes
    /// → \[B or 1, 1, count, end − first\]
    fn of_queries(&self, from: i64, count: i64, (first, end): (i64, i64)) -> Result<Tensor> {
        match self {
            Self::Causal { strip, .. } => {
                let (.., width) = strip.dims4("mask")?;
                // Key j is seen by query `from` + r up to j = from + r: in row r, what stands at width − from + j.
                Ok(strip.f_narrow(2, 0, count)?.f_narrow(3, width - QUERIES - from + first, end - first)?)
            }
            Self::InOrder(mask) | Self::Anyhow(mask) => {
                Ok(mask.f_narrow(2, from, count)?.f_narrow(3, first, end - first)?)
            }
        }
    }

    /// `softmax(scores) v` over the keys that are seen. Soft caps are computed by products, whatever the kernel is: the
    /// fused one has none.
    ///
    /// # Shapes
    /// `q` \[B, H, T, K\], `k` and `v` \[B, G, S, K\] → \[B, H, T, K\]
    pub(super) fn attend(
        &self,
        [q, k, v]: [&Tensor; 3],
        scores: Scores,
        kernel: Attention,
    ) -> Result<Tensor> {
        let ((_, _, t, _), (_, _, s, _)) = (q.dims4("q")?, k.dims4("k")?);
        if t == 0 {
            return Ok(q.f_alias()?); // nobody asks
        }
        let kernel = if scores.cap.is_some() { Attention::Products } else { kernel };
        let fused = |[q, k, v]: [&Tensor; 3], mask: Option<&Tensor>| {
            let causal = mask.is_none();
            Tensor::f_scaled_dot_product_attention(q, k, v, mask, 0.0, causal, scores.scale, true)
        };
        let on_cpu = q.device() == Device::Cpu;
        let at_once = match self {
            // GPUs have a kernel for it that reads no mask.
            Self::Causal { window: None, .. } if !on_cpu && scores.cap.is_none() => {
                return Ok(fused([q, k, v], None)?);
            }
            Self::Causal { .. } => QUERIES,
            Self::InOrder(_) if on_cpu => QUERIES,
            _ => t,
        };
        let mut parts = Vec::new(); // [B, t, H, K]: results lie token after token, as they are read next
        for from in (0..t).step_by(at_once as usize) {
            let count = at_once.min(t - from);
            let end = if matches!(self, Self::Anyhow(_)) { s } else { s - t + from + count };
            // What no query's window reaches is left out as well.
            let first = match self {
                Self::Causal { window: Some(window), .. } => (from - window + 1).max(0),
                _ => 0,
            };
            let q = q.f_narrow(2, from, count)?;
            let (k, v) = (k.f_narrow(2, first, end - first)?, v.f_narrow(2, first, end - first)?);
            let mask = self.of_queries(from, count, (first, end))?;
            let part = match kernel {
                Attention::Fused => fused([&q, &k, &v], Some(&mask))?,
                Attention::Products => by_products([&q, &k, &v], scores, &mask)?,
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
            Self::Causal { strip, window } => {
                let mut seen = Tensor::f_ones([1, 1, t, s], (Kind::Bool, strip.device()))?.f_tril(s - t)?;
                if let Some(window) = window {
                    seen = seen.f_triu(s - t - window + 1)?;
                }
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
fn by_products([q, k, v]: [&Tensor; 3], scores: Scores, mask: &Tensor) -> Result<Tensor> {
    let ((b, h, t, width), (_, g, s, _)) = (q.dims4("q")?, k.dims4("k")?);
    let q = q.f_reshape([b * g, h / g * t, width])?;
    let (k, v) = (k.f_reshape([b * g, s, width])?, v.f_reshape([b * g, s, width])?);
    // 0 · nothing + q kᵀ / √K: the factor goes in before scores are rounded to their type.
    let nothing = Tensor::f_zeros([1], (q.kind(), q.device()))?;
    let products = nothing.f_baddbmm(&q, &k.f_transpose(1, 2)?, 0.0, scores.scale(width));
    let scores = scores.capped(products?.f_view([b, h, t, s])?)?; // [B, H, T, S]
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
        let group = q.dims4("q")?.1 / k.dims4("k")?.1;
        let k = k.f_repeat_interleave_self_int(group, 1, None)?; // [B, H, S, K]
        let v = v.f_repeat_interleave_self_int(group, 1, None)?; // [B, H, S, K]
        let scoring = Scores::of(&self.config);
        let ((_, _, t, _), (_, _, s, _)) = (q.dims4("q")?, k.dims4("k")?);
        let hidden = sight.hidden(t, s)?;
        let k = k.f_transpose(2, 3)?; // [B, H, K, S]
        let scores = scoring.capped(q.f_matmul(&k).mul(scoring.scale(self.config.head_dim))?)?;
        let scores = scores.f_masked_fill(&hidden, f64::NEG_INFINITY)?; // [B, H, T, S]
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
