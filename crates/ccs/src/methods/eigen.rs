//! The top eigenvector of a matrix that is a sum of signed squares of rows, A = Bᵀ·diag(w)·B.
//!
//! A maps everything to the span of B's rows, so the search stays in it: a direction along which no row varies has
//! eigenvalue 0, which would beat a largest eigenvalue below 0 and mean nothing. Lanczos' method needs A only as a
//! product with B and its transpose; where eigenvalues lie too close for it, and for small problems, the dense matrix
//! is taken, of as many rows as B has rows or columns, whichever are fewer.

use rand::RngExt;
use rand_distr::StandardNormal;
use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::{Error, Result, SeedTree};

/// Rows B \[R, D\] and their signed weights w \[R\], f64.
pub(super) struct SignedRows {
    pub(super) rows: Tensor,
    pub(super) weights: Tensor,
}

/// The largest eigenvalue and its eigenvector.
pub(super) struct Top {
    pub(super) value: f64,
    pub(super) vector: Tensor, // [D], unit length
}

/// Problems of at most this many dimensions are solved densely.
pub(super) const SMALL: i64 = 256;
/// Lanczos' steps before giving up.
const STEPS: i64 = 300;
/// The residual ‖Aθ − λθ‖ that is taken for converged, relative to the largest eigenvalue in size.
const RESIDUAL: f64 = 1e-10;
/// A direction that carries less than this share of the rows' squares is outside their span.
const IN_SPAN: f64 = 1e-14;

impl SignedRows {
    /// Puts blocks of rows together, each with one weight per row. Blocks: \[Rᵢ, D\], \[Rᵢ\].
    pub(super) fn new(blocks: &[(Tensor, Tensor)]) -> Result<Self> {
        let (rows, weights): (Vec<&Tensor>, Vec<&Tensor>) = blocks.iter().map(|(b, w)| (b, w)).unzip();
        Ok(Self { rows: Tensor::f_cat(&rows, 0)?, weights: Tensor::f_cat(&weights, 0)? })
    }

    /// tr A.
    pub(super) fn trace(&self) -> Result<f64> {
        let squares = self.rows.f_square()?.f_sum_dim_intlist(1, false, Kind::Double)?;
        Ok(squares.f_dot(&self.weights)?.f_double_value(&[])?)
    }

    /// Maximizes θᵀAθ over unit vectors θ in the rows' span.
    pub(super) fn top(&self) -> Result<Top> {
        let squares = self.squares()?;
        let (rows, dim) = self.rows.dims2("rows")?;
        if rows.min(dim) > SMALL {
            let noise = gaussian(rows, &self.rows)?;
            let product = |x: &Tensor| -> Result<Tensor> {
                Ok(self.rows.f_tr()?.f_mv(&self.rows.f_mv(x)?.f_mul(&self.weights)?)?)
            };
            let start = self.rows.f_tr()?.f_mv(&noise)?;
            if let Some(top) = lanczos(&product, &start)?
                && self.carried(&top.vector)? > IN_SPAN * squares
            {
                return Ok(top);
            }
        }
        // Small, or with eigenvalues too close for Lanczos' method in any basis.
        let (coordinates, basis) = self.span()?;
        self.dense(&matrix(&coordinates, &self.weights)?, basis.as_ref(), squares)
    }

