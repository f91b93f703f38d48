//! Training of Truth and Polarity Direction (TTPD; Bürger et al. 2024, "Truth is Universal", §§3, 5).
//!
//! States are modeled as `a = μ + τ·t_G + τ·p·t_P`, with the truth τ = ±1 and the polarity p = ±1 of a statement (affirmative
//! or negated): along `t_G` truth looks the same for both, along `t_P` it is turned round by "not". By least squares on states
//! less the mean of their data set and polarity,
//!
//! `[t_G; t_P] = (XᵀX)⁻¹XᵀA`, X having rows \[τᵢ, τᵢpᵢ\].
//!
//! A statement is then judged by logistic regression on two numbers, `t_Gᵀa` and dᵀa, where the polarity direction d is that
//! of a logistic regression of p on the states. The authors' regressions have no penalty, and so no minimum where labels can be told
//! apart without error; here both have a weak one.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::centered::Train;
use super::fit::{Fit, Fitted};
use super::logistic::{self, LrOptions};
use crate::normalize::{Normalization, Normalizer};
use crate::probe::{Calibration, Probe};
use crate::{Contrast, Error, Result, SeedTree, Statements};

/// TTPD, for single statements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ttpd {
    /// C of both regressions, the weight of the data against the penalty; of the second, with features of unit spread.
    pub c: f64,
    /// How states are normalized: all of them together, whatever their template, since what sets negated statements apart
    /// from affirmative ones is used.
    pub normalization: Normalization,
}

impl Default for Ttpd {
    fn default() -> Self {
        Self { c: 1.0, normalization: Normalization::default() }
    }
}

impl Fit for Ttpd {
    fn fit_checked(&self, train: &Contrast, _seeds: &SeedTree) -> Result<Fitted> {
        let fit = ttpd_of(train, self)?;
        let about = json!({
            "c": self.c, "normalization": self.normalization, "polarity": fit.t_p.is_some(),
            "coefficients": fit.coefficients,
        });
        let note = fit.t_p.is_none().then(|| {
            "no polarity, or one alone: logistic regression on the general truth direction".to_owned()
        });
        Ok(Fitted { note, ..Fitted::new(fit.probe, fit.objective, about) })
    }

    fn fits_statements(&self) -> bool {
        true
    }
}

/// A fitted TTPD.
#[derive(Debug)]
#[non_exhaustive]
pub struct TtpdFit {
    /// The probe.
    pub probe: Probe,
    /// `t_G` in normalized coordinates. \[D\]
    pub t_g: Tensor,
    /// `t_P` likewise; `None` where all statements are of one polarity, or theirs is not known. \[D\]
    pub t_p: Option<Tensor>,
    /// The polarity direction d likewise. \[D\]
    pub polarity: Option<Tensor>,
    /// What the probe's weight is made of: coefficients of `t_G` and, where there is one, d.
    pub coefficients: Vec<f64>,
    /// The second regression's objective.
    pub objective: f64,
}

impl TtpdFit {
    /// Where statements lie in the plane of `t_G` and `t_P`: `t_Gᵀa` and `t_Pᵀa` of normalized states, the second 0 without `t_P`.
    ///
    /// # Shapes
    /// `statements`: N of length D; the result: N.
    ///
    /// # Errors
    /// Another D.
    pub fn plane(&self, statements: &Statements) -> Result<Vec<[f64; 2]>> {
        let pooled = statements.as_contrast().without_variants()?;
        let states = normalized(&self.probe.normalizer, &pooled)?;
        let along = |t: &Tensor| -> Result<Vec<f64>> {
            let t = t.f_to_device(states.device())?;
            Ok(Vec::try_from(states.f_mv(&t)?.f_to_device(Device::Cpu)?)?)
        };
        let general = along(&self.t_g)?;
        let sensitive = match &self.t_p {
            Some(t_p) => along(t_p)?,
            None => vec![0.0; general.len()],
        };
        Ok(general.into_iter().zip(sensitive).map(|(g, p)| [g, p]).collect())
    }
}

fn normalized(normalizer: &Normalizer, rows: &Contrast) -> Result<Tensor> {
    Ok(normalizer.apply(rows, Kind::Double)?.0)
}

/// Fits TTPD. Data sets are the statements' templates ([`Statements::with_variants`]).
///
/// # Shapes
/// `train`: N statements of length D.
///
/// # Errors
/// Statements of one label, a C that cannot be used, or a regression that does not converge.
pub fn ttpd(train: &Statements, options: &Ttpd) -> Result<TtpdFit> {
    ttpd_of(train.as_contrast(), options)
}

