//! Logistic regression on differences of normalised states, the supervised ceiling: Newton's method to a small gradient.
//!
//! Minimises ½‖w‖² + C·Σ log(1 + exp(−yᵢ(wᵀdᵢ + b))) with yᵢ = ±1; b is not penalised (scikit-learn's objective).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::Precision;
use crate::contrast::both_labels;
use crate::normalize::Normalizer;
use crate::probe::{Probe, Readout, Sign};
use crate::{Contrast, Error, Result};

/// How logistic regression is fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LrOptions {
    /// C, the weight of the data against the penalty.
    pub c: f64,
    /// Done when no entry of the gradient is larger.
    pub tolerance: f64,
    /// Newton iterations before giving up.
    pub max_iterations: usize,
    /// What the fit computes in; f32 does not reach the default tolerance on every data set.
    pub precision: Precision,
}

impl Default for LrOptions {
    fn default() -> Self {
        Self { c: 0.1, tolerance: 1e-6, max_iterations: 100, precision: Precision::F64 }
    }
}

/// A fitted logistic regression and how well it converged.
#[derive(Debug)]
pub struct LrFit {
    /// The probe; its sign is always plus.
    pub probe: Probe,
    /// The largest absolute entry of the gradient, bias included, in the probe's own coordinates.
    pub gradient: f64,
    /// Newton iterations done.
    pub iterations: usize,
    /// The objective at the solution.
    pub objective: f64,
}

/// Fits logistic regression on training rows.
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// Training rows of one label, a setting that cannot be used, or a gradient that stays above the tolerance.
pub fn logistic(train: &Contrast, options: &LrOptions) -> Result<LrFit> {
    check(options)?;
    both_labels(train.labels(), "the training rows")?;
    let kind = options.precision.kind();
    let normalizer = Normalizer::fit(train)?;
    let differences = normalizer.differences(train, kind)?; // [N, D]
    let targets: Vec<f64> = train.labels().iter().map(|&l| f64::from(u8::from(l))).collect();
    let targets = Tensor::f_from_slice(&targets)?.f_to_device(differences.device())?; // [N]
    let solution = solve(&differences, &targets, options)?;
    let probe = Probe {
        weight: solution.weight.f_to_device(Device::Cpu)?,
        bias: solution.bias,
        sign: Sign::Plus,
        readout: Readout::Difference,
        normalizer,
        meta: BTreeMap::new(),
    };
    let Solution { gradient, iterations, objective, .. } = solution;
    Ok(LrFit { probe, gradient, iterations, objective })
}

/// Refuses settings that cannot be used.
pub(super) fn check(options: &LrOptions) -> Result<()> {
    if options.c.is_finite() && options.c > 0.0 {
        return Ok(());
    }
    Err(Error::Setting {
        name: "C",
        value: options.c.to_string(),
        reason: "it weighs the data against the penalty",
        hint: "the default is 0.1",
    })
}

/// A minimum and how well it was reached.
pub(super) struct Solution {
    pub(super) weight: Tensor, // [D], of the options' precision
    pub(super) bias: f64,
    gradient: f64,
    iterations: usize,
    objective: f64,
}

/// The regression of `targets` (0 or 1, \[N\]) on `rows` \[N, D\].
pub(super) fn solve(rows: &Tensor, targets: &Tensor, options: &LrOptions) -> Result<Solution> {
    let kind = options.precision.kind();
    let (rows, targets) = (rows.f_to_kind(kind)?, targets.f_to_kind(kind)?);
    let (coordinates, basis) = span(&rows)?;
    let problem = Problem::new(&coordinates, targets, options.c)?;
    let newton = problem.minimise(options, |theta| full_gradient(&problem, theta, &rows, basis.as_ref()))?;
    Ok(Solution {
        weight: to_full(&newton.theta, basis.as_ref())?,
        bias: newton.theta.f_double_value(&[-1])?,
        gradient: newton.gradient,
        iterations: newton.iterations,
        objective: newton.objective,
    })
}

