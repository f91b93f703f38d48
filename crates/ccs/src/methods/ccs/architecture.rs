//! From states to logits and from their slopes back to parameters: a linear probe, or a multi-layer perceptron with
//! `ReLU` between layers. R probes at once; the first layer of all of them is one product with the states.

use tch::Tensor;
use torch_runtime::TensorExt as _;

use super::parameters::Parameters;
use crate::Result;

/// The shape of a probe. Its parameters are, for widths H₁ … Hₖ of hidden layers (none for a linear probe):
/// \[R·H₁, D\], \[R·H₁\]; \[R, H₂, H₁\], \[R, H₂\]; …; and last \[R, Hₖ\], \[R\].
#[derive(Debug)]
pub(super) struct ProbeArchitecture {
    /// H₁ … Hₖ.
    pub(super) hidden: Vec<i64>,
    /// R.
    pub(super) probes: i64,
    /// Whether the last layer has a bias.
    pub(super) bias: bool,
}

/// Numbers in a vector register (AVX-512, f32).
const VECTOR: i64 = 16;

/// The first layer, ready to be multiplied by.
#[derive(Debug)]
pub(super) struct First {
    weight: Tensor, // [D, R and empty columns] or [D, R·H₁]
    bias: Option<Tensor>,
}

/// What the way back needs of the way there: each hidden layer's output. \[s, R·H₁\], then \[R, s, Hᵢ\]
#[derive(Debug, Default)]
pub(super) struct Cache {
    outputs: Vec<Tensor>,
}

/// The part at `index`; bodies and their parameters are made together, so that it is there.
fn part(parameters: &Parameters, index: usize) -> Result<&Tensor> {
    at(&parameters.parts, "parameters", index)
}

fn at<'a>(tensors: &'a [Tensor], what: &'static str, index: usize) -> Result<&'a Tensor> {
    tensors.get(index).ok_or(crate::Error::Length { what, expected: index + 1, found: tensors.len() })
}

impl ProbeArchitecture {
    /// R of the buffers that logits are written to: a linear probe's products are fastest with whole vector registers.
    pub(super) fn columns(&self) -> i64 {
        let whole = (self.probes + VECTOR - 1) / VECTOR * VECTOR;
        if self.hidden.is_empty() { whole } else { self.probes }
    }

    /// The first layer as [`ProbeArchitecture::forward`] multiplies by it, once for many strips.
    pub(super) fn first(&self, theta: &Parameters) -> Result<First> {
        let weight = part(theta, 0)?.f_tr()?;
        if !self.hidden.is_empty() {
            return Ok(First { weight: weight.f_contiguous()?, bias: None }); // hidden layers add theirs
        }
        let empty = self.columns() - self.probes;
        let weight = weight.f_constant_pad_nd([0, empty])?;
        let bias = if self.bias { Some(part(theta, 1)?.f_constant_pad_nd([0, empty])?) } else { None };
        Ok(First { weight, bias })
    }

    /// Logits of a strip of states, written into `z`.
    ///
    /// # Shapes
    /// `x`: \[s, D\]; `z`: \[s, R\], and as many columns more as make it [`ProbeArchitecture::columns`].
    pub(super) fn forward(
        &self,
        x: &Tensor,
        first: &First,
        theta: &Parameters,
        z: &Tensor,
        cache: &mut Cache,
    ) -> Result<()> {
        if self.hidden.is_empty() {
            let _ = match &first.bias {
                Some(bias) => bias.f_addmm_out(z, x, &first.weight)?,
                None => x.f_mm_out(z, &first.weight)?,
            };
            return Ok(());
        }
        cache.outputs.clear();
        let (rows, _) = x.dims2("states")?;
        let first = part(theta, 1)?.f_addmm(x, &first.weight)?.f_relu()?; // [s, R·H₁]
        let mut h = first.f_view([rows, self.probes, self.width(0)])?.f_transpose(0, 1)?; // [R, s, H₁]
        cache.outputs.push(first);
        for layer in 1..self.hidden.len() {
            let (weight, bias) = (part(theta, 2 * layer)?, part(theta, 2 * layer + 1)?);
            h = bias.f_unsqueeze(1)?.f_baddbmm(&h, &weight.f_transpose(1, 2)?, 1.0, 1.0)?.f_relu()?; // [R, s, Hᵢ]
            cache.outputs.push(h.f_alias()?);
        }
        let last = 2 * self.hidden.len();
        let mut out = h.f_bmm(&part(theta, last)?.f_unsqueeze(2)?)?.f_squeeze_dim(2)?.f_tr()?; // [s, R]
        if self.bias {
            out = out.f_add(part(theta, last + 1)?)?;
        }
        z.f_alias()?.f_copy_(&out)?;
        Ok(())
    }