fn ttpd_of(train: &Contrast, options: &Ttpd) -> Result<TtpdFit> {
    if !train.is_single() {
        return Err(Error::Setting {
            name: "method",
            value: "ttpd".to_owned(),
            reason: "it is for single statements, and these are pairs",
            hint: "give the states of one side (`ccs::Statements`)",
        });
    }
    let regression = LrOptions { c: options.c, ..LrOptions::default() };
    logistic::check(&regression)?;
    let pooled = train.without_variants()?;
    let data = Train::new(&pooled, options.normalization)?;
    let labels = data.labels()?;
    let device = labels.device();
    let polarity = polarity(train);
    let (t_g, t_p) = directions(&data.plus, train, polarity.as_deref())?;
    let direction = match &polarity {
        Some(p) => {
            let affirmative: Vec<f64> = p.iter().map(|&p| f64::from(p > 0.0)).collect();
            let affirmative = Tensor::f_from_slice(&affirmative)?.f_to_device(device)?;
            Some(logistic::solve(&data.plus, &affirmative, &regression)?.0)
        }
        None => None,
    };
    let axes: Vec<&Tensor> = std::iter::once(&t_g).chain(&direction).collect();
    let axes = Tensor::f_stack(&axes, 1)?; // [D, 1 or 2]
    let features = data.plus.f_mm(&axes)?; // centered, [N, 1 or 2]
    let spread =
        features.f_square()?.f_mean_dim(0, false, Kind::Double)?.f_sqrt()?.f_clamp_min(f64::MIN_POSITIVE)?;
    let scaled = features.f_div(&spread)?;
    let (weight, bias) = logistic::solve(&scaled, &labels, &regression)?;
    let coefficients = weight.f_div(&spread)?;
    let objective = objective(&scaled.f_mv(&weight)?.f_add_scalar(bias)?, &labels, &weight, options.c)?;
    let probe = data.supervised(&axes.f_mv(&coefficients)?, bias)?;
    let cpu = |x: Tensor| x.f_to_device(Device::Cpu);
    Ok(TtpdFit {
        probe: Probe { calibration: Calibration::OWN, ..probe },
        t_g: cpu(t_g)?,
        t_p: t_p.map(cpu).transpose()?,
        polarity: direction.map(cpu).transpose()?,
        coefficients: Vec::try_from(cpu(coefficients)?)?,
        objective,
    })
}

/// ½‖w‖² + C·Σ log loss.
fn objective(logits: &Tensor, labels: &Tensor, weight: &Tensor, c: f64) -> Result<f64> {
    let loss = logits.f_softplus()?.f_sub(&labels.f_mul(logits)?)?.f_sum(Kind::Double)?.f_double_value(&[])?;
    Ok(0.5 * weight.f_dot(weight)?.f_double_value(&[])? + c * loss)
}

/// ±1 for affirmative and negated rows, where there are both.
fn polarity(train: &Contrast) -> Option<Vec<f64>> {
    let affirmative = train.polarity()?;
    let both = affirmative.contains(&true) && affirmative.contains(&false);
    both.then(|| affirmative.iter().map(|&a| if a { 1.0 } else { -1.0 }).collect())
}

/// `t_G` and `t_P` of states \[N, D\].
fn directions(
    states: &Tensor,
    train: &Contrast,
    polarity: Option<&[f64]>,
) -> Result<(Tensor, Option<Tensor>)> {
    let (rows, device) = (train.rows(), states.device());
    let column =
        |values: Vec<f64>| -> Result<Tensor> { Ok(Tensor::f_from_slice(&values)?.f_to_device(device)?) };
    let truth: Vec<f64> = train.labels().iter().map(|&label| if label { 1.0 } else { -1.0 }).collect();
    let centered = within_cells(states, train, polarity)?;
    let first = centered.f_tr()?.f_mv(&column(truth.clone())?)?; // Σ τᵢaᵢ
    let count = rows as f64;
    let Some(polarity) = polarity else { return Ok((first.f_div_scalar(count)?, None)) };
    let product = truth.iter().zip(polarity).map(|(t, p)| t * p).collect();
    let second = centered.f_tr()?.f_mv(&column(product)?)?; // Σ τᵢpᵢaᵢ
    // XᵀX = [[N, P], [P, N]] with P = Σpᵢ, |P| < N.
    let sum: f64 = polarity.iter().sum();
    let determinant = count * count - sum * sum;
    let solve = |own: &Tensor, other: &Tensor| -> Result<Tensor> {
        Ok(own.f_mul_scalar(count)?.f_sub(&other.f_mul_scalar(sum)?)?.f_div_scalar(determinant)?)
    };
    Ok((solve(&first, &second)?, Some(solve(&second, &first)?)))
}

/// States less the mean of their data set's and polarity's. \[N, D\]
fn within_cells(states: &Tensor, train: &Contrast, polarity: Option<&[f64]>) -> Result<Tensor> {
    let mut places: HashMap<(usize, bool), i64> = HashMap::new();
    let mut cells = Vec::with_capacity(train.rows());
    for (row, &template) in train.templates().iter().enumerate() {
        let affirmative = polarity.and_then(|p| p.get(row)).is_none_or(|&p| p > 0.0);
        let next = places.len() as i64;
        cells.push(*places.entry((template, affirmative)).or_insert(next));
    }
    let cells = Tensor::f_from_slice(&cells)?.f_to_device(states.device())?;
    let one = cells.f_one_hot(places.len() as i64)?.f_to_kind(Kind::Double)?; // [N, cells]
    let counts = one.f_sum_dim_intlist(0, false, Kind::Double)?.f_unsqueeze(1)?;
    let means = one.f_tr()?.f_mm(states)?.f_div(&counts)?; // [cells, D]
    Ok(states.f_sub(&means.f_index_select(0, &cells)?)?)
}
