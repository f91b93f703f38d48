//! Values of a mix and their gradients in the logits, written out.
//!
//! With p = σ(z⁺), q = σ(z⁻), m = ½(p + 1 − q), H(x) = −x ln x − (1 − x) ln(1 − x), and slopes in p and q:
//!
//! | term | value | ∂/∂p | ∂/∂q |
//! |---|---|---|---|
//! | consistency | r², r = p + q − 1 | 2r | 2r |
//! | confidence | min(p, q)² | 2·min·\[p < q\] | 2·min·\[q < p\] |
//! | symmetric confidence | c², c = min(p, q, 1 − p, 1 − q) | ±2c where p or 1 − p is the least | likewise |
//! | js | H(m) − ½(H(p) + H(q)) | ½(ln((1 − m)/m) + z⁺) | ½(z⁻ − ln((1 − m)/m)) |
//! | `js_confidence` | H(m) | ½ ln((1 − m)/m) | −½ ln((1 − m)/m) |
//! | `prompt_var` | (p − p̄)² + (q − q̄)² | 2(p − p̄) | 2(q − q̄) |
//!
//! and ∂p/∂z = p(1 − p). Where a minimum ties, both sides share its slope, as in PyTorch. 1 − p is computed as σ(−z),
//! which keeps its digits where p is near 1.

use std::collections::HashMap;

use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::ccs_loss::{CcsLoss, Weights};
use crate::{Error, Result};

/// Which rows are of one question, for [`super::Term::PromptVar`].
#[derive(Debug)]
pub struct Questions {
    /// The question of each row. \[N\]
    index: Tensor,
    /// One over the number of rows of each question. \[Q, 1\]
    shares: Tensor,
}

impl Questions {
    /// Rows with the same number are of one question.
    ///
    /// # Shapes
    /// `questions`: N numbers, which need not be consecutive.
    ///
    /// # Errors
    /// No rows.
    pub fn new(questions: &[usize], kind: Kind, device: Device) -> Result<Self> {
        if questions.is_empty() {
            return Err(Error::TooFewRows { purpose: "prompt_var".to_owned(), needed: 1, found: 0 });
        }
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut counts: Vec<f64> = Vec::new();
        let mut index = Vec::with_capacity(questions.len());
        for question in questions {
            let place = *places.entry(*question).or_insert(counts.len());
            match counts.get_mut(place) {
                Some(count) => *count += 1.0,
                None => counts.push(1.0),
            }
            index.push(place as i64);
        }
        let shares: Vec<f64> = counts.iter().map(|count| 1.0 / count).collect();
        Ok(Self {
            index: Tensor::f_from_slice(&index)?.f_to_device(device)?,
            shares: Tensor::f_from_slice(&shares)?.f_to_kind(kind)?.f_to_device(device)?.f_unsqueeze(1)?,
        })
    }

    /// Each row minus the mean over its question's rows. `p`: \[N, R\]
    fn deviations(&self, p: &Tensor) -> Result<Tensor> {
        let (_, columns) = p.dims2("p")?;
        let (questions, _) = self.shares.dims2("shares")?;
        let sums =
            Tensor::f_zeros([questions, columns], (p.kind(), p.device()))?.f_index_add(0, &self.index, p)?;
        Ok(p.f_sub(&sums.f_mul(&self.shares)?.f_index_select(0, &self.index)?)?)
    }
}

/// Both sides' probabilities and their complements. Each \[N, R\]
struct Sides {
    p: Tensor,
    not_p: Tensor,
    q: Tensor,
    not_q: Tensor,
}

impl Sides {
    fn new(z_plus: &Tensor, z_minus: &Tensor) -> Result<Self> {
        Ok(Self {
            p: z_plus.f_sigmoid()?,
            not_p: z_plus.f_neg()?.f_sigmoid()?,
            q: z_minus.f_sigmoid()?,
            not_q: z_minus.f_neg()?.f_sigmoid()?,
        })
    }

    /// p + q − 1, from whichever pair of p, q and their complements is small.
    fn excess(&self) -> Result<Tensor> {
        Ok(self.p.f_sub(&self.not_q)?)
    }

    /// m = ½(p + 1 − q) and 1 − m.
    fn mixture(&self) -> Result<(Tensor, Tensor)> {
        let half = |a: &Tensor, b: &Tensor| -> Result<Tensor> { Ok(a.f_add(b)?.f_mul_scalar(0.5)?) };
        Ok((half(&self.p, &self.not_q)?, half(&self.not_p, &self.q)?))
    }
}

/// ln x, finite at 0: there x·ln x is 0, which any finite number gives.
fn log(x: &Tensor) -> Result<Tensor> {
    let least = if x.kind() == Kind::Double { f64::MIN_POSITIVE } else { f64::from(f32::MIN_POSITIVE) };
    Ok(x.f_clamp_min(least)?.f_log()?)
}

/// H(σ(z)) = ln(1 + exp(−|z|)) + |z|·σ(−|z|), which has no difference of large numbers.
fn entropy_of_logit(z: &Tensor) -> Result<Tensor> {
    let size = z.f_abs()?;
    let away = size.f_neg()?;
    Ok(away.f_exp()?.f_log1p()?.f_add(&size.f_mul(&away.f_sigmoid()?)?)?)
}

/// 1 where a < b, ½ where they tie, 0 elsewhere: a's share of the slope of min(a, b).
fn share(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(b.f_sub(a)?.f_sign()?.f_add_scalar(1.0)?.f_mul_scalar(0.5)?)
}

