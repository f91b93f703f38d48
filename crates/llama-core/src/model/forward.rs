//! What a forward pass is asked to do.

use tch::Tensor;

use super::KvCache;
use super::start::Start;
use crate::hooks::{Hook, Tokens};

/// What one forward pass does besides going forward: hooks, logits, gradients, a cache.
///
/// ```
/// # use llama_core::{Batch, Capture, Config, HookSet, Llama, Precision, Forward, Tokens};
/// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
/// #     vocab_size: 10, ..Config::default() };
/// # let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
/// let mut states = Capture::new(HookSet::residual_stream(2), Tokens::Last);
/// let output = llama.forward(&Batch::new(&[[1, 2, 3]])?, Forward::new().hook(&mut states).logits(Tokens::Last))?;
/// assert_eq!(output.logits.unwrap().size(), [1, 10]);
/// assert_eq!(states.finish().len(), 3);
/// # Ok::<(), llama_core::Error>(())
/// ```
///
/// If all hooks are `Send`, a pass made by [`Forward::sendable`] is `Send`, too;
/// [`Llama::forward`](crate::Llama::forward) takes both.
pub struct Forward<'h, H: ?Sized = dyn Hook + 'h> {
    pub(super) hooks: Vec<&'h mut H>,
    pub(super) logits: Option<Tokens>,
    pub(super) reads: Option<Tokens>,
    pub(super) cache: Option<&'h mut KvCache>,
    pub(super) start: Option<Start>,
    /// Into a stage that does not begin. \[B, T, D\]
    pub(super) entering: Option<Tensor>,
    pub(super) gradients: bool,
}

impl Forward<'_> {
    /// A pass without hooks and logits, which by itself computes nothing.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<'h> Forward<'h, dyn Hook + Send + 'h> {
    /// As [`Forward::new`], for hooks that are `Send`: the pass can be made on one thread and run on another.
    ///
    /// ```
    /// # use llama_core::{Batch, Capture, Config, Forward, HookPoint, Llama, Precision, Tokens};
    /// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
    /// let batch = Batch::new(&[[1, 2, 3]])?;
    /// let mut states = Capture::new(HookPoint::of_layer(2), Tokens::Last);
    /// let forward = Forward::sendable().hook(&mut states).logits(Tokens::Last);
    /// std::thread::scope(|scope| scope.spawn(move || llama.forward(&batch, forward)).join().unwrap())?;
    /// assert_eq!(states.finish().len(), 1);
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    pub fn sendable() -> Self {
        Self::default()
    }
}

impl<'h> From<Forward<'h, dyn Hook + Send + 'h>> for Forward<'h> {
    fn from(forward: Forward<'h, dyn Hook + Send + 'h>) -> Self {
        let Forward { hooks, logits, reads, cache, start, entering, gradients } = forward;
        let hooks = hooks.into_iter().map(|hook| hook as &mut dyn Hook).collect();
        Self { hooks, logits, reads, cache, start, entering, gradients }
    }
}

impl<H: ?Sized> Default for Forward<'_, H> {
    fn default() -> Self {
        let hooks = Vec::new();
        Self { hooks, logits: None, reads: None, cache: None, start: None, entering: None, gradients: false }
    }
}

impl<'h, H: Hook + ?Sized> Forward<'h, H> {
    /// Adds a hook. Hooks see each activation in the order in which they were added, with the edits of earlier ones.
    #[must_use]
    pub fn hook(mut self, hook: &'h mut H) -> Self {
        self.hooks.push(hook);
        self
    }

    /// Returns the logits of these tokens. Without this, the pass ends after the last point a hook wants.
    #[must_use]
    pub fn logits(mut self, tokens: Tokens) -> Self {
        self.logits = Some(tokens);
        self
    }

