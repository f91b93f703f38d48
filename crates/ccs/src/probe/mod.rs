//! A fitted probe: weights, bias, sign and the normalization it was fitted with; scores pairs.

mod affine;
mod file;
mod hidden_layers;
mod input;
mod sign;
mod tensors;
mod token_reader;
mod token_shares;

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};
use torch_runtime::TensorExt as _;

use crate::normalize::Normalizer;
use crate::stats::calibrate::Platt;
use crate::stats::clusters::Clusters;
use crate::stats::evaluation::Evaluation;
use crate::stats::metrics::Scored;
use crate::{Contrast, Error, Result, Statements, loss};

pub use affine::Affine;
pub use hidden_layers::{HiddenLayers, Layer};
pub use input::{Calibration, ProbeInput};
pub use sign::Sign;
pub use token_reader::TokenReader;
pub use token_shares::TokenShares;

/// A probe: linear, with hidden layers below its weight, or with what reads all tokens of a prompt.
#[derive(Debug)]
pub struct Probe {
    /// w, of the kind it was fitted in: \[D\], \[2D\] on concatenated pairs, as long as the last hidden layer, or one for each
    /// head that reads tokens.
    pub(crate) weight: Tensor,
    /// b.
    pub(crate) bias: f64,
    /// What is between the states and w.
    pub(crate) hidden_layers: HiddenLayers,
    /// Chosen on training rows.
    pub(crate) sign: Sign,
    /// How w and b are read.
    pub(crate) input: ProbeInput,
    /// How scores become probabilities.
    pub(crate) calibration: Calibration,
    /// Fitted on training rows.
    pub(crate) normalizer: Normalizer,
    /// Where it comes from: method, layer, hook point, seed, data… Saved with it.
    pub(crate) meta: BTreeMap<String, serde_json::Value>,
}

impl Probe {
    /// w, of the kind it was fitted in.
    ///
    /// # Shapes
    /// \[D\], \[2D\] on concatenated pairs, as long as the last hidden layer, or one for each head.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// b.
    pub fn bias(&self) -> f64 {
        self.bias
    }

    /// What is between the states and w.
    pub fn hidden_layers(&self) -> &HiddenLayers {
        &self.hidden_layers
    }

    /// Whether a high score means true; chosen on training rows.
    pub fn sign(&self) -> Sign {
        self.sign
    }

    /// What w and b are applied to.
    pub fn input(&self) -> ProbeInput {
        self.input
    }

    /// How scores become probabilities.
    pub fn calibration(&self) -> Calibration {
        self.calibration
    }

    /// The normalization, fitted on training rows.
    pub fn normalizer(&self) -> &Normalizer {
        &self.normalizer
    }

    /// Where the probe comes from: method, layer, hook point, seed, data. Saved with it.
    pub fn meta(&self) -> &BTreeMap<String, serde_json::Value> {
        &self.meta
    }

    /// Gives the probe a scaling of scores to probabilities, or takes it away.
    pub fn set_platt(&mut self, platt: Option<Platt>) {
        self.calibration.platt = platt;
    }

    /// Gives the probe another normalization, such as one re-estimated on the data it is transferred to.
    pub fn set_normalizer(&mut self, normalizer: Normalizer) {
        self.normalizer = normalizer;
    }

    /// Says where the probe comes from.
    pub fn set_meta(&mut self, meta: BTreeMap<String, serde_json::Value>) {
        self.meta = meta;
    }

    /// D.
    pub fn dim(&self) -> usize {
        let length = self.weight.size().first().map_or(0, |&d| d as usize);
        if let HiddenLayers::Tokens(reader) = &self.hidden_layers {
            return reader.dim().unwrap_or(length);
        }
        match self.hidden_layers.layers().first() {
            Some(layer) => layer.weight.size().get(1).map_or(0, |&d| d as usize),
            None if self.input == ProbeInput::Concatenated => length / 2,
            None => length,
        }
    }

