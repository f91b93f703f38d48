//! Where L-BFGS works: the parameters themselves, or the span of the data.
//!
//! L-BFGS and its line search only ever form linear combinations of gradients and the start, and inner products of such. With
//! X the 2N statements, a gradient is Xᵀs + λw; so every iterate is w = Xᵀa + c·w₀ with the start w₀, and with the Gram matrix
//! K = X·Xᵀ every inner product and every logit is known from (a, c): ⟨u, v⟩ = aᵤᵀKaᵥ + …, Xw = Ka + c·Xw₀. For fewer
//! statements than dimensions this is the smaller problem. Nothing is approximated, K may be singular, and directions
//! of the start that the data do not have are kept.

use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::Result;
use crate::methods::lbfgs::{Space, numbers};

/// Coordinates of R vectors, one a row: w (or a and c) and last the bias; in the span followed by their dual, so that a
/// linear combination is one operation. \[R, P\] or \[R, 2P\]
pub(super) struct SearchSpace {
    x: Tensor, // [2N, D]
    gram: Option<Gram>,
    /// P, numbers of a vector without its dual.
    length: i64,
    l2: f64,
    bias: bool,
}

/// The metric of the span: ⟨u, v⟩ = Σ u·dual(v).
struct Gram {
    k: Tensor,       // K, [2N, 2N]
    start: Tensor,   // w₀, [R, D]
    image: Tensor,   // Xw₀, [R, 2N]
    squared: Tensor, // |w₀|², [R, 1]
}

impl SearchSpace {
    /// # Shapes
    /// `x`: \[2N, D\]; `start`: \[R, D\].
    pub(super) fn new(x: Tensor, start: &Tensor, l2: f64, bias: bool) -> Result<Self> {
        let (rows, dim) = x.dims2("states")?;
        let gram = if rows < dim {
            let image = start.f_mm(&x.f_tr()?)?;
            let squared = start.f_square()?.f_sum_dim_intlist(1, true, start.kind())?;
            Some(Gram { k: gram(&x)?, start: start.f_alias()?, image, squared })
        } else {
            None
        };
        let length = if gram.is_some() { rows + 2 } else { dim + 1 };
        Ok(Self { x, gram, length, l2, bias })
    }

    fn rows(&self) -> Result<i64> {
        Ok(self.x.dims2("states")?.0)
    }

    /// The start as a vector. `weight`: \[R, D\]; `bias`: \[R\].
    pub(super) fn start(&self, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let bias = bias.f_unsqueeze(1)?; // [R, 1]
        if self.gram.is_none() {
            return Ok(Tensor::f_cat(&[weight, &bias], 1)?);
        }
        let (probes, _) = weight.dims2("start")?;
        let a = Tensor::f_zeros([probes, self.rows()?], (weight.kind(), weight.device()))?;
        self.with_dual(&a, &bias.f_ones_like()?, &bias)
    }

    /// Coordinates in the span with their dual: Ka + c·Xw₀, aᵀXw₀ + c·|w₀|² and the bias. One product with K.
    fn with_dual(&self, a: &Tensor, c: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let Some(gram) = &self.gram else { return Ok(Tensor::f_cat(&[a, bias], 1)?) };
        let logits = a.f_mm(&gram.k)?.f_add(&gram.image.f_mul(c)?)?;
        let along =
            a.f_mul(&gram.image)?.f_sum_dim_intlist(1, true, a.kind())?.f_add(&gram.squared.f_mul(c)?)?;
        Ok(Tensor::f_cat(&[a, c, bias, &logits, &along, bias], 1)?)
    }

    /// The bias of each vector. \[R, 1\]
    fn bias(&self, vector: &Tensor) -> Result<Tensor> {
        Ok(vector.f_narrow(1, self.length - 1, 1)?)
    }

    /// Weights \[R, D\] and biases \[R\].
    pub(super) fn parameters(&self, vector: &Tensor) -> Result<(Tensor, Tensor)> {
        let bias = self.bias(vector)?.f_squeeze_dim(1)?;
        let weight = match &self.gram {
            Some(gram) => {
                let along = gram.start.f_mul(&vector.f_narrow(1, self.rows()?, 1)?)?;
                along.f_addmm(&vector.f_narrow(1, 0, self.rows()?)?, &self.x)?
            }
            None => vector.f_narrow(1, 0, self.length - 1)?,
        };
        Ok((weight, bias))
    }
}

impl Space for SearchSpace {
    /// Xw + b. \[2N, R\]
    fn logits(&self, vector: &Tensor) -> Result<Tensor> {
        let z = match &self.gram {
            Some(_) => vector.f_narrow(1, self.length, self.rows()?)?.f_tr()?,
            None => self.x.f_mm(&vector.f_narrow(1, 0, self.length - 1)?.f_tr()?)?,
        };
        Ok(z.f_add(&self.bias(vector)?.f_tr()?)?.f_contiguous()?)
    }

