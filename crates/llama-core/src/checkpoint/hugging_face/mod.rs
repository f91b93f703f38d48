//! Hugging Face's layout: `config.json`, and `model.safetensors` or an index of numbered parts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use tch::{Kind, Tensor};

use super::mapped::{self, Elements};
use super::weight::{Order, Weight};
use super::{Layout, foreign};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

mod config;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Whether a folder holds weights in this layout.
pub(super) fn has_weights(folder: &Path) -> bool {
    [SINGLE, INDEX].iter().any(|name| folder.join(name).exists())
}

/// A checkpoint in Hugging Face's layout, opened and checked, no weight read yet.
#[derive(Debug)]
pub(super) struct HuggingFace {
    folder: PathBuf,
    config_text: String,
    config: Config,
    files: Vec<File>,
    /// Which file holds a tensor, and where.
    tensors: HashMap<String, (usize, Place)>,
}

/// One safetensors file, mapped.
#[derive(Debug)]
struct File {
    path: PathBuf,
    map: Mmap,
}

/// A tensor in a file.
#[derive(Debug)]
struct Place {
    dtype: Dtype,
    shape: Vec<i64>,
    bytes: std::ops::Range<usize>,
}

/// The part of the index that matters.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl HuggingFace {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let config_text = fs_err::read_to_string(&path)?;
        let config = config::read(&path, &config_text)?;
        let mut opened = Self {
            folder: folder.to_owned(),
            config_text,
            config,
            files: Vec::new(),
            tensors: HashMap::new(),
        };
        if folder.join(SINGLE).exists() {
            opened.add(&folder.join(SINGLE), None)?;
        } else {
            opened.add_indexed()?;
        }
        opened.check()?;
        Ok(opened)
    }

    /// The files that the index names, each holding what the index says it holds.
    fn add_indexed(&mut self) -> Result<()> {
        let path = self.folder.join(INDEX);
        if !path.exists() {
            let pytorch = ["pytorch_model.bin", "pytorch_model.bin.index.json"];
            let found = if pytorch.iter().any(|name| self.folder.join(name).exists()) {
                "its weights are pytorch_model.bin; transformers' save_pretrained writes model.safetensors"
            } else {
                "config.json is there, model.safetensors is not"
            };
            return Err(Error::NotAModel { path: self.folder.clone(), found: found.to_owned() });
        }
        let refuse = |reason: String, hint: &str| {
            Err(Error::WeightFile { path: path.clone(), reason, hint: hint.to_owned() })
        };
        let index: Index = match serde_json::from_str(&fs_err::read_to_string(&path)?) {
            Ok(index) => index,
            Err(e) => return refuse(e.to_string(), "the index is damaged; copy it again"),
        };
        let names: BTreeSet<&String> = index.weight_map.values().collect();
        for name in names {
            // A file beside the index and nowhere else.
            if Path::new(name).file_name().is_none_or(|own| own != name.as_str()) {
                return refuse(format!("it names the file `{name}`"), "files must be beside the index");
            }
            let file = self.folder.join(name);
            if !file.exists() {
                let reason = format!("it names the file `{name}`, which is not there");
                return refuse(
                    reason,
                    "copy every model-NNNNN-of-NNNNN.safetensors of the model into this folder",
                );
            }
            self.add(&file, Some((&path, &index)))?;
        }
        for (tensor, file) in &index.weight_map {
            if !self.tensors.contains_key(tensor) {
                return refuse(
                    format!("it says that `{tensor}` is in `{file}`, which does not hold it"),
                    "index and files belong to different models",
                );
            }
        }
        Ok(())
    }

    /// Maps one file and takes up its tensors.
    fn add(&mut self, path: &Path, index: Option<(&Path, &Index)>) -> Result<()> {
        let refuse = |reason: String, hint: &str| {
            Err(Error::WeightFile { path: path.to_owned(), reason, hint: hint.to_owned() })
        };
        let map = mapped::map(path)?;
        let (header, metadata) = match SafeTensors::read_metadata(&map) {
            Ok(read) => read,
            Err(e) => {
                let hint = "the file is damaged, was cut short, or is no safetensors file; copy it again";
                return refuse(e.to_string(), hint);
            }
        };
        let start = header + 8; // behind the header's length
        for (name, info) in metadata.tensors() {
            let own_name = path.file_name().unwrap_or_default().to_string_lossy();
            if index
                .is_some_and(|(_, index)| index.weight_map.get(&name).is_none_or(|file| *file != own_name))
            {
                let hint = "index and files belong to different models";
                return refuse(format!("it holds `{name}`, and the index says otherwise"), hint);
            }
            let place = Place {
                dtype: info.dtype,
                shape: info.shape.iter().map(|&n| n as i64).collect(),
                bytes: start + info.data_offsets.0..start + info.data_offsets.1,
            };
            self.tensors.insert(name, (self.files.len(), place));
        }
        self.files.push(File { path: path.to_owned(), map });
        Ok(())
    }

    /// Every weight is there with the shape that the configuration implies, and nothing else is.
    fn check(&self) -> Result<()> {
        let mut known = BTreeSet::new();
        for weight in Weight::all(&self.config) {
            let name = weight.hugging_face_name();
            let (file, place) = self.place(&name)?;
            let expected = weight.shape(&self.config);
            if place.shape != expected {
                let (path, found) = (file.path.clone(), place.shape.clone());
                return Err(Error::TensorShape { path, name, expected, found });
            }
            kind(&file.path, &name, place.dtype)?;
            known.insert(name);
        }
        self.check_tied()?;
        // Tables that older versions of transformers saved and newer ones compute.
        let computed = |name: &str| name.ends_with(".rotary_emb.inv_freq");
        let unembed = Weight::Unembed.hugging_face_name();
        let names = self.tensors.keys();
        match names.filter(|name| !known.contains(*name) && !computed(name) && **name != unembed).min() {
            None => Ok(()),
            Some(name) => Err(foreign(&self.folder.join("config.json"), name)),
        }
    }

    /// Where embeddings are tied, an unembedding that is there all the same is the embedding.
    fn check_tied(&self) -> Result<()> {
        let name = Weight::Unembed.hugging_face_name();
        if !self.config.tied_embeddings || !self.tensors.contains_key(&name) {
            return Ok(());
        }
        let numbers = |name: &str| {
            self.place(name).map(|(file, place)| (place.dtype, &place.shape, &file.map[place.bytes.clone()]))
        };
        if numbers(&name)? == numbers(&Weight::Embed.hugging_face_name())? {
            return Ok(());
        }
        Err(Error::ModelConfig {
            path: self.folder.join("config.json"),
            reason: format!("`tie_word_embeddings` is true, and `{name}` is not the embedding"),
            hint: "config.json belongs to another model; with its own unembedding it says false".to_owned(),
        })
    }

    fn place(&self, name: &str) -> Result<(&File, &Place)> {
        let first = self.files.first().map_or(&self.folder, |file| &file.path);
        let missing = || Error::MissingTensor { path: first.clone(), name: name.to_owned() };
        let (file, place) = self.tensors.get(name).ok_or_else(missing)?;
        Ok((&self.files[*file], place))
    }
}

