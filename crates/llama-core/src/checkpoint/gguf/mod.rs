//! One GGUF file: metadata, vocabulary, and weights that may be quantized.

use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;
use tch::{Device, Kind, Tensor};

use super::container::mapped::{self, Mapped};
use super::elements::Elements;
use super::identity::Hashed;
use super::part::{Part, Wanted};
use super::weight::{BlockWeight, Order, Rows, Weight};
use super::{Layout, foreign};
use crate::chat::DEFAULT;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::family::Family;
use crate::tokenizer::{Tokenizer, Vocabulary};

mod blocks;
mod config;
mod file;
mod keys;
mod types;

use config::Metadata;
use file::{Header, TensorEntry, Value};

/// The tensor with a stretch for each wavelength of the rotary embedding.
const ROPE_FACTORS: &str = "rope_freqs.weight";
/// Phi-3's, for prompts within the original context, and the other one.
const SHORT_FACTORS: &str = "rope_factors_short.weight";
const LONG_FACTORS: &str = "rope_factors_long.weight";

/// A GGUF file, opened and checked, no weight read yet.
#[derive(Debug)]
pub(super) struct Gguf {
    path: PathBuf,
    map: Mapped,
    header: Header,
    config: Config,
    family: &'static Family,
    warnings: Vec<String>,
}

impl Gguf {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let map = mapped::map(path)?;
        let header = Header::read(&map).map_err(|reason| Error::WeightFile {
            path: path.to_owned(),
            reason,
            hint: "if it is of a type or version that is not read, take an F16, Q8_0 or Q4_K_M file of the model; otherwise \
                   it is damaged or was cut short: copy it again"
                .to_owned(),
        })?;
        if Metadata(&header).int("split.count").is_ok_and(|parts| parts.is_some_and(|n| n > 1)) {
            return Err(Error::WeightFile {
                path: path.to_owned(),
                reason: "it is one part of several".to_owned(),
                hint: "put the parts together with llama.cpp's llama-gguf-split --merge".to_owned(),
            });
        }
        let refuse = |reason| Error::ModelConfig {
            path: path.to_owned(),
            reason,
            hint: "the guide (Models) lists the families of models that can be read, and what each does"
                .to_owned(),
        };
        let family = config::family(&Metadata(&header)).map_err(refuse)?;
        let table = if family.ways.fused { SHORT_FACTORS } else { ROPE_FACTORS };
        let entry = header.tensors.get(table);
        let factors = entry.map(|entry| factors(path, &map, table, entry)).transpose()?;
        let tied = !header.tensors.contains_key(&Weight::Unembed.gguf_name());
        let config = config::read(&header, family, factors, tied).map_err(refuse)?;
        let unknown = keys::unknown(&Metadata(&header), family);
        let named: Vec<String> = unknown.iter().take(20).map(|key| format!("`{key}`")).collect();
        let warnings = match unknown.len() {
            0 => Vec::new(),
            _ => vec![format!("metadata that is not known here was not read: {}", named.join(", "))],
        };
        let gguf = Self { path: path.to_owned(), map, header, config, family, warnings };
        gguf.check()?;
        Ok(gguf)
    }

    /// Every weight is there with the shape that the metadata implies, and nothing else is.
    fn check(&self) -> Result<()> {
        let tables: &[&str] =
            if self.family.ways.fused { &[SHORT_FACTORS, LONG_FACTORS] } else { &[ROPE_FACTORS] };
        let mut known: std::collections::BTreeSet<String> = tables.iter().map(ToString::to_string).collect();
        for weight in Weight::all(&self.config) {
            let name = self.name(weight);
            let found = &self.entry(&name)?.shape;
            let mut expected = weight.shape(&self.config);
            if let Some(part) = self.part(weight) {
                expected[0] = part.of;
            }
            if *found != expected {
                let (path, found) = (self.path.clone(), found.clone());
                return Err(Error::TensorShape { path, name, expected, found });
            }
            known.insert(name);
        }
        match self.header.tensors.keys().filter(|name| !known.contains(*name)).min() {
            None => Ok(()),
            Some(name) => Err(foreign(&self.path, name)),
        }
    }

    /// Which rows of a tensor of several weights are a weight's, in a family that has such tensors.
    fn part(&self, weight: Weight) -> Option<Rows> {
        self.family.ways.fused.then(|| Rows::of(weight, &self.config)).flatten()
    }

    /// A weight's name in the file, or that of the tensor that it is some rows of.
    fn name(&self, weight: Weight) -> String {
        match weight {
            Weight::Block(i, BlockWeight::Q | BlockWeight::K | BlockWeight::V) if self.family.ways.fused => {
                format!("blk.{i}.attn_qkv.weight")
            }
            Weight::Block(i, BlockWeight::Gate) if self.family.ways.fused => format!("blk.{i}.ffn_up.weight"),
            _ => weight.gguf_name(),
        }
    }

    fn entry(&self, name: &str) -> Result<&TensorEntry> {
        let missing = || Error::MissingTensor { path: self.path.clone(), name: name.to_owned() };
        self.header.tensors.get(name).ok_or_else(missing)
    }

    /// What the metadata says of the vocabulary.
    fn vocabulary(&self) -> Result<Option<Vocabulary>, String> {
        let meta = Metadata(&self.header);
        let text = |value: &Value| if let Value::Text(text) = value { Some(text.clone()) } else { None };
        let (Some(model), Some(tokens)) =
            (meta.text("tokenizer.ggml.model")?, meta.list("tokenizer.ggml.tokens", text)?)
        else {
            return Ok(None);
        };
        let id = |key: &str| -> Result<Option<u32>, String> {
            let id = meta.int(key)?.map(u32::try_from).transpose();
            id.map_err(|_| format!("`{key}` is no token id"))
        };
        let number = |value: &Value| if let Value::F32(score) = value { Some(*score) } else { None };
        let kind = |value: &Value| match value {
            Value::Signed(kind) => i32::try_from(*kind).ok(),
            Value::Unsigned(kind) => i32::try_from(*kind).ok(),
            _ => None,
        };
        Ok(Some(Vocabulary {
            model: model.to_owned(),
            pre: meta.text("tokenizer.ggml.pre")?.map(str::to_owned),
            tokens,
            scores: meta.list("tokenizer.ggml.scores", number)?,
            types: meta.list("tokenizer.ggml.token_type", kind)?,
            merges: meta.list("tokenizer.ggml.merges", text)?,
            bos: id("tokenizer.ggml.bos_token_id")?,
            eos: id("tokenizer.ggml.eos_token_id")?,
            unknown: id("tokenizer.ggml.unknown_token_id")?,
            add_bos: meta.bool("tokenizer.ggml.add_bos_token")?,
            add_eos: meta.bool("tokenizer.ggml.add_eos_token")?,
            add_space_prefix: meta.bool("tokenizer.ggml.add_space_prefix")?,
            remove_extra_spaces: meta.bool("tokenizer.ggml.remove_extra_whitespaces")?,
            rules: self.header.metadata.contains_key("tokenizer.ggml.precompiled_charsmap"),
            chat_templates: self.chat_templates(),
        }))
    }

    /// `tokenizer.chat_template` and `tokenizer.chat_template.NAME`, sorted by name.
    fn chat_templates(&self) -> Vec<(String, String)> {
        let meta = Metadata(&self.header);
        let named = meta.keys().filter_map(|key| {
            let rest = key.strip_prefix("tokenizer.chat_template")?;
            let name = if rest.is_empty() { DEFAULT } else { rest.strip_prefix('.')? };
            match meta.get(key)? {
                Value::Text(text) => Some((name.to_owned(), text.clone())),
                _ => None,
            }
        });
        let mut named: Vec<_> = named.collect();
        named.sort();
        named
    }
}

