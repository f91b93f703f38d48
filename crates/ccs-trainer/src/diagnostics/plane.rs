//! The plane of the first two principal components.

use ccs::SeedTree;
use rand::RngExt as _;
use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::Result;

/// Up to so many rows or dimensions, the components are those of a dense decomposition; beyond, of repeated products.
const DENSE: i64 = 512;
/// Vectors that are iterated together: the more there are beyond two, the faster the first two converge.
const BLOCK: i64 = 10;
/// The most iterations. After k of them the plane is off by about (λ₁₁/λ₂)ᵏ, of which a picture shows 10⁻³.
const ITERATIONS: usize = 60;
/// Ends the iterations: the relative change of the first two eigenvalues.
const CONVERGED: f64 = 1e-10;

/// The first two principal components of centered rows.
#[derive(Debug)]
pub(crate) struct Plane {
    /// \[D, 2\], orthonormal, f64.
    pub(crate) basis: Tensor,
    /// The share of all variance along either.
    pub(crate) explained: [f64; 2],
}

impl Plane {
    /// Of rows that were centered. None where they do not vary, or vary along one direction alone.
    ///
    /// # Shapes
    /// `rows`: \[R, D\], f64.
    pub(crate) fn of(rows: &Tensor, seeds: &SeedTree) -> Result<Option<Self>> {
        let (count, dim) = rows.dims2("rows")?;
        if count < 2 || dim < 2 {
            return Ok(None);
        }
        let (values, basis) = if dim <= DENSE {
            largest(&rows.f_tr()?.f_mm(rows)?)?
        } else if count <= DENSE {
            let (values, vectors) = largest(&rows.f_mm(&rows.f_tr()?)?)?; // of the Gram matrix, [R, 2]
            (values, unit(&rows.f_tr()?.f_mm(&vectors)?)?)
        } else {
            iterated(rows, seeds)?
        };
        let total = rows.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])?;
        let explained = values.map(|value| value.max(0.0) / total);
        // A direction of nothing but rounding is none.
        let varies = total.is_finite() && total > 0.0 && explained.iter().all(|share| *share > 1e-12);
        Ok(varies.then_some(Self { basis, explained }))
    }

    /// Turns either axis so that true statements lie further to its positive end, on the mean.
    ///
    /// # Shapes
    /// `rows`: \[R, D\], of `truths`: R.
    pub(crate) fn toward(self, rows: &Tensor, truths: &[bool]) -> Result<Self> {
        let signs: Vec<f64> = truths.iter().map(|&truth| if truth { 1.0 } else { -1.0 }).collect();
        let signs = Tensor::f_from_slice(&signs)?.f_to_device(rows.device())?; // [R]
        let along = rows.f_mm(&self.basis)?.f_tr()?.f_mv(&signs)?; // [2]
        let turn = along.f_ge(0.0)?.f_to_kind(Kind::Double)?.f_mul_scalar(2.0)?.f_sub_scalar(1.0)?;
        Ok(Self { basis: self.basis.f_mul(&turn)?, ..self })
    }
}

/// The two largest eigenvalues of a symmetric matrix, and their vectors. \[S, S\] to \[S, 2\].
fn largest(matrix: &Tensor) -> Result<([f64; 2], Tensor)> {
    let (values, vectors) = matrix.f_linalg_eigh("L")?; // ascending
    let (size, _) = matrix.dims2("matrix")?;
    let vectors = vectors.f_narrow(1, size - 2, 2)?.f_flip([1])?;
    let value = |place: i64| -> Result<f64> { Ok(values.f_double_value(&[size - place])?) };
    Ok(([value(1)?, value(2)?], vectors))
}

/// Orthogonal iteration, from a block of Gaussian vectors (Halko, Martinsson and Tropp 2011, §4.5).
fn iterated(rows: &Tensor, seeds: &SeedTree) -> Result<([f64; 2], Tensor)> {
    let (_, dim) = rows.dims2("rows")?;
    let mut rng = seeds.rng();
    let numbers: Vec<f64> = (0..dim * BLOCK).map(|_| rng.random_range(-1.0..1.0)).collect();
    let start = Tensor::f_from_slice(&numbers)?.f_reshape([dim, BLOCK])?.f_to_device(rows.device())?;
    let mut block = Tensor::f_linalg_qr(&start, "reduced")?.0; // [D, B]
    let mut before = [0.0; 2];
    for iteration in 0.. {
        let image = rows.f_mm(&block)?; // [R, B]
        let (values, vectors) = largest(&image.f_tr()?.f_mm(&image)?)?;
        let close = |(new, old): (&f64, &f64)| (new - old).abs() <= CONVERGED * new.abs();
        if iteration >= ITERATIONS || values.iter().zip(&before).all(close) {
            return Ok((values, block.f_mm(&vectors)?));
        }
        before = values;
        block = Tensor::f_linalg_qr(&rows.f_tr()?.f_mm(&image)?, "reduced")?.0;
    }
    Ok((before, block)) // not reached: the iteration ends above
}