    /// Maximizes θᵀAθ / θᵀ(Bᵀ·diag(v)·B + ridge·I)θ over θ in the rows' span, for v ≥ 0; θ has unit length.
    pub(super) fn top_relative_to(&self, v: &Tensor, ridge: f64) -> Result<Top> {
        let squares = self.squares()?;
        let (coordinates, basis) = self.span()?;
        let (_, size) = coordinates.dims2("coordinates")?;
        let eye = Tensor::f_eye(size, (Kind::Double, coordinates.device()))?;
        let below = matrix(&coordinates, v)?.f_add(&eye.f_mul_scalar(ridge)?)?;
        let (factor, info) = below.f_linalg_cholesky_ex(false, false)?; // L
        if info.f_int64_value(&[])? != 0 {
            let what = "the second moment of the states".to_owned();
            return Err(Error::Singular { what });
        }
        let solve = |x: &Tensor| Tensor::f_linalg_solve_triangular(&factor, x, false, true, false);
        let half = solve(&matrix(&coordinates, &self.weights)?)?;
        let whitened = solve(&half.f_tr()?.f_contiguous()?)?; // L⁻¹AL⁻ᵀ
        let symmetric = whitened.f_add(&whitened.f_tr()?)?.f_mul_scalar(0.5)?;
        // Without a span smaller than the space, directions of no variance are left to the ridge, which gives them 0.
        let unwhiten = Tensor::f_linalg_solve_triangular(&factor.f_tr()?, &eye, true, true, false)?; // L⁻ᵀ
        let basis = match basis {
            Some(q) => q.f_mm(&unwhiten)?,
            None => unwhiten,
        };
        let (size, _) = symmetric.dims2("whitened")?;
        if size > SMALL
            && let Some(top) = lanczos(&|x| Ok(symmetric.f_mv(x)?), &gaussian(size, &symmetric)?)?
        {
            let vector = back(&top.vector, Some(&basis))?;
            if self.carried(&vector)? > IN_SPAN * squares {
                return Ok(Top { vector, ..top });
            }
        }
        self.dense(&symmetric, Some(&basis), squares)
    }

    /// Maximizes (‖Dθ‖² + ρ‖θ‖²) / (‖Mθ‖² + ρ‖θ‖²) for rows D and M \[N, D\], fewer than dimensions, ρ > 0; `None`
    /// where Lanczos' method does not converge.
    ///
    /// With `MMᵀ = P·diag(s)·Pᵀ`, the root of `(MᵀM + ρI)⁻¹` is `ρ^(−½)I + MᵀFM`, where `F = P·diag(c)·Pᵀ` and
    /// `c = ((s + ρ)^(−½) − ρ^(−½))/s = −1/(√ρ·√(s + ρ)·(√ρ + √(s + ρ)))`, in which nothing cancels.
    pub(super) fn top_ratio(above: &Tensor, below: &Tensor, ridge: f64) -> Result<Option<Top>> {
        let (s, p) = below.f_mm(&below.f_tr()?)?.f_linalg_eigh("L")?; // [N], [N, N]
        let far = s.f_clamp_min(0.0)?.f_add_scalar(ridge)?.f_sqrt()?; // √(s + ρ)
        let c = far.f_mul(&far.f_add_scalar(ridge.sqrt())?)?.f_mul_scalar(-ridge.sqrt())?.f_reciprocal()?;
        let f = p.f_mul(&c)?.f_mm(&p.f_tr()?)?; // [N, N]
        let root = |x: &Tensor| -> Result<Tensor> {
            let inside = below.f_tr()?.f_mv(&f.f_mv(&below.f_mv(x)?)?)?;
            Ok(x.f_mul_scalar(ridge.powf(-0.5))?.f_add(&inside)?)
        };
        let product = |x: &Tensor| -> Result<Tensor> {
            let x = root(x)?;
            root(&above.f_tr()?.f_mv(&above.f_mv(&x)?)?.f_add(&x.f_mul_scalar(ridge)?)?)
        };
        let noise = gaussian(above.dims2("differences")?.0, above)?;
        let start = root(&above.f_tr()?.f_mv(&noise)?.f_add(&below.f_tr()?.f_mv(&noise)?)?)?;
        let Some(top) = lanczos(&product, &start)? else { return Ok(None) };
        let vector = root(&top.vector)?;
        Ok(Some(Top { vector: vector.f_div(&vector.f_norm()?)?, ..top }))
    }

    /// Σ of the rows' squares; an error where there is nothing but zeros.
    fn squares(&self) -> Result<f64> {
        let squares = self.rows.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        if squares > 0.0 { Ok(squares) } else { Err(Error::Constant) }
    }

    /// ‖Bθ‖².
    fn carried(&self, direction: &Tensor) -> Result<f64> {
        Ok(self.rows.f_mv(direction)?.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?)
    }

    /// The rows in an orthonormal basis of their span \[R, K\], and that basis \[D, K\] where it is not the axes.
    fn span(&self) -> Result<(Tensor, Option<Tensor>)> {
        let size = self.rows.size();
        if size.first() >= size.get(1) {
            return Ok((self.rows.f_alias()?, None));
        }
        let (q, r) = Tensor::f_linalg_qr(&self.rows.f_tr()?, "reduced")?; // [D, R], [R, R]
        Ok((r.f_tr()?.f_contiguous()?, Some(q)))
    }

