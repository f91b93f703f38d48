//! What a normalization does to one template's states, taken apart: for reading a probe in the states themselves.

use tch::{Device, Tensor};

use super::{Moments, Normalizer, templates};
use crate::Result;

impl Normalizer {
    /// The moments that rows of a template are given, of the plus and the minus side; without one, and for one that is not
    /// known, those of all templates together. \[D\] each.
    pub(crate) fn moments_of(&self, template: Option<&str>) -> Result<(Moments, Moments)> {
        let place =
            |known: &super::Templates| templates::known_as(&known.names, template.unwrap_or_default());
        match self.templates.as_ref().and_then(|known| Some((known, place(known)? as i64))) {
            Some((known, at)) => {
                let one = |of: &Moments| -> Result<Moments> {
                    Ok(Moments { mean: of.mean.f_select(0, at)?, std: of.std.f_select(0, at)? })
                };
                Ok((one(&known.plus)?, one(&known.minus)?))
            }
            None => Ok((self.plus.duplicate()?, self.minus.duplicate()?)),
        }
    }

    /// The scale of each dimension, the mean of both sides' and of all templates'. \[D\], f64, on the CPU
    pub(crate) fn spread(&self) -> Result<Tensor> {
        let both = match &self.templates {
            Some(of) => Tensor::f_cat(&[&of.plus.std, &of.minus.std], 0)?, // [2K, D]
            None => Tensor::f_stack(&[&self.plus.std, &self.minus.std], 0)?, // [2, D]
        };
        Ok(both.f_mean_dim(0, false, tch::Kind::Double)?.f_to_device(Device::Cpu)?)
    }

    /// Lᵀw for the L that erases: w·(Lx) = (Lᵀw)·x. `weight`: \[D\], f64, on the CPU, as the result.
    pub(crate) fn before_erasure(&self, weight: Tensor) -> Result<Tensor> {
        let Some((left, right)) = &self.erasure else { return Ok(weight) };
        let (left, right) = (left.f_to_device(Device::Cpu)?, right.f_to_device(Device::Cpu)?);
        let erased = right.f_tr()?.f_mv(&left.f_tr()?.f_mv(&weight)?)?;
        Ok(weight.f_sub(&erased)?)
    }
}
