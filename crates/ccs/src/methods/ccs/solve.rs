//! From normalized states and starts to every restart's final parameters.

use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::adamw::AdamW;
use super::architecture::ProbeArchitecture;
use super::descent::Descent;
use super::options::{Ccs, Optimizer};
use super::pair_loss::PairLoss;
use super::parameters::Parameters;
use super::search_space::SearchSpace;
use super::start::{self, Start};
use crate::SeedTree;
use crate::loss::{Questions, Terms, terms};
use crate::methods::lbfgs::{Lbfgs, Loss as _};
use crate::normalize::Normalizer;
use crate::{Contrast, Error, Result};

/// Normalized training states.
#[derive(Debug)]
pub(crate) struct States {
    /// \[N, D\]
    pub(crate) plus: Tensor,
    /// \[N, D\]
    pub(crate) minus: Tensor,
    /// With [`Ccs::project`], the directions that the states are coordinates along, which is what D counts here:
    /// orthonormal rows of the states' own length.
    pub(crate) basis: Option<Tensor>,
    /// Where the objective compares the rows of a question.
    pub(super) questions: Option<Questions>,
}

impl States {
    pub(crate) fn new(train: &Contrast, options: &Ccs) -> Result<(Self, Normalizer)> {
        let kind = options.precision.kind();
        let (normalizer, plus, minus) = Normalizer::fit_transform(options.normalization, train, kind)?;
        let questions = if options.loss.weights().prompt_var > 0.0 {
            Some(Questions::new(&train.questions(), kind, plus.device())?)
        } else {
            None
        };
        let mut states = Self { plus, minus, basis: None, questions };
        if let Some(count) = options.project {
            let directions = start::principal_directions(&states.differences()?)?;
            let (_, found) = directions.dims2("directions")?;
            if found == 0 {
                return Err(Error::Constant);
            }
            let count = i64::try_from(count).unwrap_or(i64::MAX).clamp(1, found);
            let basis =
                directions.f_narrow(1, 0, count)?.f_to_device(states.plus.device())?.f_to_kind(kind)?;
            states.plus = states.plus.f_mm(&basis)?;
            states.minus = states.minus.f_mm(&basis)?;
            states.basis = Some(basis.f_tr()?.f_contiguous()?);
        }
        Ok((states, normalizer))
    }

    /// D of the states as they are here.
    pub(crate) fn dim(&self) -> Result<i64> {
        Ok(self.size()?.1)
    }

    /// \[N, D\]
    pub(crate) fn differences(&self) -> Result<Tensor> {
        Ok(self.plus.f_sub(&self.minus)?)
    }

    fn size(&self) -> Result<(i64, i64)> {
        Ok(self.plus.dims2("states")?)
    }
}

/// What every restart ended with.
#[derive(Debug)]
pub(crate) struct Solution {
    /// As [`ProbeArchitecture`]'s parameters.
    pub(crate) parts: Vec<Tensor>,
    /// At the final parameters. R
    pub(crate) terms: Vec<Terms>,
    /// The objective there, without penalties. R
    pub(crate) values: Vec<f64>,
    /// With [`Ccs::trace`], the terms of every restart, step by step.
    pub(crate) traces: Vec<Vec<Terms>>,
}

impl Solution {
    /// The same probes on the states before they were projected.
    pub(crate) fn lifted(mut self, states: &States) -> Result<Self> {
        if let (Some(basis), Some(first)) = (&states.basis, self.parts.first_mut()) {
            *first = first.f_mm(basis)?;
        }
        Ok(self)
    }
}

/// Linear probes from given starts; with `against`, orthogonal to its rows.
///
/// # Shapes
/// `against`: \[k, D\], orthonormal; the states must have no part along it.
pub(crate) fn linear(
    states: &States,
    start: &Start,
    options: &Ccs,
    against: Option<&Tensor>,
) -> Result<Solution> {
    let (_, dim) = states.size()?;
    let size = start.weight.size();
    let restarts = size.get(1).copied().unwrap_or_default();
    if size != [dim, restarts] || restarts == 0 || start.bias.size() != [restarts] {
        return Err(Error::Shape {
            what: "the start".to_owned(),
            expected: format!("[{dim}, R] with R biases, R at least 1"),
            found: size,
            hint: "ask for at least one restart; a start has one column per restart",
        });
    }
    let (kind, device) = (states.plus.kind(), states.plus.device());
    let mut weight = start.weight.f_tr()?.f_to_device(device)?;
    if let Some(against) = against {
        weight = without(&weight, &against.f_to_kind(Kind::Double)?.f_to_device(device)?)?;
    }
    let weight = weight.f_to_kind(kind)?.f_contiguous()?; // [R, D]
    let bias = if options.bias { start.bias.f_alias()? } else { start.bias.f_zeros_like()? };
    if options.optimizer == Optimizer::Lbfgs {
        return lbfgs(states, &weight, &bias.f_to_kind(kind)?.f_to_device(device)?, options, against);
    }
    let parts = if options.bias { vec![weight, bias] } else { vec![weight] };
    let body = ProbeArchitecture { hidden: Vec::new(), probes: restarts, bias: options.bias };
    adamw(states, &body, &parts, options, against)
}

