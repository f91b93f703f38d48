//! A linear probe in the coordinates of the states as they are: what its normalization and its weight do in one step.
//!
//! A probe reads w·φ(h) with φ(h) = L(h − μ)/σ, where L takes out what LEACE erases and is the identity otherwise. As a
//! function of h that is affine, with the coefficients (Lᵀw)/σ. Those are how a probe *reads* a state. What to *add* to a
//! state so that the normalized one moves along w is σ·w: dividing there would step along dimensions in which states
//! hardly differ.

use tch::{Device, Kind, Tensor};

use super::{Probe, ProbeInput};
use crate::Result;
use crate::normalize::Moments;

/// The logit of a linear probe as a function of a pair's states as they are: plus·h⁺ + minus·h⁻ + bias. Above 0 the plus
/// side is judged to be the true one.
///
/// It is the score itself where that is a logit. For [`ProbeInput::Pair`] it is z⁺ − z⁻, which is above 0 exactly where p̃
/// is above ½. For [`ProbeInput::Single`] it reads the plus side alone.
#[derive(Debug)]
pub struct Affine {
    /// \[D\], f64.
    pub plus: Tensor,
    /// \[D\], f64.
    pub minus: Tensor,
    /// With the means of the normalization in it.
    pub bias: f64,
}

impl Probe {
    /// The probe as a function of the states themselves, its sign applied, for rows of one template; without one, and for a
    /// template that is not known, by the statistics of all templates together. None for a probe with hidden layers,
    /// and one that reads all tokens.
    ///
    /// ```
    /// use ccs::methods::{Fit, means::MeanDifference};
    /// use ccs::{Contrast, SeedTree};
    /// use tch::Tensor;
    ///
    /// let states = |values: [f64; 4]| Tensor::from_slice(&values).reshape([4, 1]);
    /// let groups = (0..4).map(|i| i.to_string()).collect();
    /// let (plus, minus) = (states([5.0, 9.0, 1.0, -3.0]), states([1.0, 0.0, 2.0, 7.0]));
    /// let train = Contrast::new(plus, minus, vec![true, true, false, false], groups)?;
    /// let probe = MeanDifference::default().fit(&train, &SeedTree::new(0))?.probe;
    /// let found = probe.affine(None)?.expect("a linear probe");
    /// let number = |t: &Tensor| t.double_value(&[0]);
    /// let logit = 4.0 * number(&found.plus) + 3.0 * number(&found.minus) + found.bias;
    /// let state = |value: f64| Tensor::from_slice(&[value]).reshape([1, 1]);
    /// assert!((logit - probe.scores(&state(4.0), &state(3.0))?[0]).abs() < 1e-12);
    /// # Ok::<(), ccs::Error>(())
    /// ```
    ///
    /// # Errors
    /// LibTorch's.
    pub fn affine(&self, template: Option<&str>) -> Result<Option<Affine>> {
        let Some((on_plus, on_minus)) = self.weights()? else { return Ok(None) };
        let (plus, minus) = self.normalizer.moments_of(template)?;
        let own = match self.input {
            ProbeInput::Difference | ProbeInput::Concatenated | ProbeInput::Single => self.bias,
            // The same on both sides.
            ProbeInput::Pair | ProbeInput::Statements => 0.0,
        };
        let read = |weight: &Tensor, moments: &Moments| -> Result<(Tensor, f64)> {
            let weight = weight.f_div(&moments.std.f_to_device(Device::Cpu)?)?;
            let center = weight.f_dot(&moments.mean.f_to_device(Device::Cpu)?)?.f_double_value(&[])?;
            Ok((weight, -center))
        };
        let ((plus, above), (minus, below)) = (read(&on_plus, &plus)?, read(&on_minus, &minus)?);
        let sign = f64::from(i8::from(self.sign));
        Ok(Some(Affine { plus, minus, bias: sign * own + above + below }))
    }

