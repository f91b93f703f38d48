//! The curvature H = [X 1]ᵀ·W·[X 1] + κ of a logistic regression, as far as Newton's method needs it: solving with it.

use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::design::{back, logits};
use crate::Result;

/// Rows whose curvature is weighed at once.
const BLOCK: i64 = 1024;
/// Columns of a block of a Gram matrix, of which half is computed.
const PANEL: i64 = 192;
/// What is left of the gradient when a step is good enough: each step takes that share of it away at least.
const LEFT: f64 = 1e-3;
/// Steps of conjugate gradients with the preconditioner at hand: as many cost what a new one costs.
const PATIENCE: usize = 8;
/// With a new one.
const MORE_PATIENCE: usize = 24;
/// What may be left then without turning to exact steps.
const STILL_GOOD: f64 = 0.1;
/// A share of the largest curvature, for what rounding to f32 takes away.
const RIDGE: f64 = 3e-7;

/// What is known of the curvature of some rows, from fit to fit.
#[derive(Debug)]
pub(super) struct Curvature {
    /// The rows in f32; on a device and in a kind of theirs as given. \[N, K\]
    single: Tensor,
    /// [X 1]ᵀ·W·[X 1] with the weights of some step, and its factor with a penalty. \[K + 1, K + 1\], lower halves
    known: Option<Known>,
    /// Whether approximate steps have failed.
    exact: bool,
}

#[derive(Debug)]
struct Known {
    gram: Tensor,
    factor: Tensor,
    penalized: f64,
}

/// How a system was solved.
struct Solved {
    step: Tensor, // [K + 1], f32
    /// What is left, as a share of the right side.
    left: f64,
}

impl Curvature {
    /// `x`: \[N, K\].
    pub(super) fn new(x: &Tensor) -> Result<Self> {
        Ok(Self { single: x.f_to_kind(Kind::Float)?, known: None, exact: false })
    }

    /// Newton's step H⁻¹g to a small share, or exactly where that cannot be had.
    ///
    /// # Shapes
    /// `x`: \[N, K\]; `weights`: \[N\]; `gradient`, `penalty` and the result: \[K + 1\].
    pub(super) fn step(
        &mut self,
        x: &Tensor,
        weights: &Tensor,
        gradient: &Tensor,
        penalty: &Tensor,
    ) -> Result<Tensor> {
        if !self.exact {
            // In units of its own length: f32 has no room for gradients of any size.
            let length = gradient.f_norm()?.f_double_value(&[])?;
            let single = |t: &Tensor| t.f_to_kind(Kind::Float);
            let (right, weights, penalty) =
                (single(&gradient.f_div_scalar(length)?)?, single(weights)?, single(penalty)?);
            if let Some(step) = self.approximate(&weights, &right, &penalty)? {
                return Ok(step.f_to_kind(x.kind())?.f_mul_scalar(length)?);
            }
            self.exact = true;
        }
        exact_step(x, weights, gradient, penalty)
    }

    /// From here on another objective is minimized.
    pub(super) fn begin(&mut self) {
        self.exact = false;
    }

    /// All in f32. None where nothing good is found.
    fn approximate(&mut self, weights: &Tensor, right: &Tensor, penalty: &Tensor) -> Result<Option<Tensor>> {
        let penalized = penalty.f_double_value(&[0])?;
        if let Some(known) = &mut self.known {
            let is_factored =
                known.penalized.to_bits() == penalized.to_bits() || known.factor_with(penalty)?;
            if is_factored {
                let solved = solve(&self.single, weights, right, penalty, &known.factor, PATIENCE)?;
                if solved.left <= LEFT {
                    return Ok(Some(solved.step));
                }
            }
        }
        let gram = gram(&self.single, weights)?;
        let mut known = Known { factor: gram.f_alias()?, gram, penalized };
        if !known.factor_with(penalty)? {
            self.known = None;
            return Ok(None);
        }
        let solved = solve(&self.single, weights, right, penalty, &known.factor, MORE_PATIENCE)?;
        self.known = Some(known);
        Ok((solved.left <= STILL_GOOD).then_some(solved.step))
    }
}

