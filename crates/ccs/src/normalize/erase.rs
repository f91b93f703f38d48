//! Erasing what is linearly predictable: affine maps after which no linear rule predicts a concept z from a state x.
//!
//! LEACE (Belrose et al. 2023, Theorem 4.3) changes x least: with Σ the covariance of x, A its cross-covariance with
//! z, and U the left singular vectors of Σ^(−½)A, `r(x) = x − Σ^(½)UUᵀΣ^(−½)(x − μ)`. Since
//! `UUᵀ = Σ^(−½)A(AᵀΣ⁻¹A)⁺AᵀΣ^(−½)`, that is `r(x) = x − A(AᵀΣ⁻¹A)⁺AᵀΣ⁻¹(x − μ)`: one solve with Σ and a k × k eigenproblem, no root of Σ.
//! Erasing so never raises the total variance, tr Σ^(½)(I − UUᵀ)Σ^(½) ≤ tr Σ, so that `concept-erasure`'s constraint on
//! it has nothing to do and is not offered here.
//! SAL (Shao et al. 2023) projects orthogonally off the columns of A.

use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::{Error, Result};

/// How LEACE estimates and what it drops. The defaults are those of `concept-erasure`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeaceOptions {
    /// Shrink Σ toward a multiple of the identity by the optimal linear rule (Bodnar et al. 2014); needed where rows
    /// are not many times more than dimensions.
    pub shrinkage: bool,
    /// Singular values of Σ^(−½)A up to here are taken for noise, so that what they stand for stays in. They are
    /// z's spread as far as x predicts it, in units of z.
    pub tolerance: f64,
}

impl Default for LeaceOptions {
    fn default() -> Self {
        Self { shrinkage: true, tolerance: 0.01 }
    }
}

/// The map r(x) = x − left·right·(x − mean).
#[derive(Debug)]
pub struct Eraser {
    /// μ, \[D\], f64. Not moved by the map.
    pub mean: Tensor,
    /// \[D, M\], f64; M directions are erased.
    pub left: Tensor,
    /// \[M, D\], f64.
    pub right: Tensor,
}

impl Eraser {
    /// How many directions are erased.
    pub fn rank(&self) -> usize {
        self.right.size().first().map_or(0, |&m| m as usize)
    }

    /// r(x), in f64.
    ///
    /// # Shapes
    /// `states`: \[N, D\], as the result.
    ///
    /// # Errors
    /// Another D.
    pub fn apply(&self, states: &Tensor) -> Result<Tensor> {
        let dim = self.mean.dims1("mean")?;
        if states.size().get(1) != Some(&dim) || states.dim() != 2 {
            return Err(Error::Shape {
                what: "the states".to_owned(),
                expected: format!("[N, {dim}], as the eraser was fitted on"),
                found: states.size(),
                hint: "an eraser works on states of the model and hook point it was fitted on",
            });
        }
        let states = states.f_to_kind(Kind::Double)?;
        let centered = states.f_sub(&self.mean.f_to_device(states.device())?)?;
        Ok(states.f_sub(&erased(&centered, &self.left, &self.right)?)?)
    }
}

/// The part left·right·x of every centered state. `centered`: \[N, D\], as the result.
pub(crate) fn erased(centered: &Tensor, left: &Tensor, right: &Tensor) -> Result<Tensor> {
    let device = centered.device();
    let coordinates = centered.f_mm(&right.f_to_device(device)?.f_tr()?)?; // [N, M]
    Ok(coordinates.f_mm(&left.f_to_device(device)?.f_tr()?)?)
}

