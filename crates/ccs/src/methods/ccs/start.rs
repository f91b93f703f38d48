//! Where the restarts begin.

use rand::RngExt;
use rand_distr::StandardNormal;
use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::architecture::ProbeArchitecture;
use super::options::Init;
use crate::Result;
use crate::SeedTree;

/// Where the optimizer begins.
#[derive(Debug)]
pub struct Start {
    /// \[D, R\]
    pub weight: Tensor,
    /// \[R\]
    pub bias: Tensor,
}

impl Start {
    /// R directions, uniform on the unit sphere, with zero bias; start r draws from `stream`'s `restart r`.
    ///
    /// # Shapes
    /// `weight`: \[`dim`, `restarts`\], f64.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn unit_sphere(dim: usize, restarts: usize, stream: &SeedTree) -> Result<Self> {
        let mut values: Vec<f64> = Vec::with_capacity(dim * restarts);
        for restart in 0..restarts {
            let mut rng = stream.indexed("restart", restart).rng();
            let direction: Vec<f64> = (0..dim).map(|_| rng.sample(StandardNormal)).collect();
            let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            values.extend(direction.into_iter().map(|x| x / norm));
        }
        let weight = Tensor::f_from_slice(&values)?.f_reshape([restarts as i64, dim as i64])?.f_tr()?;
        Ok(Self { weight, bias: zeros(&[restarts as i64])? })
    }

    /// Weights and biases from U(±1/√D); start r draws from `stream`'s `restart r`.
    ///
    /// # Shapes
    /// `weight`: \[`dim`, `restarts`\], f64.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn uniform(dim: usize, restarts: usize, stream: &SeedTree) -> Result<Self> {
        let (mut weight, mut bias) = (Vec::with_capacity(dim * restarts), Vec::with_capacity(restarts));
        for restart in 0..restarts {
            let mut draw = uniform(dim, stream, restart);
            weight.extend((0..dim).map(|_| draw()));
            bias.push(draw());
        }
        let weight = Tensor::f_from_slice(&weight)?.f_reshape([restarts as i64, dim as i64])?.f_tr()?;
        Ok(Self { weight, bias: Tensor::f_from_slice(&bias)? })
    }

    /// The first principal directions of the rows of `differences`, by falling variance, largest entry positive; where
    /// there are fewer than `restarts`, the rest are as in [`Start::unit_sphere`].
    ///
    /// # Shapes
    /// `differences`: \[N, D\]; `weight`: \[D, `restarts`\], f64.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn principal(differences: &Tensor, restarts: usize, stream: &SeedTree) -> Result<Self> {
        let (_, dim) = differences.dims2("differences")?;
        let directions = principal_directions(differences)?;
        let found = directions.dims2("directions")?.1.min(restarts as i64);
        let start = Self::unit_sphere(dim as usize, restarts, stream)?;
        let mut weight = start.weight.f_contiguous()?;
        weight.f_narrow(1, 0, found)?.f_copy_(&directions.f_narrow(1, 0, found)?)?;
        let peak = weight.f_abs()?.f_argmax(0, true)?; // [1, R]
        let _ = weight.f_mul_(&weight.f_gather(0, &peak, false)?.f_sign()?)?;
        Ok(Self { weight, bias: start.bias })
    }

    pub(crate) fn of(init: Init, differences: &Tensor, restarts: usize, stream: &SeedTree) -> Result<Self> {
        let dim = differences.dims2("differences")?.1 as usize;
        match init {
            Init::UnitSphere => Self::unit_sphere(dim, restarts, stream),
            Init::Uniform => Self::uniform(dim, restarts, stream),
            Init::Pca => Self::principal(differences, restarts, stream),
            Init::Zero => {
                Ok(Self { weight: zeros(&[dim as i64, restarts as i64])?, bias: zeros(&[restarts as i64])? })
            }
        }
    }
}

/// The principal directions of the rows of `differences` \[N, D\] as columns, by falling variance; as many as there are
/// above rounding.
pub(super) fn principal_directions(differences: &Tensor) -> Result<Tensor> {
    let x = differences.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?;
    let x = x.f_sub(&x.f_mean_dim(0, true, Kind::Double)?)?;
    let (rows, dim) = x.dims2("differences")?;
    // The smaller of the two Gram matrices has the same spectrum; both are ascending.
    if rows < dim {
        let (values, vectors) = x.f_mm(&x.f_tr()?)?.f_linalg_eigh("L")?;
        let scale = values.f_clamp_min(f64::MIN_POSITIVE)?.f_rsqrt()?;
        return keep(&values, &x.f_tr()?.f_mm(&vectors)?.f_mul(&scale)?);
    }
    let (values, vectors) = x.f_tr()?.f_mm(&x)?.f_linalg_eigh("L")?;
    keep(&values, &vectors)
}