/// H⁻¹g by a factor of H itself, in the kind of `x`. Shapes as for [`Curvature::step`].
pub(super) fn exact_step(
    x: &Tensor,
    weights: &Tensor,
    gradient: &Tensor,
    penalty: &Tensor,
) -> Result<Tensor> {
    let hessian = gram(x, weights)?;
    // The unpenalized bias has no curvature left where every p is 0 or 1; a trace of it keeps the step finite.
    let _ = hessian.f_diagonal(0, 0, 1)?.f_add_(&penalty.f_clamp_min(1e-12)?)?;
    let largest = hessian.f_diagonal(0, 0, 1)?.f_abs()?.f_max()?.f_double_value(&[])?;
    let mut damping = 0.0;
    loop {
        let (factor, info) = hessian.f_linalg_cholesky_ex(false, false)?;
        // Rounding can make the matrix indefinite, in f32 above all; then the factor is no factor.
        if info.f_int64_value(&[])? == 0 || damping > 1.0 {
            return Ok(gradient.f_unsqueeze(1)?.f_cholesky_solve(&factor, false)?.f_squeeze_dim(1)?);
        }
        damping = if damping == 0.0 { 1e-8 } else { damping * 10.0 };
        let _ = hessian.f_diagonal(0, 0, 1)?.f_add_scalar_(largest * damping)?;
    }
}

impl Known {
    /// Factors what is known with this penalty; false where it has no factor.
    fn factor_with(&mut self, penalty: &Tensor) -> Result<bool> {
        let sum = self.gram.f_alias_copy()?;
        let largest = sum.f_diagonal(0, 0, 1)?.f_max()?.f_double_value(&[])?;
        let _ = sum.f_diagonal(0, 0, 1)?.f_add_(penalty)?.f_add_scalar_(RIDGE * largest)?;
        // Column after column, as LAPACK wants them: what is the lower half row after row is the upper half then.
        let (factor, info) = sum.f_tr()?.f_linalg_cholesky_ex(true, false)?;
        self.factor = factor.f_tr()?;
        self.penalized = penalty.f_double_value(&[0])?;
        Ok(info.f_int64_value(&[])? == 0)
    }
}

/// H⁻¹·`right` by conjugate gradients, preconditioned by `factor`: until [`LEFT`] is left, or for so many steps.
fn solve(
    x: &Tensor,
    weights: &Tensor,
    right: &Tensor,
    penalty: &Tensor,
    factor: &Tensor,
    steps: usize,
) -> Result<Solved> {
    let number = |t: Tensor| t.f_double_value(&[]);
    // By its triangles, which are read where they are; `cholesky_solve` copies the factor every time.
    let precondition = |r: &Tensor| -> Result<Tensor> {
        let half = factor.f_linalg_solve_triangular(&r.f_unsqueeze(1)?, false, true, false)?;
        Ok(factor.f_tr()?.f_linalg_solve_triangular(&half, true, true, false)?.f_squeeze_dim(1)?)
    };
    let step = right.f_zeros_like()?;
    let rest = right.f_alias_copy()?;
    let mut toward = precondition(&rest)?;
    let mut product = number(rest.f_dot(&toward)?)?;
    let mut left = 1.0;
    for _ in 0..steps {
        let image = back(x, &logits(x, &toward)?.f_mul_(weights)?)?.f_add_(&toward.f_mul(penalty)?)?;
        let curve = number(toward.f_dot(&image)?)?;
        if curve.is_nan() || curve <= 0.0 || product.is_nan() {
            left = f64::INFINITY;
            break;
        }
        let length = product / curve;
        let _ = step.f_alias()?.f_add_(&toward.f_mul_scalar(length)?)?;
        let _ = rest.f_alias()?.f_sub_(&image.f_mul_scalar(length)?)?;
        left = number(rest.f_norm()?)?;
        if left <= LEFT {
            break;
        }
        let mut next = precondition(&rest)?;
        let now = number(rest.f_dot(&next)?)?;
        toward = next.f_add_(&toward.f_mul_scalar(now / product)?)?;
        product = now;
    }
    Ok(Solved { step, left })
}

/// [X 1]ᵀ·diag(w)·[X 1] with no more than a block of weighted rows beside X; only its lower half is right.
/// \[K + 1, K + 1\]
fn gram(x: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let (rows, length) = x.dims2("rows")?;
    let options = (x.kind(), x.device());
    let gram = Tensor::f_zeros([length + 1, length + 1], options)?;
    let weighted = Tensor::f_empty([BLOCK.min(rows), length], options)?;
    let mut at = 0;
    while at < rows {
        let count = BLOCK.min(rows - at);
        let (x, w) = (x.f_narrow(0, at, count)?, weights.f_narrow(0, at, count)?.f_unsqueeze(1)?);
        let weighted = x.f_mul_out(&weighted.f_narrow(0, 0, count)?, &w)?;
        let mut column = 0;
        while column < length {
            let width = PANEL.min(length - column);
            let below = x.f_narrow(1, column, length - column)?.f_tr()?;
            let part = gram.f_narrow(0, column, length - column)?.f_narrow(1, column, width)?;
            let _ = part.f_alias()?.f_addmm_(&below, &weighted.f_narrow(1, column, width)?)?;
            column += width;
        }
        at += count;
    }
    let last = gram.f_select(0, length)?;
    last.f_alias()?.f_copy_(&back(x, weights)?)?;
    Ok(gram)
}
