//! Where tokens stand: rotary embedding and masks, made once for all blocks.

use tch::{Kind, Tensor};
use torch_runtime::{TensorChain as _, TensorExt as _};

use super::attention::Sight;
use super::{Llama, Precision, is_one};
use crate::batch::Batch;
use crate::config::Config;
use crate::error::{Error, Result};

/// Where a batch's tokens stand: their rotations and what they attend to, made once for all blocks.
pub(super) struct Positions {
    rotation: Rotation,
    /// In layers that have the window, if their base is another.
    local: Option<Rotation>,
    /// What its tokens attend to.
    sight: Sight,
    /// In layers that have the window, if a prompt is longer than that.
    through_window: Option<Sight>,
}

/// The same for one layer.
pub(super) struct Place<'p> {
    /// `None` where nothing is rotated.
    rotation: Option<&'p Rotation>,
    /// What its tokens attend to.
    pub(super) sight: &'p Sight,
    precision: Precision,
}

/// Cosines and sines of each token's angles.
struct Rotation {
    /// \[B, T, 1, K\], both halves alike; of the rotated dimensions, where not all are.
    cos: Tensor,
    /// The same, the first half negated.
    sin: Tensor,
}

impl Positions {
    pub(super) fn new(batch: &Batch, llama: &Llama) -> Result<Self> {
        let config = &llama.config;
        if let Some(most) = config.longest_prompt() {
            batch.check_lengths(most)?;
        }
        let positions = batch.positions.f_to_device(llama.device).to_kind(Kind::Double)?; // [B, T]
        let rotation = |frequencies: &Tensor, magnitude: f64| {
            Rotation::new(&positions, frequencies, magnitude, llama.precision.rotation())
        };
        let (kind, device) = (llama.precision.product(), llama.device);
        let narrow = config.sliding_window.map(|window| Ok::<_, Error>((window, batch.last_position()?)));
        let narrow = narrow.transpose()?.filter(|&(window, last)| last >= window as i64);
        Ok(Self {
            rotation: rotation(&llama.rope, config.rope_magnitude())?,
            local: llama.local_rope.as_ref().map(|local| rotation(local, 1.0)).transpose()?,
            sight: Sight::of(batch, kind, device)?,
            through_window: narrow
                .map(|(window, _)| Sight::through(window, batch, kind, device))
                .transpose()?,
        })
    }

    /// Where tokens stand for a layer.
    pub(super) fn of_layer(&self, layer: usize, config: &Config, precision: Precision) -> Place<'_> {
        let narrow = config.window_of(layer).is_some();
        let rotation = self.local.as_ref().filter(|_| narrow).unwrap_or(&self.rotation);
        Place {
            rotation: config.rotated_layers.contains(layer).then_some(rotation),
            sight: self.through_window.as_ref().filter(|_| narrow).unwrap_or(&self.sight),
            precision,
        }
    }
}

impl Rotation {
    fn new(positions: &Tensor, frequencies: &Tensor, magnitude: f64, kind: Kind) -> Result<Self> {
        let angles = positions.f_unsqueeze(-1).mul(frequencies)?; // [B, T, K/2]
        let (mut cos, mut sin) = (angles.f_cos()?, angles.f_sin()?);
        if !is_one(magnitude) {
            (cos, sin) = (cos.f_mul_scalar(magnitude)?, sin.f_mul_scalar(magnitude)?);
        }
        let twice = |first: &Tensor, second: &Tensor| -> Result<Tensor> {
            Ok(Tensor::f_cat(&[first, second], -1).unsqueeze(2).to_kind(kind)?)
        };
        Ok(Self { cos: twice(&cos, &cos)?, sin: twice(&sin.f_neg()?, &sin)? })
    }
}

impl Place<'_> {
    /// Rotary embedding (Su et al. 2021), on pairs (i, i + K/2): `(a, b) → (a·cos − b·sin, b·cos + a·sin)`. Where not all of
    /// a head is rotated, K is what is, and the rest stays.
    ///
    /// # Shapes
    /// `x` \[B, T, heads, K\] → the same
    pub(super) fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let Some(Rotation { cos, sin }) = self.rotation else { return Ok(x.f_alias()?) };
        let ((.., width), (.., rotated)) = (x.dims4("queries or keys")?, cos.dims4("angles")?);
        if rotated < width {
            let turned = self.turn(&x.f_narrow(3, 0, rotated)?, cos, sin)?;
            return Ok(Tensor::f_cat(&[turned, x.f_narrow(3, rotated, width - rotated)?], 3)?);
        }
        self.turn(x, cos, sin)
    }

    fn turn(&self, x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
        let (.., width) = x.dims4("queries or keys")?;
        let half = width / 2;
        let x = x.f_to_kind(self.precision.rotation())?;
        let halves = |x: &Tensor| Ok::<_, Error>((x.f_narrow(3, 0, half)?, x.f_narrow(3, half, half)?));
        let turned = x.f_mul(cos)?;
        let ((mut a, mut b), (old_a, old_b), (minus_sin, sin)) =
            (halves(&turned)?, halves(&x)?, halves(sin)?);
        let _ = a.f_addcmul_(&old_b, &minus_sin)?;
        let _ = b.f_addcmul_(&old_a, &sin)?;
        Ok(turned.f_to_kind(self.precision.product())?)
    }
}
