//! The CCS objective (Burns et al. 2022, eq. 1) and its gradient, for many probes at once.
//!
//! With p⁺ = σ(θᵀφ⁺ + b) and p⁻ = σ(θᵀφ⁻ + b):
//! L = mean over rows of (p⁺ + p⁻ − 1)² (consistency) + min(p⁺, p⁻)² (confidence).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::Result;

/// The two terms of the loss, each a mean over rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// mean (p⁺ + p⁻ − 1)²: a statement and its negation should have probabilities that add to one.
    pub consistency: f64,
    /// mean min(p⁺, p⁻)²: one of them should be near zero.
    pub confidence: f64,
}

impl Terms {
    /// The loss. A constant guess reaches 0.2 (at p = 0.4), so values near it mean that nothing was found.
    pub fn total(&self) -> f64 {
        self.consistency + self.confidence
    }
}

/// The terms of R probes, from their probabilities.
///
/// # Shapes
/// `p_plus`, `p_minus`: \[N, R\]; the result: R.
///
/// # Errors
/// Shapes that differ.
pub fn terms(p_plus: &Tensor, p_minus: &Tensor) -> Result<Vec<Terms>> {
    let mean = |t: &Tensor| -> Result<Vec<f64>> {
        let mean = t.f_square()?.f_mean_dim(0, false, tch::Kind::Double)?; // [R]
        Ok(Vec::try_from(mean.f_to_device(tch::Device::Cpu)?)?)
    };
    let consistency = mean(&p_plus.f_add(p_minus)?.f_sub_scalar(1.0)?)?;
    let confidence = mean(&p_plus.f_minimum(p_minus)?)?;
    let both = consistency.into_iter().zip(confidence);
    Ok(both.map(|(consistency, confidence)| Terms { consistency, confidence }).collect())
}

/// The objective on given rows, with the buffers that its gradient needs; one per fit.
///
/// Parameters are one matrix \[D + 1, R\] whose last row is the biases: the states carry a column of ones.
#[derive(Debug)]
pub struct Objective {
    /// Plus rows, then minus rows, with a last column of ones. \[2N, D + 1\]
    states: Tensor,
    rows: i64,
    p: Tensor,       // [2N, R], p⁺ above p⁻
    p_plus: Tensor,  // its upper half [N, R]
    p_minus: Tensor, // its lower half [N, R]
    slope: Tensor,   // [2N, R], ∂L/∂p, then ∂L/∂z
    slope_plus: Tensor,
    slope_minus: Tensor,
    base: Tensor,     // [N, R]
    smaller: Tensor,  // [N, R], min(p⁺, p⁻)
    gradient: Tensor, // [D + 1, R]
}

impl Objective {
    /// Prepares the objective for `probes` probes.
    ///
    /// # Shapes
    /// `plus`, `minus`: \[N, D\], normalised, of one floating-point kind.
    ///
    /// # Errors
    /// LibTorch's, for shapes that differ or memory that is short.
    pub fn new(plus: &Tensor, minus: &Tensor, probes: usize) -> Result<Self> {
        let rows = plus.size().first().copied().unwrap_or_default();
        let options = (plus.kind(), plus.device());
        let ones = Tensor::f_ones([2 * rows, 1], options)?;
        let states = Tensor::f_cat(&[&Tensor::f_cat(&[plus, minus], 0)?, &ones], 1)?; // [2N, D + 1]
        let columns = states.size().get(1).copied().unwrap_or_default();
        let r = probes as i64;
        let p = Tensor::f_zeros([2 * rows, r], options)?;
        let slope = Tensor::f_zeros([2 * rows, r], options)?;
        Ok(Self {
            p_plus: p.f_narrow(0, 0, rows)?,
            p_minus: p.f_narrow(0, rows, rows)?,
            slope_plus: slope.f_narrow(0, 0, rows)?,
            slope_minus: slope.f_narrow(0, rows, rows)?,
            base: Tensor::f_zeros([rows, r], options)?,
            smaller: Tensor::f_zeros([rows, r], options)?,
            gradient: Tensor::f_zeros([columns, r], options)?,
            states,
            rows,
            p,
            slope,
        })
    }

    /// The terms of each probe at `theta`.
    ///
    /// # Shapes
    /// `theta`: \[D + 1, R\]; the result: R.
    ///
    /// # Errors
    /// A `theta` of another shape or kind.
    pub fn terms(&mut self, theta: &Tensor) -> Result<Vec<Terms>> {
        self.probabilities(theta)?;
        terms(&self.p_plus, &self.p_minus)
    }

    fn probabilities(&mut self, theta: &Tensor) -> Result<()> {
        let _ = self.states.f_mm_out(&self.p, theta)?;
        let _ = self.p.f_sigmoid_()?;
        Ok(())
    }

