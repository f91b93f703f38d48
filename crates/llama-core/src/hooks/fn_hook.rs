//! A closure as a hook.

use super::{Action, Activation, Hook, HookSet};
use crate::error::Result;

/// A closure that visits some points.
///
/// ```
/// # use llama_core::{Action, Batch, Config, FnHook, Forward, HookPoint, HookSet, Llama, Precision};
/// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
/// #     vocab_size: 10, ..Config::default() };
/// # let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
/// let mut norms = Vec::new();
/// let mut look = FnHook::new(HookSet::residual_stream(2), |activation| {
///     norms.push(activation.tensor.f_norm()?.f_double_value(&[])?);
///     Ok(Action::Keep)
/// });
/// llama.forward(&Batch::new(&[[1, 2, 3]])?, Forward::new().hook(&mut look))?;
/// assert_eq!(norms.len(), 3);
/// # Ok::<(), llama_core::Error>(())
/// ```
pub struct FnHook<F> {
    points: HookSet,
    visit: F,
}

impl<F: FnMut(&Activation<'_>) -> Result<Action>> FnHook<F> {
    /// A hook that calls `visit` at each of these points.
    pub fn new(points: impl Into<HookSet>, visit: F) -> Self {
        Self { points: points.into(), visit }
    }
}

impl<F> std::fmt::Debug for FnHook<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FnHook").field("points", &self.points).finish_non_exhaustive()
    }
}

impl<F: FnMut(&Activation<'_>) -> Result<Action>> Hook for FnHook<F> {
    fn points(&self) -> HookSet {
        self.points.clone()
    }

    fn visit(&mut self, activation: &Activation<'_>) -> Result<Action> {
        (self.visit)(activation)
    }
}