/// Fits LEACE on training rows.
///
/// With fewer rows than dimensions and shrinkage, Σ⁻¹A is found in the span of the rows, which is exact: with
/// `Σ = a·XᵀX/n + b·I`, `Σ⁻¹Xᵀ = Xᵀ(a·XXᵀ/n + b·I)⁻¹`.
///
/// ```
/// use ccs::normalize::erase::{LeaceOptions, leace};
/// use tch::{Device, Kind, Tensor};
///
/// let z = Tensor::from_slice(&[1.0, 0.0, 1.0, 0.0]).reshape([4, 1]);
/// let x = Tensor::from_slice(&[3.0, 1.0, -1.0, 2.0, 2.0, 2.0, -2.0, 0.0]).reshape([4, 2]);
/// let erased = leace(&x, &z, &LeaceOptions::default())?.apply(&x)?;
/// let ones = erased.narrow(0, 0, 1) + erased.narrow(0, 2, 1); // the rows with z = 1
/// let zeros = erased.narrow(0, 1, 1) + erased.narrow(0, 3, 1);
/// assert!((ones - zeros).abs().max().double_value(&[]) < 1e-12);
/// # Ok::<(), ccs::Error>(())
/// ```
///
/// # Shapes
/// `x`: \[N, D\] states; `z`: \[N, K\], the concept, one-hot for classes.
///
/// # Errors
/// Shapes that do not fit, fewer than two rows, a value that is not finite, a tolerance that is not positive.
pub fn leace(x: &Tensor, z: &Tensor, options: &LeaceOptions) -> Result<Eraser> {
    let data = Data::new(x, z, options.tolerance)?;
    if options.shrinkage {
        let (shrunk, ridge) = data.shrinkage()?;
        let solved = data.solve(shrunk, ridge)?; // Σ⁻¹A, [D, K]
        let (values, vectors) = data.cross.f_tr()?.f_mm(&solved)?.f_linalg_eigh("L")?; // s² and V of Σ^(−½)A
        let kept =
            values.f_clamp_min(0.0)?.f_sqrt()?.f_gt(options.tolerance)?.f_nonzero()?.f_reshape([-1])?;
        let scale = values.f_index_select(0, &kept)?.f_rsqrt()?; // [M]
        let rotated = vectors.f_index_select(1, &kept)?.f_mul(&scale)?; // V/s, [K, M]
        let right = solved.f_mm(&rotated)?.f_tr()?;
        return data.eraser(&data.cross.f_mm(&rotated)?, &right);
    }
    data.whitened(options)
}

/// Fits SAL on training rows: an orthogonal projection, which needs no covariance of x and changes x more.
///
/// Singular values of A up to `tolerance` times the largest are taken for noise. They are in units of x·z, so that no
/// number for all states' scales could be given; beside each other they say which directions carry z.
///
/// # Shapes
/// As [`leace`].
///
/// # Errors
/// As [`leace`], and a tolerance of 1 or more.
pub fn sal(x: &Tensor, z: &Tensor, tolerance: f64) -> Result<Eraser> {
    let data = Data::new(x, z, tolerance)?;
    if tolerance >= 1.0 {
        return Err(Error::Setting {
            name: "tolerance",
            value: tolerance.to_string(),
            reason: "it is a share of the largest singular value, so that nothing would be erased",
            hint: "give less than 1, such as 0.01",
        });
    }
    let basis = left_singular(&data.cross, |largest| (tolerance * largest).max(data.rounding))?;
    data.eraser(&basis, &basis.f_tr()?)
}

/// The left singular vectors of `a` \[D, K\] whose singular value is above what `least` makes of the largest. \[D, M\]
fn left_singular(a: &Tensor, least: impl Fn(f64) -> f64) -> Result<Tensor> {
    let (u, s, _) = a.f_svd(true, true)?;
    let least = least(s.f_max()?.f_double_value(&[])?);
    Ok(u.f_index_select(1, &s.f_gt(least)?.f_nonzero()?.f_reshape([-1])?)?)
}

/// Centered rows and what both methods need of them.
struct Data {
    mean: Tensor,
    centered: Tensor, // X, [N, D]
    concept: Tensor,  // centered Z, [N, K]
    cross: Tensor,    // A = XᵀZ / (n − 1), [D, K]
    rows: f64,
    dim: f64,
    /// `XXᵀ` or `XᵀX`, whichever is smaller.
    gram: std::cell::OnceCell<Tensor>,
    /// How large A's entries get by rounding alone: the means are off by it in units of the states as given.
    rounding: f64,
}

