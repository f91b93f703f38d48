//! The forward pass of a LLaMA, in reading order: embed, blocks of attention and MLP, final norm, unembed.
//!
//! Axis letters: B rows of the batch, T tokens of a row, S selected tokens (or cached keys), D `dim`, H heads,
//! G key and value heads, K `head_dim`, F `hidden_dim`, V vocabulary. A comment stands where a shape changes.

use tch::{Device, Kind, Tensor};

use crate::batch::{Attends, Batch};
use crate::checkpoint::{BlockWeight, Weight};
use crate::config::Config;
use crate::error::Result;
use crate::hooks::{Halt, Hook, HookPoint, Hooks, Site, Tokens, mean_by_prompt};

mod cache;
mod load;
mod precision;
mod start;

pub(crate) use cache::KvCache;
pub use precision::Precision;

/// A LLaMA in memory.
///
/// `Send` but not `Sync`, as LibTorch's tensors are: one thread drives it.
#[derive(Debug)]
pub struct Llama {
    config: Config,
    precision: Precision,
    device: Device,
    /// \[V, D\]
    embed: Tensor,
    blocks: Vec<Block>,
    /// \[D\]
    final_gain: Tensor,
    /// \[V, D\]; `None` where it is the embedding.
    unembed: Option<Tensor>,
    /// Angles by which one position turns each pair of dimensions, in f64. \[K/2\]
    rope: Tensor,
}

/// The weights of one block. Matrices are `[out, in]`; those that read the same input are one.
#[derive(Debug)]
struct Block {
    /// \[D\]
    ln1_gain: Tensor,
    /// Queries, keys, values. \[(H + 2G)·K, D\]
    w_qkv: Tensor,
    /// \[D, H·K\]
    w_o: Tensor,
    /// \[D\]
    ln2_gain: Tensor,
    /// Gate, up. \[2F, D\]
    w_gate_up: Tensor,
    /// \[D, F\]
    w_down: Tensor,
}

/// What one forward pass is to do besides going forward: hooks, logits, gradients, a cache.
///
/// ```
/// # use llama_core::{Batch, Capture, Config, HookSet, Llama, Precision, Run, Tokens};
/// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
/// #     vocab_size: 10, ..Config::default() };
/// # let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
/// let mut states = Capture::new(HookSet::residual_stream(2), Tokens::Last);
/// let output = llama.forward(&Batch::new(&[[1, 2, 3]])?, Run::new().hook(&mut states).logits(Tokens::Last))?;
/// assert_eq!(output.logits.unwrap().size(), [1, 10]);
/// assert_eq!(states.finish().len(), 3);
/// # Ok::<(), llama_core::Error>(())
/// ```
#[derive(Default)]
pub struct Run<'h> {
    hooks: Vec<&'h mut dyn Hook>,
    logits: Option<Tokens>,
    cache: Option<&'h mut KvCache>,
    start: Option<start::Start>,
    gradients: bool,
}

impl<'h> Run<'h> {
    /// Nothing but the pass itself, which without hooks and logits computes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a hook visit. Hooks see each activation in the order they were given here, edits of earlier ones included.
    #[must_use]
    pub fn hook(mut self, hook: &'h mut dyn Hook) -> Self {
        self.hooks.push(hook);
        self
    }

    /// Returns the logits of these tokens. Without this, the pass ends after the last point a hook wants.
    #[must_use]
    pub fn logits(mut self, tokens: Tokens) -> Self {
        self.logits = Some(tokens);
        self
    }

