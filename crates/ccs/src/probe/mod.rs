//! A fitted probe: weights, bias, sign and the normalisation it was fitted with; scores pairs.

mod file;
mod readout;

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use crate::head::Head;
use crate::metrics::Scored;
use crate::normalize::Normalizer;
use crate::{Contrast, Error, Result, loss};

pub(crate) use file::tensor;
pub use readout::{Certainty, Readout, Sign};

/// A probe: linear, or with hidden layers below its weight.
#[derive(Debug)]
pub struct Probe {
    /// w, of the kind it was fitted in: \[D\], \[2D\] on concatenated pairs, or as long as the last hidden layer.
    pub weight: Tensor,
    /// b.
    pub bias: f64,
    /// What is between the states and w.
    pub head: Head,
    /// Chosen on training rows.
    pub sign: Sign,
    /// How w and b are read.
    pub readout: Readout,
    /// How scores become probabilities.
    pub certainty: Certainty,
    /// Fitted on training rows.
    pub normalizer: Normalizer,
    /// Where it comes from: method, layer, hook point, seed, data… Saved with it.
    pub meta: BTreeMap<String, serde_json::Value>,
}

impl Probe {
    /// D.
    pub fn dim(&self) -> usize {
        let length = self.weight.size().first().map_or(0, |&d| d as usize);
        match self.head.layers().first() {
            Some(layer) => layer.weight.size().get(1).map_or(0, |&d| d as usize),
            None if self.readout == Readout::Concatenated => length / 2,
            None => length,
        }
    }

    /// One score per pair, with the sign applied: high means true, [`Readout::threshold`] is the boundary.
    ///
    /// # Shapes
    /// `pairs`: N of the probe's D; the result: N.
    ///
    /// # Errors
    /// Another D.
    pub fn scores(&self, pairs: &Contrast) -> Result<Vec<f64>> {
        let (plus, minus) = self.normalizer.apply(pairs, Kind::Double)?; // [N, D]
        let scores = match self.readout {
            Readout::Pair => {
                let (p_plus, p_minus) = (self.logit(&plus)?.f_sigmoid()?, self.logit(&minus)?.f_sigmoid()?); // [N]
                p_plus.f_sub(&p_minus)?.f_add_scalar(1.0)?.f_mul_scalar(0.5)?
            }
            Readout::Difference => self.logit(&plus.f_sub(&minus)?)?,
            Readout::Statements => self.logit(&plus)?.f_sub(&self.logit(&minus)?)?,
            Readout::Concatenated => self.logit(&Tensor::f_cat(&[plus, minus], 1)?)?,
        };
        let scores: Vec<f64> = Vec::try_from(scores.f_to_device(Device::Cpu)?)?;
        Ok(match self.sign {
            Sign::Plus => scores,
            Sign::Minus => scores.into_iter().map(|s| self.readout.invert(s)).collect(),
        })
    }

    /// The probability that the plus side is the true one, of a score: by the probe's Platt scaling, else as its fit gives
    /// it ([`Probe::own_probability`]); none where it has neither.
    ///
    /// Platt scaling moves the boundary too: a score near [`Readout::threshold`] can be judged true and have a
    /// probability below ½, where that is how often such scores were right on held-out rows.
    pub fn probability(&self, score: f64) -> Option<f64> {
        match self.certainty.platt {
            Some(platt) => Some(platt.probability(score)),
            None => self.own_probability(score),
        }
    }

    /// The same without Platt scaling: p̃ of CCS, σ of a logit. Nothing has made it agree with how often the probe is
    /// right. None where scores are of any scale ([`Certainty::own`]).
    pub fn own_probability(&self, score: f64) -> Option<f64> {
        self.certainty.own.then(|| match self.readout {
            Readout::Pair => score,
            Readout::Difference | Readout::Statements | Readout::Concatenated => 1.0 / (1.0 + (-score).exp()),
        })
    }

    /// [`Probe::probability`] of each pair.
    ///
    /// # Shapes
    /// `pairs`: N of the probe's D; the result: N.
    ///
    /// # Errors
    /// Another D; [`Error::NoProbability`] for scores of any scale without a Platt scaling.
    pub fn probabilities(&self, pairs: &Contrast) -> Result<Vec<f64>> {
        let of = |score| self.probability(score).ok_or(Error::NoProbability);
        self.scores(pairs)?.into_iter().map(of).collect()
    }