impl CcsLoss {
    /// The objective of R probes from their logits. Without `questions` every row is a question of its own, whose
    /// `prompt_var` is 0.
    ///
    /// # Shapes
    /// `z_plus`, `z_minus`: \[N, R\]; the result: R.
    ///
    /// # Errors
    /// Shapes that differ, or other rows than those of `questions`.
    pub fn values(
        &self,
        z_plus: &Tensor,
        z_minus: &Tensor,
        questions: Option<&Questions>,
    ) -> Result<Vec<f64>> {
        let mean = self.weights().values(z_plus, z_minus, questions)?.f_mean_dim(0, false, Kind::Double)?; // [R]
        Ok(Vec::try_from(mean.f_to_device(Device::Cpu)?)?)
    }

    /// Each row's gradient in its two logits, times N: the objective is a mean over rows, this is not divided.
    ///
    /// # Shapes
    /// `z_plus`, `z_minus` and the two results: \[N, R\].
    ///
    /// # Errors
    /// As [`CcsLoss::values`].
    pub fn slopes(
        &self,
        z_plus: &Tensor,
        z_minus: &Tensor,
        questions: Option<&Questions>,
    ) -> Result<(Tensor, Tensor)> {
        self.weights().slopes(z_plus, z_minus, questions)
    }
}

impl Weights {
    /// Each row's value. \[N, R\]
    pub(crate) fn values(
        &self,
        z_plus: &Tensor,
        z_minus: &Tensor,
        questions: Option<&Questions>,
    ) -> Result<Tensor> {
        let s = Sides::new(z_plus, z_minus)?;
        let mut total = z_plus.f_zeros_like()?;
        let mut add = |weight: f64, value: &Tensor| -> Result<()> {
            let _ = total.f_add_(&value.f_mul_scalar(weight)?)?;
            Ok(())
        };
        if self.consistency > 0.0 {
            add(self.consistency, &s.excess()?.f_square()?)?;
        }
        if self.confidence > 0.0 {
            add(self.confidence, &s.p.f_minimum(&s.q)?.f_square()?)?;
        }
        if self.symmetric > 0.0 {
            let least = s.p.f_minimum(&s.q)?.f_minimum(&s.not_p.f_minimum(&s.not_q)?)?;
            add(self.symmetric, &least.f_square()?)?;
        }
        if self.js + self.mixture > 0.0 {
            let (m, n) = s.mixture()?;
            let entropy = m.f_mul(&log(&m)?)?.f_add(&n.f_mul(&log(&n)?)?)?.f_neg()?; // H(m)
            add(self.js + self.mixture, &entropy)?;
            if self.js > 0.0 {
                add(-0.5 * self.js, &entropy_of_logit(z_plus)?.f_add(&entropy_of_logit(z_minus)?)?)?;
            }
        }
        if self.prompt_var > 0.0 {
            for (questions, side) in questions.iter().flat_map(|q| [(q, &s.p), (q, &s.q)]) {
                add(self.prompt_var, &questions.deviations(side)?.f_square()?)?;
            }
        }
        Ok(total)
    }

    /// Each row's slope in z⁺ and in z⁻. \[N, R\]
    pub(crate) fn slopes(
        &self,
        z_plus: &Tensor,
        z_minus: &Tensor,
        questions: Option<&Questions>,
    ) -> Result<(Tensor, Tensor)> {
        let s = Sides::new(z_plus, z_minus)?;
        let (mut dp, mut dq) = (z_plus.f_zeros_like()?, z_minus.f_zeros_like()?);
        let mut add = |weight: f64, by_p: &Tensor, by_q: &Tensor| -> Result<()> {
            let _ = dp.f_add_(&by_p.f_mul_scalar(weight)?)?;
            let _ = dq.f_add_(&by_q.f_mul_scalar(weight)?)?;
            Ok(())
        };
        if self.consistency > 0.0 {
            let excess = s.excess()?;
            add(2.0 * self.consistency, &excess, &excess)?;
        }
        if self.confidence > 0.0 {
            let least = s.p.f_minimum(&s.q)?;
            let of_p = least.f_mul(&share(&s.p, &s.q)?)?;
            add(2.0 * self.confidence, &of_p, &least.f_sub(&of_p)?)?;
        }
        if self.symmetric > 0.0 {
            let (low, high) = (s.p.f_minimum(&s.q)?, s.not_p.f_minimum(&s.not_q)?);
            let least = low.f_minimum(&high)?;
            let of_low = least.f_mul(&share(&low, &high)?)?;
            let of_high = least.f_sub(&of_low)?;
            let by_p =
                of_low.f_mul(&share(&s.p, &s.q)?)?.f_sub(&of_high.f_mul(&share(&s.not_p, &s.not_q)?)?)?;
            let by_q =
                of_low.f_mul(&share(&s.q, &s.p)?)?.f_sub(&of_high.f_mul(&share(&s.not_q, &s.not_p)?)?)?;
            add(2.0 * self.symmetric, &by_p, &by_q)?;
        }
        if self.js + self.mixture > 0.0 {
            let (m, n) = s.mixture()?;
            let slope = log(&n)?.f_sub(&log(&m)?)?; // H′(m) = ln((1 − m)/m)
            add(0.5 * (self.js + self.mixture), &slope, &slope.f_neg()?)?;
            if self.js > 0.0 {
                add(0.5 * self.js, z_plus, z_minus)?;
            }
        }
        if let Some(questions) = questions.filter(|_| self.prompt_var > 0.0) {
            add(2.0 * self.prompt_var, &questions.deviations(&s.p)?, &questions.deviations(&s.q)?)?;
        }
        let through = |slope: Tensor, p: &Tensor, not_p: &Tensor| -> Result<Tensor> {
            Ok(slope.f_mul(&p.f_mul(not_p)?)?)
        };
        Ok((through(dp, &s.p, &s.not_p)?, through(dq, &s.q, &s.not_q)?))
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests;
