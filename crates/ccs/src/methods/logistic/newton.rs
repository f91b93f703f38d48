//! Newton's method for penalized logistic regression: ½κ‖w‖² + c·Σ log(1 + exp(−yᵢ(wᵀxᵢ + b))) with yᵢ = ±1.
//!
//! The gradient is exact at every step. The step itself, H⁻¹g, is sought by conjugate gradients in f32 to a small share of
//! what is left (inexact Newton, Dembo, Eisenstat and Steihaug 1982): products with `H = XᵀWX + κ` take two passes over X,
//! where H itself takes K of them. They are preconditioned by an H of before ([`super::curvature`]), of another penalty or
//! other weights W, which is made anew when it does not serve any more. So rows are decomposed a few times for all penalties
//! together, and not at every step of each.

use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::LrOptions;
use super::curvature::{Curvature, exact_step};
use super::design::{back, logits, to_full};
use crate::{Error, Result};

/// The objective in K + 1 coordinates, bias last.
pub(super) struct Problem<'a> {
    x: &'a Tensor,       // [N, K]
    targets: &'a Tensor, // [N], 0 or 1
    basis: Option<&'a Tensor>,
    penalty: Tensor, // [K + 1], κ for weights and a last zero
    signs: Tensor,   // [N], −1 or 1
    c: f64,
    kind: Kind,
}

/// Where Newton's method ended.
pub(super) struct Newton {
    pub(super) theta: Tensor, // [K + 1]
    pub(super) gradient: f64,
    pub(super) iterations: usize,
    pub(super) objective: f64,
    /// Whether every row is on the side of its label: then no unpenalized minimum exists.
    pub(super) separates: bool,
}

/// Where the method is.
struct Iterate {
    theta: Tensor, // [K + 1]
    z: Tensor,     // Xw + b, [N]
    objective: f64,
}

/// Below its tolerance a gradient is brought down this much further, as far as rounding lets it: steps are not exact, and
/// the last one of a method whose steps are would have gone there.
const FURTHER: f64 = 1e-4;

impl<'a> Problem<'a> {
    /// `x`: \[N, K\]; `targets`: \[N\], 0 or 1; `basis`: of [`super::design::span`]; κ and c as above.
    pub(super) fn new(
        x: &'a Tensor,
        targets: &'a Tensor,
        basis: Option<&'a Tensor>,
        penalized: f64,
        c: f64,
    ) -> Result<Self> {
        let (_, length) = x.dims2("rows")?;
        let penalty = Tensor::f_full([length + 1], penalized, (x.kind(), x.device()))?;
        let _ = penalty.f_narrow(0, length, 1)?.f_zero_()?;
        let signs = targets.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
        Ok(Self { x, targets, basis, penalty, signs, c, kind: x.kind() })
    }

    /// No weights, no bias.
    pub(super) fn zero(&self) -> Result<Tensor> {
        Ok(self.penalty.f_zeros_like()?)
    }

    fn at(&self, theta: Tensor) -> Result<Iterate> {
        let z = logits(self.x, &theta)?;
        let objective = self.value(&theta, &z)?;
        Ok(Iterate { theta, z, objective })
    }

    /// ½κ‖w‖² + c·Σ(log(1 + exp z) − y·z)
    fn value(&self, theta: &Tensor, z: &Tensor) -> Result<f64> {
        // log(1 + exp z) = max(z, 0) + log1p(exp(−|z|)) holds for any z.
        let softplus = z.f_clamp_min(0.0)?.f_add(&z.f_abs()?.f_neg()?.f_exp()?.f_log1p()?)?;
        let loss = softplus.f_sub(&self.targets.f_mul(z)?)?.f_sum(self.kind)?.f_double_value(&[])?;
        let norm = theta.f_square()?.f_dot(&self.penalty)?.f_double_value(&[])?;
        Ok(0.5 * norm + self.c * loss)
    }

