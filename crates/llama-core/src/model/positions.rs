//! Where tokens stand: rotary embedding and masks, made once for all blocks.

use tch::{Kind, Tensor};
use torch_runtime::{TensorChain as _, TensorExt as _};

use super::attention::Sight;
use super::{Llama, Precision};
use crate::batch::Batch;
use crate::error::{Error, Result};

/// Where a batch's tokens stand: their rotations and what they attend to, made once for all blocks.
pub(super) struct Positions {
    /// \[B, T, 1, K\], both halves alike.
    cos: Tensor,
    /// \[B, T, 1, K\], the first half negated.
    sin: Tensor,
    /// What its tokens attend to.
    pub(super) sight: Sight,
    precision: Precision,
}

impl Positions {
    pub(super) fn new(batch: &Batch, llama: &Llama) -> Result<Self> {
        let positions = batch.positions.f_to_device(llama.device).to_kind(Kind::Double)?; // [B, T]
        let angles = positions.f_unsqueeze(-1).mul(&llama.rope)?; // [B, T, K/2]
        let (cos, sin) = (angles.f_cos()?, angles.f_sin()?);
        let twice = |first: &Tensor, second: &Tensor| -> Result<Tensor> {
            Ok(Tensor::f_cat(&[first, second], -1).unsqueeze(2).to_kind(llama.precision.rotation())?)
        };
        let sight = Sight::of(batch, llama.precision.product(), llama.device)?;
        Ok(Self {
            cos: twice(&cos, &cos)?,
            sin: twice(&sin.f_neg()?, &sin)?,
            sight,
            precision: llama.precision,
        })
    }

    /// Rotary embedding (Su et al. 2021), on pairs (i, i + K/2): `(a, b) → (a·cos − b·sin, b·cos + a·sin)`.
    ///
    /// # Shapes
    /// `x` \[B, T, heads, K\] → the same
    pub(super) fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let (.., width) = x.dims4("queries or keys")?;
        let half = width / 2;
        let x = x.f_to_kind(self.precision.rotation())?;
        let halves = |x: &Tensor| Ok::<_, Error>((x.f_narrow(3, 0, half)?, x.f_narrow(3, half, half)?));
        let turned = x.f_mul(&self.cos)?;
        let ((mut a, mut b), (old_a, old_b), (minus_sin, sin)) =
            (halves(&turned)?, halves(&x)?, halves(&self.sin)?);
        let _ = a.f_addcmul_(&old_b, &minus_sin)?;
        let _ = b.f_addcmul_(&old_a, &sin)?;
        Ok(turned.f_to_kind(self.precision.product())?)
    }
}
