//! A fitted probe: weights, bias, sign and the normalisation it was fitted with; scores pairs, saved as safetensors.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::head::Head;
use crate::metrics::Scored;
use crate::normalize::{self, Normalizer};
use crate::{Contrast, Error, Result, loss};

/// The version of the probe file. Version 1, which is still read, knew element-wise normalisation only and so did not
/// say which it was.
const SCHEMA: u32 = 2;

/// How a probe turns the normalised states φ⁺, φ⁻ of a pair into one score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readout {
    /// p̃ = ½(p⁺ + 1 − p⁻) with p± = σ(wᵀφ± + b), as in CCS; true above ½.
    Pair,
    /// wᵀ(φ⁺ − φ⁻) + b, a logit, as in logistic regression on differences; true above 0.
    Difference,
    /// z⁺ − z⁻ with z± = wᵀφ± + b, the logit of "this statement is true", as in logistic regression on statements; true
    /// above 0. Given that one of the two is true, it is the logit of the plus side's being it.
    Statements,
    /// wᵀ\[φ⁺; φ⁻\] + b with 2D weights, a logit, as in logistic regression on concatenated pairs; true above 0.
    Concatenated,
}

impl Readout {
    /// The score above which a pair counts as true.
    pub fn threshold(self) -> f64 {
        match self {
            Self::Pair => 0.5,
            Self::Difference | Self::Statements | Self::Concatenated => 0.0,
        }
    }

    /// A score as a probability that the plus side is the true one: CCS's p̃ as it is, σ of a logit. It is the probe's
    /// own confidence; nothing has made it agree with how often the probe is right.
    pub fn probability(self, score: f64) -> f64 {
        match self {
            Self::Pair => score,
            Self::Difference | Self::Statements | Self::Concatenated => 1.0 / (1.0 + (-score).exp()),
        }
    }

    /// The score of the opposite answer.
    fn invert(self, score: f64) -> f64 {
        match self {
            Self::Pair => 1.0 - score,
            Self::Difference | Self::Statements | Self::Concatenated => -score,
        }
    }
}

/// Whether a high score means true. A fit without labels finds a direction but not which end of it is truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "i8", try_from = "i8")]
pub enum Sign {
    /// High means true.
    Plus,
    /// High means false: scores are inverted.
    Minus,
}

impl From<Sign> for i8 {
    fn from(sign: Sign) -> i8 {
        match sign {
            Sign::Plus => 1,
            Sign::Minus => -1,
        }
    }
}

impl TryFrom<i8> for Sign {
    type Error = String;

    fn try_from(value: i8) -> Result<Self, String> {
        match value {
            1 => Ok(Self::Plus),
            -1 => Ok(Self::Minus),
            other => Err(format!("a sign is 1 or -1, not {other}")),
        }
    }
}

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
    /// Fitted on training rows.
    pub normalizer: Normalizer,
    /// Where it comes from: method, layer, hook point, seed, data… Saved with it.
    pub meta: BTreeMap<String, serde_json::Value>,
}

