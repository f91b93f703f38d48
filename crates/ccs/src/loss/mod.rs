//! The CCS objective (Burns et al. 2022, eq. 1) and its relatives, for many probes at once.
//!
//! With p⁺ = σ(θᵀφ⁺ + b) and p⁻ = σ(θᵀφ⁻ + b):
//! L = mean over rows of (p⁺ + p⁻ − 1)² (consistency) + min(p⁺, p⁻)² (confidence).
//!
//! [`CcsLoss`] is any weighted sum of this and the other terms of the field; its gradients are written out in the logits.

mod ccs_loss;
mod logits;

use serde::{Deserialize, Serialize};
use tch::Tensor;

pub(crate) use ccs_loss::Weights;
pub use ccs_loss::{CcsLoss, Term};
pub use logits::Questions;

use crate::Result;

/// The least CCS loss that a constant guess can reach, at p = 0.4 for every statement.
pub const CONSTANT_GUESS: f64 = 0.2;

/// The two terms of the loss, each a mean over rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// mean (p⁺ + p⁻ − 1)²: a statement and its negation should have probabilities that add to one.
    pub consistency: f64,
    /// mean min(p⁺, p⁻)²: one of them should be near zero.
    pub confidence: f64,
}

impl Terms {
    /// The loss. A constant guess reaches [`CONSTANT_GUESS`], so values near it mean that nothing was found.
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

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;
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
}
