//! The gradient that AdamW follows: in one pass over the states where processor and objective allow it, else by LibTorch's
//! operations.

use tch::{Device, Kind, Tensor};

use super::architecture::ProbeArchitecture;
#[cfg(target_arch = "x86_64")]
use super::fused;
use super::objective::{Data, Objective};
use super::options::Ccs;
use super::parameters::Parameters;
use super::solve::States;
use crate::Result;
use crate::loss::{Terms, Weights, terms};

/// The objective and how its gradient is taken.
pub(super) enum Descent<'a> {
    /// [`super::objective`]
    General(Objective<'a>),
    /// [`super::fused`]
    Fused(Fused),
}

impl<'a> Descent<'a> {
    pub(super) fn new(states: &'a States, body: &'a ProbeArchitecture, options: &Ccs) -> Result<Self> {
        if let Some(fused) = Fused::of(states, body, options)? {
            return Ok(Self::Fused(fused));
        }
        let data = Data::new(&states.plus, &states.minus, states.questions.is_some())?;
        let (probes, questions) = (body.probes as usize, states.questions.as_ref());
        Ok(Self::General(Objective::new(&data, body, &options.loss, questions, probes)?))
    }

    /// The gradient at `theta`, written into `gradient`.
    pub(super) fn gradient(&mut self, theta: &Parameters, gradient: &mut Parameters) -> Result<()> {
        match self {
            Self::General(objective) => objective.gradient(theta, gradient),
            Self::Fused(fused) => fused.gradient(theta, gradient),
        }
    }

    /// The terms of each probe at the parameters of the last gradient, which `theta` still has. R
    pub(super) fn terms(&self, theta: &Parameters) -> Result<Vec<Terms>> {
        match self {
            Self::General(objective) => objective.terms(),
            Self::Fused(fused) => fused.terms(theta),
        }
    }

    /// The terms of each probe and its objective without penalties. R each
    pub(super) fn end(&mut self, theta: &Parameters) -> Result<(Vec<Terms>, Vec<f64>)> {
        match self {
            Self::General(objective) => {
                objective.evaluate(theta)?;
                Ok((objective.terms()?, objective.values()?))
            }
            Self::Fused(fused) => {
                let terms = fused.terms(theta)?;
                let mix = |t: &Terms| {
                    fused.weights.consistency * t.consistency + fused.weights.confidence * t.confidence
                };
                let values = terms.iter().map(mix).collect();
                Ok((terms, values))
            }
        }
    }
}

/// Linear probes of the CCS loss on f32 states.
pub(super) struct Fused {
    plus: Tensor,  // [N, D]
    minus: Tensor, // [N, D]
    weights: Weights,
    /// Short states, laid out for it.
    #[cfg(target_arch = "x86_64")]
    tiles: Option<fused::Tiles>,
    #[cfg(target_arch = "x86_64")]
    scratch: fused::Scratch,
}

#[cfg(not(target_arch = "x86_64"))]
impl Fused {
    fn of(_states: &States, _body: &ProbeArchitecture, _options: &Ccs) -> Result<Option<Self>> {
        Ok(None)
    }

    fn gradient(&mut self, _theta: &Parameters, _gradient: &mut Parameters) -> Result<()> {
        Ok(())
    }
}

#[cfg(target_arch = "x86_64")]
impl Fused {
    /// None where it does not serve.
    fn of(states: &States, body: &ProbeArchitecture, options: &Ccs) -> Result<Option<Self>> {
        let weights = options.loss.weights();
        let serves = fused::is_fast()
            && body.hidden.is_empty()
            && weights.only_ccs()
            && (states.plus.kind(), states.plus.device()) == (Kind::Float, Device::Cpu);
        if !serves {
            return Ok(None);
        }
        Self::new(states.plus.f_contiguous()?, states.minus.f_contiguous()?, weights).map(Some)
    }

    fn new(plus: Tensor, minus: Tensor, weights: Weights) -> Result<Self> {
        let tiles = fused::Tiles::of(sides(&plus, &minus)?);
        Ok(Self { plus, minus, weights, tiles, scratch: fused::Scratch::default() })
    }

