//! CRC-BSS, bimodal salience search (Burns et al. 2022, §2.3): the direction along which differences fall most clearly
//! into two clusters around zero.
//!
//! With s = Cθ on centered differences C and ‖θ‖ = 1, minimizes (var(s | s < 0) + var(s | s ≥ 0)) / var(s), averaged
//! over templates. Variances are the population's, so that a cluster of one row has variance 0 instead of none.

use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::ccs::Start;
use super::centered::{Train, canonical};
use super::fit::{Fit, Fitted};
use crate::normalize::Normalization;
use crate::probe::Probe;
use crate::{Contrast, Error, Result, SeedTree};

/// How BSS is fitted; the defaults are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bss {
    /// Random starts on the unit sphere; the one with the lowest final loss is kept.
    #[serde(rename = "restarts")]
    pub n_init: usize,
    /// Steps of full-batch AdamW, each followed by a projection onto the unit sphere.
    #[serde(rename = "epochs")]
    pub max_iter: usize,
    /// Step size.
    pub learning_rate: f64,
    /// Decoupled weight decay; the projection undoes it but for rounding.
    pub weight_decay: f64,
    /// How states are normalized.
    #[serde(skip)]
    pub normalization: Normalization,
}

impl Default for Bss {
    fn default() -> Self {
        let normalization = Normalization::default();
        Self { n_init: 20, max_iter: 20, learning_rate: 0.1, weight_decay: 0.01, normalization }
    }
}

impl Fit for Bss {
    fn fit_checked(&self, train: &Contrast, seeds: &SeedTree) -> Result<Fitted> {
        let fit = bss(train, self, seeds)?;
        let about = json!({
            "restart": fit.restart, "train_loss": fit.loss, "options": self, "normalization": self.normalization,
        });
        Ok(Fitted::new(fit.probe, fit.loss, about))
    }

    fn draws_from_seeds(&self) -> bool {
        true
    }
}

/// A fitted BSS direction.
#[derive(Debug)]
#[non_exhaustive]
pub struct BssFit {
    /// The probe; its weight has unit length, its sign is chosen on the training rows.
    pub probe: Probe,
    /// Its loss on the training rows: 0 for two points, 1 where nothing is gained by splitting.
    pub loss: f64,
    /// Which start it comes from.
    pub restart: usize,
    /// The final loss of every start. R
    pub losses: Vec<f64>,
}

/// Fits BSS on training rows from random starts. Labels are used for the sign alone.
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// Training rows of one label, settings that cannot be used, or differences that do not vary.
pub fn bss(train: &Contrast, options: &Bss, seeds: &SeedTree) -> Result<BssFit> {
    let start = Start::unit_sphere(train.dim(), options.n_init, seeds)?;
    bss_from(train, &start.weight, options)
}

/// Fits BSS from given starts ([`Bss::n_init`] is not used).
///
/// # Shapes
/// `train`: N pairs of length D; `start`: \[D, R\].
///
/// # Errors
/// As [`bss`], and starts of another shape.
pub fn bss_from(train: &Contrast, start: &Tensor, options: &Bss) -> Result<BssFit> {
    check(train, start, options)?;
    let data = Train::new(train, options.normalization)?;
    let differences = data.differences()?;
    let device = differences.device();
    let mut blocks = Vec::new(); // a template's rows each
    for (_, rows) in train.rows_by_template() {
        let rows: Vec<i64> = rows.into_iter().map(|row| row as i64).collect();
        let rows = Tensor::f_from_slice(&rows)?.f_to_device(device)?;
        let block = differences.f_index_select(0, &rows)?;
        if block.f_square()?.f_sum(Kind::Double)?.f_double_value(&[])? > 0.0 {
            blocks.push(block);
        }
    }
    if blocks.is_empty() {
        return Err(Error::Constant);
    }
    let mut theta = unit(&start.f_to_kind(Kind::Double)?.f_to_device(device)?)?;
    let mut adam = AdamW { mean: theta.f_zeros_like()?, square: theta.f_zeros_like()?, step: 0 };
    for _ in 0..options.max_iter {
        let (_, gradient) = loss(&blocks, &theta)?;
        theta = unit(&adam.step(&theta, &gradient, options)?)?;
    }
    let (losses, _) = loss(&blocks, &theta)?;
    let losses: Vec<f64> = Vec::try_from(losses.f_to_device(tch::Device::Cpu)?)?;
    let finite = losses.iter().copied().enumerate().filter(|(_, loss)| loss.is_finite());
    let (restart, loss) = finite.min_by(|a, b| a.1.total_cmp(&b.1)).ok_or(Error::Diverged)?;
    let weight = canonical(&theta.f_select(1, restart as i64)?.f_contiguous()?)?;
    Ok(BssFit { probe: data.probe(&weight, 0.0)?, loss, restart, losses })
}

fn check(train: &Contrast, start: &Tensor, options: &Bss) -> Result<()> {
    let (_, restarts) = start.dims2("start")?;
    if start.size() != [train.dim() as i64, restarts] || restarts == 0 {
        return Err(Error::Shape {
            what: "the start".to_owned(),
            expected: format!("[{}, R], R at least 1", train.dim()),
            found: start.size(),
            hint: "ask for at least one restart; a start has one column per restart",
        });
    }
    let usable = |x: f64| x.is_finite() && x >= 0.0;
    if usable(options.weight_decay) && usable(options.learning_rate) && options.learning_rate > 0.0 {
        return Ok(());
    }
    Err(Error::Setting {
        name: "learning rate or weight decay",
        value: format!("{}, {}", options.learning_rate, options.weight_decay),
        reason: "a step size is positive and a decay is not negative",
        hint: "the defaults are 0.1 and 0.01",
    })
}