    /// Keeps keys and values in `cache` and attends to those already there.
    #[must_use]
    pub(crate) fn cache(mut self, cache: &'h mut KvCache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Records the operations, so that gradients can flow to weights and captured activations.
    ///
    /// What a [`crate::Capture`] keeps in such a run is what the run goes on from, so anything computed later has a
    /// gradient with respect to it: what TransformerLens' backward hooks give. Two captured layers are on one path; the
    /// earlier one's gradient goes through the later.
    ///
    /// ```
    /// # use llama_core::{Batch, Capture, Config, HookPoint, Llama, Precision, Run, Tokens, tch::Tensor};
    /// # let config = Config { dim: 8, n_layers: 3, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// let llama = Llama::random(&config, 0, Precision::F64, tch::Device::Cpu)?;
    /// let batch = Batch::new(&[[1, 2, 3]])?;
    /// let point = HookPoint::resid_post(0);
    /// let logit_difference = |run: Run<'_>| -> llama_core::Result<Tensor> {
    ///     let logits = llama.forward(&batch, run.logits(Tokens::Last))?.logits.unwrap(); // [1, V]
    ///     Ok(logits.f_get(0)?.f_get(7)?.f_sub(&logits.f_get(0)?.f_get(4)?)?)
    /// };
    ///
    /// let mut states = Capture::new(point, Tokens::All);
    /// let difference = logit_difference(Run::new().hook(&mut states).gradients())?;
    /// let state = states.finish().take(point).unwrap(); // [3, 8]
    /// let gradient = &Tensor::f_run_backward(&[difference], &[&state], false, false)?[0]; // [3, 8]
    ///
    /// // The same by moving one number of the residual stream a little.
    /// let state = state.f_detach()?;
    /// let moved = |step: f64| -> llama_core::Result<f64> {
    ///     let moved = state.f_detach_copy()?;
    ///     let _ = moved.f_get(1)?.f_get(5)?.f_add_scalar_(step)?;
    ///     Ok(logit_difference(Run::new().from_layer(1, moved))?.f_double_value(&[])?)
    /// };
    /// let slope = (moved(1e-5)? - moved(-1e-5)?) / 2e-5;
    /// assert!((gradient.f_double_value(&[1, 5])? - slope).abs() < 1e-8);
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    #[must_use]
    pub fn gradients(mut self) -> Self {
        self.gradients = true;
        self
    }
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let points: Vec<_> = self.hooks.iter().map(|h| h.points().names()).collect();
        f.debug_struct("Run").field("hooks", &points).field("logits", &self.logits).finish_non_exhaustive()
    }
}

/// What a forward pass returns besides what its hooks took.
#[derive(Debug)]
pub struct Output {
    /// Logits in f32 (f64 with [`Precision::F64`]) of the tokens that [`Run::logits`] asked for, prompt after prompt;
    /// `None` if none were asked for or a hook stopped the run. \[S, V\]
    pub logits: Option<Tensor>,
}

impl Llama {
    /// Runs the model over a batch of prompts.
    ///
    /// # Shapes
    /// See [`HookPoint::shape`] for what hooks see and [`Output::logits`] for what returns.
    ///
    /// # Errors
    /// A token outside the vocabulary, a hook's error, a replacement of another shape, a start that does not fit
    /// ([`Run::from_layer`]), or what LibTorch refuses.
    pub fn forward(&self, batch: &Batch, run: Run<'_>) -> Result<Output> {
        batch.check_vocabulary(self.config.vocab_size)?;
        if let Some(window) = self.config.sliding_window {
            batch.check_window(window)?;
        }
        let _no_gradients = (!run.gradients).then(tch::no_grad_guard);
        let mut hooks = Hooks::new(run.hooks, run.logits, run.gradients, batch, self.config.n_layers)?;
        match self.pass(batch, &mut hooks, run.start, run.cache) {
            Ok(logits) => Ok(Output { logits }),
            Err(Halt::Done) => Ok(Output { logits: None }),
            Err(Halt::Error(error)) => Err(error),
        }
    }

    /// The model's hyper-parameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it computes in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The pass itself. Ends early, by `Halt::Done`, once nothing later is wanted.
    fn pass(
        &self,
        batch: &Batch,
        hooks: &mut Hooks<'_, '_>,
        start: Option<start::Start>,
        mut cache: Option<&mut KvCache>,
    ) -> Result<Option<Tensor>, Halt> {
        if !hooks.want_from(HookPoint::Embed) {
            return Err(Halt::Done);
        }
        let place = Place::new(batch, self)?;
        let (first, mut x) = if let Some(start) = start {
            start.lay_out(self, batch, hooks)? // [B, T, D]
        } else {
            let tokens = batch.tokens.f_to_device(self.device)?; // [B, T]
            let x = Tensor::f_embedding(&self.embed, &tokens, -1, false, false)?; // [B, T, D]
            (0, hooks.visit(HookPoint::Embed, x)?)
        };
        for (index, block) in self.blocks.iter().enumerate().skip(first) {
            let at = |site| HookPoint::Block(index as u16, site);
            x = hooks.visit(at(Site::ResidPre), x)?;
            let attn_out = self.attention(block, index, &x, &place, hooks, cache.as_deref_mut())?;
            x = hooks.visit(at(Site::ResidMid), x.f_add(&attn_out)?)?;
            let mlp_out = self.mlp(block, index, &x, hooks)?;
            x = hooks.visit(at(Site::ResidPost), x.f_add(&mlp_out)?)?;
        }
        self.unembed(&x, hooks)
    }

