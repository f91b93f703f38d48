//! AdamW (Loshchilov and Hutter 2019, Algorithm 2) with PyTorch's constants: β = (0.9, 0.999), ε = 1e-8.

use tch::Tensor;

use crate::Result;

/// The optimizer's state for one buffer of parameters.
#[derive(Debug)]
pub(super) struct AdamW {
    mean: Tensor,    // m
    square: Tensor,  // v
    scratch: Tensor, // as long
    step: i32,
    rate: f64,
    decay: f64,
}

impl AdamW {
    const BETA1: f64 = 0.9;
    const BETA2: f64 = 0.999;
    const EPSILON: f64 = 1e-8;

    /// For `theta`, with the step size `rate` and the decoupled weight decay `decay`.
    pub(super) fn new(theta: &Tensor, rate: f64, decay: f64) -> Result<Self> {
        Ok(Self {
            mean: theta.f_zeros_like()?,
            square: theta.f_zeros_like()?,
            scratch: theta.f_zeros_like()?,
            step: 0,
            rate,
            decay,
        })
    }

    /// θ ← (1 − lr·λ)·θ, then θ ← θ − lr·m̂ / (√v̂ + ε), in place.
    pub(super) fn step(&mut self, theta: &mut Tensor, gradient: &Tensor) -> Result<()> {
        self.step = self.step.saturating_add(1);
        let correction1 = 1.0 - Self::BETA1.powi(self.step);
        let correction2 = 1.0 - Self::BETA2.powi(self.step);
        let _ = theta.f_mul_scalar_(1.0 - self.rate * self.decay)?;
        let _ = self.mean.f_lerp_(gradient, 1.0 - Self::BETA1)?;
        let _ = gradient.f_mul_out(&self.scratch, gradient)?;
        let _ = self.square.f_lerp_(&self.scratch, 1.0 - Self::BETA2)?;
        // m is divided by −(√v̂ + ε)·(1 − β₁ᵗ)/lr, so that one operation does the rest of the update.
        let scale = -correction1 / self.rate;
        let _ = self.square.f_sqrt_out(&self.scratch)?;
        let _ =
            self.scratch.f_mul_scalar_(scale / correction2.sqrt())?.f_add_scalar_(scale * Self::EPSILON)?;
        let _ = theta.f_addcdiv_(&self.mean, &self.scratch)?;
        Ok(())
    }
}