    /// The logits z⁺ and z⁻ of "this statement is true", with the sign applied. Where the read-out is a logit of the pair,
    /// it is z⁺ − z⁻: a bias of the pair is divided between its statements.
    ///
    /// # Shapes
    /// `pairs`: N of the probe's D; the results: N each.
    ///
    /// # Errors
    /// Another D.
    pub fn statement_logits(&self, pairs: &Contrast) -> Result<(Vec<f64>, Vec<f64>)> {
        let (plus, minus) = self.sides(pairs)?;
        let sign = f64::from(i8::from(self.sign));
        // Both sides have the whole bias of a difference; theirs are b/2 and −b/2.
        let (more, less) = match self.readout {
            Readout::Difference => (-0.5 * self.bias, -1.5 * self.bias),
            _ => (0.0, 0.0),
        };
        let numbers = |z: &Tensor, shift: f64| -> Result<Vec<f64>> {
            let z = z.f_add_scalar(shift)?.f_mul_scalar(sign)?;
            Ok(Vec::try_from(z.f_to_device(Device::Cpu)?)?)
        };
        Ok((numbers(&plus, more)?, numbers(&minus, less)?))
    }

    /// wᵀf(φ±) + b of each side; on concatenated pairs what either side brings to the logit, the minus side's negated.
    fn sides(&self, pairs: &Contrast) -> Result<(Tensor, Tensor)> {
        let (plus, minus) = self.normalizer.apply(pairs, Kind::Double)?; // [N, D]
        if self.readout != Readout::Concatenated {
            return Ok((self.logit(&plus)?, self.logit(&minus)?));
        }
        let weight = self.weight.f_to_device(plus.device())?.f_to_kind(Kind::Double)?;
        let half = |x: &Tensor, from: i64| -> Result<Tensor> {
            let dim = x.size().get(1).copied().unwrap_or_default();
            Ok(x.f_mv(&weight.f_narrow(0, from * dim, dim)?)?.f_add_scalar(0.5 * self.bias)?)
        };
        Ok((half(&plus, 0)?, half(&minus, 1)?.f_neg()?))
    }

    /// wᵀf(x) + b in f64. `x`: \[N, D\], or \[N, 2D\] on concatenated pairs; the result: \[N\].
    fn logit(&self, x: &Tensor) -> Result<Tensor> {
        let weight = self.weight.f_to_device(x.device())?.f_to_kind(Kind::Double)?;
        Ok(self.head.apply(x)?.f_mv(&weight)?.f_add_scalar(self.bias)?)
    }

    /// The share of pairs that the probe judges as their labels do.
    ///
    /// # Errors
    /// As [`Probe::scores`].
    pub fn accuracy(&self, pairs: &Contrast) -> Result<f64> {
        let scores = self.scores(pairs)?;
        Ok(Scored::new(&scores, pairs.labels(), self.readout.threshold())?.accuracy())
    }

    /// The CCS loss on `pairs`.
    ///
    /// # Errors
    /// As [`Probe::scores`].
    pub fn loss(&self, pairs: &Contrast) -> Result<loss::Terms> {
        let (plus, minus) = self.sides(pairs)?;
        let p = |z: &Tensor| -> Result<Tensor> { Ok(z.f_sigmoid()?.f_unsqueeze(1)?) }; // [N, 1]
        let terms = loss::terms(&p(&plus)?, &p(&minus)?)?;
        terms.first().copied().ok_or(Error::Diverged)
    }

