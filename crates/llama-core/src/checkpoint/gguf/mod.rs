//! One GGUF file: metadata, vocabulary, and weights that may be quantized.

use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::ggml_file::qtensor_from_ggml;
use tch::{Kind, Tensor};

use super::container::mapped::{self, Elements, Mapped};
use super::identity::Hashed;
use super::weight::{Order, Weight};
use super::{Layout, foreign};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::tokenizer::{Tokenizer, Vocabulary};

mod config;
mod file;
mod keys;
mod types;

use config::Metadata;
use file::{Header, TensorEntry, Value};

/// The tensor with a stretch for each wavelength of the rotary embedding.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// A GGUF file, opened and checked, no weight read yet.
#[derive(Debug)]
pub(super) struct Gguf {
    path: PathBuf,
    map: Mapped,
    header: Header,
    config: Config,
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
        let factors = match header.tensors.get(ROPE_FACTORS) {
            Some(entry) => Some(dequantize(path, &map, ROPE_FACTORS, entry)?),
            None => None,
        };
        let tied = !header.tensors.contains_key(&Weight::Unembed.gguf_name());
        let config = config::read(&header, factors, tied).map_err(|reason| Error::ModelConfig {
            path: path.to_owned(),
            reason,
            hint: "GGUF files of LLaMA and of models that differ from it only in configuration can be read"
                .to_owned(),
        })?;
        let unknown = keys::unknown(&Metadata(&header));
        let named: Vec<String> = unknown.iter().take(20).map(|key| format!("`{key}`")).collect();
        let warnings = match unknown.len() {
            0 => Vec::new(),
            _ => vec![format!("metadata that is not known here was not read: {}", named.join(", "))],
        };
        let gguf = Self { path: path.to_owned(), map, header, config, warnings };
        gguf.check()?;
        Ok(gguf)
    }

    /// Every weight is there with the shape that the metadata implies, and nothing else is.
    fn check(&self) -> Result<()> {
        let mut known = std::collections::BTreeSet::from([ROPE_FACTORS.to_owned()]);
        for weight in Weight::all(&self.config) {
            let name = weight.gguf_name();
            let found = &self.entry(&name)?.shape;
            let expected = weight.shape(&self.config);
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
        }))
    }
}

impl Layout for Gguf {
    fn config(&self) -> &Config {
        &self.config
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn describe(&self) -> String {
        format!("GGUF version {}", self.header.version)
    }

    fn stored(&self, weight: Weight) -> Result<(String, u64)> {
        let entry = self.entry(&weight.gguf_name())?;
        Ok((type_name(entry.dtype), entry.bytes.len() as u64))
    }

    fn copy(&self, weight: Weight, into: &Tensor) -> Result<()> {
        let name = weight.gguf_name();
        let entry = self.entry(&name)?;
        let order = Order::interleaved(weight, &self.config);
        let (path, map, bytes) = (self.path.as_path(), &self.map, entry.bytes.clone());
        let plain = match entry.dtype {
            GgmlDType::F32 => Some(Kind::Float),
            GgmlDType::F16 => Some(Kind::Half),
            GgmlDType::BF16 => Some(Kind::BFloat16),
            _ => None,
        };
        if let Some(kind) = plain {
            let elements =
                Elements { path, name: &name, map, bytes, kind, shape: &entry.shape, stride: None };
            return elements.copy(into, order);
        }
        let values = dequantize(path, map, &name, entry)?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(Error::NonFiniteWeight { path: path.to_owned(), name });
        }
        mapped::release(map, &bytes);
        order.copy(&Tensor::f_from_slice(&values)?.f_view(entry.shape.as_slice())?, into)
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

/// A type as people write it: f32 and bf16, `Q4_1` and `Q6_K`.
fn type_name(dtype: GgmlDType) -> String {
    let name = format!("{dtype:?}");
    match name.strip_suffix('K') {
        Some(quantized) => format!("{quantized}_K"),
        None if name.starts_with('Q') => name,
        None => name.to_lowercase(),
    }
}

/// A tensor's numbers in f32, its rows spread over the machine's cores.
fn dequantize(path: &Path, map: &[u8], name: &str, entry: &TensorEntry) -> Result<Vec<f32>> {
    let count = entry.shape.iter().product::<i64>() as usize;
    let source = &map[entry.bytes.clone()];
    // Rows hold whole blocks; what has one row, or none, is one piece.
    let rows = if let [rows, _, ..] = *entry.shape { rows.max(1) as usize } else { 1 };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let piece = rows.div_ceil(cores);
    let mut values = vec![0f32; count];
    let pieces = values
        .chunks_mut((piece * (count / rows)).max(1))
        .zip(source.chunks((piece * (source.len() / rows)).max(1)));
    let done: std::result::Result<(), String> = std::thread::scope(|scope| {
        let threads = pieces
            .map(|(values, source)| {
                let work = || dequantize_into(entry.dtype, source, values);
                host::threads::spawn_scoped(scope, "dequantize", work).map_err(|e| e.to_string())
            })
            .collect::<Result<Vec<_>, String>>()?;
        let died = |_| "a thread died".to_owned();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(died)?)
    });
    done.map(|()| values).map_err(|reason| Error::WeightFile {
        path: path.to_owned(),
        reason: format!("tensor `{name}`: {reason}"),
        hint: "the file is damaged; copy it again".to_owned(),
    })
}

/// Whole blocks' numbers, a stretch at a time: candle makes a tensor of each.
fn dequantize_into(dtype: GgmlDType, source: &[u8], values: &mut [f32]) -> Result<(), String> {
    const BLOCKS: usize = 4096;
    let (elements, bytes) = (BLOCKS * dtype.block_size(), BLOCKS * dtype.type_size());
    for (source, values) in source.chunks(bytes).zip(values.chunks_mut(elements)) {
        // A copy into words: candle reads blocks as structs, which are aligned as the file's bytes need not be.
        let mut words = vec![0u64; source.len().div_ceil(8)];
        let aligned = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..source.len()];
        aligned.copy_from_slice(source);
        let numbers = qtensor_from_ggml(dtype, aligned, vec![values.len()], &Device::Cpu)
            .and_then(|tensor| tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1())
            .map_err(|e| e.to_string())?;
        values.copy_from_slice(&numbers);
    }
    Ok(())
}
