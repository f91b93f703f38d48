//! Contrast-Consistent Search: a linear probe that minimises the CCS loss, by full-batch AdamW from several starts.

use std::collections::BTreeMap;

use rand::RngExt;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::Precision;
use crate::contrast::both_labels;
use crate::loss::{Objective, Terms};
use crate::normalize::Normalizer;
use crate::probe::{Probe, Readout, Sign};
use crate::rng::Stream;
use crate::{Contrast, Error, Result};

/// How CCS is fitted; the defaults are the paper's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CcsOptions {
    /// Random starts; the one with the lowest final training loss is kept.
    pub restarts: usize,
    /// Steps of full-batch AdamW.
    pub epochs: usize,
    /// Step size.
    pub learning_rate: f64,
    /// Decoupled weight decay, on the bias too.
    pub weight_decay: f64,
    /// What the fit computes in.
    pub precision: Precision,
    /// Keep the kept start's loss before every step.
    #[serde(skip)]
    pub trace: bool,
}

impl Default for CcsOptions {
    fn default() -> Self {
        Self {
            restarts: 10,
            epochs: 1000,
            learning_rate: 1e-2,
            weight_decay: 1e-2,
            precision: Precision::F32,
            trace: false,
        }
    }
}

/// A fitted CCS probe and how it came about.
#[derive(Debug)]
pub struct CcsFit {
    /// The probe, with its sign chosen on the training rows.
    pub probe: Probe,
    /// Its loss on the training rows.
    pub terms: Terms,
    /// Which start it comes from.
    pub restart: usize,
    /// The final training loss of every start. R
    pub restarts: Vec<Terms>,
    /// With [`CcsOptions::trace`], the kept start's loss before each step.
    pub trace: Vec<Terms>,
}

/// Where the optimiser begins.
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
    pub fn unit_sphere(dim: usize, restarts: usize, stream: &Stream) -> Result<Self> {
        let mut values: Vec<f64> = Vec::with_capacity(dim * restarts);
        for restart in 0..restarts {
            let mut rng = stream.indexed("restart", restart).rng();
            let direction: Vec<f64> = (0..dim).map(|_| rng.sample(StandardNormal)).collect();
            let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            values.extend(direction.into_iter().map(|x| x / norm));
        }
        let weight = Tensor::f_from_slice(&values)?.f_reshape([restarts as i64, dim as i64])?.f_tr()?;
        Ok(Self { weight, bias: Tensor::f_zeros([restarts as i64], (Kind::Double, Device::Cpu))? })
    }
}

/// Fits CCS on training rows, from random starts. Labels are used for the sign alone.
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// Training rows of one label, settings that cannot be used, or no start with a finite loss.
pub fn ccs(train: &Contrast, options: &CcsOptions, stream: &Stream) -> Result<CcsFit> {
    let start = Start::unit_sphere(train.dim(), options.restarts, stream)?;
    ccs_from(train, &start, options)
}

/// Fits CCS on training rows, from given starts ([`CcsOptions::restarts`] is not used).
///
/// # Shapes
/// `train`: N pairs of length D; `start`: R starts.
///
/// # Errors
/// As [`ccs`], and starts of another shape.
pub fn ccs_from(train: &Contrast, start: &Start, options: &CcsOptions) -> Result<CcsFit> {
    check(options)?;
    both_labels(train.labels(), "the training rows")?;
    let kind = options.precision.kind();
    let mut theta = parameters(train, start, kind)?; // [D + 1, R]
    let restarts = theta.size().get(1).map_or(0, |&r| r as usize);
    let normalizer = Normalizer::fit(train)?;
    let (plus, minus) = normalizer.apply(train, kind)?; // [N, D]
    let mut objective = Objective::new(&plus, &minus, restarts)?;
    let mut adam = AdamW::new(&theta, options)?;
    let mut traces = Vec::new();
    for _ in 0..options.epochs {
        if options.trace {
            traces.push(objective.terms(&theta)?);
        }
        let gradient = objective.gradient(&theta)?;
        adam.step(&mut theta, gradient)?;
    }
    // The loss of the final parameters, not of the last step's beginning.
    let finals = objective.terms(&theta)?;
    let (restart, terms) = lowest(&finals).ok_or(Error::Diverged)?;
    let column = theta.f_select(1, restart as i64)?.f_contiguous()?.f_to_device(Device::Cpu)?; // [D + 1]
    let dim = train.dim() as i64;
    let mut probe = Probe {
        weight: column.f_narrow(0, 0, dim)?,
        bias: column.f_double_value(&[dim])?,
        sign: Sign::Plus,
        readout: Readout::Pair,
        normalizer,
        meta: BTreeMap::new(),
    };
    probe.orient(train)?;
    let trace = traces.iter().filter_map(|terms| terms.get(restart).copied()).collect();
    Ok(CcsFit { probe, terms, restart, restarts: finals, trace })
}

