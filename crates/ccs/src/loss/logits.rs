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
        let columns = p.size().get(1).copied().unwrap_or_default();
        let questions = self.shares.size().first().copied().unwrap_or_default();
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
mod tests {
    use super::*;
    use crate::loss::Term;

    /// 7 rows of 2 probes: ordinary logits, a tie, saturated ones. Three questions of 3, 3 and 1 rows, mixed.
    fn example() -> (Tensor, Tensor, Vec<usize>) {
        let plus = [0.3, -1.2, 2.0, 0.7, 0.7, 30.0, -45.0, 1.1, -0.2, 0.4, 3.0, -2.0, 0.05, 0.9];
        let minus = [-0.5, 0.8, 1.0, 0.7, 0.2, -30.0, 20.0, -0.3, -0.2, 1.9, -3.0, 2.5, 0.6, -1.4];
        let column = |v: &[f64]| Tensor::from_slice(v).reshape([7, 2]);
        (column(&plus), column(&minus), vec![4, 9, 4, 9, 4, 9, 1])
    }

    fn mix(text: &str) -> CcsLoss {
        text.parse().unwrap()
    }

    /// The terms as formulae of probabilities, row by row in plain numbers.
    fn by_hand(term: Term, z: &[(f64, f64)], questions: &[usize]) -> f64 {
        let sigma = |z: f64| 1.0 / (1.0 + (-z).exp());
        let log = |x: f64| if x > 0.0 { x * x.ln() } else { 0.0 };
        let entropy = |x: f64, not_x: f64| -log(x) - log(not_x);
        let rows: Vec<(f64, f64)> = z.iter().map(|&(a, b)| (sigma(a), sigma(b))).collect();
        let mean = |row: usize, side: &dyn Fn(&(f64, f64)) -> f64| {
            let mates: Vec<f64> =
                (0..rows.len()).filter(|&i| questions[i] == questions[row]).map(|i| side(&rows[i])).collect();
            mates.iter().sum::<f64>() / mates.len() as f64
        };
        let value = |row: usize| {
            let ((p, q), (a, b)) = (rows[row], z[row]);
            let (m, n) = (0.5 * (p + sigma(-b)), 0.5 * (sigma(-a) + q));
            let consistency = (p + q - 1.0).powi(2);
            let confidence = p.min(q).powi(2);
            let variance = (p - mean(row, &|r| r.0)).powi(2) + (q - mean(row, &|r| r.1)).powi(2);
            match term {
                Term::Ccs => consistency + confidence,
                Term::Consistency => consistency,
                Term::Confidence => confidence,
                Term::SymmetricConfidence => p.min(q).min(1.0 - p).min(1.0 - q).powi(2),
                Term::Js => entropy(m, n) - 0.5 * (entropy(p, sigma(-a)) + entropy(q, sigma(-b))),
                Term::JsConfidence => entropy(m, n),
                Term::PromptVar => variance,
                Term::CcsPromptVar => consistency + confidence + variance,
            }
        };
        (0..rows.len()).map(value).sum::<f64>() / rows.len() as f64
    }

    #[test]
    fn every_term_is_its_formula() {
        let (plus, minus, numbers) = example();
        let questions = Questions::new(&numbers, Kind::Double, Device::Cpu).unwrap();
        for term in Term::ALL {
            let got = mix(term.name()).values(&plus, &minus, Some(&questions)).unwrap();
            for (r, got) in got.iter().enumerate() {
                let at = |z: &Tensor, i: usize| z.double_value(&[i as i64, r as i64]);
                let z: Vec<(f64, f64)> = (0..7).map(|i| (at(&plus, i), at(&minus, i))).collect();
                let want = by_hand(term, &z, &numbers);
                // f64: means of seven rows, each of some thirty operations on numbers below 2.
                assert!((got - want).abs() < 1e-13, "{}: {got} and {want}", term.name());
            }
        }
    }

    /// A term as plain tensor operations that autograd follows. None of them is defined by our slopes.
    fn with_autograd(term: Term, z_plus: &Tensor, z_minus: &Tensor, questions: &Questions) -> Tensor {
        let (p, q) = (z_plus.sigmoid(), z_minus.sigmoid());
        let (not_p, not_q) = ((-z_plus).sigmoid(), (-z_minus).sigmoid());
        let entropy = |x: &Tensor, not_x: &Tensor| -(x * x.log() + not_x * not_x.log());
        let (m, n) = ((&p + &not_q) * 0.5, (&not_p + &q) * 0.5);
        match term {
            Term::Ccs => (&p + &q - 1.0).square() + p.minimum(&q).square(),
            Term::Consistency => (&p + &q - 1.0).square(),
            Term::Confidence => p.minimum(&q).square(),
            Term::SymmetricConfidence => p.minimum(&q).minimum(&not_p.minimum(&not_q)).square(),
            Term::Js => entropy(&m, &n) - (entropy(&p, &not_p) + entropy(&q, &not_q)) * 0.5,
            Term::JsConfidence => entropy(&m, &n),
            Term::PromptVar => {
                questions.deviations(&p).unwrap().square() + questions.deviations(&q).unwrap().square()
            }
            Term::CcsPromptVar => {
                with_autograd(Term::Ccs, z_plus, z_minus, questions)
                    + with_autograd(Term::PromptVar, z_plus, z_minus, questions)
            }
        }
    }