    /// What attention writes into the residual stream.
    ///
    /// # Shapes
    /// `x` \[B, T, D\] → \[B, T, D\]
    fn attention(
        &self,
        block: &Block,
        index: usize,
        x: &Tensor,
        place: &Place<'_>,
        hooks: &mut Hooks<'_, '_>,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block(index as u16, site);
        let c = &self.config;
        let (b, t) = (x.size()[0], x.size()[1]);
        let normed = self.rms_norm(x, &block.ln1_gain, at(Site::Ln1Scale), at(Site::Ln1Normalized), hooks)?;

        let heads = c.n_heads + 2 * c.n_kv_heads;
        let qkv = linear(&normed, &block.w_qkv)?.f_view([b, t, heads, c.head_dim])?; // [B, T, H + 2G, K]
        let q = hooks.visit(at(Site::Q), qkv.f_narrow(2, 0, c.n_heads)?)?; // [B, T, H, K]
        let k = hooks.visit(at(Site::K), qkv.f_narrow(2, c.n_heads, c.n_kv_heads)?)?; // [B, T, G, K]
        let v = hooks.visit(at(Site::V), qkv.f_narrow(2, c.n_heads + c.n_kv_heads, c.n_kv_heads)?)?; // [B, T, G, K]

        let q = hooks.visit(at(Site::RotQ), place.rotate(&q)?)?;
        let k = hooks.visit(at(Site::RotK), place.rotate(&k)?)?;

        let q = q.f_transpose(1, 2)?; // [B, H, T, K]
        let (mut k, mut v) = (k.f_transpose(1, 2)?, v.f_transpose(1, 2)?); // [B, G, T, K]
        if let Some(cache) = cache {
            (k, v) = cache.append(index, &k, &v)?; // [B, G, S, K]
        }
        let mut edited = None;
        if hooks.want(at(Site::AttnScores)) || hooks.want(at(Site::Pattern)) {
            let points = [at(Site::AttnScores), at(Site::Pattern)];
            edited = self.explicit_attention(&q, &k, &v, place, points, hooks)?;
        }
        let z = if let Some(z) = edited {
            z
        } else {
            let (mask, causal) = (place.mask.as_ref(), place.mask.is_none());
            Tensor::f_scaled_dot_product_attention(&q, &k, &v, mask, 0.0, causal, None, true)?
        }; // [B, H, T, K]
        let z = hooks.visit(at(Site::Z), z.f_transpose(1, 2)?)?; // [B, T, H, K]

        let mut edited = None;
        if hooks.want(at(Site::Result)) {
            let w_o = block.w_o.f_view([c.dim, c.n_heads, c.head_dim])?.f_permute([1, 2, 0])?; // [H, K, D]
            let result = z.f_unsqueeze(3)?.f_matmul(&w_o)?.f_squeeze_dim(3)?; // [B, T, H, D]
            edited = hooks.look(at(Site::Result), &result)?;
        }
        let out = match edited {
            Some(result) => result.f_sum_dim_intlist([2i64].as_slice(), false, None)?,
            None => linear(&z.f_reshape([b, t, c.n_heads * c.head_dim])?, &block.w_o)?,
        }; // [B, T, D]
        hooks.visit(at(Site::AttnOut), out.f_to_kind(self.precision.stream())?)
    }

    /// Attention step by step, for hooks that look at scores or pattern; its result counts only if they replaced them,
    /// otherwise LibTorch's fused kernel gives it.
    ///
    /// # Shapes
    /// `q` \[B, H, T, K\], `k` and `v` \[B, G, S, K\] → \[B, H, T, K\]
    fn explicit_attention(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        place: &Place<'_>,
        [scores_point, pattern_point]: [HookPoint; 2],
        hooks: &mut Hooks<'_, '_>,
    ) -> Result<Option<Tensor>, Halt> {
        let group = self.config.n_heads / self.config.n_kv_heads;
        let k = k.f_repeat_interleave_self_int(group, 1, None)?; // [B, H, S, K]
        let v = v.f_repeat_interleave_self_int(group, 1, None)?; // [B, H, S, K]
        let (t, s) = (q.size()[2], k.size()[2]);
        let visible = match &place.mask {
            Some(mask) => mask.f_alias()?,
            None => Tensor::f_ones([t, s], (Kind::Bool, q.device()))?.f_tril(s - t)?,
        };
        let scale = (self.config.head_dim as f64).sqrt().recip();
        let scores = q.f_matmul(&k.f_transpose(2, 3)?)?.f_mul_scalar(scale)?; // [B, H, T, S]
        let scores = scores.f_masked_fill(&visible.f_logical_not()?, f64::NEG_INFINITY)?;
        let edited = hooks.look(scores_point, &scores)?;
        let untouched = edited.is_none();
        let scores = edited.unwrap_or(scores);
        let wide = if scores.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let pattern = scores.f_softmax(-1, wide)?.f_to_kind(q.kind())?; // [B, H, T, S]
        let edited = hooks.look(pattern_point, &pattern)?;
        if untouched && edited.is_none() {
            return Ok(None);
        }
        Ok(Some(edited.unwrap_or(pattern).f_matmul(&v)?)) // [B, H, T, K]
    }