    /// Adds a strip's share of the gradient to `gradient`.
    ///
    /// # Shapes
    /// `x`: \[s, D\]; `slope`, the objective's gradient in the logits: \[s, R\].
    pub(super) fn backward(
        &self,
        x: &Tensor,
        theta: &Parameters,
        slope: &Tensor,
        cache: &Cache,
        gradient: &mut Parameters,
    ) -> Result<()> {
        let sums = || slope.f_sum_dim_intlist(0, false, slope.kind());
        let last = 2 * self.hidden.len();
        if self.bias {
            add(gradient, last + 1, &sums()?)?;
        }
        if self.hidden.is_empty() {
            return multiply_add(gradient, 0, &slope.f_tr()?, x);
        }
        let (rows, _) = x.dims2("states")?;
        let slope = slope.f_tr()?.f_unsqueeze(2)?; // [R, s, 1]
        let top = self.output(cache, self.hidden.len() - 1, rows)?; // [R, s, Hₖ]
        add(gradient, last, &top.f_transpose(1, 2)?.f_bmm(&slope)?.f_squeeze_dim(2)?)?;
        let mut back = slope.f_bmm(&part(theta, last)?.f_unsqueeze(1)?)?; // [R, s, Hₖ]
        for layer in (0..self.hidden.len()).rev() {
            let output = self.output(cache, layer, rows)?;
            back = back.f_mul(&output.f_gt(0.0)?)?; // ReLU
            if layer == 0 {
                break;
            }
            add(gradient, 2 * layer + 1, &back.f_sum_dim_intlist(1, false, back.kind())?)?;
            let below = self.output(cache, layer - 1, rows)?;
            add(gradient, 2 * layer, &back.f_transpose(1, 2)?.f_bmm(&below)?)?; // [R, Hᵢ, Hᵢ₋₁]
            back = back.f_bmm(part(theta, 2 * layer)?)?;
        }
        let back = back.f_transpose(0, 1)?.f_reshape([rows, self.probes * self.width(0)])?; // [s, R·H₁]
        add(gradient, 1, &back.f_sum_dim_intlist(0, false, back.kind())?)?;
        multiply_add(gradient, 0, &back.f_tr()?, x)
    }

    fn width(&self, layer: usize) -> i64 {
        self.hidden.get(layer).copied().unwrap_or_default()
    }

    /// A hidden layer's output as \[R, s, Hᵢ\].
    fn output(&self, cache: &Cache, layer: usize, rows: i64) -> Result<Tensor> {
        let kept = at(&cache.outputs, "hidden layers", layer)?;
        Ok(if layer == 0 {
            kept.f_view([rows, self.probes, self.width(0)])?.f_transpose(0, 1)?
        } else {
            kept.f_alias()?
        })
    }

    /// Shapes of the parameters for states of length `dim`.
    pub(super) fn shapes(&self, dim: i64) -> Vec<Vec<i64>> {
        let r = self.probes;
        let mut shapes = Vec::new();
        let mut below = dim;
        for (layer, &width) in self.hidden.iter().enumerate() {
            if layer == 0 {
                shapes.extend([vec![r * width, dim], vec![r * width]]);
            } else {
                shapes.extend([vec![r, width, below], vec![r, width]]);
            }
            below = width;
        }
        shapes.push(vec![r, below]);
        if self.bias {
            shapes.push(vec![r]);
        }
        shapes
    }
}

fn add(gradient: &mut Parameters, index: usize, value: &Tensor) -> Result<()> {
    if let Some(part) = gradient.parts.get_mut(index) {
        let _ = part.f_add_(value)?;
    }
    Ok(())
}