    /// One score per pair of states, with the sign applied: high means that the plus side is true, and
    /// [`ProbeInput::threshold`] is the boundary. Neither labels nor groups are needed. Rows count as of no known template;
    /// [`Probe::score_pairs`] normalizes each by its own.
    ///
    /// ```
    /// use ccs::methods::{Fit, means::MeanDifference};
    /// use ccs::{Contrast, SeedTree};
    /// use tch::Tensor;
    ///
    /// let plus = Tensor::from_slice(&[1.0, 2.0, -1.0, -2.0]).reshape([4, 1]);
    /// let groups = (0..4).map(|i| i.to_string()).collect();
    /// let train = Contrast::new(plus.copy(), -plus, vec![true, true, false, false], groups)?;
    /// let probe = MeanDifference::default().fit(&train, &SeedTree::new(0))?.probe;
    /// let new = Tensor::from_slice(&[3.0, -3.0]).reshape([2, 1]);
    /// let scores = probe.scores(&new, &-&new)?;
    /// assert!(scores[0] > 0.0 && scores[1] < 0.0);
    /// # Ok::<(), ccs::Error>(())
    /// ```
    ///
    /// # Shapes
    /// `plus`, `minus`: \[N, D\], of any floating-point kind; the result: N.
    ///
    /// # Errors
    /// Another D, sides of different shapes, or a state that is not finite.
    pub fn scores(&self, plus: &Tensor, minus: &Tensor) -> Result<Vec<f64>> {
        self.score_pairs(&Contrast::unlabeled(plus, minus)?)
    }

    /// The probability that the plus side is true, of each pair of states; see [`Probe::probability`].
    ///
    /// # Shapes
    /// As [`Probe::scores`].
    ///
    /// # Errors
    /// As [`Probe::scores`]; [`Error::NoProbability`] for scores of any scale without a Platt scaling.
    pub fn probabilities(&self, plus: &Tensor, minus: &Tensor) -> Result<Vec<f64>> {
        self.pair_probabilities(&Contrast::unlabeled(plus, minus)?)
    }

    /// As [`Probe::scores`], of pairs with labels and groups, each normalized by its own template where that is known.
    ///
    /// # Shapes
    /// `pairs`: N of the probe's D; the result: N.
    ///
    /// # Errors
    /// Another D.
    pub fn score_pairs(&self, pairs: &Contrast) -> Result<Vec<f64>> {
        self.check_sides(pairs)?;
        let (plus, minus) = self.states(pairs)?; // [N, D]
        let scores = match self.input {
            ProbeInput::Pair => {
                let (p_plus, p_minus) = (self.logit(&plus)?.f_sigmoid()?, self.logit(&minus)?.f_sigmoid()?); // [N]
                p_plus.f_sub(&p_minus)?.f_add_scalar(1.0)?.f_mul_scalar(0.5)?
            }
            ProbeInput::Difference => self.logit(&plus.f_sub(&minus)?)?,
            ProbeInput::Single if pairs.is_single() => self.logit(&plus)?,
            ProbeInput::Statements | ProbeInput::Single => self.logit(&plus)?.f_sub(&self.logit(&minus)?)?,
            ProbeInput::Concatenated => self.logit(&Tensor::f_cat(&[plus, minus], 1)?)?,
        };
        let scores: Vec<f64> = Vec::try_from(scores.f_to_device(Device::Cpu)?)?;
        Ok(match self.sign {
            Sign::Plus => scores,
            Sign::Minus => scores.into_iter().map(|s| self.input.invert(s)).collect(),
        })
    }

    /// The probability that the plus side is the true one, of a score: by the probe's Platt scaling, else as its fit gives
    /// it ([`Probe::own_probability`]); none where it has neither.
    ///
    /// Platt scaling moves the boundary too: a score near [`ProbeInput::threshold`] can be judged true and have a
    /// probability below ½, where that is how often such scores were right on held-out rows.
    pub fn probability(&self, score: f64) -> Option<f64> {
        match self.calibration.platt {
            Some(platt) => Some(platt.probability(score)),
            None => self.own_probability(score),
        }
    }

    /// The same without Platt scaling: p̃ of CCS, σ of a logit. Nothing has made it agree with how often the probe is
    /// right. None where scores are of any scale ([`Calibration::own`]).
    pub fn own_probability(&self, score: f64) -> Option<f64> {
        self.calibration.own.then(|| match self.input {
            ProbeInput::Pair => score,
            _ => 1.0 / (1.0 + (-score).exp()),
        })
    }