    /// What to add to a state, so that its normalized state moves by 1 along the probe's weight, to where a statement is
    /// true: the unit weight times the spread of each dimension, the mean of both sides' and all templates'. None for a
    /// probe with hidden layers, and one whose weight is 0.
    ///
    /// # Shapes
    /// The result: \[D\], f64.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn step(&self) -> Result<Option<Tensor>> {
        let Some((on_plus, on_minus)) = self.weights()? else { return Ok(None) };
        let weight = on_plus.f_sub(&on_minus)?; // [D]
        let norm = weight.f_norm()?.f_double_value(&[])?;
        if norm <= 0.0 {
            return Ok(None);
        }
        Ok(Some(weight.f_div_scalar(norm)?.f_mul(&self.normalizer.spread()?)?))
    }

    /// What the normalized state of either side is multiplied with, the sign applied and the erasure taken in. \[D\] each,
    /// f64, on the CPU. None for a probe with hidden layers,
    /// and one that reads all tokens.
    fn weights(&self) -> Result<Option<(Tensor, Tensor)>> {
        if !self.hidden_layers.is_linear() {
            return Ok(None);
        }
        let sign = f64::from(i8::from(self.sign));
        let weight = self.weight.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_mul_scalar(sign)?;
        let (plus, minus) = match self.input {
            ProbeInput::Concatenated => {
                let dim = self.dim() as i64;
                (weight.f_narrow(0, 0, dim)?, weight.f_narrow(0, dim, dim)?)
            }
            ProbeInput::Single => (weight.f_alias()?, weight.f_zeros_like()?),
            ProbeInput::Pair | ProbeInput::Difference | ProbeInput::Statements => {
                (weight.f_alias()?, weight.f_neg()?)
            }
        };
        Ok(Some((self.normalizer.before_erasure(plus)?, self.normalizer.before_erasure(minus)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::Fit as _;
    use crate::methods::logistic_regression::LogisticRegression;
    use crate::methods::means::MeanDifference;
    use crate::{Contrast, Normalization, SeedTree};

    /// 60 pairs of two templates, whose dimensions have scales from 1 to 1000 and means of their own.
    fn pairs(templates: usize) -> Contrast {
        let (rows, dim) = (60, 5);
        let scales = Tensor::from_slice(&[1.0, 10.0, 0.1, 1000.0, 3.0]);
        let wave = |step: f64| {
            (Tensor::arange(rows * dim, (Kind::Double, Device::Cpu)) * step).sin().reshape([rows, dim])
        };
        let labels: Vec<bool> = (0..rows).map(|row| row % 3 == 0).collect();
        let truth =
            Tensor::from_slice(&labels.iter().map(|&l| if l { 0.7 } else { -0.7 }).collect::<Vec<f64>>());
        let (plus, minus) = (wave(1.7), wave(2.9));
        plus.select(1, 1).copy_(&(plus.select(1, 1) + &truth));
        minus.select(1, 1).copy_(&(minus.select(1, 1) - &truth));
        let (plus, minus) = ((plus + 0.5) * &scales, (minus * 2.0 - 0.25) * &scales);
        let name = |row: usize| format!("t{}", row % templates);
        let shift: Vec<f64> = (0..rows as usize).map(|row| (row % templates) as f64).collect();
        let shift = Tensor::from_slice(&shift).reshape([rows, 1]) * &scales;
        let groups = (0..rows).map(|row| row.to_string()).collect::<Vec<_>>();
        Contrast::new(plus + &shift, minus - &shift * 2.0, labels, groups.clone())
            .and_then(|pairs| pairs.with_variants(groups, (0..rows as usize).map(name).collect()))
            .unwrap()
    }

    fn logits(found: &Affine, pairs: &Contrast) -> Vec<f64> {
        let logits = pairs.plus().mv(&found.plus) + pairs.minus().mv(&found.minus) + found.bias;
        Vec::try_from(logits).unwrap()
    }

    /// Of every input, under every normalization with a closed form, with the statistics of each template: a sum of at
    /// most 12 terms up to 10⁴ times the score, in f64.
    #[test]
    fn it_scores_as_the_probe_does() {
        for templates in [1, 2] {
            let pairs = pairs(templates);
            for normalization in [
                Normalization::MeanOnly,
                Normalization::ElementWise,
                Normalization::Burns,
                Normalization::Leace,
            ] {
                let methods = [
                    LogisticRegression::differences(normalization),
                    LogisticRegression::statements(normalization),
                    LogisticRegression::concatenated(normalization),
                ];
                for method in methods {
                    let input = method.input;
                    let probe = method.fit(&pairs, &SeedTree::new(0)).unwrap().probe;
                    let scores = probe.score_pairs(&pairs).unwrap();
                    for (number, rows) in pairs.rows_by_template() {
                        let name = format!("t{number}");
                        let found = probe.affine(Some(&name)).unwrap().unwrap();
                        let own = logits(&found, &pairs.select(&rows).unwrap());
                        for (row, logit) in rows.iter().zip(own) {
                            assert!(
                                (logit - scores[*row]).abs() < 1e-9,
                                "{normalization:?} {input:?}: {logit} {}",
                                scores[*row]
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn ccs_decides_by_the_difference_of_its_logits() {
        let pairs = pairs(1);
        let probe = crate::Ccs { n_init: 1, max_iter: 50, ..crate::Ccs::default() };
        let probe = probe.fit(&pairs, &SeedTree::new(0)).unwrap().probe;
        let found = logits(&probe.affine(None).unwrap().unwrap(), &pairs);
        let scores = probe.score_pairs(&pairs).unwrap();
        assert!(found.iter().zip(&scores).all(|(logit, p)| (*logit > 0.0) == (*p > 0.5)));
        assert!(found.iter().any(|l| *l > 0.0) && found.iter().any(|l| *l < 0.0));
    }

    /// Adding the step to the plus side raises the score by |w|, whatever the scales.
    #[test]
    fn a_step_moves_the_normalized_state_by_one() {
        let train = pairs(1);
        let mut probe = MeanDifference::default().fit(&train, &SeedTree::new(0)).unwrap().probe;
        // One scale for both sides, so that the mean of both is that of each.
        probe.normalizer.minus.std = probe.normalizer.plus.std.copy();
        let step = probe.step().unwrap().unwrap();
        let before = probe.scores(train.plus(), train.minus()).unwrap();
        let after = probe.scores(&(train.plus() + &step), train.minus()).unwrap();
        let norm = probe.weight().norm().double_value(&[]);
        // A mean difference is kept in f32.
        assert!(before.iter().zip(&after).all(|(b, a)| ((a - b) / norm - 1.0).abs() < 1e-6));
    }
}
