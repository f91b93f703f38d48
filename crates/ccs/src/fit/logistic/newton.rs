//! Newton's method for penalised logistic regression: ½κ‖w‖² + c·Σ log(1 + exp(−yᵢ(wᵀxᵢ + b))) with yᵢ = ±1.

use tch::{Kind, Tensor};

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
    let length = theta.size().first().copied().unwrap_or_default() - 1;
    let weight = theta.f_narrow(0, 0, length)?;
    Ok(match basis {
        Some(q) => q.f_mv(&weight)?,
        None => weight,
    })
}

/// The largest gradient entry in the original coordinates: κw + c·Xᵀ(p − y) and c·Σ(p − y).
pub(super) fn full_gradient(
    problem: &Problem,
    theta: &Tensor,
    x: &Tensor,
    basis: Option<&Tensor>,
) -> Result<f64> {
    let slope = problem.slope(theta)?; // c·(p − y), [N]
    let weight = to_full(theta, basis)?.f_mul_scalar(problem.penalised)?.f_add(&x.f_tr()?.f_mv(&slope)?)?;
    let bias = slope.f_sum(problem.kind)?.f_double_value(&[])?.abs();
    Ok(weight.f_abs()?.f_max()?.f_double_value(&[])?.max(bias))
}

/// The objective in K + 1 coordinates, bias last.
pub(super) struct Problem {
    x: Tensor,       // [N, K + 1], last column ones
    targets: Tensor, // [N], 0 or 1
    penalty: Tensor, // [K + 1], κ for weights and a last zero
    penalised: f64,  // κ
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

impl Problem {
    /// `coordinates`: \[N, K\]; `targets`: \[N\], 0 or 1; κ and c as above.
    pub(super) fn new(coordinates: &Tensor, targets: Tensor, penalised: f64, c: f64) -> Result<Self> {
        let size = coordinates.size();
        let (n, k) = (size.first().copied().unwrap_or_default(), size.get(1).copied().unwrap_or_default());
        let options = (coordinates.kind(), coordinates.device());
        let x = Tensor::f_cat(&[coordinates, &Tensor::f_ones([n, 1], options)?], 1)?;
        let penalty =
            Tensor::f_cat(&[Tensor::f_full([k], penalised, options)?, Tensor::f_zeros([1], options)?], 0)?;
        Ok(Self { x, targets, penalty, penalised, c, kind: coordinates.kind() })
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
        Ok(self.x.f_mv(theta)?.f_sigmoid()?.f_sub(&self.targets)?.f_mul_scalar(self.c)?)
    }

    /// The gradient, and minus Newton's step.
    fn newton_step(&self, theta: &Tensor) -> Result<(Tensor, Tensor)> {
        let p = self.x.f_mv(theta)?.f_sigmoid()?; // [N]
        let slope = p.f_sub(&self.targets)?.f_mul_scalar(self.c)?;
        let gradient = self.x.f_tr()?.f_mv(&slope)?.f_add(&theta.f_mul(&self.penalty)?)?; // [K + 1]
        let curvature = p.f_mul(&p.f_neg()?.f_add_scalar(1.0)?)?.f_mul_scalar(self.c)?.f_unsqueeze(1)?; // [N, 1]
        let hessian = self.x.f_tr()?.f_mm(&self.x.f_mul(&curvature)?)?; // [K + 1, K + 1]
        // The unpenalised bias has no curvature left where every p is 0 or 1; a trace of it keeps the step finite.
        let ridge = self.penalty.f_clamp_min(1e-12)?;
        let mut hessian = hessian.f_add(&Tensor::f_diag_embed(&ridge, 0, -2, -1)?)?;
        let diagonal = hessian.f_diagonal(0, 0, 1)?.f_abs()?.f_max()?;
        let mut damping = 0.0;
        loop {
            let (factor, info) = hessian.f_linalg_cholesky_ex(false, false)?;
            // Rounding can make the matrix indefinite, in f32 above all; then the factor is no factor.
            if info.f_int64_value(&[])? == 0 || damping > 1.0 {
                let step = gradient.f_unsqueeze(1)?.f_cholesky_solve(&factor, false)?.f_squeeze_dim(1)?;
                return Ok((gradient, step));
            }
            damping = if damping == 0.0 { 1e-8 } else { damping * 10.0 };
            let more = self.penalty.f_ones_like()?.f_mul(&diagonal)?.f_mul_scalar(damping)?;
            hessian = hessian.f_add(&Tensor::f_diag_embed(&more, 0, -2, -1)?)?;
        }
    }

    /// Newton's method from `start` with halving steps until `largest(θ)` is at most the tolerance.
    pub(super) fn minimise(
        &self,
        start: Tensor,
        options: &LrOptions,
        largest: impl Fn(&Tensor) -> Result<f64>,
    ) -> Result<Newton> {
        let mut theta = start;
        let mut objective = self.value(&theta)?;
        for iterations in 0..=options.max_iterations {
            let gradient = largest(&theta)?;
            if gradient <= options.tolerance {
                return Ok(Newton { theta, gradient, iterations, objective });
            }
            let stopped = Error::NotConverged { iterations, gradient, tolerance: options.tolerance };
            if iterations == options.max_iterations {
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
            iterations: options.max_iterations,
            gradient: f64::NAN,
            tolerance: options.tolerance,
        })
    }
}