impl Data {
    fn new(x: &Tensor, z: &Tensor, tolerance: f64) -> Result<Self> {
        if !(tolerance.is_finite() && tolerance > 0.0) {
            return Err(Error::Setting {
                name: "tolerance",
                value: tolerance.to_string(),
                reason: "singular values up to it are taken for rounding and noise",
                hint: "the default is 0.01",
            });
        }
        let (rows, dim) = match x.size()[..] {
            [rows, dim] if dim > 0 => (rows, dim),
            _ => return Err(shape("the states", "[N, D]", x)),
        };
        if z.dim() != 2 || z.size().first() != Some(&rows) || z.size().get(1) == Some(&0) {
            return Err(shape("the concept", &format!("[{rows}, K], a row for each state"), z));
        }
        if rows < 2 {
            let purpose = "a covariance".to_owned();
            return Err(Error::TooFewRows { purpose, needed: 2, found: rows as usize });
        }
        crate::floats::all_finite("the state", x)?;
        crate::floats::all_finite("the concept", z)?;
        let center = |t: &Tensor| -> Result<(Tensor, Tensor)> {
            let t = t.f_to_kind(Kind::Double)?.f_to_device(x.device())?;
            let mean = t.f_mean_dim(0, false, Kind::Double)?;
            Ok((t.f_sub(&mean)?, mean))
        };
        let ((centered, mean), (concept, _)) = (center(x)?, center(z)?);
        let cross = centered.f_tr()?.f_mm(&concept)?.f_div_scalar(rows as f64 - 1.0)?;
        let size = |t: &Tensor| t.f_to_kind(Kind::Double)?.f_norm()?.f_double_value(&[]);
        let rounding = f64::EPSILON * size(x)? * size(z)? / (rows as f64 - 1.0);
        let gram = std::cell::OnceCell::new();
        Ok(Self { mean, centered, concept, cross, rows: rows as f64, dim: dim as f64, gram, rounding })
    }

    fn is_wide(&self) -> bool {
        self.rows < self.dim
    }

    fn gram(&self) -> Result<&Tensor> {
        if let Some(gram) = self.gram.get() {
            return Ok(gram);
        }
        let x = &self.centered;
        let gram = if self.is_wide() { x.f_mm(&x.f_tr()?)? } else { x.f_tr()?.f_mm(x)? };
        Ok(self.gram.get_or_init(|| gram))
    }

