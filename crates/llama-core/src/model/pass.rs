//! The forward pass of a LLaMA, in reading order: embed, blocks of attention and MLP, final norm, unembed. What its relatives
//! do otherwise stands where they do it, each an option of the configuration or a weight that a block has or has not.
//!
//! A pass stops between any two blocks and goes on with the next, so that a model whose blocks are brought in one after
//! the other can take many batches through each.
//!
//! Axis letters: B rows of the batch, T tokens of a row, S selected tokens (or cached keys), D `dim`, H heads,
//! G key and value heads, K `head_dim`, F `hidden_dim`, V vocabulary. A comment stands where a shape changes. Where ranks hold
//! a model together, H, G, and F count what this one has; the stream is whole on all of them.

use tch::{Kind, Tensor};
use torch_runtime::{TensorChain as _, TensorExt as _};

use super::attention::Scores;
use super::blocks::Block;
use super::positions::{Place, Positions};
use super::{Forward, KvCache, Llama, Output, is_one, stage};
use crate::batch::{Batch, KeptTokens};
use crate::config::{Gate, QueryKeyNorm};
use crate::error::{Error, Result};
use crate::hooks::{Halt, HookPoint, Hooks, Site, Tokens, mean_by_prompt};
use crate::shard::Divided;

/// One batch on its way through a model.
pub(super) struct Pass<'l, 'h, 'b> {
    llama: &'l Llama,
    hooks: Hooks<'h, 'b>,
    positions: Positions,
    /// The residual stream. \[B, T, D\]
    x: Tensor,
    /// The next block, and the one after the last that anybody wants something of.
    next: usize,
    end: usize,
    /// What the last block goes on with after its keys and values.
    keep: Option<KeptTokens>,
    cache: Option<&'h mut KvCache>,
    gradients: bool,
}

impl<'l: 'b, 'h, 'b> Pass<'l, 'h, 'b> {
    /// The residual stream before the first block: the embedding, or what the run was given.
    pub(super) fn begin(llama: &'l Llama, batch: &'b Batch, run: Forward<'h>) -> Result<Self, Halt> {
        batch.check_vocabulary(llama.config.vocab_size)?;
        let Forward { hooks, logits, reads, cache, start, entering, gradients } = run;
        let _no_gradients = (!gradients).then(tch::no_grad_guard);
        let mut hooks = Hooks::new(hooks, logits, gradients, (batch, &llama.shard), &llama.config)?;
        llama.shard.agree(|| hooks.description(reads.as_ref()), llama.device)?;
        let keep = match reads {
            Some(reads) if !gradients => hooks.batch().kept(&[Some(&reads), hooks.logits()])?,
            _ => None,
        };
        if !hooks.want_from(HookPoint::Embed) {
            return Err(Halt::Done);
        }
        if gradients {
            llama.check_whole("it has no gradients")?;
        }
        let whole = llama.is_first_stage() && llama.is_last_stage();
        if !whole && (start.is_some() || cache.is_some() || gradients) {
            let reason = "it neither starts from a layer, nor keeps a cache, nor has gradients".to_owned();
            return Err(Error::Stage { reason }.into());
        }
        if let Some(cache) = &cache {
            cache.check(llama, batch)?;
        }
        let (next, x) = if let Some(entering) = stage::enter(llama, batch, entering)? {
            (llama.stage.start, entering) // [B, T, D]
        } else if let Some(start) = start {
            start.lay_out(llama, batch, &hooks)? // [B, T, D]
        } else {
            let tokens = batch.tokens.f_to_device(llama.device)?; // [B, T]
            let mut x = llama.embedded(&tokens)?; // [B, T, D]
            let multiplier = llama.config.multipliers.embedding;
            if !is_one(multiplier) {
                // In the stream's own type, as transformers has it: in bf16, √3072 is 55.5.
                x = x.f_mul(
                    &Tensor::f_from_slice(&[multiplier])?.f_to_device(llama.device)?.f_to_kind(x.kind())?,
                )?;
            }
            (0, hooks.visit(HookPoint::Embed, x)?)
        };
        let (positions, end) = (Positions::new(batch, llama)?, hooks.blocks(llama.config.n_layers));
        Ok(Self { llama, hooks, positions, x, next, end, keep, cache, gradients })
    }

    /// The blocks that are still to come.
    pub(super) fn blocks(&self) -> std::ops::Range<usize> {
        self.next..self.end.min(self.llama.stage.end)
    }

    /// Takes the residual stream through the next block. Ends the pass, by `Halt::Done`, if nothing later is wanted.
    pub(super) fn block(&mut self, block: &Block) -> Result<(), Halt> {
        let _no_gradients = (!self.gradients).then(tch::no_grad_guard);
        let (index, llama, hooks) = (self.next, self.llama, &mut self.hooks);
        let at = |site| HookPoint::Block(index as u16, site);
        let keep = if index + 1 == self.end { self.keep.take() } else { None };

        let x = hooks.visit(at(Site::ResidPre), self.x.f_alias()?)?;
        let cache = self.cache.as_deref_mut();
        let place = self.positions.of_layer(index, &llama.config, llama.precision);
        let attn_out = llama.attention((index, block), &x, &place, keep, hooks, cache)?;
        let x = match hooks.kept() {
            Some(kept) => kept.select(&x)?, // [B, M, D]
            None => x,
        };
        let x = hooks.visit(at(Site::ResidMid), x.f_add(&attn_out)?)?;
        let mlp_out = llama.mlp((index, block), &x, hooks)?;
        self.x = hooks.visit(at(Site::ResidPost), x.f_add(&mlp_out)?)?;
        self.next += 1;
        Ok(())
    }

    /// What comes after the blocks: the final norm and the logits, or the next stage.
    pub(super) fn end(mut self) -> Result<Output, Halt> {
        let _no_gradients = (!self.gradients).then(tch::no_grad_guard);
        if !self.llama.is_last_stage() {
            return Ok(Output { logits: None, leaving: Some(self.x) });
        }
        let logits = self.llama.final_logits(&self.x, &mut self.hooks)?;
        Ok(Output { logits, leaving: None })
    }
}

