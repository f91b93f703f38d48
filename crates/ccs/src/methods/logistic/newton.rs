//! Newton's method for penalized logistic regression: ½κ‖w‖² + c·Σ log(1 + exp(−yᵢ(wᵀxᵢ + b))) with yᵢ = ±1.

use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::LrOptions;
use crate::{Error, Result};

/// With fewer rows than dimensions, the rows in an orthonormal basis Q of their span, and Q.
///
/// The penalty is the same in any orthonormal basis and the best w lies in the rows' span, so the smaller problem
/// has the same solution: X = (QR)ᵀ, w = Qu, Xw = Rᵀu.
pub(super) fn span(x: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
    let size = x.size();
    if size.first() >= size.get(1) {
        return Ok((x.f_alias()?, None));
    }
    let (q, r) = Tensor::f_linalg_qr(&x.f_tr()?, "reduced")?; // [D, N], [N, N]
    Ok((r.f_tr()?.f_contiguous()?, Some(q)))
}

/// The weights in the original coordinates. `theta`: \[K + 1\], bias last; the result: \[D\].
pub(super) fn to_full(theta: &Tensor, basis: Option<&Tensor>) -> Result<Tensor> {
    let length = theta.dims1("theta")? - 1;
    let weight = theta.f_narrow(0, 0, length)?;
    Ok(match basis {
        Some(q) => q.f_mv(&weight)?,
        None => weight,
    })
}

/// The largest gradient entry in the original coordinates: κw + c·Xᵀ(p − y) and c·Σ(p − y).
pub(super) fn full_gradient(
    problem: &Problem<'_>,
    theta: &Tensor,
    x: &Tensor,
    basis: Option<&Tensor>,
) -> Result<f64> {
    let slope = problem.slope(theta)?; // c·(p − y), [N]
    let weight = to_full(theta, basis)?.f_mul_scalar(problem.penalized)?.f_add(&x.f_tr()?.f_mv(&slope)?)?;
    let bias = slope.f_sum(problem.kind)?.f_double_value(&[])?.abs();
    Ok(weight.f_abs()?.f_max()?.f_double_value(&[])?.max(bias))
}

/// Coordinates with a last column of ones, for the bias. `coordinates`: \[N, K\]; the result: \[N, K + 1\].
pub(super) fn design(coordinates: &Tensor) -> Result<Tensor> {
    let (rows, _) = coordinates.dims2("coordinates")?;
    let ones = Tensor::f_ones([rows, 1], (coordinates.kind(), coordinates.device()))?;
    Ok(Tensor::f_cat(&[coordinates, &ones], 1)?)
}

/// The objective in K + 1 coordinates, bias last.
pub(super) struct Problem<'a> {
    x: &'a Tensor,       // [N, K + 1], last column ones
    targets: &'a Tensor, // [N], 0 or 1
    penalty: Tensor,     // [K + 1], κ for weights and a last zero
    penalized: f64,      // κ
    c: f64,
    kind: Kind,
}

/// Where Newton's method ended.
pub(super) struct Newton {
    pub(super) theta: Tensor, // [K + 1]
    pub(super) gradient: f64,
    pub(super) iterations: usize,
    pub(super) objective: f64,
}

/// Rows whose curvature is weighed at once.
const BLOCK: i64 = 1024;

impl<'a> Problem<'a> {
    /// `x`: \[N, K + 1\] of [`design`]; `targets`: \[N\], 0 or 1; κ and c as above.
    pub(super) fn new(x: &'a Tensor, targets: &'a Tensor, penalized: f64, c: f64) -> Result<Self> {
        let options = (x.kind(), x.device());
        let (_, length) = x.dims2("design")?;
        let penalty = Tensor::f_full([length], penalized, options)?;
        let _ = penalty.f_narrow(0, length - 1, 1)?.f_zero_()?;
        Ok(Self { x, targets, penalty, penalized, c, kind: x.kind() })
    }

    /// No weights, no bias.
    pub(super) fn zero(&self) -> Result<Tensor> {
        Ok(self.penalty.f_zeros_like()?)
    }

    /// ½κ‖w‖² + c·Σ(log(1 + exp z) − y·z)
    fn value(&self, theta: &Tensor) -> Result<f64> {
        let z = self.x.f_mv(theta)?; // [N]
        // log(1 + exp z) = max(z, 0) + log1p(exp(−|z|)) holds for any z.
        let softplus = z.f_clamp_min(0.0)?.f_add(&z.f_abs()?.f_neg()?.f_exp()?.f_log1p()?)?;
        let loss = softplus.f_sub(&self.targets.f_mul(&z)?)?.f_sum(self.kind)?.f_double_value(&[])?;
        let norm = theta.f_square()?.f_dot(&self.penalty)?.f_double_value(&[])?;
        Ok(0.5 * norm + self.c * loss)
    }

