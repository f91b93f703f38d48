//! The parameters of R probes in one flat buffer, which the optimizer sees, with a view of every tensor in it.

use tch::{Device, Kind, Tensor};

use crate::Result;

/// One buffer and its parts; the parts are views, so what changes one changes the other.
#[derive(Debug)]
pub(super) struct Parameters {
    /// All numbers.
    pub(super) flat: Tensor,
    /// In the order of the shapes given.
    pub(super) parts: Vec<Tensor>,
}

impl Parameters {
    /// Zeros.
    pub(super) fn zeros(shapes: &[Vec<i64>], kind: Kind, device: Device) -> Result<Self> {
        let lengths: Vec<i64> = shapes.iter().map(|shape| shape.iter().product()).collect();
        let flat = Tensor::f_zeros([lengths.iter().sum::<i64>()], (kind, device))?;
        let mut parts = Vec::with_capacity(shapes.len());
        let mut at = 0;
        for (shape, length) in shapes.iter().zip(lengths) {
            parts.push(flat.f_narrow(0, at, length)?.f_view(shape.as_slice())?);
            at += length;
        }
        Ok(Self { flat, parts })
    }

    /// The values given, rounded to `kind`.
    pub(super) fn of(values: &[Tensor], kind: Kind, device: Device) -> Result<Self> {
        let shapes: Vec<Vec<i64>> = values.iter().map(Tensor::size).collect();
        let mut all = Self::zeros(&shapes, kind, device)?;
        for (part, value) in all.parts.iter_mut().zip(values) {
            part.f_copy_(value)?;
        }
        Ok(all)
    }

    /// Zeros of the same shapes.
    pub(super) fn like(&self) -> Result<Self> {
        let shapes: Vec<Vec<i64>> = self.parts.iter().map(Tensor::size).collect();
        Self::zeros(&shapes, self.flat.kind(), self.flat.device())
    }
}