impl Layout for HuggingFace {
    fn config(&self) -> &Config {
        &self.config
    }

    fn describe(&self) -> String {
        let files = self.files.len();
        format!("Hugging Face, {files} file{}", if files == 1 { "" } else { "s" })
    }

    fn stored(&self, weight: Weight) -> Result<(String, u64)> {
        let (_, place) = self.place(&weight.hugging_face_name())?;
        Ok((format!("{:?}", place.dtype).to_lowercase(), place.bytes.len() as u64))
    }

    fn copy(&self, weight: Weight, into: &Tensor) -> Result<()> {
        let name = weight.hugging_face_name();
        let (File { path, map }, place) = self.place(&name)?;
        let kind = kind(path, &name, place.dtype)?;
        let bytes = place.bytes.clone();
        let elements = Elements { path, name: &name, map, bytes, kind, shape: &place.shape, stride: None };
        elements.copy(into, Order::Kept) // queries and keys are in half-split order already
    }

    fn fingerprint(&self, hash: &mut blake3::Hasher) {
        hash.update(self.config_text.as_bytes());
        for file in &self.files {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy();
            hash.update(name.as_bytes()).update(&(file.map.len() as u64).to_le_bytes());
        }
        let mut names: Vec<_> = self.tensors.iter().collect();
        names.sort_by_key(|(name, _)| *name);
        for (name, (file, place)) in names {
            hash.update(name.as_bytes()).update(format!("{:?} {:?}", place.dtype, place.shape).as_bytes());
            mapped::sample(hash, &self.files[*file].map[place.bytes.clone()]);
        }
    }

    fn tokenizer(&self) -> Result<Tokenizer> {
        if !["tokenizer.json", "tokenizer.model"].iter().any(|name| self.folder.join(name).exists()) {
            return Err(Error::NoTokenizer { path: self.folder.clone() });
        }
        Tokenizer::open(&self.folder)
    }
}

/// LibTorch's name of a type that weights can have.
fn kind(path: &Path, name: &str, dtype: Dtype) -> Result<Kind> {
    match dtype {
        Dtype::F16 => Ok(Kind::Half),
        Dtype::BF16 => Ok(Kind::BFloat16),
        Dtype::F32 => Ok(Kind::Float),
        Dtype::F64 => Ok(Kind::Double),
        other => Err(Error::WeightFile {
            path: path.to_owned(),
            reason: format!("tensor `{name}` is of type {other:?}"),
            hint: "weights of type f16, bf16, f32 and f64 are read; convert the model with transformers"
                .to_owned(),
        }),
    }
}