/// Columns of unit length.
fn unit(theta: &Tensor) -> Result<Tensor> {
    let length = theta.f_square()?.f_sum_dim_intlist(0, true, Kind::Double)?.f_sqrt()?;
    Ok(theta.f_div(&length.f_clamp_min(f64::MIN_POSITIVE)?)?)
}

/// The loss of every probe \[R\] and its gradient \[D, R\], the mean over blocks \[Nₜ, D\].
fn loss(blocks: &[Tensor], theta: &Tensor) -> Result<(Tensor, Tensor)> {
    let mut total = theta.f_select(0, 0)?.f_zeros_like()?;
    let mut gradient = theta.f_zeros_like()?;
    for block in blocks {
        let (value, slope) = salience(&block.f_mm(theta)?)?;
        total = total.f_add(&value)?;
        gradient = gradient.f_add(&block.f_tr()?.f_mm(&slope)?)?;
    }
    let share = 1.0 / blocks.len() as f64;
    Ok((total.f_mul_scalar(share)?, gradient.f_mul_scalar(share)?))
}

/// The loss of scores \[N, R\] and its derivative by each: with g the side of row i, `m_g` and `n_g` its mean and
/// size, `∂L/∂sᵢ = (2(sᵢ − m_g)/n_g − L·2(sᵢ − m)/N) / var(s)`. Which side a row is on is taken as given.
fn salience(scores: &Tensor) -> Result<(Tensor, Tensor)> {
    let rows = scores.dims2("scores")?.0 as f64;
    let sum = |t: &Tensor| t.f_sum_dim_intlist(0, true, Kind::Double); // [1, R]
    let above = scores.f_ge(0.0)?.f_to_kind(Kind::Double)?;
    let below = above.f_neg()?.f_add_scalar(1.0)?;
    let mut own = scores.f_zeros_like()?; // each row's side's mean
    let mut size = scores.f_zeros_like()?; // and its size
    for side in [&above, &below] {
        let count = sum(side)?.f_clamp_min(1.0)?;
        own = own.f_add(&side.f_mul(&sum(&scores.f_mul(side)?)?.f_div(&count)?)?)?;
        size = size.f_add(&side.f_mul(&count)?)?;
    }
    let from_own = scores.f_sub(&own)?;
    let within = sum(&from_own.f_square()?.f_div(&size)?)?; // var below + var above
    let from_mean = scores.f_sub(&sum(scores)?.f_div_scalar(rows)?)?;
    let variance = sum(&from_mean.f_square()?)?.f_div_scalar(rows)?.f_clamp_min(f64::MIN_POSITIVE)?;
    let loss = within.f_div(&variance)?; // [1, R]
    let slope = from_own.f_div(&size)?.f_sub(&from_mean.f_mul(&loss)?.f_div_scalar(rows)?)?;
    Ok((loss.f_squeeze_dim(0)?, slope.f_mul_scalar(2.0)?.f_div(&variance)?))
}

/// AdamW with PyTorch's constants.
struct AdamW {
    mean: Tensor,   // [D, R]
    square: Tensor, // [D, R]
    step: i32,
}

impl AdamW {
    fn step(&mut self, theta: &Tensor, gradient: &Tensor, options: &Bss) -> Result<Tensor> {
        const BETA: [f64; 2] = [0.9, 0.999];
        self.step = self.step.saturating_add(1);
        self.mean = self.mean.f_mul_scalar(BETA[0])?.f_add(&gradient.f_mul_scalar(1.0 - BETA[0])?)?;
        let square = gradient.f_square()?.f_mul_scalar(1.0 - BETA[1])?;
        self.square = self.square.f_mul_scalar(BETA[1])?.f_add(&square)?;
        let [mean, square] = BETA.map(|beta| 1.0 - beta.powi(self.step));
        let below = self.square.f_div_scalar(square)?.f_sqrt()?.f_add_scalar(1e-8)?;
        let update = self.mean.f_mul_scalar(options.learning_rate / mean)?.f_div(&below)?;
        let decayed = theta.f_mul_scalar(1.0 - options.learning_rate * options.weight_decay)?;
        Ok(decayed.f_sub(&update)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn waves(rows: i64, columns: i64, step: f64) -> Tensor {
        (Tensor::arange(rows * columns, (Kind::Double, Device::Cpu)) * step).sin().reshape([rows, columns])
    }

    #[test]
    fn two_points_have_loss_zero_and_one_side_alone_gains_nothing() {
        let scores = Tensor::from_slice(&[1.0, 1.0, -1.0, -1.0, 1.0, 2.0, 3.0, 4.0]).reshape([2, 4]).tr();
        let (loss, _) = salience(&scores.contiguous()).unwrap();
        let _ = scores;
        assert!(loss.double_value(&[0]).abs() < 1e-12 && (loss.double_value(&[1]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_gradient_is_the_finite_difference() {
        let blocks = [waves(7, 3, 1.3), waves(5, 3, 2.1)];
        let theta = waves(3, 2, 0.7);
        let (_, gradient) = loss(&blocks, &theta).unwrap();
        for i in 0..3i64 {
            for r in 0..2i64 {
                let at = |step: f64| {
                    let moved = theta.copy();
                    let _ = moved.get(i).get(r).f_add_scalar_(step).unwrap();
                    loss(&blocks, &moved).unwrap().0.double_value(&[r])
                };
                let want = (at(1e-6) - at(-1e-6)) / 2e-6;
                assert!((gradient.double_value(&[i, r]) - want).abs() < 1e-7);
            }
        }
    }
}
