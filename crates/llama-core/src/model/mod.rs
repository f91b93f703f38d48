//! A LLaMA in memory or on disk, and its forward pass (`pass`, to be read top to bottom).

use tch::{Device, Tensor};

use crate::batch::Batch;
use crate::checkpoint::{BlockWeight, Weight};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hooks::Halt;

mod blocks;
mod cache;
mod load;
mod log_probs;
mod pass;
mod place;
mod precision;
mod run;
mod start;

use blocks::{Assembly, Blocks};
pub(crate) use cache::KvCache;
pub(crate) use load::random_weight;
use pass::Pass;
pub use precision::Precision;
pub use run::Run;

/// A LLaMA: in memory, or with its blocks on disk ([`Llama::streamed`]).
///
/// `Send` but not `Sync`, as LibTorch's tensors are: one thread drives it.
#[derive(Debug)]
pub struct Llama {
    config: Config,
    precision: Precision,
    device: Device,
    /// \[V, D\]
    embed: Tensor,
    blocks: Blocks,
    /// \[D\]
    final_gain: Tensor,
    /// \[V, D\]; `None` where it is the embedding, or where there is none.
    unembed: Option<Tensor>,
    /// Angles by which one position turns each pair of dimensions, in f64. \[K/2\]
    rope: Tensor,
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
    /// See [`crate::HookPoint::shape`] for what hooks see and [`Output::logits`] for what returns.
    ///
    /// # Errors
    /// A token outside the vocabulary, a hook's error, a replacement of another shape, a start that does not fit
    /// ([`Run::from_layer`]), or what LibTorch refuses.
    pub fn forward(&self, batch: &Batch, run: Run<'_>) -> Result<Output> {
        let mut outputs = self.together(vec![(batch, run)])?;
        Ok(outputs.pop().unwrap_or(Output { logits: None }))
    }

    /// Runs the model over several batches, each with its own run, and gives their outputs in order.
    ///
    /// A model in memory takes one batch after the other. One that is streamed takes all of them through each block before
    /// the next is brought in, so that its weights are read once for all; their residual streams are in memory together.
    /// The numbers are those of [`Llama::forward`], bit for bit.
    ///
    /// # Errors
    /// As [`Llama::forward`], of the first run that fails.
    pub fn forward_all<'b, 'h>(
        &self,
        runs: impl IntoIterator<Item = (&'b Batch, Run<'h>)>,
    ) -> Result<Vec<Output>> {
        match self.blocks {
            Blocks::Resident(_) => runs.into_iter().map(|(batch, run)| self.forward(batch, run)).collect(),
            Blocks::Streamed(_) => self.together(runs.into_iter().collect()),
        }
    }

    /// Takes batches through the model side by side: all of them through one block, then through the next.
    fn together(&self, runs: Vec<(&Batch, Run<'_>)>) -> Result<Vec<Output>> {
        let begin = |(batch, run)| unless_done(Pass::begin(self, batch, run));
        let mut passes = runs.into_iter().map(begin).collect::<Result<Vec<Option<Pass<'_, '_, '_>>>>>()?;
        let blocks = passes.iter().flatten().map(Pass::blocks).filter(|blocks| !blocks.is_empty());
        let blocks = blocks.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
        let assembly = Assembly { config: &self.config, precision: self.precision, device: self.device };
        self.blocks.visit(blocks, assembly, &mut |index, block| {
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
            let logits = pass.map(|pass| unless_done(pass.end())).transpose()?;
            Ok(Output { logits: logits.flatten().flatten() })
        };
        passes.into_iter().map(end).collect()
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

    /// Whether its blocks are read from disk at every pass.
    pub fn is_streamed(&self) -> bool {
        matches!(self.blocks, Blocks::Streamed(_))
    }

    /// A weight as files name it: a part of the fused ones, in half-split rotary order. A view.
    pub(crate) fn weight(&self, weight: Weight) -> Result<Tensor> {
        let c = &self.config;
        let (q, kv) = (c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim);
        let Weight::Block(index, part) = weight else {
            return Ok(match weight {
                Weight::FinalNorm => self.final_gain.f_alias()?,
                Weight::Unembed if self.config.headless => return Err(Error::Headless),
                Weight::Unembed => self.unembed.as_ref().unwrap_or(&self.embed).f_alias()?,
                _ => self.embed.f_alias()?,
            });
        };
        let Blocks::Resident(blocks) = &self.blocks else {
            return Err(Error::Streamed { what: "its weights are on disk" });
        };
        let block = &blocks[index];
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

/// `None` where a pass has ended early because nothing later is wanted.
fn unless_done<T>(step: Result<T, Halt>) -> Result<Option<T>> {
    match step {
        Ok(value) => Ok(Some(value)),
        Err(Halt::Done) => Ok(None),
        Err(Halt::Error(error)) => Err(error),
    }
}