/// Probes with hidden layers, from PyTorch's default starts.
pub(crate) fn deep(states: &States, stream: &SeedTree, options: &Ccs) -> Result<Solution> {
    let (_, dim) = states.size()?;
    if options.n_init == 0 {
        return Err(Error::Setting {
            name: "n_init",
            value: "0".to_owned(),
            reason: "there must be a start",
            hint: "the paper uses 10",
        });
    }
    let hidden = options.hidden.iter().map(|&width| width as i64).collect();
    let body = ProbeArchitecture { hidden, probes: options.n_init as i64, bias: options.bias };
    adamw(states, &body, &start::hidden(&body, dim, stream)?, options, None)
}

/// θ − (θWᵀ)·W, for rows θ and orthonormal rows W.
pub(crate) fn without(theta: &Tensor, w: &Tensor) -> Result<Tensor> {
    Ok(theta.f_sub(&theta.f_mm(&w.f_tr()?)?.f_mm(w)?)?)
}

fn adamw(
    states: &States,
    body: &ProbeArchitecture,
    start: &[Tensor],
    options: &Ccs,
    against: Option<&Tensor>,
) -> Result<Solution> {
    let (kind, device) = (states.plus.kind(), states.plus.device());
    let mut theta = Parameters::of(start, kind, device)?;
    let against = match against {
        Some(w) => Some(w.f_to_kind(kind)?.f_to_device(device)?),
        None => None,
    };
    let mut objective = Descent::new(states, body, options)?;
    let mut gradient = theta.like()?;
    let mut adam = AdamW::new(&theta.flat, options.learning_rate, options.weight_decay)?;
    let mut traces = Vec::new();
    for _ in 0..options.max_iter {
        objective.gradient(&theta, &mut gradient)?;
        if options.trace {
            traces.push(objective.terms(&theta)?);
        }
        if options.l2 > 0.0 {
            penalize(&theta, &mut gradient, options.l2)?;
        }
        adam.step(&mut theta.flat, &gradient.flat)?;
        if let (Some(w), Some(weight)) = (&against, theta.parts.first_mut()) {
            // The step is taken entry by entry, which leaves the complement.
            let inside = without(weight, w)?;
            weight.f_copy_(&inside)?;
        }
    }
    // At the final parameters, not at the last step's beginning.
    let (terms, values) = objective.end(&theta)?;
    Ok(Solution { terms, values, parts: theta.parts, traces })
}

/// Adds λw to the gradient of all weights; biases are the odd parts.
fn penalize(theta: &Parameters, gradient: &mut Parameters, l2: f64) -> Result<()> {
    for (slope, weight) in gradient.parts.iter_mut().zip(&theta.parts).step_by(2) {
        let _ = slope.f_add_(&weight.f_mul_scalar(l2)?)?;
    }
    Ok(())
}

fn lbfgs(
    states: &States,
    weight: &Tensor,
    bias: &Tensor,
    options: &Ccs,
    against: Option<&Tensor>,
) -> Result<Solution> {
    let (pairs, _) = states.size()?;
    let x = Tensor::f_cat(&[&states.plus, &states.minus], 0)?; // [2N, D]
    let loss = || PairLoss { weights: options.loss.weights(), questions: states.questions.as_ref(), pairs };
    let space = SearchSpace::new(x.f_alias()?, weight, options.l2, options.bias)?;
    let mut state = Lbfgs::new(&space, loss(), space.start(weight, bias)?)?;
    let terms_at = |z: &Tensor| -> Result<Vec<Terms>> {
        let p = z.f_sigmoid()?;
        terms(&p.f_narrow(0, 0, pairs)?, &p.f_narrow(0, pairs, pairs)?)
    };
    let mut traces = Vec::new();
    if options.trace {
        traces.push(terms_at(state.logits())?);
    }
    for _ in 0..options.max_iter {
        if !state.iterate()? {
            break;
        }
        if options.trace {
            traces.push(terms_at(state.logits())?);
        }
    }
    let (mut weight, bias) = space.parameters(&state.x)?;
    if let Some(w) = against {
        // Gradients have no part along it but for rounding.
        let w = w.f_to_kind(weight.kind())?.f_to_device(weight.device())?;
        weight = without(&weight, &w)?;
    }
    // From the parameters that are handed out, not from what was summed up on the way.
    let z = bias.f_addmm(&x, &weight.f_tr()?)?; // [2N, R]
    let parts = if options.bias { vec![weight, bias] } else { vec![weight] };
    Ok(Solution { terms: terms_at(&z)?, values: loss().values(&z)?, parts, traces })
}