/// What the file says besides its tensors; one JSON text, so that the file's bytes are always the same.
#[derive(Serialize, Deserialize)]
struct Header {
    schema: u32,
    readout: Readout,
    sign: Sign,
    /// Hidden layers.
    #[serde(default, skip_serializing_if = "none")]
    hidden: usize,
    #[serde(default)]
    normalizer: normalize::Header,
    meta: BTreeMap<String, serde_json::Value>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn none(count: &usize) -> bool {
    *count == 0
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

    /// For each pair the probability that its plus side is the true one; see [`Readout::probability`].
    ///
    /// # Shapes
    /// `pairs`: N of the probe's D; the result: N.
    ///
    /// # Errors
    /// Another D.
    pub fn probabilities(&self, pairs: &Contrast) -> Result<Vec<f64>> {
        Ok(self.scores(pairs)?.into_iter().map(|score| self.readout.probability(score)).collect())
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
    pub(crate) fn orient(&mut self, train: &Contrast) -> Result<()> {
        self.sign = Sign::Plus;
        if self.accuracy(train)? < 0.5 {
            self.sign = Sign::Minus;
        }
        Ok(())
    }

    /// The probe as a safetensors file: `weight`, `bias`, both sides' `mean` and `std`, what else its normalisation has, and
    /// of hidden layers, from the states up, `hidden.0.weight`, `hidden.0.bias`, `hidden.1.weight` and so on.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let bias = Tensor::f_from_slice(&[self.bias])?;
        let parts = [("weight", &self.weight), ("bias", &bias)].into_iter().chain(self.normalizer.tensors());
        let parts = parts.map(|(name, tensor)| (name.to_owned(), tensor)).chain(self.head.tensors());
        let data: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = parts
            .map(|(name, t)| Ok((name, dtype(t), t.size().iter().map(|&n| n as usize).collect(), bytes(t)?)))
            .collect::<Result<_>>()?;
        let wrong = |e: &dyn std::fmt::Display| Error::Write { what: "a probe", reason: e.to_string() };
        let mut views = Vec::with_capacity(data.len());
        for (name, dtype, shape, bytes) in &data {
            views.push((name, TensorView::new(*dtype, shape.clone(), bytes).map_err(|e| wrong(&e))?));
        }
        let header = Header {
            schema: SCHEMA,
            readout: self.readout,
            sign: self.sign,
            hidden: self.head.layers().len(),
            normalizer: self.normalizer.header(),
            meta: self.meta.clone(),
        };
        let header = serde_json::to_string(&header).map_err(|e| wrong(&e))?;
        let metadata = HashMap::from([("ccs_probe".to_owned(), header)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| wrong(&e))
    }

    /// Writes the probe to a file.
    ///
    /// # Errors
    /// As [`Probe::to_bytes`], and the file system's.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(fs_err::write(path.as_ref(), self.to_bytes()?)?)
    }

    /// Reads a probe that [`Probe::save`] wrote.
    ///
    /// # Errors
    /// A file that cannot be read, or is not such a file; the path is named.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = fs_err::read(path)?;
        Self::parse(&bytes).map_err(|reason| Error::ProbeFile { path: path.to_owned(), reason })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let text = metadata
            .metadata()
            .as_ref()
            .and_then(|m| m.get("ccs_probe"))
            .ok_or("it has no `ccs_probe` entry")?;
        let header: Header = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if !(1..=SCHEMA).contains(&header.schema) {
            return Err(format!("its schema is {}, this version reads 1 to {SCHEMA}", header.schema));
        }
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let length = file.tensor("weight").map_err(|e| e.to_string())?.shape().iter().product::<usize>();
        let (head, dim) = Head::read(&file, header.hidden, length)?;
        let dim = match (header.readout, &head) {
            (Readout::Concatenated, Head::Mlp(_)) => {
                return Err("hidden layers on concatenated pairs".to_owned());
            }
            (Readout::Concatenated, Head::Linear) if dim % 2 == 1 => {
                return Err(format!("its {dim} weights are not those of two sides"));
            }
            (Readout::Concatenated, Head::Linear) => dim / 2,
            _ => dim,
        };
        if dim == 0 {
            return Err("`weight` is empty".to_owned());
        }
        let get = |name: &str, shape: &[Option<usize>]| tensor(&file, name, shape);
        let bias: f64 = get("bias", &[Some(1)])?.f_double_value(&[0]).map_err(|e| e.to_string())?;
        Ok(Self {
            weight: get("weight", &[Some(length)])?,
            bias,
            head,
            sign: header.sign,
            readout: header.readout,
            normalizer: Normalizer::from_file(header.normalizer, dim, get)?,
            meta: header.meta,
        })
    }
}

fn dtype(tensor: &Tensor) -> Dtype {
    if tensor.kind() == Kind::Float { Dtype::F32 } else { Dtype::F64 }
}

/// A tensor's values, little-endian, as f32 or f64 by [`dtype`].
fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.f_to_device(Device::Cpu)?.f_reshape([-1])?;
    Ok(if dtype(&tensor) == Dtype::F32 {
        Vec::<f32>::try_from(&tensor)?.into_iter().flat_map(f32::to_le_bytes).collect()
    } else {
        Vec::<f64>::try_from(&tensor.f_to_kind(Kind::Double)?)?
            .into_iter()
            .flat_map(f64::to_le_bytes)
            .collect()
    })
}

