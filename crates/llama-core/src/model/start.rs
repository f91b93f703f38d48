//! A run that starts from a given residual stream instead of from tokens.

use tch::Tensor;

use super::{Forward, Llama};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::hooks::{HookPoint, Hooks};

/// The residual stream that a run starts from.
#[derive(Debug)]
pub(super) struct Start {
    layer: usize,
    /// \[S, D\], prompt after prompt.
    residual: Tensor,
}

impl<H: ?Sized> Forward<'_, H> {
    /// Starts from this residual stream: for layer 0 the stream after the embedding, for others the one leaving block
    /// `layer − 1`, as [`HookPoint::of_layer`] counts. Nothing before it is computed. (TransformerLens'
    /// `start_at_layer`.)
    ///
    /// The stream is that of every real token, so it does not depend on how a batch is padded; a [`crate::Capture`] of
    /// `HookPoint::of_layer(layer)` with [`crate::Tokens::All`] takes one. Started from there, in
    /// a batch laid out alike, a run gives the numbers of the whole one, bit for bit; in another layout up to rounding.
    ///
    /// # Shapes
    /// `residual` \[S, D\]: S tokens of all prompts, prompt after prompt, padding excluded.
    ///
    /// # Errors
    /// [`Llama::forward`] then refuses, with [`Error::Start`], a layer that the model does not have, another shape, and
    /// hooks that want a point at or before the start.
    ///
    /// ```
    /// # use llama_core::{Batch, Capture, Config, HookPoint, Llama, Precision, Forward, Tokens};
    /// # let config = Config { dim: 8, n_layers: 3, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// # let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
    /// let batch = Batch::new(&[vec![1, 2, 3], vec![4]])?;
    /// let mut capture = Capture::new(HookPoint::of_layer(2), Tokens::All);
    /// let whole = llama.forward(&batch, Forward::new().hook(&mut capture).logits(Tokens::Last))?.logits.unwrap();
    ///
    /// let residual = capture.finish().take(HookPoint::of_layer(2)).unwrap(); // [4, 8]
    /// let rest = llama.forward(&batch, Forward::new().from_layer(2, residual).logits(Tokens::Last))?.logits.unwrap();
    /// assert!(rest.equal(&whole));
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    #[must_use]
    pub fn from_layer(mut self, layer: usize, residual: Tensor) -> Self {
        self.start = Some(Start { layer, residual });
        self
    }
}

impl Start {
    /// The first block to compute, and the residual stream entering it, in the batch's layout with zeros in padding.
    ///
    /// # Shapes
    /// → \[B, T, D\]
    pub(super) fn lay_out(
        self,
        llama: &Llama,
        batch: &Batch,
        hooks: &Hooks<'_, '_>,
    ) -> Result<(usize, Tensor)> {
        let (layer, c) = (self.layer, &llama.config);
        let refuse = |reason, hint| Err(Error::Start { layer, reason, hint });
        if layer > c.n_layers {
            let hint = "layer 0 is the embedding, layer l is what leaves block l - 1";
            return refuse(format!("the model has layers 0 to {}", c.n_layers), hint);
        }
        let given = HookPoint::of_layer(layer);
        if let Some(point) = hooks.first().filter(|first| *first <= given) {
            let hint = "hook the next block's `hook_resid_pre` instead, or start earlier";
            return refuse(format!("a hook wants {point}, which is not computed"), hint);
        }
        if batch.shares() {
            let hint = "lay the prompts out with Batch::new";
            return refuse(
                "prompts of the batch share tokens, and each could bring another stream".to_owned(),
                hint,
            );
        }
        let (b, t) = batch.shape();
        let slots = batch.slots().concat();
        let (found, expected) = (self.residual.size(), [slots.len() as i64, c.dim]);
        if found != expected {
            let hint =
                "give every real token's residual stream, prompt after prompt: a capture with Tokens::All";
            return refuse(
                format!("its residual stream has shape {found:?}, the batch needs {expected:?}"),
                hint,
            );
        }
        let kind = llama.precision.stream();
        let index = Tensor::f_from_slice(&slots)?.f_to_device(llama.device)?;
        let residual = self.residual.f_to_device(llama.device)?.f_to_kind(kind)?;
        let zeros = Tensor::f_zeros([b * t, c.dim], (kind, llama.device))?;
        Ok((layer, zeros.f_index_copy(0, &index, &residual)?.f_view([b, t, c.dim])?))
    }
}
