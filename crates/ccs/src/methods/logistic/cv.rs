//! The penalty by cross-validation inside the training rows.

use serde::{Deserialize, Serialize};
use tch::Kind;
use torch_runtime::TensorExt as _;

use super::{LrFit, LrInput, LrOptions, Rows, check_tolerance};
use crate::contrast::both_labels;
use crate::stats::split::Split;
use crate::{Contrast, Error, Result};

/// elk's penalties: λ of mean log loss + ½λ‖w‖², 0 and ten from 1e-4 to 1e4.
pub const GRID: [f64; 11] = [
    0.0,
    1e-4,
    7.742_636_826_811_278e-4,
    5.994_842_503_189_409e-3,
    4.641_588_833_612_779e-2,
    3.593_813_663_804_626e-1,
    2.782_559_402_207_126,
    2.154_434_690_031_882e1,
    1.668_100_537_200_059_3e2,
    1.291_549_665_014_884e3,
    1e4,
];

/// How one penalty does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Penalty {
    /// λ.
    pub l2: f64,
    /// The mean log loss of rows of the folds that were not fitted on; `None` if a fold's fit did not converge, or has no
    /// minimum to converge to (λ = 0 where some direction tells the labels apart without error).
    pub log_loss: Option<f64>,
}

/// A logistic regression with its penalty chosen.
#[derive(Debug)]
pub struct PenaltyChoice {
    /// Fitted on all training rows with the penalty chosen.
    pub fit: LrFit,
    /// λ: the lowest held-out log loss; of equals the largest.
    pub l2: f64,
    /// Every penalty of [`GRID`].
    pub penalties: Vec<Penalty>,
}

/// Fits with the penalty that does best on held-out folds of the training rows ([`crate::stats::split::grouped_folds`] makes folds
/// that keep groups whole). Normalization is fitted on each fold's training part. [`LrOptions::c`] is not used.
///
/// # Shapes
/// `train`: N pairs of length D; `folds` index them.
///
/// # Errors
/// No folds, training rows of one label, a tolerance that cannot be used, or no penalty at which all fits converge.
pub fn cross_validated(
    train: &Contrast,
    input: LrInput,
    folds: &[Split],
    options: &LrOptions,
) -> Result<PenaltyChoice> {
    let (l2, penalties) = choose(train, input, folds, options)?;
    let (mut rows, normalizer) = Rows::of(train, input, options)?;
    let newton = rows.penalized(l2, options)?;
    Ok(PenaltyChoice { fit: rows.probe(&newton, input, normalizer)?, l2, penalties })
}

/// The penalty that does best on held-out folds, and how every one does; what [`cross_validated`] fits with.
///
/// # Errors
/// As [`cross_validated`].
pub(in crate::methods) fn choose(
    train: &Contrast,
    input: LrInput,
    folds: &[Split],
    options: &LrOptions,
) -> Result<(f64, Vec<Penalty>)> {
    check_tolerance(options)?;
    both_labels(train.labels(), "the training rows")?;
    if folds.is_empty() {
        return Err(Error::Setting {
            name: "folds",
            value: "0".to_owned(),
            reason: "cross-validation needs a part to fit on and a part to test on",
            hint: "give 2 or more, such as 5",
        });
    }
    let mut sums: Vec<Option<f64>> = vec![Some(0.0); GRID.len()];
    let mut rows = 0.0;
    for fold in folds {
        let (fitted, held_out) = (train.select(&fold.train)?, train.select(&fold.test)?);
        rows += held_out.rows() as f64;
        for (sum, loss) in sums.iter_mut().zip(path(&fitted, &held_out, input, options)?) {
            *sum = sum.zip(loss).map(|(sum, loss)| sum + loss * held_out.rows() as f64);
        }
    }
    let penalties: Vec<Penalty> =
        GRID.iter().zip(sums).map(|(&l2, sum)| Penalty { l2, log_loss: sum.map(|s| s / rows) }).collect();
    let best = penalties
        .iter()
        .filter_map(|p| p.log_loss.map(|loss| (loss, p.l2)))
        .min_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let Some((_, l2)) = best else {
        return Err(Error::NotConverged {
            iterations: options.max_iter,
            gradient: f64::NAN,
            tolerance: options.tolerance,
        });
    };
    Ok((l2, penalties))
}

/// Fits with the penalty λ of mean log loss + ½λ‖w‖². [`LrOptions::c`] is not used.
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// As [`super::logistic_on`]; a penalty that is negative or not a number; with λ = 0, rows whose labels some direction
/// tells apart without error.
pub fn penalized(train: &Contrast, input: LrInput, l2: f64, options: &LrOptions) -> Result<LrFit> {
    if !(l2.is_finite() && l2 >= 0.0) {
        return Err(Error::Setting {
            name: "l2",
            value: l2.to_string(),
            reason: "a penalty must not be negative",
            hint: "give 0 or more, such as 0.01",
        });
    }
    check_tolerance(options)?;
    both_labels(train.labels(), "the training rows")?;
    let (mut rows, normalizer) = Rows::of(train, input, options)?;
    let newton = rows.penalized(l2, options)?;
    rows.probe(&newton, input, normalizer)
}

impl Rows {
    /// n times mean log loss + ½λ‖w‖², which keeps the gradient on the scale of a sum over rows.
    fn penalized(&mut self, l2: f64, options: &LrOptions) -> Result<super::Newton> {
        let rows = self.targets.dims1("targets")? as f64;
        self.fit(l2 * rows, 1.0, options)
    }
}

/// The mean log loss on `held_out` at every penalty of [`GRID`], each sought from the next larger one's minimum.
fn path(
    fitted: &Contrast,
    held_out: &Contrast,
    input: LrInput,
    options: &LrOptions,
) -> Result<Vec<Option<f64>>> {
    let (mut rows, normalizer) = Rows::of(fitted, input, options)?;
    let (plus, minus) = normalizer.apply(held_out, Kind::Double)?;
    let (x, targets) = input.rows(plus, minus, held_out)?;
    let mut losses = Vec::with_capacity(GRID.len());
    for &l2 in GRID.iter().rev() {
        let newton = match rows.penalized(l2, options) {
            Err(Error::NotConverged { .. } | Error::Separable) => {
                losses.push(None);
                continue;
            }
            other => other?,
        };
        let (weight, bias) = rows.weights(&newton)?;
        let z = x.f_mv(&weight.f_to_kind(Kind::Double)?)?.f_add_scalar(bias)?; // [M]
        // log(1 + exp z) − y·z
        let softplus = z.f_clamp_min(0.0)?.f_add(&z.f_abs()?.f_neg()?.f_exp()?.f_log1p()?)?;
        let loss = softplus.f_sub(&targets.f_mul(&z)?)?.f_mean(Kind::Double)?.f_double_value(&[])?;
        losses.push(Some(loss));
    }
    losses.reverse();
    Ok(losses)
}