impl Layout for Gguf {
    fn config(&self) -> &Config {
        &self.config
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn family(&self) -> &'static Family {
        self.family
    }

    fn describe(&self) -> String {
        format!("GGUF version {}", self.header.version)
    }

    fn stored(&self, weight: Weight) -> Result<(String, u64)> {
        let entry = self.entry(&self.name(weight))?;
        let bytes = entry.bytes.len() as u64;
        let own = self.part(weight).map_or(bytes, |part| bytes / part.of as u64 * part.count as u64);
        Ok((type_name(entry.dtype), own))
    }

    fn copy(&self, weight: Weight, wanted: Wanted, into: &Tensor) -> Result<()> {
        let name = self.name(weight);
        let entry = self.entry(&name)?;
        let neighbors = self.family.ways.pairs_are_neighbors;
        let order = if neighbors { Order::interleaved(weight, &self.config) } else { Order::AsStored };
        let part = Rows::wanted(self.part(weight), wanted.part);
        copy((&self.path, &self.map), (&name, entry), part, into, order)
    }

    fn hashed(&self) -> Result<Vec<Hashed<'_>>> {
        let mut entries: Vec<_> = self.header.tensors.iter().collect();
        entries.sort_by_key(|(_, entry)| entry.bytes.start);
        let own = |(name, entry): (&String, &TensorEntry)| Hashed {
            name: name.clone(),
            kind: type_name(entry.dtype),
            shape: entry.shape.clone(),
            path: &self.path,
            map: &self.map,
            bytes: entry.bytes.clone(),
        };
        Ok(entries.into_iter().map(own).collect())
    }

    fn tokenizer(&self) -> Result<Tokenizer> {
        let hint = "the file is damaged, or its vocabulary is of a kind that is not known here; give the model's own tokenizer.json or tokenizer.model";
        let refuse = |reason: String| Error::Tokenizer { path: self.path.clone(), reason, hint };
        let vocabulary = self.vocabulary().map_err(refuse)?;
        let vocabulary = vocabulary.ok_or_else(|| Error::NoTokenizer { path: self.path.clone() })?;
        Tokenizer::from_vocabulary(vocabulary, &self.path)
    }
}

/// Copies a tensor's numbers, or a part of them, to where they belong. Rows are whole blocks of quantized numbers, and lie
/// one after the other.
fn copy(
    (path, map): (&Path, &Mapped),
    (name, entry): (&str, &TensorEntry),
    part: Option<Part>,
    into: &Tensor,
    order: Order,
) -> Result<()> {
    let (bytes, format, shape) = (entry.bytes.clone(), blocks::format(entry.dtype), &entry.shape);
    let whole = Elements { path, name, map, bytes, format, shape, stride: None, columns: None, sum: None };
    let copied = match part {
        None => whole.copy(into, order),
        Some(part) => whole.part(part, |own| own.copy(into, order)),
    };
    copied.map(drop) // the format has no checksums
}

/// The factors of the rotary embedding.
fn factors(path: &Path, map: &Mapped, name: &str, entry: &TensorEntry) -> Result<Vec<f32>> {
    let factors = Tensor::f_empty(&entry.shape, (Kind::Float, Device::Cpu))?;
    copy((path, map), (name, entry), None, &factors, Order::AsStored)?;
    Ok(Vec::try_from(&factors.f_reshape(-1)?)?)
}

/// A type as people write it: f32 and bf16, `Q4_1` and `Q6_K`.
fn type_name(dtype: GgmlDType) -> String {
    let name = format!("{dtype:?}");
    match name.strip_suffix('K') {
        Some(quantized) => format!("{quantized}_K"),
        None if name.starts_with('Q') => name,
        None => name.to_lowercase(),
    }
}