    /// Sets the sign under which at least half of the training rows are judged rightly.
    pub fn orient(&mut self, train: &Contrast) -> Result<()> {
        self.sign = Sign::Plus;
        if self.accuracy(train)? < 0.5 {
            self.sign = Sign::Minus;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;
    use crate::calibrate::Platt;

    /// Two rows, one dimension, mean 0 and std 1 on both sides.
    pub(super) fn pairs(plus: [f64; 2], minus: [f64; 2]) -> Contrast {
        let column = |v: [f64; 2]| Tensor::from_slice(&v).reshape([2, 1]);
        Contrast::new(column(plus), column(minus), vec![true, false], vec!["a".into(), "b".into()]).unwrap()
    }

    pub(super) fn probe(readout: Readout, sign: Sign) -> Probe {
        let train = pairs([1.0, -1.0], [-1.0, 1.0]);
        Probe {
            weight: Tensor::from_slice(&[2.0f32]),
            bias: 0.5,
            head: Head::Linear,
            sign,
            readout,
            certainty: Certainty::OWN,
            normalizer: Normalizer::fit(&train).unwrap(),
            meta: BTreeMap::from([("layer".to_owned(), 5.into()), ("hook".to_owned(), "hook_embed".into())]),
        }
    }

    fn sigma(z: f64) -> f64 {
        1.0 / (1.0 + (-z).exp())
    }

    #[test]
    fn both_readouts_and_the_sign() {
        let data = pairs([1.0, -0.5], [-1.0, 0.25]);
        let want = |plus: f64, minus: f64| 0.5 * (sigma(2.0 * plus + 0.5) + 1.0 - sigma(2.0 * minus + 0.5));
        let scores = probe(Readout::Pair, Sign::Plus).scores(&data).unwrap();
        assert!((scores[0] - want(1.0, -1.0)).abs() < 1e-12 && (scores[1] - want(-0.5, 0.25)).abs() < 1e-12);
        let inverted = probe(Readout::Pair, Sign::Minus).scores(&data).unwrap();
        assert!((inverted[0] + scores[0] - 1.0).abs() < 1e-12);
        assert_eq!(probe(Readout::Difference, Sign::Plus).scores(&data).unwrap(), [4.5, -1.0]);
        assert_eq!(probe(Readout::Difference, Sign::Minus).scores(&data).unwrap(), [-4.5, 1.0]);
    }

    #[test]
    fn probabilities_decide_as_scores_do() {
        let data = pairs([1.0, -0.5], [-1.0, 0.25]);
        for (readout, expected) in
            [(Readout::Pair, None), (Readout::Difference, Some([sigma(4.5), sigma(-1.0)]))]
        {
            let probe = probe(readout, Sign::Plus);
            let (scores, p) = (probe.scores(&data).unwrap(), probe.probabilities(&data).unwrap());
            assert_eq!(p, expected.map_or(scores.clone(), Vec::from));
            assert!(scores.iter().zip(&p).all(|(s, p)| (*s > readout.threshold()) == (*p > 0.5)));
        }
        let logit = probe(Readout::Difference, Sign::Plus);
        assert_eq!([-800.0, 800.0].map(|score| logit.probability(score)), [Some(0.0), Some(1.0)]);
    }

    #[test]
    fn scores_of_any_scale_are_no_probabilities_until_they_are_calibrated() {
        let data = pairs([1.0, -0.5], [-1.0, 0.25]);
        let mut probe = probe(Readout::Difference, Sign::Minus);
        probe.certainty = Certainty::NONE;
        assert_eq!((probe.probability(3.0), probe.own_probability(3.0)), (None, None));
        assert!(matches!(probe.probabilities(&data), Err(Error::NoProbability)));
        probe.certainty.platt = Some(Platt { a: 0.5, b: -1.0 });
        // Of the scores with the sign applied: −4.5 and 1.
        assert_eq!(probe.probabilities(&data).unwrap(), [sigma(-3.25), sigma(-0.5)]);
        assert_eq!(probe.own_probability(3.0), None);
        // Platt scaling goes before what the fit says.
        probe.certainty.own = true;
        assert_eq!((probe.probability(0.0), probe.own_probability(0.0)), (Some(sigma(-1.0)), Some(0.5)));
    }

    #[test]
    fn a_perfect_probe_scores_one_and_an_inverted_one_zero_until_oriented() {
        let data = pairs([1.0, -1.0], [-1.0, 1.0]);
        assert_eq!(probe(Readout::Pair, Sign::Plus).accuracy(&data).unwrap(), 1.0);
        let mut inverted = probe(Readout::Pair, Sign::Plus);
        let _ = inverted.weight.neg_();
        assert_eq!(inverted.accuracy(&data).unwrap(), 0.0);
        inverted.orient(&data).unwrap();
        assert_eq!((inverted.sign, inverted.accuracy(&data).unwrap()), (Sign::Minus, 1.0));
    }
}