/// Eigenvectors with eigenvalues above rounding, the largest first. `vectors`: columns by ascending `values`.
fn keep(values: &Tensor, vectors: &Tensor) -> Result<Tensor> {
    let largest = values.f_max()?.f_double_value(&[])?;
    let rank = values.f_gt(largest * 1e-12)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    let from = values.dims1("eigenvalues")? - rank;
    Ok(vectors.f_narrow(1, from, rank)?.f_flip([1])?)
}

fn zeros(shape: &[i64]) -> Result<Tensor> {
    Ok(Tensor::f_zeros(shape, (Kind::Double, Device::Cpu))?)
}

/// Draws from U(±1/√`fan_in`), for restart `restart`.
fn uniform(fan_in: usize, stream: &SeedTree, restart: usize) -> impl FnMut() -> f64 {
    let mut rng = stream.indexed("restart", restart).rng();
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    move || bound * (2.0 * rng.random::<f64>() - 1.0)
}

/// Starts of a body with hidden layers: every layer's weights and biases from U(±1/√(its inputs)), restart by restart.
///
/// # Shapes
/// As [`ProbeArchitecture`]'s parameters, f64.
pub(super) fn hidden(body: &ProbeArchitecture, dim: i64, stream: &SeedTree) -> Result<Vec<Tensor>> {
    let probes = body.probes.max(0) as usize;
    let shapes = body.shapes(dim);
    let mut values: Vec<Vec<f64>> = shapes.iter().map(|_| Vec::new()).collect();
    for restart in 0..probes {
        let mut below = dim as usize;
        for (index, (part, shape)) in values.iter_mut().zip(&shapes).enumerate() {
            let layer =
                stream.indexed("layer", index / 2).child(if index % 2 == 0 { "weight" } else { "bias" });
            let length = shape.iter().product::<i64>() as usize / probes.max(1);
            let mut draw = uniform(below, &layer, restart);
            part.extend((0..length).map(|_| draw()));
            if index % 2 == 1 {
                below = length;
            }
        }
    }
    let tensors = values.iter().zip(&shapes);
    tensors.map(|(v, shape)| Ok(Tensor::f_from_slice(v)?.f_reshape(shape.as_slice())?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_unit_vectors_and_do_not_depend_on_their_number() {
        let stream = SeedTree::new(3);
        let many = Start::unit_sphere(20, 10, &stream).unwrap().weight;
        let few = Start::unit_sphere(20, 2, &stream).unwrap().weight;
        let lengths = many.square().sum_dim_intlist(0, false, Kind::Double);
        assert!((lengths - 1.0).abs().max().double_value(&[]) < 1e-12);
        assert!(many.narrow(1, 0, 2).equal(&few));
        let (many, few) = (Start::uniform(20, 10, &stream).unwrap(), Start::uniform(20, 2, &stream).unwrap());
        assert!(many.weight.narrow(1, 0, 2).equal(&few.weight) && many.bias.narrow(0, 0, 2).equal(&few.bias));
        assert!(many.weight.abs().max().double_value(&[]) <= 1.0 / 20f64.sqrt());
        assert!(many.weight.abs().max().double_value(&[]) > 0.9 / 20f64.sqrt());
        let body = |probes| ProbeArchitecture { hidden: vec![3, 2], probes, bias: true };
        for (many, few) in
            hidden(&body(4), 5, &stream).unwrap().iter().zip(hidden(&body(2), 5, &stream).unwrap())
        {
            assert!(many.narrow(0, 0, few.size()[0]).equal(&few));
        }
    }

    #[test]
    fn principal_starts_are_the_right_singular_vectors_whichever_side_is_longer() {
        for shape in [[9, 4], [4, 9]] {
            let x = (Tensor::arange(36, (Kind::Double, Device::Cpu)) * 0.7).square().sin().reshape(shape);
            let start = Start::principal(&x, 5, &SeedTree::new(0)).unwrap().weight;
            let centered = &x - x.mean_dim(0, true, Kind::Double);
            let scatter = centered.tr().mm(&centered);
            let mut last = f64::INFINITY;
            for r in 0..(shape[0] - 1).min(4) {
                let v = start.select(1, r);
                let image = scatter.mv(&v);
                let value = image.dot(&v).double_value(&[]);
                assert!(
                    (image - &v * value).abs().max().double_value(&[]) < 1e-9,
                    "{shape:?}, direction {r}"
                );
                assert!(value <= last && v.double_value(&[v.abs().argmax(0, false).int64_value(&[])]) > 0.0);
                last = value;
            }
            let lengths = start.square().sum_dim_intlist(0, false, Kind::Double);
            assert!((lengths - 1.0).abs().max().double_value(&[]) < 1e-9, "the rest are unit vectors too");
        }
    }
}