    /// The gradient and every row's curvature c·p(1 − p). \[K + 1\], \[N\]
    fn gradient(&self, at: &Iterate) -> Result<(Tensor, Tensor)> {
        let p = at.z.f_sigmoid()?;
        let slope = p.f_sub(self.targets)?.f_mul_scalar(self.c)?;
        let gradient = back(self.x, &slope)?.f_add(&at.theta.f_mul(&self.penalty)?)?;
        let curvature = p.f_mul(&at.z.f_neg()?.f_sigmoid()?)?.f_mul_scalar(self.c)?;
        Ok((gradient, curvature))
    }

    /// The gradient's largest entry in the original coordinates.
    fn largest(&self, gradient: &Tensor) -> Result<f64> {
        let weights = to_full(gradient, self.basis)?.f_abs()?.f_max()?.f_double_value(&[])?;
        Ok(weights.max(gradient.f_double_value(&[-1])?.abs()))
    }

    /// How far the next step would still move the logit that it moves most. Where the objective has a minimum this is
    /// next to nothing at a small gradient; where a direction that separates rows without error is free of penalty, every
    /// step still adds about 1 to their margin, however small the gradient has become.
    pub(super) fn next_move(&self, theta: &Tensor) -> Result<f64> {
        let (gradient, weights) = self.gradient(&self.at(theta.f_alias()?)?)?;
        let step = exact_step(self.x, &weights, &gradient, &self.penalty)?;
        Ok(logits(self.x, &step)?.f_abs()?.f_max()?.f_double_value(&[])?)
    }

    /// Whether every row is on the side of its label.
    fn separates(&self, at: &Iterate) -> Result<bool> {
        Ok(at.z.f_mul(&self.signs)?.f_min()?.f_double_value(&[])? > 0.0)
    }

    /// Newton's method from `start` with halving steps until no entry of the gradient is larger than the tolerance.
    /// Without a penalty it ends where every row is on the side of its label.
    pub(super) fn minimize(
        &self,
        start: Tensor,
        penalized: f64,
        options: &LrOptions,
        curvature: &mut Curvature,
    ) -> Result<Newton> {
        let mut at = self.at(start)?;
        let mut last = f64::INFINITY;
        for iterations in 0..=options.max_iter {
            let (gradient, weights) = self.gradient(&at)?;
            let largest = self.largest(&gradient)?;
            let separates = penalized <= 0.0 && self.separates(&at)?;
            let is_done = largest <= options.tolerance
                && (largest <= FURTHER * options.tolerance
                    || largest > 0.5 * last
                    || iterations == options.max_iter);
            if is_done || separates {
                let Iterate { theta, objective, .. } = at;
                return Ok(Newton { theta, gradient: largest, iterations, objective, separates });
            }
            last = largest;
            let stopped = Error::NotConverged { iterations, gradient: largest, tolerance: options.tolerance };
            if iterations == options.max_iter {
                return Err(stopped);
            }
            let step = curvature.step(self.x, &weights, &gradient, &self.penalty)?;
            match self.along(&at, &gradient, &step)? {
                Some(next) => at = next,
                // No lower from here, but low enough.
                None if largest <= options.tolerance => last = 0.0,
                None => return Err(stopped),
            }
        }
        Err(Error::NotConverged {
            iterations: options.max_iter,
            gradient: f64::NAN,
            tolerance: options.tolerance,
        })
    }

    /// The objective's first decrease along −`step`, halving it; none where there is none.
    fn along(&self, at: &Iterate, gradient: &Tensor, step: &Tensor) -> Result<Option<Iterate>> {
        let decrease = gradient.f_dot(step)?.f_double_value(&[])?;
        if decrease.is_nan() || decrease <= 0.0 {
            return Ok(None); // not a direction of descent
        }
        let image = logits(self.x, step)?; // [N]
        // Rounding in the objective: near the solution a good step may not lower it any more.
        let slack = 1e-12 * at.objective.abs().max(1.0);
        let mut length = 1.0;
        while length >= 1e-10 {
            let theta = at.theta.f_sub(&step.f_mul_scalar(length)?)?;
            let z = at.z.f_sub(&image.f_mul_scalar(length)?)?;
            let objective = self.value(&theta, &z)?;
            if objective <= at.objective - 1e-4 * length * decrease + slack {
                return Ok(Some(Iterate { theta, z, objective }));
            }
            length /= 2.0;
            if !decrease.is_finite() {
                break;
            }
        }
        Ok(None)
    }
}