/// With fewer rows than dimensions, the rows in an orthonormal basis Q of their span, and Q.
///
/// The penalty is the same in any orthonormal basis and the best w lies in the rows' span, so the smaller problem
/// has the same solution: X = (QR)ᵀ, w = Qu, Xw = Rᵀu.
fn span(x: &Tensor) -> Result<(Tensor, Option<Tensor>)> {
    let size = x.size();
    if size.first() >= size.get(1) {
        return Ok((x.f_alias()?, None));
    }
    let (q, r) = Tensor::f_linalg_qr(&x.f_tr()?, "reduced")?; // [D, N], [N, N]
    Ok((r.f_tr()?.f_contiguous()?, Some(q)))
}

/// The weights in the original coordinates. `theta`: \[K + 1\], bias last; the result: \[D\].
fn to_full(theta: &Tensor, basis: Option<&Tensor>) -> Result<Tensor> {
    let length = theta.size().first().copied().unwrap_or_default() - 1;
    let weight = theta.f_narrow(0, 0, length)?;
    Ok(match basis {
        Some(q) => q.f_mv(&weight)?,
        None => weight,
    })
}

/// The largest gradient entry in the original coordinates: w + C·Xᵀ(p − y) and C·Σ(p − y).
fn full_gradient(problem: &Problem, theta: &Tensor, x: &Tensor, basis: Option<&Tensor>) -> Result<f64> {
    let slope = problem.slope(theta)?; // C·(p − y), [N]
    let weight = to_full(theta, basis)?.f_add(&x.f_tr()?.f_mv(&slope)?)?;
    let bias = slope.f_sum(problem.kind)?.f_double_value(&[])?.abs();
    Ok(weight.f_abs()?.f_max()?.f_double_value(&[])?.max(bias))
}

/// The objective in K + 1 coordinates, bias last.
struct Problem {
    x: Tensor,       // [N, K + 1], last column ones
    targets: Tensor, // [N], 0 or 1
    penalty: Tensor, // [K + 1], ones and a last zero
    c: f64,
    kind: Kind,
}

struct Newton {
    theta: Tensor,
    gradient: f64,
    iterations: usize,
    objective: f64,
}

impl Problem {
    fn new(coordinates: &Tensor, targets: Tensor, c: f64) -> Result<Self> {
        let size = coordinates.size();
        let (n, k) = (size.first().copied().unwrap_or_default(), size.get(1).copied().unwrap_or_default());
        let options = (coordinates.kind(), coordinates.device());
        let x = Tensor::f_cat(&[coordinates, &Tensor::f_ones([n, 1], options)?], 1)?;
        let penalty = Tensor::f_cat(&[Tensor::f_ones([k], options)?, Tensor::f_zeros([1], options)?], 0)?;
        Ok(Self { x, targets, penalty, c, kind: coordinates.kind() })
    }

    /// ½‖w‖² + C·Σ(log(1 + exp z) − y·z)
    fn value(&self, theta: &Tensor) -> Result<f64> {
        let z = self.x.f_mv(theta)?; // [N]
        // log(1 + exp z) = max(z, 0) + log1p(exp(−|z|)) holds for any z.
        let softplus = z.f_clamp_min(0.0)?.f_add(&z.f_abs()?.f_neg()?.f_exp()?.f_log1p()?)?;
        let loss = softplus.f_sub(&self.targets.f_mul(&z)?)?.f_sum(self.kind)?.f_double_value(&[])?;
        let norm = theta.f_square()?.f_dot(&self.penalty)?.f_double_value(&[])?;
        Ok(0.5 * norm + self.c * loss)
    }

    /// C·(p − y). \[N\]
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

    /// Newton's method with halving steps until `largest(θ)` is at most the tolerance.
    fn minimise(&self, options: &LrOptions, largest: impl Fn(&Tensor) -> Result<f64>) -> Result<Newton> {
        let mut theta = self.penalty.f_zeros_like()?;
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