    fn gradient(&mut self, theta: &Parameters, gradient: &mut Parameters) -> Result<()> {
        let sides = sides(&self.plus, &self.minus)?;
        let (dim, pairs) = (sides.dim, sides.plus.len() / sides.dim.max(1));
        let _ = gradient.flat.f_zero_()?;
        let probes = theta.parts.first().map_or(0, |weight| weight.size()[0] as usize);
        let terms = fused::Terms {
            consistency: self.weights.consistency as f32,
            confidence: self.weights.confidence as f32,
        };
        // Weights and, where there are any, biases, one after the other.
        let (weight, bias) = fused::numbers(&theta.flat).split_at(probes * dim);
        let (by_weight, by_bias) = fused::numbers_mut(&mut gradient.flat).split_at_mut(probes * dim);
        let mut none = vec![0.0; probes];
        let none_too = none.clone();
        let (bias, by_bias) = if bias.is_empty() { (&none_too[..], &mut none[..]) } else { (bias, by_bias) };
        let of = weight.chunks(fused::MOST * dim).zip(bias.chunks(fused::MOST));
        let to = by_weight.chunks_mut(fused::MOST * dim).zip(by_bias.chunks_mut(fused::MOST));
        for (of, to) in of.zip(to) {
            match &mut self.tiles {
                Some(tiles) => tiles.add_gradient(terms, of, to),
                None => fused::add_gradient(sides, terms, of, to, &mut self.scratch),
            }
        }
        let _ = gradient.flat.f_mul_scalar_(1.0 / pairs as f64)?;
        Ok(())
    }
}

/// The numbers of both sides \[N, D\].
#[cfg(target_arch = "x86_64")]
fn sides<'a>(plus: &'a Tensor, minus: &'a Tensor) -> Result<fused::Sides<'a>> {
    let dim = torch_runtime::TensorExt::dims2(plus, "plus")?.1 as usize;
    Ok(fused::Sides { plus: fused::numbers(plus), minus: fused::numbers(minus), dim })
}

impl Fused {
    fn terms(&self, theta: &Parameters) -> Result<Vec<Terms>> {
        let Some(weight) = theta.parts.first() else { return Ok(Vec::new()) };
        let side = |x: &Tensor| -> Result<Tensor> {
            let z = x.f_mm(&weight.f_tr()?)?; // [N, R]
            Ok(match theta.parts.get(1) {
                Some(bias) => z.f_add(bias)?.f_sigmoid()?,
                None => z.f_sigmoid()?,
            })
        };
        terms(&side(&self.plus)?, &side(&self.minus)?)
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;

    fn wave(shape: &[i64], step: f64) -> Tensor {
        let numbers = Tensor::arange(shape.iter().product::<i64>(), (Kind::Double, Device::Cpu));
        (numbers * step).sin().reshape(shape).to_kind(Kind::Float)
    }

    /// Of every shape that is treated in its own way: single rows and tiles, short and long states, columns that fill no
    /// register, one group of probes and several, more probes than one pass takes, biases or none, sides that tie.
    #[test]
    fn one_pass_gives_the_gradient_of_the_general_way() {
        if !std::is_x86_feature_detected!("avx512f") {
            return;
        }
        for (pairs, dim, probes, bias) in [
            (1, 1, 1, true),
            (37, 3, 2, false),
            (70, 64, 10, true),
            (300, 191, 10, true),
            (530, 66, 16, false),
            (9, 200, 5, true),
            (600, 17, 15, true),
            (21, 577, 11, true),
            (33, 2050, 16, false),
            (5, 300, 37, true),
        ] {
            let (plus, minus) = (wave(&[pairs, dim], 0.9), wave(&[pairs, dim], 1.7));
            if pairs > 20 {
                minus.narrow(0, 0, 3).copy_(&plus.narrow(0, 0, 3));
            }
            let body = ProbeArchitecture { hidden: Vec::new(), probes, bias };
            // Logits from one to many: some rows are decided, others not.
            let values: Vec<Tensor> = body.shapes(dim).iter().map(|s| wave(s, 0.63) * 0.5).collect();
            let theta = Parameters::of(&values, Kind::Float, Device::Cpu).unwrap();
            for mix in ["ccs", "0.3*consistency+2*confidence"] {
                let loss: crate::loss::CcsLoss = mix.parse().unwrap();
                let data = Data::new(&plus, &minus, false).unwrap();
                let mut general = Objective::new(&data, &body, &loss, None, probes as usize).unwrap();
                let (mut want, mut got) = (theta.like().unwrap(), theta.like().unwrap());
                general.gradient(&theta, &mut want).unwrap();
                let mut fused =
                    Fused::new(plus.shallow_clone(), minus.shallow_clone(), loss.weights()).unwrap();
                fused.gradient(&theta, &mut got).unwrap();
                // f32: logits are sums of up to 2,050 numbers below 1/2, so off by some 1e-5, and slopes are at most 4 of it.
                let off = (&got.flat - &want.flat).abs().max().double_value(&[]);
                assert!(off < 5e-6, "{pairs} × {dim}, {probes} probes, {mix}: off by {off:e}");
                assert!(want.flat.abs().max().double_value(&[]) > 1e-3, "there is something to compare");
                let terms = fused.terms(&theta).unwrap();
                for (got, want) in terms.iter().zip(general.terms().unwrap()) {
                    assert!((got.total() - want.total()).abs() < 1e-5, "{got:?} {want:?}");
                }
            }
        }
    }
}