    /// The gradient at `vector`: Xᵀs + λw and Σs. `slope`: \[2N, R\].
    fn gradient(&self, slope: &Tensor, vector: &Tensor) -> Result<Tensor> {
        let mut bias = slope.f_sum_dim_intlist(0, false, slope.kind())?.f_unsqueeze(1)?;
        if !self.bias {
            bias = bias.f_zeros_like()?;
        }
        let slope = slope.f_tr()?.f_contiguous()?; // [R, 2N]
        if self.gram.is_some() {
            let a = slope.f_add(&vector.f_narrow(1, 0, self.rows()?)?.f_mul_scalar(self.l2)?)?;
            let c = vector.f_narrow(1, self.rows()?, 1)?.f_mul_scalar(self.l2)?;
            return self.with_dual(&a, &c, &bias);
        }
        let weight = vector.f_narrow(1, 0, self.length - 1)?.f_mul_scalar(self.l2)?;
        Ok(Tensor::f_cat(&[weight.f_addmm(&slope, &self.x)?, bias], 1)?)
    }

    /// Inner products of weights and biases. \[R, 1\], of the vectors' kind
    fn inner(&self, u: &Tensor, v: &Tensor) -> Result<Tensor> {
        let from = if self.gram.is_some() { self.length } else { 0 };
        let product = u.f_narrow(1, 0, self.length)?.f_mul(&v.f_narrow(1, from, self.length)?)?;
        Ok(product.f_sum_dim_intlist(1, true, Kind::Double)?.f_to_kind(u.kind())?)
    }

    /// λ⟨u, v⟩ of the weights alone. R
    fn penalty(&self, u: &Tensor, v: &Tensor) -> Result<Vec<f64>> {
        let biases = self.bias(u)?.f_mul(&self.bias(v)?)?;
        numbers(&self.inner(u, v)?.f_sub(&biases)?.f_mul_scalar(self.l2)?)
    }
}

/// X·Xᵀ, only its lower half computed. `x`: \[2N, D\].
fn gram(x: &Tensor) -> Result<Tensor> {
    const PARTS: i64 = 8;
    let (rows, _) = x.dims2("states")?;
    let step = (rows + PARTS - 1) / PARTS;
    let k = Tensor::f_zeros([rows, rows], (x.kind(), x.device()))?;
    let mut at = 0;
    while at < rows {
        let (length, below) = (step.min(rows - at), (at + step).min(rows));
        let product = x.f_narrow(0, at, length)?.f_mm(&x.f_narrow(0, 0, below)?.f_tr()?)?;
        k.f_narrow(0, at, length)?.f_narrow(1, 0, below)?.f_copy_(&product)?;
        k.f_narrow(0, 0, below)?.f_narrow(1, at, length)?.f_copy_(&product.f_tr()?)?;
        at += length;
    }
    Ok(k)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn wave(shape: [i64; 2], step: f64) -> Tensor {
        (Tensor::arange(shape[0] * shape[1], (Kind::Double, Device::Cpu)) * step).sin().reshape(shape)
    }

    fn close(a: &Tensor, b: &Tensor) {
        assert_eq!(a.size(), b.size());
        // f64: sums of at most 40 · 14 products, of the size of the largest: 560 · 2⁻⁵² = 1.2e-13 of it at worst, and a few
        // such steps one after another.
        let largest = b.abs().max().double_value(&[]).max(1.0);
        assert!((a - b).abs().max().double_value(&[]) < 1e-12 * largest, "{a:?} {b:?}");
    }

    #[test]
    fn the_span_gives_what_the_parameters_give() {
        // Equal rows make K singular; twice the rows make sure that the span is not taken.
        let x = wave([11, 40], 0.37);
        let x = Tensor::cat(&[&x, &x.narrow(0, 0, 3)], 0);
        let (weight, bias) = (wave([2, 40], 0.11), Tensor::from_slice(&[0.3, -0.2]));
        let span = SearchSpace::new(x.copy(), &weight, 0.1, true).unwrap();
        let full = SearchSpace { x: x.copy(), gram: None, length: 41, l2: 0.1, bias: true };
        assert!(span.gram.is_some());
        close(&span.gram.as_ref().unwrap().k, &x.mm(&x.tr()));
        let (mut u, mut v) = (span.start(&weight, &bias).unwrap(), full.start(&weight, &bias).unwrap());
        for round in 0..3 {
            close(&span.logits(&u).unwrap(), &full.logits(&v).unwrap());
            let slope = wave([14, 2], 0.2 + f64::from(round));
            let (gu, gv) = (span.gradient(&slope, &u).unwrap(), full.gradient(&slope, &v).unwrap());
            close(&span.inner(&u, &gu).unwrap(), &full.inner(&v, &gv).unwrap());
            close(&span.inner(&gu, &u).unwrap(), &full.inner(&gv, &v).unwrap());
            assert!((span.penalty(&u, &gu).unwrap()[1] - full.penalty(&v, &gv).unwrap()[1]).abs() < 1e-11);
            let (wu, bu) = span.parameters(&gu).unwrap();
            let (wv, bv) = full.parameters(&gv).unwrap();
            close(&wu, &wv);
            close(&bu, &bv);
            (u, v) = (u - gu * 0.3, v - gv * 0.3);
        }
    }
}