    /// As [`Probe::probabilities`], of pairs with labels and groups.
    ///
    /// # Shapes
    /// `pairs`: N of the probe's D; the result: N.
    ///
    /// # Errors
    /// Another D; [`Error::NoProbability`] for scores of any scale without a Platt scaling.
    pub fn pair_probabilities(&self, pairs: &Contrast) -> Result<Vec<f64>> {
        let of = |score| self.probability(score).ok_or(Error::NoProbability);
        self.score_pairs(pairs)?.into_iter().map(of).collect()
    }

    /// The logits z⁺ and z⁻ of "this statement is true", with the sign applied. Where the read-out is a logit of the pair,
    /// it is z⁺ − z⁻: a bias of the pair is divided between its statements. Of a single statement they are ½z and −½z.
    ///
    /// # Shapes
    /// `pairs`: N of the probe's D; the results: N each.
    ///
    /// # Errors
    /// Another D.
    pub fn statement_logits(&self, pairs: &Contrast) -> Result<(Vec<f64>, Vec<f64>)> {
        if pairs.is_single() {
            let halves: Vec<f64> = self.score_pairs(pairs)?.iter().map(|z| 0.5 * z).collect();
            return Ok((halves.clone(), halves.iter().map(|z| -z).collect()));
        }
        let (plus, minus) = self.sides(pairs)?;
        let sign = f64::from(i8::from(self.sign));
        // Both sides have the whole bias of a difference; theirs are b/2 and −b/2.
        let (more, less) = match self.input {
            ProbeInput::Difference => (-0.5 * self.bias, -1.5 * self.bias),
            _ => (0.0, 0.0),
        };
        let numbers = |z: &Tensor, shift: f64| -> Result<Vec<f64>> {
            let z = z.f_add_scalar(shift)?.f_mul_scalar(sign)?;
            Ok(Vec::try_from(z.f_to_device(Device::Cpu)?)?)
        };
        Ok((numbers(&plus, more)?, numbers(&minus, less)?))
    }

    /// One score per statement, with the sign applied: above 0 means true.
    ///
    /// # Shapes
    /// `statements`: N of the probe's D; the result: N.
    ///
    /// # Errors
    /// Another D; a probe that was fitted on pairs.
    pub fn score_statements(&self, statements: &Statements) -> Result<Vec<f64>> {
        self.score_pairs(statements.as_contrast())
    }

    /// Refuses single statements where the probe needs both sides.
    fn check_sides(&self, pairs: &Contrast) -> Result<()> {
        if !pairs.is_single() || self.input == ProbeInput::Single {
            return Ok(());
        }
        Err(Error::Setting {
            name: "rows",
            value: "single statements".to_owned(),
            reason: "the probe was fitted on pairs and needs both sides",
            hint: "fit a probe on statements (`Fit::fit_statements`)",
        })
    }

    /// The normalized states of both sides; of a probe that reads all tokens, what it makes of them. \[N, D\] each, f64
    fn states(&self, pairs: &Contrast) -> Result<(Tensor, Tensor)> {
        match &self.hidden_layers {
            HiddenLayers::Tokens(reader) => reader.features(&self.normalizer, pairs),
            HiddenLayers::Linear | HiddenLayers::Mlp(_) => self.normalizer.apply(pairs, Kind::Double),
        }
    }

    /// wᵀf(φ±) + b of each side; on concatenated pairs what either side brings to the logit, the minus side's negated.
    fn sides(&self, pairs: &Contrast) -> Result<(Tensor, Tensor)> {
        let (plus, minus) = self.states(pairs)?; // [N, D]
        if self.input != ProbeInput::Concatenated {
            return Ok((self.logit(&plus)?, self.logit(&minus)?));
        }
        let weight = self.weight.f_to_device(plus.device())?.f_to_kind(Kind::Double)?;
        let half = |x: &Tensor, from: i64| -> Result<Tensor> {
            let (_, dim) = x.dims2("states")?;
            Ok(x.f_mv(&weight.f_narrow(0, from * dim, dim)?)?.f_add_scalar(0.5 * self.bias)?)
        };
        Ok((half(&plus, 0)?, half(&minus, 1)?.f_neg()?))
    }