impl Llama {
    /// What attention writes into the residual stream.
    ///
    /// `keep` is what later steps of the pass need of it, in the last block.
    ///
    /// # Shapes
    /// `x` \[B, T, D\] → \[B, T, D\], or \[B, M, D\] with M tokens of each row kept
    fn attention(
        &self,
        (index, block): (usize, &Block),
        x: &Tensor,
        place: &Place<'_>,
        keep: Option<KeptTokens>,
        hooks: &mut Hooks<'_, '_>,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block(index as u16, site);
        let c = &self.config;
        let (b, t, _) = x.dims3("residual stream")?;
        let normed =
            self.rms_norm(x, block.ln1_gain.as_ref(), at(Site::Ln1Scale), at(Site::Ln1Normalized), hooks)?;

        let share = self.shard.share();
        let (h, g) = (share.heads(), share.kv_heads());
        let qkv = block.w_qkv.affine(&normed, block.b_qkv.as_ref())?.f_view([b, t, h + 2 * g, c.head_dim])?; // [B, T, H + 2G, K]
        let q = hooks.visit(at(Site::Q), qkv.f_narrow(2, 0, h)?)?; // [B, T, H, K]
        let k = hooks.visit(at(Site::K), qkv.f_narrow(2, h, g)?)?; // [B, T, G, K]
        let v = hooks.visit(at(Site::V), qkv.f_narrow(2, h + g, g)?)?; // [B, T, G, K]

        let q = self.norm_heads(q, block.q_gain.as_ref(), Divided::Heads)?;
        let k = self.norm_heads(k, block.k_gain.as_ref(), Divided::KvHeads)?;
        let q = hooks.visit(at(Site::RotQ), place.rotate(&q)?)?;
        let k = hooks.visit(at(Site::RotK), place.rotate(&k)?)?;

        let (mut q, kept_sight) =
            (q, keep.as_ref().map(|kept| place.sight.of_kept(kept, (b, t))).transpose()?);
        let sight = kept_sight.as_ref().unwrap_or(place.sight);
        if let Some(kept) = keep {
            q = kept.select(&q)?; // [B, M, H, K]
            hooks.keep(kept);
        }
        // From here on T is M where tokens were left out.
        let q = q.f_transpose(1, 2)?; // [B, H, T, K]
        let (mut k, mut v) = (k.f_transpose(1, 2)?, v.f_transpose(1, 2)?); // [B, G, T, K]
        if let Some(cache) = cache {
            (k, v) = cache.append(index, &k, &v)?; // [B, G, S, K]
        }
        let (k, v) = (share.for_queries(k)?, share.for_queries(v)?);
        let mut edited = None;
        if hooks.want(at(Site::AttnScores)) || hooks.want(at(Site::Pattern)) {
            let points = [at(Site::AttnScores), at(Site::Pattern)];
            edited = self.explicit_attention([&q, &k, &v], sight, points, hooks)?;
        }
        let z = match edited {
            Some(z) => z,
            None => sight.attend([&q, &k, &v], Scores::of(c), self.kernels.attention)?,
        }; // [B, H, T, K]
        let z = hooks.visit(at(Site::Z), z.f_transpose(1, 2)?)?; // [B, T, H, K]
        self.write((index, block), &z, hooks)
    }

