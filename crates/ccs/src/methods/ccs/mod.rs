//! Contrast-Consistent Search: probes that minimize the CCS loss or one of its relatives, from several starts at once.

mod adamw;
mod architecture;
mod complement;
mod descent;
#[cfg(target_arch = "x86_64")]
mod fused;
mod objective;
mod options;
mod pair_loss;
mod parameters;
mod search_space;
mod solve;
mod start;

use std::collections::BTreeMap;

use serde_json::json;
use tch::{Device, Kind, Tensor};

pub use options::{Ccs, Init, Optimizer};
pub use start::Start;

pub(super) use complement::{mean_difference, take_out};
pub(super) use solve::{Solution, States, linear};

use crate::contrast::both_labels;
use crate::loss::Terms;
use crate::methods::fit::{Fit, Fitted, Starts};
use crate::normalize::Normalizer;
use crate::probe::{Calibration, HiddenLayers, Layer, Probe, ProbeInput, Sign};
use crate::{Contrast, Error, Result, SeedTree};

impl Fit for Ccs {
    fn fit_checked(&self, train: &Contrast, seeds: &SeedTree) -> Result<Fitted> {
        let fit = ccs(train, self, seeds)?;
        let objective = fit.objectives.get(fit.restart).copied().ok_or(Error::Diverged)?;
        let about = json!({
            "restart": fit.restart,
            "train_loss": fit.terms.total(),
            "under_determined": fit.under_determined,
            "options": self,
        });
        let starts = Starts { terms: fit.terms, kept: fit.restart, all: fit.restarts };
        Ok(Fitted { starts: Some(starts), ..Fitted::new(fit.probe, objective, about) })
    }

    fn draws_from_seeds(&self) -> bool {
        !self.hidden.is_empty() || matches!(self.init, Init::UnitSphere | Init::Uniform)
    }
}

/// A fitted CCS probe and how it came about.
#[derive(Debug)]
#[non_exhaustive]
pub struct CcsFit {
    /// The probe, with its sign chosen on the training rows.
    pub probe: Probe,
    /// Its CCS terms on the training rows, whatever was minimized.
    pub terms: Terms,
    /// Which start it comes from: the one with the lowest final objective.
    pub restart: usize,
    /// The final CCS terms of every start. R
    pub restarts: Vec<Terms>,
    /// The final objective of every start, without penalties; for the paper's loss the sum of the terms. R
    pub objectives: Vec<f64>,
    /// With [`Ccs::trace`], the kept start's terms before each step of AdamW; of L-BFGS at the start and after each
    /// iteration.
    pub trace: Vec<Terms>,
    /// Every start's final weights, one a row \[R, D\], f64; `None` for a probe with hidden layers.
    pub directions: Option<Tensor>,
    /// Every start's final bias, 0 without one; none for a probe with hidden layers. R
    pub biases: Vec<f64>,
    /// Whether there were fewer training rows than dimensions: then the loss can be brought to zero along almost any
    /// direction, and says nothing. See [`under_determined`].
    pub under_determined: bool,
}

impl CcsFit {
    /// The probe of one start, kept or not, with its sign chosen on the training rows; `None` for hidden layers, and where
    /// there is no such start.
    ///
    /// # Errors
    /// As [`Probe::accuracy`].
    pub fn probe_of_start(&self, start: usize, train: &Contrast) -> Result<Option<Probe>> {
        let (Some(directions), Some(&bias)) = (&self.directions, self.biases.get(start)) else {
            return Ok(None);
        };
        let mut probe = Probe {
            weight: directions.f_select(0, start as i64)?.f_contiguous()?,
            bias,
            hidden_layers: HiddenLayers::Linear,
            sign: Sign::Plus,
            input: ProbeInput::Pair,
            calibration: Calibration::OWN,
            normalizer: self.probe.normalizer.duplicate()?,
            meta: BTreeMap::new(),
        };
        probe.orient(train)?;
        Ok(Some(probe))
    }
}

/// Whether a fit on `train` has fewer rows than dimensions.
pub fn under_determined(train: &Contrast) -> bool {
    train.rows() < train.dim()
}

/// Fits CCS on training rows, from the starts that the options say. Labels are used for the sign alone.
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// Training rows of one label, settings that cannot be used, or no start with a finite loss.
pub fn ccs(train: &Contrast, options: &Ccs, stream: &SeedTree) -> Result<CcsFit> {
    options.check()?;
    both_labels(train.labels(), "the training rows")?;
    let (mut states, normalizer) = States::new(train, options)?;
    let against = without_mean_difference(&mut states, train, options)?;
    let restarts = options.n_init;
    let solution = if options.hidden.is_empty() {
        let start = Start::of(options.init, &states.differences()?, restarts, stream)?;
        linear(&states, &start, options, against.as_ref())?
    } else {
        solve::deep(&states, stream, options)?
    };
    fit_of(train, normalizer, options, solution.lifted(&states)?)
}