fn check(options: &CcsOptions) -> Result<()> {
    let positive = |x: f64| x.is_finite() && x > 0.0;
    if !positive(options.learning_rate) {
        return Err(Error::Setting {
            name: "learning rate",
            value: options.learning_rate.to_string(),
            reason: "it is a step size",
            hint: "the paper uses 0.01",
        });
    }
    if !(options.weight_decay.is_finite() && options.weight_decay >= 0.0) {
        return Err(Error::Setting {
            name: "weight decay",
            value: options.weight_decay.to_string(),
            reason: "it must not be negative",
            hint: "the paper uses 0.01",
        });
    }
    Ok(())
}

/// Weights above biases, on the data's device.
fn parameters(train: &Contrast, start: &Start, kind: Kind) -> Result<Tensor> {
    let weight = start.weight.size();
    let restarts = weight.get(1).copied().unwrap_or_default();
    if weight != [train.dim() as i64, restarts] || restarts == 0 || start.bias.size() != [restarts] {
        return Err(Error::Shape {
            what: "the start".to_owned(),
            expected: format!("[{}, R] with R biases, R at least 1", train.dim()),
            found: weight,
            hint: "ask for at least one restart; a start has one column per restart",
        });
    }
    let theta = Tensor::f_cat(&[&start.weight, &start.bias.f_unsqueeze(0)?], 0)?; // [D + 1, R]
    Ok(theta.f_to_kind(kind)?.f_to_device(train.plus().device())?.f_contiguous()?)
}

/// The start with the lowest finite loss; the first of several.
fn lowest(terms: &[Terms]) -> Option<(usize, Terms)> {
    let finite = terms.iter().copied().enumerate().filter(|(_, t)| t.total().is_finite());
    finite.min_by(|a, b| a.1.total().total_cmp(&b.1.total()))
}

/// AdamW (Loshchilov and Hutter 2019, Algorithm 2) with PyTorch's constants: β = (0.9, 0.999), ε = 1e-8.
#[derive(Debug)]
struct AdamW {
    mean: Tensor,    // m, [D + 1, R]
    square: Tensor,  // v, [D + 1, R]
    scratch: Tensor, // [D + 1, R]
    step: i32,
    rate: f64,
    decay: f64,
}

impl AdamW {
    const BETA1: f64 = 0.9;
    const BETA2: f64 = 0.999;
    const EPSILON: f64 = 1e-8;

    fn new(theta: &Tensor, options: &CcsOptions) -> Result<Self> {
        Ok(Self {
            mean: theta.f_zeros_like()?,
            square: theta.f_zeros_like()?,
            scratch: theta.f_zeros_like()?,
            step: 0,
            rate: options.learning_rate,
            decay: options.weight_decay,
        })
    }

    /// θ ← (1 − lr·λ)·θ, then θ ← θ − lr·m̂ / (√v̂ + ε), in place.
    fn step(&mut self, theta: &mut Tensor, gradient: &Tensor) -> Result<()> {
        self.step = self.step.saturating_add(1);
        let correction1 = 1.0 - Self::BETA1.powi(self.step);
        let correction2 = 1.0 - Self::BETA2.powi(self.step);
        let _ = theta.f_mul_scalar_(1.0 - self.rate * self.decay)?;
        let _ = self.mean.f_lerp_(gradient, 1.0 - Self::BETA1)?;
        let _ = gradient.f_mul_out(&self.scratch, gradient)?;
        let _ = self.square.f_lerp_(&self.scratch, 1.0 - Self::BETA2)?;
        // m is divided by −(√v̂ + ε)·(1 − β₁ᵗ)/lr, so that one operation does the rest of the update.
        let scale = -correction1 / self.rate;
        let _ = self.square.f_sqrt_out(&self.scratch)?;
        let _ =
            self.scratch.f_mul_scalar_(scale / correction2.sqrt())?.f_add_scalar_(scale * Self::EPSILON)?;
        let _ = theta.f_addcdiv_(&self.mean, &self.scratch)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_unit_vectors_and_do_not_depend_on_their_number() {
        let stream = Stream::new(3);
        let many = Start::unit_sphere(20, 10, &stream).unwrap().weight;
        let few = Start::unit_sphere(20, 2, &stream).unwrap().weight;
        assert!(
            (many.square().sum_dim_intlist(0, false, Kind::Double) - 1.0).abs().max().double_value(&[])
                < 1e-12
        );
        assert!(many.narrow(1, 0, 2).equal(&few));
    }

    #[test]
    fn the_lowest_finite_loss_wins() {
        let at = |x: f64| Terms { consistency: x, confidence: 0.0 };
        assert_eq!(lowest(&[at(0.2), at(f64::NAN), at(0.1), at(0.1)]), Some((2, at(0.1))));
        assert_eq!(lowest(&[at(f64::NAN)]), None);
    }
}