    #[test]
    fn slopes_are_autograds_ties_and_saturation_included() {
        let (plus, minus, numbers) = example();
        let questions = Questions::new(&numbers, Kind::Double, Device::Cpu).unwrap();
        for term in Term::ALL {
            let (a, b) = (plus.copy().set_requires_grad(true), minus.copy().set_requires_grad(true));
            with_autograd(term, &a, &b, &questions).sum(Kind::Double).backward();
            let (dp, dq) = mix(term.name()).slopes(&plus, &minus, Some(&questions)).unwrap();
            for (got, want) in [(dp, a.grad()), (dq, b.grad())] {
                let off = (got - want).abs().max().double_value(&[]);
                assert!(off < 1e-13, "{}: off by {off:e}", term.name());
            }
        }
    }

    #[test]
    fn slopes_are_finite_differences() {
        let (plus, minus, numbers) = example();
        let questions = Questions::new(&numbers, Kind::Double, Device::Cpu).unwrap();
        let text = "2*ccs+0.5*js+0.3*js_confidence+3*prompt_var+symmetric_confidence";
        let (dp, dq) = mix(text).slopes(&plus, &minus, Some(&questions)).unwrap();
        for row in 0..7i64 {
            for r in 0..2i64 {
                let (a, b) = (plus.double_value(&[row, r]), minus.double_value(&[row, r]));
                if (a.abs() - b.abs()).abs() < 1e-9 {
                    continue; // a minimum ties: p with q, or p with 1 − q; there is no derivative
                }
                for (side, slope) in [(&plus, &dp), (&minus, &dq)] {
                    let at = |step: f64| {
                        let moved = side.copy();
                        let _ = moved.get(row).get(r).f_add_scalar_(step).unwrap();
                        let (a, b) = if std::ptr::eq(side, &raw const plus) {
                            (&moved, &minus)
                        } else {
                            (&plus, &moved)
                        };
                        mix(text).values(a, b, Some(&questions)).unwrap()[r as usize]
                    };
                    let want = 7.0 * (at(1e-5) - at(-1e-5)) / 2e-5;
                    let got = slope.double_value(&[row, r]);
                    assert!((got - want).abs() < 1e-8, "row {row}, probe {r}: {got} and {want}");
                }
            }
        }
    }

    #[test]
    fn one_template_has_no_variance_and_many_have() {
        let (plus, minus, numbers) = example();
        let term = mix("prompt_var");
        let single: Vec<usize> = (0..7).collect();
        let of = |numbers: &[usize]| Questions::new(numbers, Kind::Double, Device::Cpu).unwrap();
        for questions in [None, Some(&of(&single))] {
            assert_eq!(term.values(&plus, &minus, questions).unwrap(), [0.0, 0.0]);
            let (dp, dq) = term.slopes(&plus, &minus, questions).unwrap();
            assert_eq!((dp.abs() + dq.abs()).max().double_value(&[]), 0.0);
        }
        assert!(term.values(&plus, &minus, Some(&of(&numbers))).unwrap()[0] > 0.01);
    }

    #[test]
    fn swapping_the_statements_changes_no_term_and_f32_stays_finite_far_out() {
        let (plus, minus, numbers) = example();
        for term in Term::ALL {
            let questions = Questions::new(&numbers, Kind::Double, Device::Cpu).unwrap();
            let mix = mix(term.name());
            let one = mix.values(&plus, &minus, Some(&questions)).unwrap();
            let other = mix.values(&minus, &plus, Some(&questions)).unwrap();
            assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-13), "{}", term.name());
            let far = |z: &Tensor| (z * 100.0).to_kind(Kind::Float);
            let questions = Questions::new(&numbers, Kind::Float, Device::Cpu).unwrap();
            let values = mix.values(&far(&plus), &far(&minus), Some(&questions)).unwrap();
            let (dp, dq) = mix.slopes(&far(&plus), &far(&minus), Some(&questions)).unwrap();
            let finite = (dp + dq).isfinite().all().int64_value(&[]) == 1;
            assert!(finite && values.iter().all(|v| v.is_finite()), "{}", term.name());
        }
    }
}
