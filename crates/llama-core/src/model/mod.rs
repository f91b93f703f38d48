//! A LLaMA in memory or on disk, and its forward pass (`pass`, to be read top to bottom).

use std::ops::Range;

use tch::{Device, Tensor};

use crate::batch::Batch;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hooks::{Capture, Captured, Halt, HookSet, Tokens};
use crate::shard::Shard;

mod attention;
mod blocks;
mod cache;
pub mod check;
mod forward;
mod kernels;
mod load;
mod matrix;
mod pass;
mod positions;
mod precision;
mod sharded;
mod stage;
mod start;
mod unembed;
mod weight;

use blocks::{Assembly, Blocks};
pub use cache::KvCache;
pub use forward::Forward;
pub use kernels::{Attention, KernelRates, Kernels, Products, Rates, Suited};
pub(crate) use load::random_weight;
use pass::Pass;
pub use precision::Precision;

/// A LLaMA: in memory, or with its blocks on disk ([`Llama::streamed`]).
///
/// `Send` but not `Sync`, as LibTorch's tensors are: one thread drives it.
#[derive(Debug)]
pub struct Llama {
    config: Config,
    precision: Precision,
    device: Device,
    kernels: Kernels,
    /// The blocks that it has: all, unless others have the rest.
    stage: Range<usize>,
    /// What it has of them: all, unless other ranks have the rest.
    shard: Shard,
    /// \[V, D\]
    embed: Tensor,
    blocks: Blocks,
    /// \[D\]
    final_gain: Tensor,
    /// \[V, D\]; `None` where it is the embedding, or where there is none.
    unembed: Option<Tensor>,
    /// Angles by which one position turns each pair of dimensions, in f64. \[K/2\]
    rope: Tensor,
    /// The same in layers with a base of their own. \[K/2\]
    local_rope: Option<Tensor>,
}

/// What a forward pass returns, apart from what its hooks kept.
#[derive(Debug)]
pub struct Output {
    /// Logits in f32 (f64 with [`Precision::F64`]) of the tokens that [`Forward::logits`] asked for, prompt after prompt;
    /// `None` if none were asked for or a hook stopped the run. \[S, V\]
    pub logits: Option<Tensor>,
    /// The residual stream that leaves a [stage](Llama::stage) for the next one; `None` after the last block, and where
    /// nothing later is wanted. \[B, T, D\]
    pub leaving: Option<Tensor>,
}