    /// wᵀf(x) + b in f64. `x`: \[N, D\], or \[N, 2D\] on concatenated pairs; the result: \[N\].
    fn logit(&self, x: &Tensor) -> Result<Tensor> {
        let weight = self.weight.f_to_device(x.device())?.f_to_kind(Kind::Double)?;
        Ok(self.hidden_layers.apply(x)?.f_mv(&weight)?.f_add_scalar(self.bias)?)
    }

    /// The share of pairs that the probe judges as their labels do.
    ///
    /// # Errors
    /// As [`Probe::score_pairs`].
    pub fn accuracy(&self, pairs: &Contrast) -> Result<f64> {
        let scores = self.score_pairs(pairs)?;
        Ok(Scored::new(&scores, pairs.labels(), self.input.threshold())?.accuracy())
    }

    /// How well the probe predicts these pairs' labels: accuracy and AUROC, each with a 95% interval that takes groups, not
    /// rows, for independent.
    ///
    /// # Errors
    /// As [`Probe::score_pairs`].
    pub fn evaluate(&self, pairs: &Contrast) -> Result<Evaluation> {
        let scores = self.score_pairs(pairs)?;
        let scored = Scored::new(&scores, pairs.labels(), self.input.threshold())?;
        Ok(Evaluation::of(&scored, &Clusters::new(pairs.labels(), pairs.groups())?))
    }

    /// The CCS loss on `pairs`.
    ///
    /// # Errors
    /// As [`Probe::score_pairs`]; single statements.
    pub fn loss(&self, pairs: &Contrast) -> Result<loss::Terms> {
        if pairs.is_single() {
            return Err(Error::Setting {
                name: "rows",
                value: "single statements".to_owned(),
                reason: "the CCS loss compares the two sides of pairs",
                hint: "give pairs",
            });
        }
        let (plus, minus) = self.sides(pairs)?;
        let p = |z: &Tensor| -> Result<Tensor> { Ok(z.f_sigmoid()?.f_unsqueeze(1)?) }; // [N, 1]
        let terms = loss::terms(&p(&plus)?, &p(&minus)?)?;
        terms.first().copied().ok_or(Error::Diverged)
    }

