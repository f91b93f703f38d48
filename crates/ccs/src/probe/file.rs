//! A probe's file: safetensors.
//!
//! Tensors, f32 or f64, little-endian as the format has it:
//!
//! | name | shape | |
//! |---|---|---|
//! | `weight` | \[D\]; \[2D\] on concatenated pairs; the last hidden layer's length | w |
//! | `bias` | \[1\] | b |
//! | `plus.mean`, `plus.std`, `minus.mean`, `minus.std` | \[D\] | φ± = (x± − mean)/std, of rows of no known template |
//! | `templates.plus.mean` … | \[K, D\] | the same of the K templates that the header names, where there are several |
//! | `erasure.left`, `erasure.right` | \[D, M\], \[M, D\] | LEACE: left·right·φ is then taken away |
//! | `hidden.0.weight`, `hidden.0.bias` … | \[outputs, inputs\], \[outputs\] | hidden layers, from the states up |
//! | `platt` | \[2\] | a and b of p(true) = σ(a·score + b); not in files of version 0.1, nor where no scaling could be fitted |
//!
//! The metadata entry `ccs_probe` is one JSON object: `schema`; `readout`, which makes a score of w, b and a pair's φ±
//! ([`Readout`]); `sign`, 1 or −1, where −1 turns a score into that of the opposite answer (1 − p̃ of `pair`, else
//! −score); `own_probabilities`, whether the scores are probabilities or logits before any scaling; `hidden`, the number of
//! hidden layers; `normalizer`; `meta`, where the probe comes from, with what `platt` was fitted on under `fit`; and
//! `check`, which stands for all of it: the BLAKE3 of this object without it, and of every tensor. `platt` takes scores with
//! the sign applied.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{Certainty, Probe, Readout, Sign};
use crate::calibrate::Platt;
use crate::head::Head;
use crate::normalize::{self, Normalizer};
use crate::{Error, Result};

/// The version of the probe file. Versions 1 and 2, which are still read, have no `check`; version 1 knew element-wise
/// normalisation only and so did not say which it was.
const SCHEMA: u32 = 3;
/// The most bytes of a probe.
const LARGEST: u64 = 2 << 30;
/// The first version with a `check`.
const CHECKED: u32 = 3;

/// What the file says besides its tensors; one JSON text, so that the file's bytes are always the same.
#[derive(Serialize, Deserialize)]
struct Header {
    schema: u32,
    readout: Readout,
    sign: Sign,
    /// Hidden layers.
    #[serde(default, skip_serializing_if = "none")]
    hidden: usize,
    /// [`Certainty::own`]; files that do not say it are asked for their method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own_probabilities: Option<bool>,
    #[serde(default)]
    normalizer: normalize::Header,
    meta: BTreeMap<String, serde_json::Value>,
}

/// What stands before the hash, at the end of the header.
const BEFORE_CHECK: &str = ",\"check\":\"";

/// The hash of a file's content: the header up to this hash, and the tensors by name.
fn check<'a>(header: &str, tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], &'a [u8])>) -> String {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_by_key(|(name, ..)| *name);
    let mut hasher = blake3::Hasher::new();
    hasher.update(header.as_bytes());
    for (name, dtype, shape, bytes) in tensors {
        hasher.update(format!("\0{name} {dtype:?} {shape:?} ").as_bytes()).update(bytes);
    }
    hasher.finalize().to_hex().as_str().to_owned()
}