    /// a and b of Σ = a·S + b·I, S = XᵀX/n: the optimal linear shrinkage of Bodnar, Gupta and Parolya 2014, from
    /// tr S and ‖S‖², which the Gram matrix has as well. a stays in \[0, 1\].
    fn shrinkage(&self) -> Result<(f64, f64)> {
        let gram = self.gram()?;
        let trace = gram.f_trace()?.f_double_value(&[])? / self.rows;
        let square = gram.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])? / self.rows.powi(2);
        let target = trace / self.dim; // σ₀ of Σ₀ = σ₀I; ‖Σ₀‖² = σ₀²p, tr SΣ₀ = σ₀·tr S
        let target_square = target * target * self.dim;
        let top = trace * trace * target_square / self.rows;
        let bottom = square * target_square - (target * trace).powi(2);
        let a = (1.0 - (top + f64::EPSILON) / (bottom + f64::EPSILON)).clamp(0.0, 1.0);
        // A ridge of nothing where every row is the same: then A is 0 too and nothing is erased.
        Ok((a, ((1.0 - a) * target).max(f64::MIN_POSITIVE)))
    }

    /// (a·S + b·I)⁻¹A. \[D, K\]
    fn solve(&self, a: f64, b: f64) -> Result<Tensor> {
        let gram = self.gram()?;
        let ridge = Tensor::f_eye(gram.dims2("gram")?.0, (Kind::Double, gram.device()))?;
        let matrix = gram.f_mul_scalar(a / self.rows)?.f_add(&ridge.f_mul_scalar(b)?)?;
        let (factor, info) = matrix.f_linalg_cholesky_ex(false, false)?;
        if info.f_int64_value(&[])? != 0 {
            let what = "the covariance of the states".to_owned();
            return Err(Error::Singular { what });
        }
        if self.is_wide() {
            let weights = self.concept.f_div_scalar(self.rows - 1.0)?.f_cholesky_solve(&factor, false)?; // [N, K]
            return Ok(self.centered.f_tr()?.f_mm(&weights)?);
        }
        Ok(self.cross.f_cholesky_solve(&factor, false)?)
    }

    /// LEACE by the roots of Σ, for a Σ that may have no inverse: its pseudo-inverse is taken.
    fn whitened(&self, options: &LeaceOptions) -> Result<Eraser> {
        let covariance = self.centered.f_tr()?.f_mm(&self.centered)?; // [D, D], n·S
        let sigma = if options.shrinkage {
            let (a, b) = self.shrinkage()?;
            let eye = Tensor::f_eye(self.dim as i64, (Kind::Double, covariance.device()))?;
            covariance.f_mul_scalar(a / self.rows)?.f_add(&eye.f_mul_scalar(b)?)?
        } else {
            covariance.f_div_scalar(self.rows - 1.0)?
        };
        let (values, vectors) = sigma.f_linalg_eigh("L")?;
        let largest = values.f_max()?.f_double_value(&[])?;
        let positive = values.f_gt(largest * self.dim * f64::EPSILON)?.f_to_kind(Kind::Double)?;
        let root = values.f_clamp_min(0.0)?.f_sqrt()?.f_mul(&positive)?; // 0 where there is no variance
        let inverse = positive.f_div(&root.f_add(&positive.f_neg()?.f_add_scalar(1.0)?)?)?; // there 0 too
        let times = |scale: &Tensor, a: &Tensor| -> Result<Tensor> {
            Ok(vectors.f_mul(scale)?.f_mm(&vectors.f_tr()?.f_mm(a)?)?)
        };
        let u = left_singular(&times(&inverse, &self.cross)?, |_| options.tolerance)?; // [D, M]
        let (left, right) = (times(&root, &u)?, times(&inverse, &u)?.f_tr()?);
        self.eraser(&left, &right)
    }

    fn eraser(&self, left: &Tensor, right: &Tensor) -> Result<Eraser> {
        let home = |t: &Tensor| t.f_to_device(Device::Cpu)?.f_contiguous();
        Ok(Eraser { mean: home(&self.mean)?, left: home(left)?, right: home(right)? })
    }
}