    /// What the MLP writes into the residual stream: `W_down (silu(W_gate x) · W_up x)`.
    ///
    /// # Shapes
    /// `x` \[B, T, D\] → \[B, T, D\]
    fn mlp(
        &self,
        block: &Block,
        index: usize,
        x: &Tensor,
        hooks: &mut Hooks<'_, '_>,
    ) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block(index as u16, site);
        let hidden = self.config.hidden_dim;
        let normed = self.rms_norm(x, &block.ln2_gain, at(Site::Ln2Scale), at(Site::Ln2Normalized), hooks)?;
        let gate_up = linear(&normed, &block.w_gate_up)?; // [B, T, 2F]
        let pre = hooks.visit(at(Site::MlpPre), gate_up.f_narrow(2, 0, hidden)?)?; // [B, T, F]
        let pre_linear = hooks.visit(at(Site::MlpPreLinear), gate_up.f_narrow(2, hidden, hidden)?)?; // [B, T, F]
        let post = hooks.visit(at(Site::MlpPost), pre.f_silu()?.f_mul(&pre_linear)?)?; // [B, T, F]
        let out = linear(&post, &block.w_down)?; // [B, T, D]
        hooks.visit(at(Site::MlpOut), out.f_to_kind(self.precision.stream())?)
    }

    /// Final norm and logits, for the tokens that are asked for and no others unless a hook looks on.
    ///
    /// # Shapes
    /// `x` \[B, T, D\] → \[S, V\]
    fn unembed(&self, x: &Tensor, hooks: &mut Hooks<'_, '_>) -> Result<Option<Tensor>, Halt> {
        let places = hooks.logits_of().places(hooks.batch())?;
        let places = Tensor::f_from_slice(&places)?.f_to_device(self.device)?;
        let select = |x: &Tensor| x.f_flatten(0, 1)?.f_index_select(0, &places); // [S, D]
        let (scale, normalized) = (HookPoint::FinalScale, HookPoint::FinalNormalized);
        let looked_at = [scale, normalized, HookPoint::FinalOut].into_iter().any(|p| hooks.want(p));
        let normed = if looked_at {
            let normed = self.rms_norm(x, &self.final_gain, scale, normalized, hooks)?; // [B, T, D]
            select(&hooks.visit(HookPoint::FinalOut, normed)?)?
        } else {
            self.rms_norm(&select(x)?, &self.final_gain, scale, normalized, hooks)?
        }; // [S, D]
        let logits = linear(&normed, self.unembed.as_ref().unwrap_or(&self.embed))?; // [S, V]
        let wide = if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let mut logits = logits.f_to_kind(wide)?;
        if *hooks.logits_of() == Tokens::Mean {
            logits = mean_by_prompt(&logits, &hooks.batch().lengths())?; // of all tokens, to one a prompt
        }
        Ok(Some(hooks.visit(HookPoint::Logits, logits)?))
    }

    /// `x / sqrt(mean(x²) + ε) · gain` over the last axis, in the type that products take.
    ///
    /// # Shapes
    /// `x` \[…, D\] → \[…, D\]
    fn rms_norm(
        &self,
        x: &Tensor,
        gain: &Tensor,
        scale_point: HookPoint,
        normalized_point: HookPoint,
        hooks: &mut Hooks<'_, '_>,
    ) -> Result<Tensor, Halt> {
        let mut edited = None;
        if hooks.want(scale_point) || hooks.want(normalized_point) {
            let wide = if x.kind() == Kind::Double { Kind::Double } else { Kind::Float };
            let x = x.f_to_kind(wide)?;
            let mean_square = x.f_square()?.f_mean_dim(Some([-1i64].as_slice()), true, wide)?; // [B, T, 1]
            let scale = mean_square.f_add_scalar(self.config.norm_eps)?.f_sqrt()?;
            let other_scale = hooks.look(scale_point, &scale)?;
            let normalized =
                x.f_div(other_scale.as_ref().unwrap_or(&scale))?.f_to_kind(self.precision.stream())?;
            edited = hooks.look(normalized_point, &normalized)?.or(other_scale.map(|_| normalized));
        }
        let normed = match edited {
            Some(normalized) => normalized.f_mul(gain)?,
            None => x.f_rms_norm([self.config.dim].as_slice(), Some(gain), self.config.norm_eps)?,
        };
        Ok(normed.f_to_kind(self.precision.product())?)
    }

    /// A weight as files name it: a part of the fused ones, in half-split rotary order. A view.
    pub(crate) fn weight(&self, weight: Weight) -> Result<Tensor> {
        let c = &self.config;
        let (q, kv) = (c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim);
        let Weight::Block(index, part) = weight else {
            return Ok(match weight {
                Weight::FinalNorm => self.final_gain.f_alias()?,
                Weight::Unembed => self.unembed.as_ref().unwrap_or(&self.embed).f_alias()?,
                _ => self.embed.f_alias()?,
            });
        };
        let block = &self.blocks[index];
        Ok(match part {
            BlockWeight::Ln1 => block.ln1_gain.f_alias()?,
            BlockWeight::Q => block.w_qkv.f_narrow(0, 0, q)?,
            BlockWeight::K => block.w_qkv.f_narrow(0, q, kv)?,
            BlockWeight::V => block.w_qkv.f_narrow(0, q + kv, kv)?,
            BlockWeight::O => block.w_o.f_alias()?,
            BlockWeight::Ln2 => block.ln2_gain.f_alias()?,
            BlockWeight::Gate => block.w_gate_up.f_narrow(0, 0, c.hidden_dim)?,
            BlockWeight::Up => block.w_gate_up.f_narrow(0, c.hidden_dim, c.hidden_dim)?,
            BlockWeight::Down => block.w_down.f_alias()?,
        })
    }
}