impl Llama {
    /// Runs the model over a batch of prompts.
    ///
    /// # Shapes
    /// See [`crate::HookPoint::shape`] for what hooks see and [`Output::logits`] for what returns.
    ///
    /// # Errors
    /// A token outside the vocabulary, a hook's error, a replacement of another shape, a start that does not fit
    /// ([`Forward::from_layer`]), or what LibTorch refuses.
    pub fn forward<'h>(&self, batch: &Batch, run: impl Into<Forward<'h>>) -> Result<Output> {
        let mut outputs = self.together(vec![(batch, run.into())])?;
        Ok(outputs.pop().unwrap_or(Output { logits: None, leaving: None }))
    }

    /// Runs the model over a batch and returns the logits of all tokens, and the activations at these hook points:
    /// TransformerLens' `run_with_cache`. Everything is kept in memory; [`Llama::forward`] with a [`Capture`] keeps
    /// only what you ask for.
    ///
    /// ```
    /// # use llama_core::{Batch, Config, HookPoint, HookSet, Llama, Precision};
    /// # let config = Config { dim: 8, n_layers: 3, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// # let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
    /// let batch = Batch::new(&[[1, 2, 3], [4, 5, 6]])?;
    /// let (logits, cache) = llama.run_with_cache(&batch, HookSet::parse(["blocks.*.attn.hook_z"], 3)?)?;
    /// assert_eq!(logits.size(), [6, 10]); // [S, V]: two prompts of three tokens, one after the other
    /// let z = cache.get("blocks.2.attn.hook_z".parse::<HookPoint>()?).unwrap();
    /// assert_eq!(z.size(), [6, 2, 4]); // [S, H, K]
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    ///
    /// # Shapes
    /// → \[S, V\] with S tokens of all prompts, prompt after prompt, and `[S, …]` at each point
    /// ([`crate::Activation::select`])
    ///
    /// # Errors
    /// As [`Llama::forward`]; a point in a block that the model does not have; [`Error::Headless`] for a model without an
    /// unembedding.
    pub fn run_with_cache(&self, batch: &Batch, points: impl Into<HookSet>) -> Result<(Tensor, Captured)> {
        let mut capture = Capture::new(points, Tokens::All);
        let output = self.forward(batch, Forward::new().hook(&mut capture).logits(Tokens::All))?;
        // No hook stops this run, so a model that has logits gives them.
        Ok((output.logits.ok_or(Error::Headless)?, capture.finish()))
    }

    /// Runs the model over several batches, each with its own [`Forward`], and returns their outputs in order.
    ///
    /// A model in memory takes one batch after the other. A streamed model takes all of them through each block before
    /// it reads the next one, so weights are read once; all residual streams are in memory together. The numbers are
    /// those of [`Llama::forward`], bit for bit.
    ///
    /// # Errors
    /// As [`Llama::forward`], of the first run that fails.
    pub fn forward_all<'b, 'h>(
        &self,
        runs: impl IntoIterator<Item = (&'b Batch, impl Into<Forward<'h>>)>,
    ) -> Result<Vec<Output>> {
        match self.blocks {
            Blocks::Resident(_) => runs.into_iter().map(|(batch, run)| self.forward(batch, run)).collect(),
            Blocks::Streamed(_) => {
                self.together(runs.into_iter().map(|(batch, run)| (batch, run.into())).collect())
            }
        }
    }

    /// Takes batches through the model side by side: all of them through one block, then through the next.
    fn together(&self, runs: Vec<(&Batch, Forward<'_>)>) -> Result<Vec<Output>> {
        let begin = |(batch, run)| unless_done(Pass::begin(self, batch, run));
        let mut passes = runs.into_iter().map(begin).collect::<Result<Vec<Option<Pass<'_, '_, '_>>>>>()?;
        let blocks = passes.iter().flatten().map(Pass::blocks).filter(|blocks| !blocks.is_empty());
        let blocks = blocks.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
        let Self { config, precision, device, kernels, .. } = self;
        let (precision, device, kernels, share) = (*precision, *device, *kernels, self.shard.share());
        let assembly = Assembly { config, precision, device, kernels, share };
        self.blocks.visit(blocks, self.stage.start, assembly, &mut |index, block| {
            for pass in &mut passes {
                if let Some(running) = pass.as_mut().filter(|pass| pass.blocks().start == index)
                    && unless_done(running.block(block))?.is_none()
                {
                    *pass = None;
                }
            }
            Ok(passes.iter().any(Option::is_some))
        })?;
        let end = |pass: Option<Pass<'_, '_, '_>>| {
            let output = pass.map(|pass| unless_done(pass.end())).transpose()?.flatten();
            Ok(output.unwrap_or(Output { logits: None, leaving: None }))
        };
        passes.into_iter().map(end).collect()
    }

    /// The model's hyper-parameters.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The precision of the computation.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The device of the computation.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The same model computed by other kernels. Weights are laid out anew, one after the other, and those of a streamed
    /// model whenever they are read.
    ///
    /// ```
    /// # use llama_core::{Batch, Config, Forward, Kernels, Llama, Precision, Products, Tokens};
    /// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
    /// let batch = Batch::new(&[[1, 2, 3]])?;
    /// let plain = llama.forward(&batch, Forward::new().logits(Tokens::Last))?.logits.unwrap();
    /// let llama = llama.with_kernels("products=packed".parse().unwrap())?;
    /// let packed = llama.forward(&batch, Forward::new().logits(Tokens::Last))?.logits.unwrap();
    /// assert!(packed.allclose(&plain, 1e-5, 1e-5, false)); // up to rounding
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Kernels`] for kernels that do not compute in the model's precision or on its device; what LibTorch
    /// refuses (memory).
    pub fn with_kernels(mut self, kernels: Kernels) -> Result<Self> {
        kernels.check(self.precision, self.device)?;
        let _no_gradients = tch::no_grad_guard();
        if let Blocks::Resident(blocks) = self.blocks {
            let blocks = blocks.into_iter().map(|block| block.arranged(kernels.products));
            self.blocks = Blocks::Resident(blocks.collect::<Result<_>>()?);
        }
        self.kernels = kernels;
        Ok(self)
    }

    /// The kernels that compute it.
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// Whether the blocks are read from disk in every pass.
    pub fn is_streamed(&self) -> bool {
        matches!(self.blocks, Blocks::Streamed(_))
    }
}

/// Whether a factor changes nothing.
fn is_one(factor: f64) -> bool {
    factor.to_bits() == 1f64.to_bits()
}

/// `None` where a pass has ended early because nothing later is wanted.
fn unless_done<T>(step: Result<T, Halt>) -> Result<Option<T>> {
    match step {
        Ok(value) => Ok(Some(value)),
        Err(Halt::Done) => Ok(None),
        Err(Halt::Error(error)) => Err(error),
    }
}