fn shape(what: &str, expected: &str, found: &Tensor) -> Error {
    Error::Shape {
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.size(),
        hint: "states and concept have one row each per example",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N rows of D waves that shift with the class, and the classes one-hot.
    fn example(rows: i64, dim: i64, classes: i64) -> (Tensor, Tensor) {
        let class = Tensor::arange(rows, (Kind::Int64, Device::Cpu)).remainder(classes);
        let noise = (Tensor::arange(rows * dim, (Kind::Double, Device::Cpu)).square() * 0.7)
            .sin()
            .reshape([rows, dim]);
        let shift =
            (Tensor::arange(classes * dim, (Kind::Double, Device::Cpu)) * 1.3).cos().reshape([classes, dim]);
        let scale = Tensor::arange(dim, (Kind::Double, Device::Cpu)) + 0.5;
        (noise * scale + shift.index_select(0, &class), class.one_hot(classes).to_kind(Kind::Double))
    }

    fn largest(t: &Tensor) -> f64 {
        t.abs().max().double_value(&[])
    }

    #[test]
    fn class_means_are_equal_and_erasing_twice_changes_nothing() {
        for (rows, dim, classes) in [(60, 5, 2), (60, 12, 4), (12, 40, 3)] {
            let (x, z) = example(rows, dim, classes);
            for shrinkage in [true, false] {
                let options = LeaceOptions { shrinkage, tolerance: 1e-6 };
                for eraser in [leace(&x, &z, &options).unwrap(), sal(&x, &z, 1e-6).unwrap()] {
                    assert_eq!(eraser.rank(), classes as usize - 1);
                    let once = eraser.apply(&x).unwrap();
                    let means = z.tr().mm(&once) / z.sum_dim_intlist(0, false, Kind::Double).unsqueeze(1);
                    assert!(largest(&(&means - &eraser.mean)) < 1e-9, "{}", largest(&(means - &eraser.mean)));
                    assert!(largest(&(eraser.apply(&once).unwrap() - &once)) < 1e-9);
                    assert!(largest(&(once - &x)) > 1e-3, "something was erased");
                }
            }
        }
    }

    #[test]
    fn the_span_of_the_rows_gives_what_all_dimensions_give() {
        let (x, z) = example(15, 40, 3);
        let options = LeaceOptions::default();
        let short = leace(&x, &z, &options).unwrap().apply(&x).unwrap();
        let long = Data::new(&x, &z, 0.01).unwrap().whitened(&options).unwrap().apply(&x).unwrap();
        assert!(largest(&(short - long)) < 1e-9);
    }

    #[test]
    fn leace_changes_the_states_less_than_sal() {
        let (x, z) = example(400, 6, 2);
        let options = LeaceOptions { shrinkage: false, ..LeaceOptions::default() };
        let moved =
            |eraser: Eraser| (eraser.apply(&x).unwrap() - &x).square().sum(Kind::Double).double_value(&[]);
        assert!(moved(leace(&x, &z, &options).unwrap()) <= moved(sal(&x, &z, 0.01).unwrap()));
    }

    #[test]
    fn nothing_is_erased_where_nothing_is_known_about_the_concept() {
        let (x, _) = example(20, 4, 2);
        let z = Tensor::ones([20, 1], (Kind::Double, Device::Cpu));
        for eraser in [leace(&x, &z, &LeaceOptions::default()).unwrap(), sal(&x, &z, 0.01).unwrap()] {
            assert_eq!(eraser.rank(), 0);
            // Taking the mean away and adding it again is two roundings of numbers below 8.
            assert!(largest(&(eraser.apply(&x).unwrap() - &x)) < 1e-14);
        }
        let same = Tensor::ones([20, 4], (Kind::Double, Device::Cpu));
        let (_, z) = example(20, 4, 2);
        assert_eq!(leace(&same, &z, &LeaceOptions::default()).unwrap().rank(), 0);
    }

    #[test]
    fn sal_erases_the_same_directions_whatever_the_states_unit() {
        let (x, z) = example(60, 12, 4);
        let erased = |unit: f64| sal(&(&x * unit), &z, 0.01).unwrap().apply(&(&x * unit)).unwrap() / unit;
        for unit in [1e-6, 1e5] {
            assert_eq!(sal(&(&x * unit), &z, 0.01).unwrap().rank(), 3);
            assert!(largest(&(erased(unit) - erased(1.0))) < 1e-9, "{unit}");
        }
        // States that do not vary but for rounding of a large mean.
        let same = Tensor::full([60, 3], 1e8 + 0.1, (Kind::Double, Device::Cpu));
        assert_eq!(sal(&same, &z, 0.01).unwrap().rank(), 0);
    }

    #[test]
    fn bad_input_is_refused() {
        let (x, z) = example(20, 4, 2);
        let options = LeaceOptions::default();
        assert!(matches!(leace(&x, &z.narrow(0, 0, 19), &options), Err(Error::Shape { .. })));
        assert!(matches!(
            leace(&x.narrow(0, 0, 1), &z.narrow(0, 0, 1), &options),
            Err(Error::TooFewRows { .. })
        ));
        assert!(matches!(sal(&x, &z, 0.0), Err(Error::Setting { .. })));
        assert!(matches!(sal(&x, &z, 1.0), Err(Error::Setting { .. })));
        assert!(matches!(leace(&(&x / 0.0), &z, &options), Err(Error::NotFinite { .. })));
        let eraser = leace(&x, &z, &options).unwrap();
        assert!(matches!(eraser.apply(&x.narrow(1, 0, 3)), Err(Error::Shape { .. })));
    }
}