/// Columns of length 1.
fn unit(columns: &Tensor) -> Result<Tensor> {
    let lengths = columns.f_square()?.f_sum_dim_intlist(0, true, Kind::Double)?.f_sqrt()?;
    Ok(columns.f_div(&lengths.f_clamp_min(f64::MIN_POSITIVE)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of scikit-learn (`pca.py`).
    #[derive(serde::Deserialize)]
    struct Oracle {
        rows: Vec<Vec<f64>>,
        explained: [f64; 2],
        components: [Vec<f64>; 2],
    }

    fn matrix(rows: &[Vec<f64>]) -> Tensor {
        Tensor::from_slice(&rows.concat()).reshape([rows.len() as i64, -1])
    }

    /// Rows of Gaussian-like noise with two axes that stand out.
    fn planted(rows: i64, dim: i64) -> Tensor {
        let steps = Tensor::arange(rows * dim, (Kind::Double, tch::Device::Cpu)).reshape([rows, dim]);
        let noise = (steps * 12.9898).sin() * 43758.5453;
        let noise: Tensor = &noise - noise.floor() - 0.5;
        noise.select(1, 3).copy_(&(noise.select(1, 3) * 9.0));
        noise.select(1, 5).copy_(&(noise.select(1, 5) * 6.0));
        &noise - noise.mean_dim(0, true, Kind::Double)
    }

    fn overlap(a: &Tensor, b: &Tensor) -> f64 {
        // The smallest cosine between the planes.
        let (_, cosines, _) = a.tr().mm(b).svd(true, true);
        cosines.min().double_value(&[])
    }

    #[test]
    fn components_are_those_of_scikit_learn() {
        let oracle: Oracle = serde_json::from_slice(include_bytes!("../../tests/fixtures/pca.json")).unwrap();
        let (rows, components) = (matrix(&oracle.rows), matrix(&oracle.components));
        let plane = Plane::of(&rows, &SeedTree::new(0)).unwrap().unwrap();
        for (found, expected) in plane.explained.iter().zip(oracle.explained) {
            // Squares of 30 rows of 5, summed and decomposed: a thousand roundings at most.
            assert!((found - expected).abs() < 1e3 * f64::EPSILON, "{found} {expected}");
        }
        // A rounding of the matrix turns a vector by it over the gap of its eigenvalues, here a tenth of the sum.
        let cosines = components.mm(&plane.basis).abs().diag(0);
        assert!(1.0 - cosines.min().double_value(&[]) < 1e-12, "{cosines:?}");
    }

    #[test]
    fn every_way_gives_the_same_plane() {
        // More rows and dimensions than are decomposed densely.
        let rows = planted(DENSE + 100, DENSE + 40);
        let iterated = Plane::of(&rows, &SeedTree::new(1)).unwrap().unwrap();
        let (values, dense) = largest(&rows.tr().mm(&rows)).unwrap();
        // Iterations ended at a change of 1e-10 in the values: that of vectors is its root.
        assert!(overlap(&iterated.basis, &dense) > 1.0 - 1e-8);
        let total = rows.square().sum(Kind::Double).double_value(&[]);
        assert!((iterated.explained[0] - values[0] / total).abs() < 1e-8);
        // Fewer rows than dimensions: by the matrix of rows.
        let few = rows.narrow(0, 0, 200);
        let gram = Plane::of(&few, &SeedTree::new(1)).unwrap().unwrap();
        let (_, dense) = largest(&few.tr().mm(&few)).unwrap();
        assert!(overlap(&gram.basis, &dense) > 1.0 - 1e-10);
        let product = gram.basis.tr().mm(&gram.basis) - Tensor::eye(2, (Kind::Double, tch::Device::Cpu));
        assert!(product.abs().max().double_value(&[]) < 1e-10);
    }

    #[test]
    fn truth_is_to_the_right_and_what_does_not_vary_has_no_plane() {
        let rows = matrix(&[vec![-3.0, 1.0], vec![3.0, -1.0], vec![0.5, 1.5], vec![-0.5, -1.5]]);
        let plane = || Plane::of(&rows, &SeedTree::new(0)).unwrap().unwrap();
        for truths in [[true, false, true, false], [false, true, false, true]] {
            let turned = plane().toward(&rows, &truths).unwrap();
            let along = rows.mm(&turned.basis);
            let sum = |axis: i64| -> f64 {
                (0..4)
                    .map(|r| along.double_value(&[r, axis]) * if truths[r as usize] { 1.0 } else { -1.0 })
                    .sum()
            };
            assert!(sum(0) >= 0.0 && sum(1) >= 0.0);
        }
        for flat in
            [vec![vec![0.0, 0.0]; 3], vec![vec![1.0, 2.0], vec![-1.0, -2.0]], vec![vec![1.0], vec![-1.0]]]
        {
            assert!(Plane::of(&matrix(&flat), &SeedTree::new(0)).unwrap().is_none(), "{flat:?}");
        }
    }
}