    /// Sets the sign by the training rows ([`Sign`]).
    ///
    /// # Errors
    /// As [`Probe::score_pairs`].
    pub fn orient(&mut self, train: &Contrast) -> Result<()> {
        self.sign = Sign::Plus;
        self.sign = Sign::of_accuracy(self.accuracy(train)?);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    /// Two rows, one dimension, mean 0 and std 1 on both sides.
    pub(super) fn pairs(plus: [f64; 2], minus: [f64; 2]) -> Contrast {
        let column = |v: [f64; 2]| Tensor::from_slice(&v).reshape([2, 1]);
        Contrast::new(column(plus), column(minus), vec![true, false], vec!["a".into(), "b".into()]).unwrap()
    }

    pub(super) fn probe(input: ProbeInput, sign: Sign) -> Probe {
        let train = pairs([1.0, -1.0], [-1.0, 1.0]);
        Probe {
            weight: Tensor::from_slice(&[2.0f32]),
            bias: 0.5,
            hidden_layers: HiddenLayers::Linear,
            sign,
            input,
            calibration: Calibration::OWN,
            normalizer: Normalizer::fit(&train).unwrap(),
            meta: BTreeMap::from([("layer".to_owned(), 5.into()), ("hook".to_owned(), "hook_embed".into())]),
        }
    }

    fn sigma(z: f64) -> f64 {
        1.0 / (1.0 + (-z).exp())
    }

    #[test]
    fn both_inputs_and_the_sign() {
        let data = pairs([1.0, -0.5], [-1.0, 0.25]);
        let want = |plus: f64, minus: f64| 0.5 * (sigma(2.0 * plus + 0.5) + 1.0 - sigma(2.0 * minus + 0.5));
        let scores = probe(ProbeInput::Pair, Sign::Plus).score_pairs(&data).unwrap();
        assert!((scores[0] - want(1.0, -1.0)).abs() < 1e-12 && (scores[1] - want(-0.5, 0.25)).abs() < 1e-12);
        let inverted = probe(ProbeInput::Pair, Sign::Minus).score_pairs(&data).unwrap();
        assert!((inverted[0] + scores[0] - 1.0).abs() < 1e-12);
        assert_eq!(probe(ProbeInput::Difference, Sign::Plus).score_pairs(&data).unwrap(), [4.5, -1.0]);
        assert_eq!(probe(ProbeInput::Difference, Sign::Minus).score_pairs(&data).unwrap(), [-4.5, 1.0]);
    }

    #[test]
    fn states_score_without_labels_as_pairs_do() {
        let data = pairs([1.0, -0.5], [-1.0, 0.25]);
        let probe = probe(ProbeInput::Pair, Sign::Plus);
        let (plus, minus) = (data.plus(), data.minus());
        assert_eq!(probe.scores(plus, minus).unwrap(), probe.score_pairs(&data).unwrap());
        assert_eq!(probe.probabilities(plus, minus).unwrap(), probe.pair_probabilities(&data).unwrap());
        let wide = Tensor::zeros([2, 3], (Kind::Double, Device::Cpu));
        for (plus, minus) in
            [(&wide, &wide), (plus, &wide), (&(plus * f64::NAN), minus), (&plus.reshape([2]), minus)]
        {
            assert!(probe.scores(plus, minus).is_err());
        }
    }

    #[test]
    fn an_evaluation_has_intervals_and_counts_groups() {
        let data = pairs([1.0, -0.5], [-1.0, 0.25]);
        let found = probe(ProbeInput::Pair, Sign::Plus).evaluate(&data).unwrap();
        assert_eq!((found.rows, found.groups, found.accuracy, found.auroc), (2, 2, 1.0, Some(1.0)));
        // Two right rows of two leave all but the lowest accuracies open; one row of either label says nothing of AUROC.
        let [low, high] = found.accuracy_interval.unwrap();
        assert!((low - 0.05f64.sqrt()).abs() < 1e-9 && high == 1.0 && found.auroc_interval.is_none());
    }

    #[test]
    fn probabilities_decide_as_scores_do() {
        let data = pairs([1.0, -0.5], [-1.0, 0.25]);
        for (input, expected) in
            [(ProbeInput::Pair, None), (ProbeInput::Difference, Some([sigma(4.5), sigma(-1.0)]))]
        {
            let probe = probe(input, Sign::Plus);
            let (scores, p) = (probe.score_pairs(&data).unwrap(), probe.pair_probabilities(&data).unwrap());
            assert_eq!(p, expected.map_or(scores.clone(), Vec::from));
            assert!(scores.iter().zip(&p).all(|(s, p)| (*s > input.threshold()) == (*p > 0.5)));
        }
        let logit = probe(ProbeInput::Difference, Sign::Plus);
        assert_eq!([-800.0, 800.0].map(|score| logit.probability(score)), [Some(0.0), Some(1.0)]);
    }

    #[test]
    fn scores_of_any_scale_are_no_probabilities_until_they_are_calibrated() {
        let data = pairs([1.0, -0.5], [-1.0, 0.25]);
        let mut probe = probe(ProbeInput::Difference, Sign::Minus);
        probe.calibration = Calibration::NONE;
        assert_eq!((probe.probability(3.0), probe.own_probability(3.0)), (None, None));
        assert!(matches!(probe.pair_probabilities(&data), Err(Error::NoProbability)));
        probe.calibration.platt = Some(Platt { a: 0.5, b: -1.0 });
        // Of the scores with the sign applied: −4.5 and 1.
        assert_eq!(probe.pair_probabilities(&data).unwrap(), [sigma(-3.25), sigma(-0.5)]);
        assert_eq!(probe.own_probability(3.0), None);
        // Platt scaling goes before what the fit says.
        probe.calibration.own = true;
        assert_eq!((probe.probability(0.0), probe.own_probability(0.0)), (Some(sigma(-1.0)), Some(0.5)));
    }

    #[test]
    fn a_perfect_probe_scores_one_and_an_inverted_one_zero_until_oriented() {
        let data = pairs([1.0, -1.0], [-1.0, 1.0]);
        assert_eq!(probe(ProbeInput::Pair, Sign::Plus).accuracy(&data).unwrap(), 1.0);
        let mut inverted = probe(ProbeInput::Pair, Sign::Plus);
        let _ = inverted.weight.neg_();
        assert_eq!(inverted.accuracy(&data).unwrap(), 0.0);
        inverted.orient(&data).unwrap();
        assert_eq!((inverted.sign, inverted.accuracy(&data).unwrap()), (Sign::Minus, 1.0));
    }
}