/// `x Wᵀ`.
///
/// # Shapes
/// `x` \[…, in\], `weight` \[out, in\] → \[…, out\]
fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    Ok(x.f_linear(weight, None::<Tensor>)?)
}

/// Where a batch's tokens stand: their rotations and what they attend to, made once for all blocks.
struct Place<'m> {
    /// \[B, T, 1, K\], both halves alike.
    cos: Tensor,
    /// \[B, T, 1, K\], the first half negated.
    sin: Tensor,
    /// \[B, 1, T, S\] bool, true where a token is seen; `None` means causal.
    mask: Option<Tensor>,
    precision: &'m Precision,
}

impl<'m> Place<'m> {
    fn new(batch: &Batch, llama: &'m Llama) -> Result<Self> {
        let positions = batch.positions.f_to_device(llama.device)?.f_to_kind(Kind::Double)?; // [B, T]
        let angles = positions.f_unsqueeze(-1)?.f_mul(&llama.rope)?; // [B, T, K/2]
        let (cos, sin) = (angles.f_cos()?, angles.f_sin()?);
        let twice = |first: &Tensor, second: &Tensor| -> Result<Tensor> {
            let both = Tensor::f_cat(&[first, second], -1)?.f_unsqueeze(2)?; // [B, T, 1, K]
            Ok(both.f_to_kind(llama.precision.rotation())?)
        };
        let mask = match &batch.attends {
            Attends::Causal => None,
            Attends::Mask(mask) => Some(mask.f_to_device(llama.device)?),
        };
        Ok(Self {
            cos: twice(&cos, &cos)?,
            sin: twice(&sin.f_neg()?, &sin)?,
            mask,
            precision: &llama.precision,
        })
    }

    /// Rotary embedding (Su et al. 2021), on pairs (i, i + K/2): `(a, b) → (a·cos − b·sin, b·cos + a·sin)`.
    ///
    /// # Shapes
    /// `x` \[B, T, heads, K\] → the same
    fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let half = x.size()[3] / 2;
        let x = x.f_to_kind(self.precision.rotation())?;
        let swapped = x.f_roll([half].as_slice(), [-1i64].as_slice())?;
        let rotated = x.f_mul(&self.cos)?.f_add(&swapped.f_mul(&self.sin)?)?;
        Ok(rotated.f_to_kind(self.precision.product())?)
    }
}