    /// The gradient of each probe's loss at `theta`; where p⁺ = p⁻ the minimum's is shared by both sides.
    ///
    /// # Shapes
    /// `theta` and the result: \[D + 1, R\].
    ///
    /// # Errors
    /// A `theta` of another shape or kind.
    pub fn gradient(&mut self, theta: &Tensor) -> Result<&Tensor> {
        self.probabilities(theta)?;
        // With r = p⁺ + p⁻ − 1, m = min(p⁺, p⁻) and s = sign(p⁻ − p⁺):
        // ∂L/∂p⁺ = 2r + (1 + s)·m and ∂L/∂p⁻ = 2r + (1 − s)·m.
        let _ = self.p_plus.f_minimum_out(&self.smaller, &self.p_minus)?;
        let _ = self.p_plus.f_add_out(&self.base, &self.p_minus)?;
        let _ = self.base.f_sub_scalar_(1.0)?.f_mul_scalar_(2.0)?.f_add_(&self.smaller)?; // 2r + m
        let _ = self.p_minus.f_sub_out(&self.slope_plus, &self.p_plus)?;
        let _ = self.slope_plus.f_sign_()?.f_mul_(&self.smaller)?; // s·m
        let _ = self.base.f_sub_out(&self.slope_minus, &self.slope_plus)?;
        let _ = self.slope_plus.f_add_(&self.base)?;
        // Through the logistic function, ∂p/∂z = p(1 − p), and the mean over rows.
        let _ = Tensor::f_sigmoid_backward_grad_input(&self.slope, &self.slope, &self.p)?;
        let _ = self.states.f_tr()?.f_mm_out(&self.gradient, &self.slope)?;
        let _ = self.gradient.f_mul_scalar_(1.0 / self.rows as f64)?;
        Ok(&self.gradient)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn loss_at(plus: f64, minus: f64) -> f64 {
        let column = |p: f64| Tensor::from_slice(&[p; 3]).reshape([3, 1]);
        terms(&column(plus), &column(minus)).unwrap()[0].total()
    }

    #[test]
    fn known_values() {
        for (plus, minus, want) in [
            (0.5, 0.5, 0.25),
            (0.4, 0.4, 0.2),
            (0.0, 0.0, 1.0),
            (1.0, 1.0, 2.0),
            (1.0, 0.0, 0.0),
            (0.9, 0.4, 0.25),
            (0.1, 0.6, 0.10),
        ] {
            assert!((loss_at(plus, minus) - want).abs() < 1e-12, "({plus}, {minus})");
            assert_eq!(loss_at(plus, minus), loss_at(minus, plus), "swapping the choices changes nothing");
        }
        // 0.2 is the least a constant can reach.
        assert!((0..=100).all(|p| loss_at(f64::from(p) / 100.0, f64::from(p) / 100.0) >= 0.2 - 1e-12));
    }

    /// N = 7 rows of D = 3 dimensions, R = 2 probes, without random numbers.
    fn example() -> (Tensor, Tensor, Tensor) {
        let wave = |n: i64, step: f64| (Tensor::arange(n, (Kind::Double, Device::Cpu)) * step).sin();
        (wave(21, 0.9).reshape([7, 3]), wave(21, 1.7).reshape([7, 3]), wave(8, 0.6).reshape([4, 2]))
    }

    #[test]
    fn the_gradient_is_the_finite_difference() {
        let (plus, minus, theta) = example();
        let mut objective = Objective::new(&plus, &minus, 2).unwrap();
        let gradient = objective.gradient(&theta).unwrap().copy();
        for i in 0..4i64 {
            for r in 0..2i64 {
                let mut at = |step: f64| {
                    let moved = theta.copy();
                    let _ = moved.get(i).get(r).f_add_scalar_(step).unwrap();
                    objective.terms(&moved).unwrap()[r as usize].total()
                };
                let want = (at(1e-6) - at(-1e-6)) / 2e-6;
                let got = gradient.double_value(&[i, r]);
                assert!((got - want).abs() < 1e-8, "entry ({i}, {r}): {got} and {want}");
            }
        }
    }

    #[test]
    fn the_gradient_is_autograds_even_where_both_sides_tie() {
        let (plus, _, theta) = example();
        let theta = theta.set_requires_grad(true);
        let z = plus.mm(&theta.narrow(0, 0, 3)) + theta.narrow(0, 3, 1);
        let (p, q) = (z.sigmoid(), z.sigmoid());
        ((&p + &q - 1.0).square() + p.minimum(&q).square())
            .mean_dim(0, false, Kind::Double)
            .sum(Kind::Double)
            .backward();
        let mut objective = Objective::new(&plus, &plus, 2).unwrap();
        let got = objective.gradient(&theta.detach()).unwrap();
        assert!((got - theta.grad()).abs().max().double_value(&[]) < 1e-14);
    }

    #[test]
    fn swapping_sides_leaves_the_loss_of_every_probe() {
        let (plus, minus, theta) = example();
        let one = Objective::new(&plus, &minus, 2).unwrap().terms(&theta).unwrap();
        let other = Objective::new(&minus, &plus, 2).unwrap().terms(&theta).unwrap();
        assert_eq!(one, other);
    }
}