    /// The heads' outputs into the residual stream: their products with `W_O`, summed over heads.
    ///
    /// # Shapes
    /// `z` \[B, T, H, K\] → \[B, T, D\]
    fn write(
        &self,
        (index, block): (usize, &Block),
        z: &Tensor,
        hooks: &mut Hooks<'_, '_>,
    ) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block(index as u16, site);
        let c = &self.config;
        let (b, t, h, _) = z.dims4("z")?;
        let mut edited = None;
        if hooks.want(at(Site::Result)) {
            let w_o = block.w_o.plain()?.f_view([c.dim, h, c.head_dim])?.f_permute([1, 2, 0])?; // [H, K, D]
            let result = z.f_unsqueeze(3).matmul(&w_o).squeeze_dim(3)?; // [B, T, H, D]
            edited = hooks.look(at(Site::Result), &result)?;
        }
        let bias = block.b_o.as_ref();
        let z = z.f_reshape([b, t, h * c.head_dim])?;
        let out = match edited {
            None if self.shard.is_whole() => block.w_o.affine(&z, bias)?,
            edited => {
                let own = match edited {
                    Some(result) => result.f_sum_dim_intlist([2i64].as_slice(), false, None)?,
                    None => block.w_o.linear(&z)?,
                };
                let sum = self.shard.sum(own, self.precision.stream())?;
                if let Some(bias) = bias { sum.f_add(bias)? } else { sum }
            }
        }; // [B, T, D]
        hooks.visit(at(Site::AttnOut), self.written(&out, block.ln1_post_gain.as_ref())?)
    }

    /// What a sub-layer's output adds to the residual stream: itself, or what the norm after it and the multiplier make of it.
    ///
    /// # Shapes
    /// `out` \[B, T, D\] → \[B, T, D\]
    fn written(&self, out: &Tensor, gain: Option<&Tensor>) -> Result<Tensor> {
        let mut out = out.f_to_kind(self.precision.stream())?;
        if let Some(gain) = gain {
            out = self.rms(&out, gain)?;
        }
        let factor = self.config.multipliers.residual;
        Ok(if is_one(factor) { out } else { out.f_mul_scalar(factor)? })
    }

    /// Queries or keys over their root mean square, each head by itself or all together, as wide as the gain is.
    ///
    /// # Shapes
    /// `x` \[B, T, heads, K\], `gain` \[K\] or of all ranks' heads together → the same
    fn norm_heads(&self, x: Tensor, gain: Option<&Tensor>, of: Divided) -> Result<Tensor> {
        let Some(gain) = gain else { return Ok(x) };
        let together = self.config.query_key_norm == QueryKeyNorm::Projections;
        let x = if together { self.shard.gathered(&x, 2, of)? } else { x };
        let (b, t, ..) = x.dims4("queries or keys")?;
        let (shape, width) = (x.size(), gain.numel() as i64);
        let x = x.f_reshape([b, t, -1, width])?.f_to_kind(self.precision.stream())?;
        let x = self.norm(&x, gain)?.f_view(shape.as_slice())?;
        if together { self.shard.cut(&x, 2, of) } else { Ok(x) }
    }

    /// What the MLP writes into the residual stream: `W_down (g(W_gate x) · W_up x)`, where g is silu, or Gemma's GELU.
    ///
    /// # Shapes
    /// `x` \[B, T, D\] → \[B, T, D\]
    fn mlp(
        &self,
        (index, block): (usize, &Block),
        x: &Tensor,
        hooks: &mut Hooks<'_, '_>,
    ) -> Result<Tensor, Halt> {
        let at = |site| HookPoint::Block(index as u16, site);
        let hidden = self.shard.share().hidden();
        let normed =
            self.rms_norm(x, block.ln2_gain.as_ref(), at(Site::Ln2Scale), at(Site::Ln2Normalized), hooks)?;
        let gate_up = block.w_gate_up.linear(&normed)?; // [B, T, 2F]
        let pre = hooks.visit(at(Site::MlpPre), gate_up.f_narrow(2, 0, hidden)?)?; // [B, T, F]
        let pre_linear = hooks.visit(at(Site::MlpPreLinear), gate_up.f_narrow(2, hidden, hidden)?)?; // [B, T, F]
        let gate = match self.config.gate {
            Gate::Silu => pre.f_silu(),
            Gate::GeluTanh => pre.f_gelu("tanh"),
        };
        let post = hooks.visit(at(Site::MlpPost), gate.mul(&pre_linear)?)?; // [B, T, F]
        let out = self.shard.sum(block.w_down.linear(&post)?, self.precision.stream())?; // [B, T, D]
        hooks.visit(at(Site::MlpOut), self.written(&out, block.ln2_post_gain.as_ref())?)
    }

    /// Final norm and logits, for the tokens that are asked for and no others unless a hook looks on.
    ///
    /// # Shapes
    /// `x` \[B, T, D\] (or the kept tokens of each row) → \[S, V\]
    fn final_logits(&self, x: &Tensor, hooks: &mut Hooks<'_, '_>) -> Result<Option<Tensor>, Halt> {
        let select = |x: &Tensor, hooks: &Hooks<'_, '_>| -> Result<Tensor> {
            let slots = hooks.slots_left(HookPoint::Logits, &hooks.logits_of().slots(hooks.batch())?)?;
            let slots = Tensor::f_from_slice(&slots)?.f_to_device(self.device)?;
            Ok(x.f_flatten(0, 1)?.f_index_select(0, &slots)?) // [S, D]
        };
        let (scale, normalized) = (HookPoint::FinalScale, HookPoint::FinalNormalized);
        let looked_at = [scale, normalized, HookPoint::FinalOut].into_iter().any(|p| hooks.want(p));
        let normed = if looked_at {
            let normed = self.rms_norm(x, Some(&self.final_gain), scale, normalized, hooks)?; // [B, T, D]
            // A run that looks no further ends in the visit: its other tokens may be left out.
            let normed = hooks.visit(HookPoint::FinalOut, normed)?;
            select(&normed, hooks)?
        } else {
            self.rms_norm(&select(x, hooks)?, Some(&self.final_gain), scale, normalized, hooks)?
        }; // [S, D]
        let mut logits = self.logits(&normed)?; // [S, V]
        if *hooks.logits_of() == Tokens::Mean {
            logits = mean_by_prompt(&logits, &hooks.batch().lengths())?; // of all tokens, to one a prompt
        }
        Ok(Some(hooks.visit(HookPoint::Logits, logits)?))
    }

    /// `x / sqrt(mean(x²) + ε) · gain` over the last axis, in the type that products take; x itself where there is no norm.
    ///
    /// # Shapes
    /// `x` \[…, D\] → \[…, D\]
    fn rms_norm(
        &self,
        x: &Tensor,
        gain: Option<&Tensor>,
        scale_point: HookPoint,
        normalized_point: HookPoint,
        hooks: &mut Hooks<'_, '_>,
    ) -> Result<Tensor, Halt> {
        let Some(gain) = gain else { return Ok(x.f_to_kind(self.precision.product())?) };
        let mut edited = None;
        if hooks.want(scale_point) || hooks.want(normalized_point) {
            let wide = if x.kind() == Kind::Double { Kind::Double } else { Kind::Float };
            let x = x.f_to_kind(wide)?;
            let scale = x.f_square().mean_dim(-1, true).add(self.config.norm_eps).sqrt()?; // [B, T, 1]
            let other_scale = hooks.look(scale_point, &scale)?;
            let normalized =
                x.f_div(other_scale.as_ref().unwrap_or(&scale)).to_kind(self.precision.stream())?;
            edited = hooks.look(normalized_point, &normalized)?.or(other_scale.map(|_| normalized));
        }
        match edited {
            Some(normalized) => Ok(normalized.f_mul(gain).to_kind(self.precision.product())?),
            None => Ok(self.norm(x, gain)?),
        }
    }

    /// The same where no hook looks on: LibTorch's fused kernel.
    ///
    /// # Shapes
    /// `x` \[…, D\] → \[…, D\]
    pub(super) fn norm(&self, x: &Tensor, gain: &Tensor) -> Result<Tensor> {
        Ok(self.rms(x, gain)?.f_to_kind(self.precision.product())?)
    }

    /// The same in its own type.
    fn rms(&self, x: &Tensor, gain: &Tensor) -> Result<Tensor> {
        Ok(x.f_rms_norm(gain.size(), Some(gain), self.config.norm_eps)?)
    }
}