    /// The first eigenvector, by descending eigenvalue, along which rows vary; `basis` maps it back to D dimensions.
    fn dense(&self, matrix: &Tensor, basis: Option<&Tensor>, squares: f64) -> Result<Top> {
        let (values, vectors) = matrix.f_linalg_eigh("L")?;
        for at in (0..matrix.dims2("matrix")?.0).rev() {
            let vector = back(&vectors.f_select(1, at)?, basis)?;
            if self.carried(&vector)? > IN_SPAN * squares {
                return Ok(Top { value: values.f_double_value(&[at])?, vector });
            }
        }
        Err(Error::Constant)
    }
}

/// A vector of coordinates in D dimensions, of unit length.
fn back(vector: &Tensor, basis: Option<&Tensor>) -> Result<Tensor> {
    let vector = match basis {
        Some(basis) => basis.f_mv(vector)?,
        None => vector.f_alias()?,
    };
    Ok(vector.f_div(&vector.f_norm()?)?)
}

/// Bᵀ·diag(w)·B of given coordinates. \[K, K\]
fn matrix(coordinates: &Tensor, weights: &Tensor) -> Result<Tensor> {
    Ok(coordinates.f_tr()?.f_mm(&coordinates.f_mul(&weights.f_unsqueeze(1)?)?)?)
}

/// The same vector every time, Gaussian, of the kind and on the device of `like`. \[`length`\]
fn gaussian(length: i64, like: &Tensor) -> Result<Tensor> {
    let mut rng = SeedTree::new(0).child("lanczos").rng();
    let values: Vec<f64> = (0..length).map(|_| rng.sample(StandardNormal)).collect();
    Ok(Tensor::f_from_slice(&values)?.f_to_kind(like.kind())?.f_to_device(like.device())?)
}

/// Lanczos' method with full reorthogonalization; `None` if it has not converged after [`STEPS`].
fn lanczos(product: &dyn Fn(&Tensor) -> Result<Tensor>, start: &Tensor) -> Result<Option<Top>> {
    let length = start.dims1("start")?;
    let basis = Tensor::f_zeros([STEPS, length], (Kind::Double, start.device()))?; // rows v₀, v₁, …
    let mut next = start.f_div(&start.f_norm()?)?;
    let (mut diagonal, mut beside): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    for step in 0..STEPS.min(length) {
        basis.f_select(0, step)?.f_copy_(&next)?;
        let known = basis.f_narrow(0, 0, step + 1)?;
        let mut image = product(&next)?;
        diagonal.push(image.f_dot(&next)?.f_double_value(&[])?);
        for _ in 0..2 {
            image = image.f_sub(&known.f_tr()?.f_mv(&known.f_mv(&image)?)?)?;
        }
        let rest = image.f_norm()?.f_double_value(&[])?;
        let size = diagonal.iter().chain(&beside).fold(0.0, |a: f64, b| a.max(b.abs()));
        let exhausted = rest <= RESIDUAL * size; // the space is invariant: its eigenvectors are A's
        if exhausted || (step % 10 == 9 && step > 10) {
            let (value, weights, largest) = ritz(&diagonal, &beside)?;
            let last = weights.last().copied().unwrap_or_default();
            if (last * rest).abs() <= RESIDUAL * largest {
                let weights = Tensor::f_from_slice(&weights)?.f_to_device(start.device())?;
                let vector = known.f_tr()?.f_mv(&weights)?;
                return Ok(Some(Top { value, vector: vector.f_div(&vector.f_norm()?)? }));
            }
        }
        if exhausted {
            break;
        }
        beside.push(rest);
        next = image.f_div_scalar(rest)?;
    }
    Ok(None)
}