/// The tensor `name` of the file, finite and of the shape it must have; `None` stands for any length.
pub(crate) fn tensor(file: &SafeTensors, name: &str, shape: &[Option<usize>]) -> Result<Tensor, String> {
    let view = file.tensor(name).map_err(|e| format!("`{name}`: {e}"))?;
    let fits = |(&found, wanted): (&usize, &Option<usize>)| wanted.is_none_or(|n| n == found);
    if view.shape().len() != shape.len() || !view.shape().iter().zip(shape).all(fits) {
        let expected: Vec<String> =
            shape.iter().map(|n| n.map_or("_".to_owned(), |n| n.to_string())).collect();
        return Err(format!("`{name}` has shape {:?}, expected [{}]", view.shape(), expected.join(", ")));
    }
    let (values, finite) = match view.dtype() {
        Dtype::F32 => {
            let values: Vec<f32> = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            (Tensor::f_from_slice(&values), values.iter().all(|v| v.is_finite()))
        }
        Dtype::F64 => {
            let values: Vec<f64> = view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
            (Tensor::f_from_slice(&values), values.iter().all(|v| v.is_finite()))
        }
        other => return Err(format!("`{name}` is {other:?}, expected F32 or F64")),
    };
    if !finite {
        return Err(format!("`{name}` holds a value that is not finite"));
    }
    let size: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
    values.and_then(|v| v.f_reshape(size)).map_err(|e| e.to_string())
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    /// Two rows, one dimension, mean 0 and std 1 on both sides.
    fn pairs(plus: [f64; 2], minus: [f64; 2]) -> Contrast {
        let column = |v: [f64; 2]| Tensor::from_slice(&v).reshape([2, 1]);
        Contrast::new(column(plus), column(minus), vec![true, false], vec!["a".into(), "b".into()]).unwrap()
    }

    fn probe(readout: Readout, sign: Sign) -> Probe {
        let train = pairs([1.0, -1.0], [-1.0, 1.0]);
        Probe {
            weight: Tensor::from_slice(&[2.0f32]),
            bias: 0.5,
            head: Head::Linear,
            sign,
            readout,
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
        assert_eq!([-800.0, 800.0].map(|score| Readout::Difference.probability(score)), [0.0, 1.0]);
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

    #[test]
    fn a_file_gives_the_same_probe_and_the_same_bytes() {
        let probe = probe(Readout::Pair, Sign::Minus);
        let bytes = probe.to_bytes().unwrap();
        assert_eq!(bytes, probe.to_bytes().unwrap());
        let back = Probe::parse(&bytes).unwrap();
        assert_eq!(bytes, back.to_bytes().unwrap());
        assert_eq!((back.sign, back.readout, back.bias, back.dim()), (Sign::Minus, Readout::Pair, 0.5, 1));
        assert_eq!(back.meta, probe.meta);
    }

    #[test]
    fn every_normalisation_comes_back_and_scores_the_same() {
        let wave = |step: f64| (Tensor::arange(24, (Kind::Double, Device::Cpu)) * step).sin().reshape([8, 3]);
        let text =
            |prefix: &str, of: fn(usize) -> usize| (0..8).map(|i| format!("{prefix}{}", of(i))).collect();
        let labels = (0..8).map(|i| i % 3 == 0).collect();
        let data = Contrast::new(wave(1.7), wave(0.9) * 2.0, labels, text("g", |i| i / 2)).unwrap();
        let data = data.with_variants(text("q", |i| i / 2), text("t", |i| i % 2)).unwrap();
        for kind in normalize::Normalization::ALL {
            let mut probe = probe(Readout::Pair, Sign::Plus);
            probe.weight = Tensor::from_slice(&[1.0f32, -2.0, 0.5]);
            probe.normalizer = Normalizer::fit_as(kind, &data).unwrap();
            let bytes = probe.to_bytes().unwrap();
            let back = Probe::parse(&bytes).unwrap();
            assert_eq!(back.normalizer.kind(), kind);
            assert_eq!(back.normalizer.templates(), probe.normalizer.templates());
            assert_eq!(back.scores(&data).unwrap(), probe.scores(&data).unwrap());
            assert_eq!(back.to_bytes().unwrap(), bytes);
            let mut anew = back;
            anew.normalizer = anew.normalizer.reestimated(&data).unwrap();
            assert!(Probe::parse(&anew.to_bytes().unwrap()).unwrap().normalizer.is_reestimated());
        }
    }

    #[test]
    fn the_name_of_a_single_template_comes_back_and_files_without_it_open() {
        let text = |name: &str| vec![name.to_owned(), format!("{name}2")];
        let data =
            pairs([1.0, -1.0], [-1.0, 1.0]).with_variants(text("q"), vec!["exam".to_owned(); 2]).unwrap();
        let mut probe = probe(Readout::Pair, Sign::Plus);
        probe.normalizer = Normalizer::fit(&data).unwrap();
        let bytes = probe.to_bytes().unwrap();
        let back = Probe::parse(&bytes).unwrap();
        assert_eq!(back.normalizer.templates(), ["exam"]);
        assert_eq!(back.to_bytes().unwrap(), bytes);
        // As version 0.1 wrote it: the same length, another key, which is not read.
        let mut old = bytes.clone();
        let key = old.windows(4).position(|w| w == b"seen").unwrap();
        old[key..key + 4].copy_from_slice(b"none");
        let old = Probe::parse(&old).unwrap();
        assert!(old.normalizer.templates().is_empty());
        assert_eq!(old.scores(&data).unwrap(), probe.scores(&data).unwrap());
    }

    #[test]
    fn a_leace_that_has_nothing_to_erase_comes_back() {
        let same = pairs([1.0, -1.0], [1.0, -1.0]);
        let mut probe = probe(Readout::Pair, Sign::Plus);
        probe.normalizer = Normalizer::fit_as(normalize::Normalization::Leace, &same).unwrap();
        let back = Probe::parse(&probe.to_bytes().unwrap()).unwrap();
        assert_eq!(back.scores(&same).unwrap(), probe.scores(&same).unwrap());
    }

    #[test]
    fn files_of_schema_1_are_read() {
        // As version 0.1 wrote them: four statistics and a header that does not name the normalisation.
        let f64s = |v: f64| v.to_le_bytes().to_vec();
        let data = [
            ("bias", Dtype::F64, f64s(0.5)),
            ("minus.mean", Dtype::F64, f64s(1.0)),
            ("minus.std", Dtype::F64, f64s(2.0)),
            ("plus.mean", Dtype::F64, f64s(3.0)),
            ("plus.std", Dtype::F64, f64s(4.0)),
            ("weight", Dtype::F32, 2f32.to_le_bytes().to_vec()),
        ];
        let views: Vec<_> =
            data.iter().map(|(name, d, b)| (*name, TensorView::new(*d, vec![1], b).unwrap())).collect();
        let header = r#"{"schema":1,"readout":"difference","sign":-1,"meta":{"layer":3}}"#;
        let metadata = HashMap::from([("ccs_probe".to_owned(), header.to_owned())]);
        let probe = Probe::parse(&safetensors::serialize(views, Some(metadata)).unwrap()).unwrap();
        assert_eq!(probe.normalizer.kind(), normalize::Normalization::ElementWise);
        // −(2·((7 − 3)/4 − (5 − 1)/2) + 0.5)
        let data = pairs([7.0, 3.0], [5.0, 1.0]);
        assert_eq!(probe.scores(&data).unwrap(), [1.5, -0.5]);
        assert_eq!(Probe::parse(&probe.to_bytes().unwrap()).unwrap().scores(&data).unwrap(), [1.5, -0.5]);
    }

    #[test]
    fn foreign_and_damaged_files_are_refused() {
        let bytes = probe(Readout::Pair, Sign::Plus).to_bytes().unwrap();
        for end in 0..bytes.len() {
            assert!(Probe::parse(&bytes[..end]).is_err(), "cut at {end}");
        }
        let foreign = safetensors::serialize::<&str, TensorView, _>([], None).unwrap();
        assert!(Probe::parse(&foreign).unwrap_err().contains("ccs_probe"));
        let pattern = b"\\\"sign\\\":1";
        let at = bytes.windows(pattern.len()).position(|w| w == pattern).unwrap() + pattern.len() - 1;
        let mut other = bytes;
        other[at] = b'7';
        assert!(Probe::parse(&other).unwrap_err().contains("a sign is 1 or -1, not 7"));
        let error = Probe::load("/nonexistent/probe.safetensors").unwrap_err().to_string();
        assert!(error.contains("/nonexistent/probe.safetensors"), "{error}");
    }
}