/// The part at `index` plus a·b.
fn multiply_add(gradient: &mut Parameters, index: usize, a: &Tensor, b: &Tensor) -> Result<()> {
    if let Some(part) = gradient.parts.get_mut(index) {
        let _ = part.f_addmm_(a, b)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::objective::{Data, Objective};
    use super::*;
    use crate::loss::Questions;
    use tch::{Device, Kind};

    /// How far a gradient or a sum of losses over N pairs may be off: a mean of N pairs' two terms, each of size 1 or less
    /// after a handful of operations, added up in another order than autograd's is off by at most 2N · 2⁻⁵² (f64). Kernels
    /// differ in that order by machine; what is wrong differs by 1e-3 and more.
    fn rounding(pairs: i64) -> f64 {
        2.0 * pairs as f64 * f64::EPSILON
    }

    fn wave(shape: &[i64], step: f64) -> Tensor {
        (Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu)) * step)
            .sin()
            .reshape(shape)
    }

    /// The objective summed over probes, with PyTorch's own operations, one probe at a time.
    fn plain(body: &ProbeArchitecture, parts: &[Tensor], plus: &Tensor, minus: &Tensor) -> Tensor {
        let logit = |x: &Tensor, r: i64| {
            let mut h = x.shallow_clone();
            for (layer, &width) in body.hidden.iter().enumerate() {
                let (weight, bias) = (&parts[2 * layer], &parts[2 * layer + 1]);
                h = if layer == 0 {
                    h.mm(&weight.narrow(0, r * width, width).tr()) + bias.narrow(0, r * width, width)
                } else {
                    h.mm(&weight.get(r).tr()) + bias.get(r)
                }
                .relu();
            }
            let last = 2 * body.hidden.len();
            let z = h.mv(&parts[last].get(r));
            if body.bias { z + parts[last + 1].get(r) } else { z }
        };
        let one = |r: i64| {
            let (p, q) = (logit(plus, r).sigmoid(), logit(minus, r).sigmoid());
            ((&p + &q - 1.0).square() + p.minimum(&q).square()).mean(Kind::Double)
        };
        (1..body.probes).fold(one(0), |sum, r| sum + one(r))
    }

    #[test]
    fn the_gradient_in_every_parameter_is_autograds_linear_or_deep_with_bias_or_without() {
        let (plus, minus) = (wave(&[37, 3], 0.9), wave(&[37, 3], 1.7));
        for (hidden, bias) in
            [(vec![], true), (vec![], false), (vec![4], true), (vec![5, 3], true), (vec![4, 3, 2], false)]
        {
            let body = ProbeArchitecture { hidden, probes: 2, bias };
            let values: Vec<Tensor> = body.shapes(3).iter().map(|s| wave(s, 0.63) + 0.05).collect();
            let theta = Parameters::of(&values, Kind::Double, Device::Cpu).unwrap();
            let leaves: Vec<Tensor> = values.iter().map(|v| v.copy().set_requires_grad(true)).collect();
            plain(&body, &leaves, &plus, &minus).backward();
            // In blocks (of 16 pairs here), and whole as prompt_var needs it, by the general slopes.
            let questions = Questions::new(&(0..37).collect::<Vec<_>>(), Kind::Double, Device::Cpu).unwrap();
            for (whole, mix) in [(false, "ccs"), (true, "ccs+prompt_var")] {
                let data = Data::new(&plus, &minus, whole).unwrap();
                let mix = mix.parse().unwrap();
                let mut objective = Objective::new(&data, &body, &mix, Some(&questions), 2).unwrap();
                let mut gradient = theta.like().unwrap();
                objective.gradient(&theta, &mut gradient).unwrap();
                for (got, leaf) in gradient.parts.iter().zip(&leaves) {
                    let off = (got - leaf.grad()).abs().max().double_value(&[]);
                    assert!(off < rounding(37), "{body:?}, {mix}: off by {off:e}");
                }
                let total: f64 = objective.values().unwrap().iter().sum();
                let want = plain(&body, &values, &plus, &minus).double_value(&[]);
                assert!((total - want).abs() < 2.0 * rounding(37), "{body:?}, {mix}: {total} and {want}");
            }
        }
    }

    #[test]
    fn the_linear_gradient_is_autograds_even_where_both_sides_tie() {
        let plus = wave(&[7, 3], 0.9);
        let body = ProbeArchitecture { hidden: vec![], probes: 2, bias: true };
        let values = [wave(&[2, 3], 0.6), wave(&[2], 1.1)];
        let leaves: Vec<Tensor> = values.iter().map(|v| v.copy().set_requires_grad(true)).collect();
        plain(&body, &leaves, &plus, &plus).backward();
        let theta = Parameters::of(&values, Kind::Double, Device::Cpu).unwrap();
        let data = Data::new(&plus, &plus, false).unwrap();
        let mix = crate::loss::CcsLoss::default();
        let mut objective = Objective::new(&data, &body, &mix, None, 2).unwrap();
        let mut gradient = theta.like().unwrap();
        objective.gradient(&theta, &mut gradient).unwrap();
        for (got, leaf) in gradient.parts.iter().zip(&leaves) {
            assert!((got - leaf.grad()).abs().max().double_value(&[]) < rounding(7));
        }
    }
}