/// Of the tridiagonal matrix the largest eigenvalue, its eigenvector and the largest eigenvalue in size.
fn ritz(diagonal: &[f64], beside: &[f64]) -> Result<(f64, Vec<f64>, f64)> {
    let matrix = Tensor::f_diag_embed(&Tensor::f_from_slice(diagonal)?, 0, -2, -1)?;
    let below = Tensor::f_from_slice(beside.get(..diagonal.len() - 1).unwrap_or_default())?;
    let matrix = if diagonal.len() > 1 { matrix.f_add(&below.f_diag_embed(-1, -2, -1)?)? } else { matrix };
    let (values, vectors) = matrix.f_linalg_eigh("L")?; // reads the lower half
    let at = diagonal.len() as i64 - 1;
    let largest = values.f_abs()?.f_max()?.f_double_value(&[])?;
    Ok((values.f_double_value(&[at])?, Vec::try_from(vectors.f_select(1, at)?)?, largest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn waves(rows: i64, dim: i64) -> Tensor {
        (Tensor::arange(rows * dim, (Kind::Double, Device::Cpu)).square() * 0.37).sin().reshape([rows, dim])
    }

    /// ‖Aθ − λθ‖ and the largest eigenvalue by a dense solver in all dimensions.
    fn check(signed: &SignedRows, top: &Top) -> (f64, f64) {
        let a = signed.rows.tr().mm(&(&signed.rows * signed.weights.unsqueeze(1)));
        let residual = (a.mv(&top.vector) - &top.vector * top.value).norm().double_value(&[]);
        (residual, a.linalg_eigvalsh("L").max().double_value(&[]))
    }

    #[test]
    fn large_problems_end_where_dense_ones_do_wide_and_tall() {
        for (rows, dim) in [(300, 420), (420, 300), (40, 60), (60, 40)] {
            let weights = (Tensor::arange(rows, (Kind::Double, Device::Cpu)) * 0.9).cos();
            let signed = SignedRows { rows: waves(rows, dim), weights };
            let top = signed.top().unwrap();
            let (residual, want) = check(&signed, &top);
            assert!(residual < 1e-8 * want, "{residual:.1e}");
            assert!((top.value - want).abs() < 1e-9 * want, "{} and {want}", top.value);
        }
    }

    #[test]
    fn directions_without_rows_do_not_win_over_negative_eigenvalues() {
        // All squares count against: the least bad direction that rows vary along is wanted, not the null space.
        for (rows, dim) in [(300, 420), (5, 9), (420, 300), (9, 5)] {
            let b = waves(rows, dim);
            let _ = b.narrow(1, 0, 2).zero_();
            let signed = SignedRows { weights: -Tensor::ones([rows], (Kind::Double, Device::Cpu)), rows: b };
            let top = signed.top().unwrap();
            let size = signed.trace().unwrap().abs();
            assert!(top.value < -1e-6 && check(&signed, &top).0 < 1e-9 * size, "{}", top.value);
        }
    }

    #[test]
    fn a_ratio_ends_where_the_dense_problem_does() {
        let (n, dim, ridge) = (270, 400, 0.5);
        let (above, below) = (waves(n, dim), (waves(n, dim) * 3.0).cos());
        let top = SignedRows::top_ratio(&above, &below, ridge).unwrap().unwrap();
        // (d − m)/(d + m + 2ρ) is a monotone function of (d + ρ)/(m + ρ).
        let weights = Tensor::ones([2 * n], (Kind::Double, Device::Cpu));
        let signs = Tensor::cat(&[weights.narrow(0, 0, n), -weights.narrow(0, 0, n)], 0);
        let signed = SignedRows { rows: Tensor::cat(&[&above, &below], 0), weights: signs };
        let dense = signed.top_relative_to(&weights, 2.0 * ridge).unwrap();
        assert!(((top.value - 1.0) / (top.value + 1.0) - dense.value).abs() < 1e-9);
        assert!((top.vector.dot(&dense.vector).double_value(&[]).abs() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn rows_of_zeros_are_an_error() {
        let zeros = Tensor::zeros([4, 3], (Kind::Double, Device::Cpu));
        let signed = SignedRows { rows: zeros, weights: Tensor::ones([4], (Kind::Double, Device::Cpu)) };
        assert!(matches!(signed.top(), Err(Error::Constant)));
        let ones = Tensor::ones([4], (Kind::Double, Device::Cpu));
        assert!(matches!(signed.top_relative_to(&ones, 0.1), Err(Error::Constant)));
    }
}