/// A header's text up to its hash, and the hash, if it ends in one.
fn checked(header: &str) -> Option<(&str, &str)> {
    let (text, check) = header.strip_suffix("\"}")?.rsplit_once(BEFORE_CHECK)?;
    (check.len() == 2 * blake3::OUT_LEN).then_some((text, check))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn none(count: &usize) -> bool {
    *count == 0
}

impl Probe {
    /// The probe as a safetensors file, equal probes as equal bytes: `weight`, `bias`, both sides' `mean` and `std`, what
    /// else its normalisation has, of hidden layers, from the states up, `hidden.0.weight`, `hidden.0.bias`,
    /// `hidden.1.weight` and so on, and `platt`, the a and b of p(true) = σ(a·score + b).
    ///
    /// # Errors
    /// LibTorch's.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let bias = Tensor::f_from_slice(&[self.bias])?;
        let platt = self.certainty.platt.map(|Platt { a, b }| Tensor::f_from_slice(&[a, b])).transpose()?;
        let parts = [("weight", &self.weight), ("bias", &bias)].into_iter().chain(self.normalizer.tensors());
        let parts = parts.chain(platt.as_ref().map(|platt| ("platt", platt)));
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
            own_probabilities: Some(self.certainty.own),
            normalizer: self.normalizer.header(),
            meta: self.meta.clone(),
        };
        let mut header = serde_json::to_string(&header).map_err(|e| wrong(&e))?;
        header.pop();
        let parts = data.iter().map(|(name, dtype, shape, bytes)| (&**name, *dtype, &**shape, &**bytes));
        let check = check(&header, parts);
        for part in [BEFORE_CHECK, &check, "\"}"] {
            header.push_str(part);
        }
        let metadata = HashMap::from([("ccs_probe".to_owned(), header)]);
        safetensors::serialize(views, Some(metadata)).map_err(|e| wrong(&e))
    }

    /// Writes the probe to a file.
    ///
    /// # Errors
    /// As [`Probe::to_bytes`], and the file system's.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(host::files::replace(path, &self.to_bytes()?)?)
    }

    /// Reads a probe that [`Probe::save`] wrote.
    ///
    /// # Errors
    /// A file that cannot be read, is not such a file, or was changed since; the path is named.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = host::files::read(path, LARGEST)?;
        Self::parse(&bytes).map_err(|reason| Error::ProbeFile { path: path.to_owned(), reason })
    }

    /// Reads the bytes of a probe file.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
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
        let views: Vec<_> = file.iter().collect();
        let tensors = views.iter().map(|(name, view)| (*name, view.dtype(), view.shape(), view.data()));
        match checked(text) {
            Some((text, stated)) if stated != check(text, tensors) => {
                return Err("it was changed after it was written".to_owned());
            }
            None if header.schema >= CHECKED => return Err("it has no `check`".to_owned()),
            _ => {}
        }
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
        let platt = if file.names().into_iter().any(|name| name == "platt") {
            <[f64; 2]>::try_from(numbers(&get("platt", &[Some(2)])?)?).ok()
        } else {
            None
        };
        let certainty = Certainty {
            own: header.own_probabilities.unwrap_or_else(|| own(header.readout, &header.meta)),
            platt: platt.map(|[a, b]| Platt { a, b }),
        };
        Ok(Self {
            certainty,
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

/// Whether the scores of a probe whose file does not say so are probabilities or logits: of differences, by the method.
fn own(readout: Readout, meta: &BTreeMap<String, serde_json::Value>) -> bool {
    let method = meta.get("method").and_then(serde_json::Value::as_str);
    readout != Readout::Difference || matches!(method, Some("lr" | "lda" | "inlp"))
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>, String> {
    tensor.f_to_kind(Kind::Double).and_then(Vec::try_from).map_err(|e| e.to_string())
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
    use super::super::tests::{pairs, probe};
    use super::*;
    use crate::Contrast;

    #[test]
    fn a_file_gives_the_same_probe_and_the_same_bytes() {
        let probe = probe(Readout::Pair, Sign::Minus);
        let bytes = probe.to_bytes().unwrap();
        assert_eq!(bytes, probe.to_bytes().unwrap());
        let back = Probe::parse(&bytes).unwrap();
        assert_eq!(bytes, back.to_bytes().unwrap());
        assert_eq!((back.sign, back.readout, back.bias, back.dim()), (Sign::Minus, Readout::Pair, 0.5, 1));
        assert_eq!((back.meta, back.certainty), (probe.meta, Certainty::OWN));
    }

    #[test]
    fn what_makes_probabilities_comes_back() {
        let mut probe = probe(Readout::Difference, Sign::Minus);
        let platt = Some(Platt { a: 1.0 / 3.0, b: -0.1 });
        for certainty in [Certainty::NONE, Certainty::OWN, Certainty { own: false, platt }] {
            probe.certainty = certainty;
            let bytes = probe.to_bytes().unwrap();
            assert_eq!(Probe::parse(&bytes).unwrap().certainty, certainty);
            let names = SafeTensors::deserialize(&bytes).unwrap().names().len();
            assert_eq!(names, 6 + usize::from(certainty.platt.is_some()));
        }
    }

    #[test]
    fn files_that_do_not_say_whether_scores_are_probabilities_are_asked_for_their_method() {
        let of = |method: &str| BTreeMap::from([("method".to_owned(), method.into())]);
        for (method, expected) in [("lr", true), ("lda", true), ("tpc", false), ("mean_difference", false)] {
            assert_eq!(own(Readout::Difference, &of(method)), expected, "{method}");
        }
        assert!(own(Readout::Pair, &of("ccs")) && own(Readout::Statements, &of("lr_statements")));
        assert!(!own(Readout::Difference, &BTreeMap::new()));
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
        // As version 0.1 wrote it: another key, which is not read, and nothing that it is checked by.
        let old = with_header(&bytes, |text| {
            let text = checked(text).unwrap().0.replace("\"schema\":3", "\"schema\":2");
            text.replace("\"seen\"", "\"none\"") + "}"
        });
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

    /// A probe's file with another header.
    fn with_header(bytes: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
        let text = change(&metadata.metadata().as_ref().unwrap()["ccs_probe"]);
        let file = SafeTensors::deserialize(bytes).unwrap();
        safetensors::serialize(file.iter(), Some(HashMap::from([("ccs_probe".to_owned(), text)]))).unwrap()
    }

    /// Whatever bit is changed: an error, or the probe that was written.
    #[test]
    fn no_changed_bit_makes_another_probe() {
        let original = probe(Readout::Pair, Sign::Plus);
        let bytes = original.to_bytes().unwrap();
        let mut read = 0;
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            if let Ok(back) = Probe::parse(&changed) {
                assert!(back.to_bytes().unwrap() == bytes, "byte {at}");
                read += 1;
            }
        }
        assert!(read < 16, "only what pads the header may change: {read}");
        let unchecked = with_header(&bytes, |text| format!("{}}}", checked(text).unwrap().0));
        assert!(Probe::parse(&unchecked).unwrap_err().contains("it has no `check`"));
        let other = with_header(&bytes, |text| text.replace("\"sign\":1", "\"sign\":-1"));
        assert!(Probe::parse(&other).unwrap_err().contains("it was changed after it was written"));
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