/// Fits CCS on training rows, from given starts ([`Ccs::n_init`], [`Ccs::init`],
/// [`Ccs::hidden`] and [`Ccs::project`] are not used).
///
/// # Shapes
/// `train`: N pairs of length D; `start`: R starts.
///
/// # Errors
/// As [`ccs`], and starts of another shape.
pub fn ccs_from(train: &Contrast, start: &Start, options: &Ccs) -> Result<CcsFit> {
    let options = Ccs { hidden: Vec::new(), project: None, ..options.clone() };
    options.check()?;
    both_labels(train.labels(), "the training rows")?;
    let (mut states, normalizer) = States::new(train, &options)?;
    let against = without_mean_difference(&mut states, train, &options)?;
    let solution = linear(&states, start, &options, against.as_ref())?;
    fit_of(train, normalizer, &options, solution)
}

/// With [`Ccs::remove_mean_difference`], the direction \[1, D\] that weights stay orthogonal to.
fn without_mean_difference(states: &mut States, train: &Contrast, options: &Ccs) -> Result<Option<Tensor>> {
    if !options.remove_mean_difference {
        return Ok(None);
    }
    let none = Tensor::f_zeros([0, states.dim()?], (Kind::Double, states.plus.device()))?;
    let direction = mean_difference(states, train.labels())?;
    take_out(states, &none, &direction)?.ok_or(Error::Constant).map(Some)
}

/// The best start's probe, with its sign.
pub(super) fn fit_of(
    train: &Contrast,
    normalizer: Normalizer,
    options: &Ccs,
    solution: Solution,
) -> Result<CcsFit> {
    let restart = lowest(&solution.values).ok_or(Error::Diverged)?;
    let terms = solution.terms.get(restart).copied().ok_or(Error::Diverged)?;
    let (hidden_layers, weight, bias) = solution.probe(restart, &options.hidden)?;
    let mut probe = Probe {
        weight,
        bias,
        hidden_layers,
        sign: Sign::Plus,
        input: ProbeInput::Pair,
        calibration: Calibration::OWN,
        normalizer,
        meta: BTreeMap::new(),
    };
    probe.orient(train)?;
    let (directions, biases) = if options.hidden.is_empty() {
        let biases = (0..solution.values.len()).map(|start| solution.probe(start, &[]).map(|found| found.2));
        (solution.directions()?, biases.collect::<Result<_>>()?)
    } else {
        (None, Vec::new())
    };
    Ok(CcsFit {
        probe,
        terms,
        restart,
        trace: solution.traces.iter().filter_map(|terms| terms.get(restart).copied()).collect(),
        restarts: solution.terms,
        objectives: solution.values,
        directions,
        biases,
        under_determined: train.rows() < options.project.unwrap_or(usize::MAX).min(train.dim()),
    })
}

impl Solution {
    /// Every restart's weights, if they are linear probes. \[R, D\], f64
    fn directions(&self) -> Result<Option<Tensor>> {
        self.parts.first().map(|w| Ok(w.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?)).transpose()
    }

    /// One restart's hidden layers, last weight and last bias.
    fn probe(&self, restart: usize, hidden: &[usize]) -> Result<(HiddenLayers, Tensor, f64)> {
        let r = restart as i64;
        let part = |index: usize| -> Result<Tensor> {
            let part = self.parts.get(index).ok_or(Error::Diverged)?;
            Ok(part.f_to_device(Device::Cpu)?.f_contiguous()?)
        };
        let mut layers = Vec::with_capacity(hidden.len());
        for (layer, &width) in hidden.iter().enumerate() {
            let (weight, bias) = (part(2 * layer)?, part(2 * layer + 1)?);
            let width = width as i64;
            layers.push(if layer == 0 {
                Layer {
                    weight: weight.f_narrow(0, r * width, width)?,
                    bias: bias.f_narrow(0, r * width, width)?,
                }
            } else {
                Layer { weight: weight.f_select(0, r)?, bias: bias.f_select(0, r)? }
            });
        }
        let last = 2 * hidden.len();
        let weight = part(last)?.f_select(0, r)?;
        let bias = if self.parts.len() > last + 1 { part(last + 1)?.f_double_value(&[r])? } else { 0.0 };
        Ok((if layers.is_empty() { HiddenLayers::Linear } else { HiddenLayers::Mlp(layers) }, weight, bias))
    }
}

/// The start with the lowest finite objective; the first of several.
fn lowest(values: &[f64]) -> Option<usize> {
    let finite = values.iter().copied().enumerate().filter(|(_, v)| v.is_finite());
    finite.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_finite_objective_wins() {
        assert_eq!(lowest(&[0.2, f64::NAN, 0.1, 0.1]), Some(2));
        assert_eq!(lowest(&[f64::NAN, f64::INFINITY]), None);
    }
}