    /// Promises that hooks look only at these tokens from the last block's attention on. The block then computes its
    /// keys and values for all tokens, but everything after them only for these tokens and for those whose logits are
    /// asked for. What hooks see there has rows of the same prompts and fewer columns; [`crate::Activation::select`] of
    /// a token that was not computed is [`crate::Error::NotComputed`].
    ///
    /// The last block is the last one that the run computes. Its numbers are those of the whole block up to rounding.
    /// Runs with gradients compute all of it.
    ///
    /// ```
    /// # use llama_core::{Batch, Capture, Config, HookPoint, Llama, Precision, Forward, Tokens};
    /// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// # let llama = Llama::random(&config, 0, Precision::F64, tch::Device::Cpu)?;
    /// let batch = Batch::new(&[vec![1, 2, 3, 4], vec![5, 6]])?;
    /// let point = HookPoint::of_layer(2);
    /// let (mut lean, mut whole) = (Capture::new(point, Tokens::Last), Capture::new(point, Tokens::Last));
    /// llama.forward(&batch, Forward::new().hook(&mut lean).reads(Tokens::Last))?; // computes 2 of 6 tokens' MLP
    /// llama.forward(&batch, Forward::new().hook(&mut whole))?;
    /// let (lean, whole) = (lean.finish().take(point).unwrap(), whole.finish().take(point).unwrap()); // [2, 8]
    /// assert!(lean.allclose(&whole, 1e-12, 1e-12, false));
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    #[must_use]
    pub fn reads(mut self, tokens: Tokens) -> Self {
        self.reads = Some(tokens);
        self
    }

    /// Keeps keys and values in `cache` and attends to those already there: the batch is the one that the cache gave last,
    /// and the pass goes to its end, so ask for logits.
    ///
    /// # Errors
    /// [`Llama::forward`](crate::Llama::forward) then refuses another batch with [`crate::Error::Cache`].
    #[must_use]
    pub fn cache(mut self, cache: &'h mut KvCache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Records the operations, so that gradients can flow to weights and captured activations.
    ///
    /// In such a run, the pass continues from what a [`crate::Capture`] keeps, so anything computed later has a
    /// gradient with respect to it, as with TransformerLens' backward hooks. If two captured layers are on one path,
    /// the gradient of the earlier one goes through the later one.
    ///
    /// ```
    /// # use llama_core::{Batch, Capture, Config, HookPoint, Llama, Precision, Forward, Tokens, tch::Tensor};
    /// # let config = Config { dim: 8, n_layers: 3, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// let llama = Llama::random(&config, 0, Precision::F64, tch::Device::Cpu)?;
    /// let batch = Batch::new(&[[1, 2, 3]])?;
    /// let point = HookPoint::resid_post(0);
    /// let logit_difference = |run: Forward<'_>| -> llama_core::Result<Tensor> {
    ///     let logits = llama.forward(&batch, run.logits(Tokens::Last))?.logits.unwrap(); // [1, V]
    ///     Ok(logits.f_get(0)?.f_get(7)?.f_sub(&logits.f_get(0)?.f_get(4)?)?)
    /// };
    ///
    /// let mut states = Capture::new(point, Tokens::All);
    /// let difference = logit_difference(Forward::new().hook(&mut states).gradients())?;
    /// let state = states.finish().take(point).unwrap(); // [3, 8]
    /// let gradient = &Tensor::f_run_backward(&[difference], &[&state], false, false)?[0]; // [3, 8]
    ///
    /// // The same by moving one number of the residual stream a little.
    /// let state = state.f_detach()?;
    /// let moved = |step: f64| -> llama_core::Result<f64> {
    ///     let moved = state.f_detach_copy()?;
    ///     let _ = moved.f_get(1)?.f_get(5)?.f_add_scalar_(step)?;
    ///     Ok(logit_difference(Forward::new().from_layer(1, moved))?.f_double_value(&[])?)
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

impl<H: Hook + ?Sized> std::fmt::Debug for Forward<'_, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let points: Vec<_> = self.hooks.iter().map(|h| h.points().names()).collect();
        f.debug_struct("Forward")
            .field("hooks", &points)
            .field("logits", &self.logits)
            .finish_non_exhaustive()
    }
}
