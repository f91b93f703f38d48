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
//! | `heads.query`, `heads.position`, `heads.value` | \[H, D\], \[H\], \[H, D\] | what reads all tokens ([`TokenReader`](super::TokenReader)) |
//! | `platt` | \[2\] | a and b of p(true) = σ(a·score + b); not in files of version 0.1, nor where no scaling could be fitted |
//!
//! The metadata entry `ccs_probe` is one JSON object: `schema`; `readout`, which makes a score of w, b and a pair's φ±
//! ([`ProbeInput`]); `sign`, 1 or −1, where −1 turns a score into that of the opposite answer (1 − p̃ of `pair`, else
//! −score); `own_probabilities`, whether the scores are probabilities or logits before any scaling; `hidden`, the number of
//! hidden layers; `tokens`, what reads all tokens of a prompt, if anything does; `normalizer`; `meta`, where the probe comes from, with what `platt` was fitted on under `fit`; and
//! `check`, which stands for all of it: the BLAKE3 of this object without it, and of every tensor. `platt` takes scores with
//! the sign applied.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{Calibration, Probe, ProbeInput, Sign};
use crate::normalize::{self, Normalizer};
use crate::probe::tensors::tensor;
use crate::probe::token_reader::TokenKind;
use crate::probe::{HiddenLayers, TokenReader};
use crate::stats::calibrate::Platt;
use crate::{Error, Result};

/// The version of the probe file. Versions 1 and 2, which are still read, have no `check`; version 1 knew element-wise
/// normalization only and so did not say which it was.
const SCHEMA: u32 = 3;
/// The most bytes of a probe.
const LARGEST: u64 = 2 << 30;
/// The first version with a `check`.
const CHECKED: u32 = 3;

/// What the file says besides its tensors; one JSON text, so that the file's bytes are always the same.
#[derive(Serialize, Deserialize)]
struct Header {
    schema: u32,
    #[serde(rename = "readout")]
    input: ProbeInput,
    sign: Sign,
    /// Hidden layers.
    #[serde(default, skip_serializing_if = "none")]
    hidden: usize,
    /// What reads all tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<TokenKind>,
    /// [`Calibration::own`]; files that do not say it are asked for their method.
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
    /// else its normalization has, of hidden layers, from the states up, `hidden.0.weight`, `hidden.0.bias`,
    /// `hidden.1.weight` and so on, and `platt`, the a and b of p(true) = σ(a·score + b).
    ///
    /// # Errors
    /// LibTorch's.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let bias = Tensor::f_from_slice(&[self.bias])?;
        let platt = self.calibration.platt.map(|Platt { a, b }| Tensor::f_from_slice(&[a, b])).transpose()?;
        let parts = [("weight", &self.weight), ("bias", &bias)].into_iter().chain(self.normalizer.tensors());
        let parts = parts.chain(platt.as_ref().map(|platt| ("platt", platt)));
        let parts = parts.map(|(name, tensor)| (name.to_owned(), tensor)).chain(self.hidden_layers.tensors());
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
            input: self.input,
            sign: self.sign,
            hidden: self.hidden_layers.layers().len(),
            tokens: match &self.hidden_layers {
                HiddenLayers::Tokens(reader) => Some(reader.kind()),
                HiddenLayers::Linear | HiddenLayers::Mlp(_) => None,
            },
            own_probabilities: Some(self.calibration.own),
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
        unchanged(text, header.schema, &file)?;
        let length = file.tensor("weight").map_err(|e| e.to_string())?.shape().iter().product::<usize>();
        let (hidden_layers, dim) = match header.tokens {
            Some(kind) => {
                let (reader, dim) = TokenReader::read(&file, kind, length)?;
                (HiddenLayers::Tokens(reader), dim)
            }
            None => HiddenLayers::read(&file, header.hidden, length)?,
        };
        let dim = match (header.input, &hidden_layers) {
            (ProbeInput::Concatenated, HiddenLayers::Mlp(_) | HiddenLayers::Tokens(_)) => {
                return Err("hidden layers, or all tokens, on concatenated pairs".to_owned());
            }
            (ProbeInput::Concatenated, HiddenLayers::Linear) if dim % 2 == 1 => {
                return Err(format!("its {dim} weights are not those of two sides"));
            }
            (ProbeInput::Concatenated, HiddenLayers::Linear) => dim / 2,
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
        let calibration = Calibration {
            own: header.own_probabilities.unwrap_or_else(|| own(header.input, &header.meta)),
            platt: platt.map(|[a, b]| Platt { a, b }),
        };
        Ok(Self {
            calibration,
            weight: get("weight", &[Some(length)])?,
            bias,
            hidden_layers,
            sign: header.sign,
            input: header.input,
            normalizer: Normalizer::from_file(header.normalizer, dim, get)?,
            meta: header.meta,
        })
    }
}

/// Compares a file with the check that it states.
fn unchanged(header: &str, schema: u32, file: &SafeTensors<'_>) -> Result<(), String> {
    let views: Vec<_> = file.iter().collect();
    let tensors = views.iter().map(|(name, view)| (*name, view.dtype(), view.shape(), view.data()));
    match checked(header) {
        Some((text, stated)) if stated != check(text, tensors) => {
            Err("it was changed after it was written".to_owned())
        }
        None if schema >= CHECKED => Err("it has no `check`".to_owned()),
        _ => Ok(()),
    }
}

/// Whether the scores of a probe whose file does not say so are probabilities or logits: of differences, by the method.
fn own(input: ProbeInput, meta: &BTreeMap<String, serde_json::Value>) -> bool {
    let method = meta.get("method").and_then(serde_json::Value::as_str);
    input != ProbeInput::Difference || matches!(method, Some("lr" | "lda" | "inlp"))
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

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests;