    /// c·(p − y). \[N\]
    fn slope(&self, theta: &Tensor) -> Result<Tensor> {
        Ok(self.x.f_mv(theta)?.f_sigmoid()?.f_sub(self.targets)?.f_mul_scalar(self.c)?)
    }

    /// The gradient, and minus Newton's step.
    fn newton_step(&self, theta: &Tensor) -> Result<(Tensor, Tensor)> {
        let p = self.x.f_mv(theta)?.f_sigmoid()?; // [N]
        let slope = p.f_sub(self.targets)?.f_mul_scalar(self.c)?;
        let gradient = self.x.f_tr()?.f_mv(&slope)?.f_add(&theta.f_mul(&self.penalty)?)?; // [K + 1]
        let curvature = p.f_mul(&p.f_neg()?.f_add_scalar(1.0)?)?.f_mul_scalar(self.c)?; // [N]
        let hessian = self.hessian(&curvature)?;
        // The unpenalized bias has no curvature left where every p is 0 or 1; a trace of it keeps the step finite.
        let _ = hessian.f_diagonal(0, 0, 1)?.f_add_(&self.penalty.f_clamp_min(1e-12)?)?;
        let largest = hessian.f_diagonal(0, 0, 1)?.f_abs()?.f_max()?.f_double_value(&[])?;
        let mut damping = 0.0;
        loop {
            let (factor, info) = hessian.f_linalg_cholesky_ex(false, false)?;
            // Rounding can make the matrix indefinite, in f32 above all; then the factor is no factor.
            if info.f_int64_value(&[])? == 0 || damping > 1.0 {
                let step = gradient.f_unsqueeze(1)?.f_cholesky_solve(&factor, false)?.f_squeeze_dim(1)?;
                return Ok((gradient, step));
            }
            damping = if damping == 0.0 { 1e-8 } else { damping * 10.0 };
            let _ = hessian.f_diagonal(0, 0, 1)?.f_add_scalar_(largest * damping)?;
        }
    }

    /// Xᵀ·diag(c)·X, with no more than a block of weighted rows beside X. \[K + 1, K + 1\]
    fn hessian(&self, curvature: &Tensor) -> Result<Tensor> {
        let (rows, length) = self.x.dims2("design")?;
        let mut hessian = Tensor::f_zeros([length, length], (self.kind, self.x.device()))?;
        let weighted = Tensor::f_empty([BLOCK.min(rows), length], (self.kind, self.x.device()))?;
        let mut at = 0;
        while at < rows {
            let count = BLOCK.min(rows - at);
            let (x, c) = (self.x.f_narrow(0, at, count)?, curvature.f_narrow(0, at, count)?.f_unsqueeze(1)?);
            let weighted = x.f_mul_out(&weighted.f_narrow(0, 0, count)?, &c)?;
            let _ = hessian.f_addmm_(&x.f_tr()?, &weighted)?;
            at += count;
        }
        Ok(hessian)
    }

    /// How far the next step would still move the logit that it moves most. Where the objective has a minimum this is
    /// next to nothing at a small gradient; where a direction that separates rows without error is free of penalty, every
    /// step still adds about 1 to their margin, however small the gradient has become.
    pub(super) fn next_move(&self, theta: &Tensor) -> Result<f64> {
        let (_, step) = self.newton_step(theta)?;
        Ok(self.x.f_mv(&step)?.f_abs()?.f_max()?.f_double_value(&[])?)
    }

    /// Newton's method from `start` with halving steps until `largest(θ)` is at most the tolerance.
    pub(super) fn minimize(
        &self,
        start: Tensor,
        options: &LrOptions,
        largest: impl Fn(&Tensor) -> Result<f64>,
    ) -> Result<Newton> {
        let mut theta = start;
        let mut objective = self.value(&theta)?;
        for iterations in 0..=options.max_iter {
            let gradient = largest(&theta)?;
            if gradient <= options.tolerance {
                return Ok(Newton { theta, gradient, iterations, objective });
            }
            let stopped = Error::NotConverged { iterations, gradient, tolerance: options.tolerance };
            if iterations == options.max_iter {
                return Err(stopped);
            }
            let (slope, step) = self.newton_step(&theta)?;
            let decrease = slope.f_dot(&step)?.f_double_value(&[])?;
            if decrease.is_nan() || decrease <= 0.0 {
                return Err(stopped); // not a direction of descent
            }
            // Rounding in the objective: near the solution a good step may not lower it any more.
            let slack = 1e-12 * objective.abs().max(1.0);
            let mut length = 1.0;
            (theta, objective) = loop {
                let next = theta.f_sub(&step.f_mul_scalar(length)?)?;
                let value = self.value(&next)?;
                if value <= objective - 1e-4 * length * decrease + slack {
                    break (next, value);
                }
                length /= 2.0;
                if length < 1e-10 || !decrease.is_finite() {
                    return Err(stopped);
                }
            };
        }
        Err(Error::NotConverged {
            iterations: options.max_iter,
            gradient: f64::NAN,
            tolerance: options.tolerance,
        })
    }
}
