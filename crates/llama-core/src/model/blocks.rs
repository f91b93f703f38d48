//! A model's blocks: all in memory, or on disk and brought in one after the other while the one before is computed.

use std::ops::Range;
use std::sync::mpsc::sync_channel;

use tch::{Device, Kind, Tensor};

use super::Precision;
use super::kernels::{Kernels, Products};
use super::matrix::Matrix;
use crate::checkpoint::{BlockWeight, Checkpoint, Wanted, Weight};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::shard::Share;

/// The weights of one block. Matrices are `[out, in]`; those that read the same input are one. What not every family has
/// is `None` where it is not. Where ranks hold a model together, H, G, and F count what this one has.
#[derive(Debug)]
pub(super) struct Block {
    /// \[D\]
    pub(super) ln1_gain: Option<Tensor>,
    /// Queries, keys, values. \[(H + 2G)·K, D\]
    pub(super) w_qkv: Matrix,
    /// \[(H + 2G)·K\]
    pub(super) b_qkv: Option<Tensor>,
    /// \[K\], or of all heads together \[H·K\]
    pub(super) q_gain: Option<Tensor>,
    /// \[K\], or of all heads together \[G·K\]
    pub(super) k_gain: Option<Tensor>,
    /// \[D, H·K\]
    pub(super) w_o: Matrix,
    /// \[D\]
    pub(super) b_o: Option<Tensor>,
    /// \[D\]
    pub(super) ln1_post_gain: Option<Tensor>,
    /// \[D\]
    pub(super) ln2_gain: Option<Tensor>,
    /// Gate, up. \[2F, D\]
    pub(super) w_gate_up: Matrix,
    /// \[D, F\]
    pub(super) w_down: Matrix,
    /// \[D\]
    pub(super) ln2_post_gain: Option<Tensor>,
}

/// Where a model's blocks are.
#[derive(Debug)]
pub(super) enum Blocks {
    /// In memory.
    Resident(Vec<Block>),
    /// On disk.
    Streamed(Checkpoint),
}

/// How a model is put together: its configuration, and the types and device of its weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Assembly<'c> {
    pub(super) config: &'c Config,
    pub(super) precision: Precision,
    pub(super) device: Device,
    pub(super) kernels: Kernels,
    /// What of each weight.
    pub(super) share: Share,
}

/// Puts one weight, or what is wanted of it, where it belongs.
pub(super) trait Source {
    /// # Shapes
    /// `into` [`Weight::shape`], or its part's
    fn put(&mut self, weight: Weight, wanted: Wanted, into: &Tensor) -> Result<()>;
}

impl<F: FnMut(Weight, Wanted, &Tensor) -> Result<()>> Source for F {
    fn put(&mut self, weight: Weight, wanted: Wanted, into: &Tensor) -> Result<()> {
        self(weight, wanted, into)
    }
}

impl Assembly<'_> {
    /// Weights that read the same input, one below the other in one matrix; each is copied straight to its rows.
    pub(super) fn fused(&self, weights: &[Weight], kind: Kind, source: &mut dyn Source) -> Result<Tensor> {
        let wanted = |weight: Weight| self.share.wanted(weight);
        let shapes: Vec<_> = weights.iter().map(|w| wanted(*w).shape(w.shape(self.config))).collect();
        let mut shape = shapes[0].clone();
        shape[0] = shapes.iter().map(|s| s[0]).sum();
        let whole = Tensor::f_empty(&shape, (kind, self.device))?;
        let mut row = 0;
        for (&weight, shape) in weights.iter().zip(&shapes) {
            source.put(weight, wanted(weight), &whole.f_narrow(0, row, shape[0])?)?;
            row += shape[0];
        }
        Ok(whole)
    }

    /// One block.
    pub(super) fn block(&self, index: usize, source: &mut dyn Source) -> Result<Block> {
        let mut fused = |parts: &[BlockWeight], kind| {
            let weights: Vec<Weight> = parts.iter().map(|&part| Weight::Block(index, part)).collect();
            self.fused(&weights, kind, source)
        };
        let (stream, product) = (self.precision.stream(), self.precision.product());
        let mut present =
            |parts: &[BlockWeight], kind| parts[0].is_of(self.config).then(|| fused(parts, kind)).transpose();
        let [ln1_gain, ln1_post_gain, ln2_gain, ln2_post_gain, q_gain, k_gain] = [
            present(&[BlockWeight::Ln1], stream)?,
            present(&[BlockWeight::Ln1Post], stream)?,
            present(&[BlockWeight::Ln2], stream)?,
            present(&[BlockWeight::Ln2Post], stream)?,
            present(&[BlockWeight::QNorm], stream)?,
            present(&[BlockWeight::KNorm], stream)?,
        ];
        let b_qkv = present(&[BlockWeight::QBias, BlockWeight::KBias, BlockWeight::VBias], product)?;
        let b_o = present(&[BlockWeight::OBias], product)?;
        let mut matrix =
            |parts: &[BlockWeight]| Matrix::arranged(fused(parts, product)?, self.kernels.products);
        Ok(Block {
            ln1_gain,
            w_qkv: matrix(&[BlockWeight::Q, BlockWeight::K, BlockWeight::V])?,
            b_qkv,
            q_gain,
            k_gain,
            w_o: matrix(&[BlockWeight::O])?,
            b_o,
            ln1_post_gain,
            ln2_gain,
            w_gate_up: matrix(&[BlockWeight::Gate, BlockWeight::Up])?,
            w_down: matrix(&[BlockWeight::Down])?,
            ln2_post_gain,
        })
    }
}

impl Block {
    /// The same block for other kernels. One matrix at a time is in memory twice.
    pub(super) fn arranged(self, products: Products) -> Result<Self> {
        let again = |matrix: Matrix| Matrix::arranged(matrix.plain()?, products);
        Ok(Self {
            w_qkv: again(self.w_qkv)?,
            w_o: again(self.w_o)?,
            w_gate_up: again(self.w_gate_up)?,
            w_down: again(self.w_down)?,
            ..self
        })
    }
}

impl Blocks {
    /// Visits a range of blocks in order, until `visit` says that it has seen enough.
    ///
    /// `first` is the first block in memory. Blocks on disk are read by a thread of their own, at most one ahead: two are in memory.
    pub(super) fn visit(
        &self,
        range: Range<usize>,
        first: usize,
        assembly: Assembly<'_>,
        visit: &mut dyn FnMut(usize, &Block) -> Result<bool>,
    ) -> Result<()> {
        let checkpoint = match self {
            Self::Resident(blocks) => {
                for index in range {
                    if !visit(index, &blocks[index - first])? {
                        break;
                    }
                }
                return Ok(());
            }
            Self::Streamed(checkpoint) => checkpoint,
        };
        std::thread::scope(|scope| {
            let (ready, next) = sync_channel::<Result<Block>>(0);
            let indices = range.clone();
            let read = move || {
                let _no_gradients = tch::no_grad_guard();
                for index in indices {
                    let mut source =
                        |weight, wanted: Wanted, into: &Tensor| checkpoint.copy(weight, wanted, into);
                    let block = assembly.block(index, &mut source);
                    let failed = block.is_err();
                    // Nobody listens any more once enough was seen.
                    if ready.send(block).is_err() || failed {
                        return;
                    }
                }
            };
            host::threads::spawn_scoped(scope, "weights", read)?;
            for index in range {
                // The reader hangs up only after its last block or an error, unless it died.
                let block = next.recv().map_err(|_| Error::WeightsThread)??;
                if !visit(index, &block)? {
                    break;
                }
            }
            drop(next);
            Ok(())
        })
    }
}
