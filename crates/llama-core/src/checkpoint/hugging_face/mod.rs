//! Hugging Face's layout: `config.json`, and `model.safetensors` or `pytorch_model.bin`, or an index of numbered parts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tch::Tensor;

use super::container::TensorFile;
use super::identity::Hashed;
use super::part::Wanted;
use super::weight::{Order, Rows, Weight};
use super::{Layout, files, foreign, json};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::family::Family;
use crate::tokenizer::Tokenizer;

mod config;
mod keys;
mod names;

use names::Names;

/// What weights are called, in the order in which transformers looks for them: one file, or the index of several.
const WEIGHTS: [(&str, &str); 2] = [
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
];

/// Whether a folder holds weights in this layout.
pub(super) fn has_weights(folder: &Path) -> bool {
    WEIGHTS.iter().any(|(single, index)| folder.join(single).exists() || folder.join(index).exists())
}

/// A checkpoint in Hugging Face's layout, opened and checked, no weight read yet.
#[derive(Debug)]
pub(super) struct HuggingFace {
    folder: PathBuf,
    config: Config,
    family: &'static Family,
    warnings: Vec<String>,
    files: Vec<TensorFile>,
    /// Which file holds a tensor.
    tensors: BTreeMap<String, usize>,
    names: Names,
}

impl HuggingFace {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let config::Read { mut config, family, mut warnings } =
            config::read(&path, &files::text(&path, files::CONFIG)?)?;
        let (paths, index) = weight_files(folder, &mut warnings)?;
        let files = paths.iter().map(|path| TensorFile::open(path)).collect::<Result<Vec<_>>>()?;
        let tensors = file_of_each(&files)?;
        check_plain(&files, &tensors)?;
        if let Some(index) = &index {
            index.check(&files, &tensors, config.tied_embeddings)?;
        }
        let names = Names::find(&tensors, &config, family).map_err(|reason| Error::WeightFile {
            path: folder.to_owned(),
            reason,
            hint: "give a folder with one model's files".to_owned(),
        })?;
        if !config.tied_embeddings && names.unembed().is_none() {
            config.headless = true;
            warnings.push(
                "the weights hold no unembedding (`lm_head.weight`): states are computed, logits are not"
                    .to_owned(),
            );
        }
        let opened = Self { folder: folder.to_owned(), config, family, warnings, files, tensors, names };
        opened.check()?;
        Ok(opened)
    }

    /// Every weight is there with the shape that the configuration implies, and nothing else is.
    fn check(&self) -> Result<()> {
        let mut known = BTreeSet::new();
        for weight in Weight::all(&self.config) {
            let name = self.names.of(weight);
            let file = self.file(&name)?;
            let (found, mut expected) = (file.stored(&name)?.shape, weight.shape(&self.config));
            if let Some(part) = self.part(weight) {
                expected[0] = part.of;
            }
            if *found != expected {
                let (path, found) = (file.path().to_owned(), found.to_vec());
                return Err(Error::TensorShape { path, name, expected, found });
            }
            file.kind(&name)?;
            known.insert(name);
        }
        self.check_tied()?;
        let ours = |name: &&String| {
            known.contains(*name) || names::computed(name) || Some(name.as_str()) == self.names.unembed()
        };
        match self.tensors.keys().find(|name| !ours(name)) {
            None => Ok(()),
            Some(name) => Err(foreign(&self.folder.join("config.json"), name)),
        }
    }

    /// Which rows of a tensor of several weights are a weight's, in a family that has such tensors.
    fn part(&self, weight: Weight) -> Option<Rows> {
        self.family.ways.fused.then(|| Rows::of(weight, &self.config)).flatten()
    }

    /// Where embeddings are tied, an unembedding that is there all the same is the embedding. (transformers 4 takes the
    /// embedding in any case, 5 the unembedding where it differs.)
    fn check_tied(&self) -> Result<()> {
        let Some(name) = self.names.unembed().filter(|_| self.config.tied_embeddings) else { return Ok(()) };
        let embed = self.names.of(Weight::Embed);
        if name == embed || self.bytes(name)? == self.bytes(&embed)? {
            return Ok(());
        }
        Err(Error::ModelConfig {
            path: self.folder.join("config.json"),
            reason: format!("`tie_word_embeddings` is true, and `{name}` is not the embedding"),
            hint: "config.json belongs to another model; with its own unembedding it says false".to_owned(),
        })
    }

    /// A tensor's type, shape and bytes.
    fn bytes(&self, name: &str) -> Result<(String, &[i64], &[u8])> {
        let file = self.file(name)?;
        let stored = file.stored(name)?;
        Ok((stored.kind_name, stored.shape, &file.map()[stored.bytes]))
    }

    fn file(&self, name: &str) -> Result<&TensorFile> {
        let first = self.files.first().map_or(self.folder.as_path(), TensorFile::path);
        let missing = || Error::MissingTensor { path: first.to_owned(), name: name.to_owned() };
        Ok(&self.files[*self.tensors.get(name).ok_or_else(missing)?])
    }
}

/// Which file holds a tensor; one of them.
fn file_of_each(files: &[TensorFile]) -> Result<BTreeMap<String, usize>> {
    let mut tensors: BTreeMap<String, usize> = BTreeMap::new();
    for (number, file) in files.iter().enumerate() {
        for name in file.names() {
            if let Some(other) = tensors.insert(name.to_owned(), number) {
                let other = files[other].path().file_name().unwrap_or_default().to_string_lossy();
                return Err(Error::WeightFile {
                    path: file.path().to_owned(),
                    reason: format!("it holds `{name}`, and so does `{other}`"),
                    hint: "the files belong to different models; copy those of one model into a folder of its own"
                        .to_owned(),
                });
            }
        }
    }
    Ok(tensors)
}

/// No tensor is of a kind that weights have after they were quantized, or that an adapter has.
fn check_plain(files: &[TensorFile], tensors: &BTreeMap<String, usize>) -> Result<()> {
    let changed = tensors.iter().find_map(|(name, file)| Some((name, file, names::changed(name)?)));
    let Some((name, &file, (how, hint))) = changed else { return Ok(()) };
    Err(Error::WeightFile {
        path: files[file].path().to_owned(),
        reason: format!("tensor `{name}`: the weights are {how}"),
        hint: hint.to_owned(),
    })
}

/// An index of several files.
struct Index {
    path: PathBuf,
    /// Which file each tensor is said to be in.
    weight_map: BTreeMap<String, String>,
}

/// The files that hold a folder's weights, and the index that names them if there is one.
fn weight_files(folder: &Path, warnings: &mut Vec<String>) -> Result<(Vec<PathBuf>, Option<Index>)> {
    for (single, index) in WEIGHTS {
        let (single, index) = (folder.join(single), folder.join(index));
        if single.exists() {
            if index.exists() {
                let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                warnings.push(format!("{} and {} are there: the former counts", name(&single), name(&index)));
            }
            return Ok((vec![single], None));
        }
        if index.exists() {
            let index = Index::read(index)?;
            return Ok((index.files(folder)?, Some(index)));
        }
    }
    let adapter = folder.join("adapter_config.json").exists();
    let found = if adapter {
        "it holds an adapter (adapter_config.json) and no model; merge it into its model first".to_owned()
    } else if let Some(part) = numbered(folder) {
        format!("`{part}` is there, and the index of the parts (….index.json) is not; download it as well")
    } else {
        let otherwise = "config.json is there, model.safetensors and pytorch_model.bin are not".to_owned();
        let part = files::absent(&folder.join(WEIGHTS[0].0), "");
        if part.is_empty() { otherwise } else { format!("{otherwise}: {part}") }
    };
    Err(Error::NotAModel { path: folder.to_owned(), found })
}

/// A numbered part of a model in a folder.
fn numbered(folder: &Path) -> Option<String> {
    let names =
        fs_err::read_dir(folder).ok()?.flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let part = |name: &String| {
        let ending =
            name.rsplit_once('.').is_some_and(|(_, ending)| ["safetensors", "bin"].contains(&ending));
        let own = name.starts_with("model-") || name.starts_with("pytorch_model-");
        ending && own && name.contains("-of-")
    };
    names.filter(part).min()
}

impl Index {
    fn refuse<T>(&self, reason: String, hint: &str) -> Result<T> {
        Err(Error::WeightFile { path: self.path.clone(), reason, hint: hint.to_owned() })
    }

    fn read(path: PathBuf) -> Result<Self> {
        let mut index = Self { path, weight_map: BTreeMap::new() };
        let damaged = "the index is damaged; copy it again";
        let json = match json::parse(&files::text(&index.path, files::INDEX)?) {
            Ok(json) => json,
            Err(e) => return index.refuse(e, damaged),
        };
        let Some(Value::Object(map)) = json.get("weight_map") else {
            return index.refuse("it has no `weight_map`".to_owned(), damaged);
        };
        for (tensor, file) in map {
            let Some(file) = file.as_str() else {
                return index.refuse(format!("the file of `{tensor}` is {file}"), damaged);
            };
            index.weight_map.insert(tensor.clone(), file.to_owned());
        }
        Ok(index)
    }

    /// The files that it names, which are beside it.
    fn files(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let names: BTreeSet<&String> = self.weight_map.values().collect();
        let mut paths = Vec::with_capacity(names.len());
        for name in names {
            // A file beside the index and nowhere else.
            if Path::new(name).file_name().is_none_or(|own| own != name.as_str()) {
                return self.refuse(format!("it names the file `{name}`"), "files must be beside the index");
            }
            let file = folder.join(name);
            if !file.exists() {
                let hint = files::absent(&file, "copy every part of the model into this folder");
                return self.refuse(format!("it names the file `{name}`, which is not there"), &hint);
            }
            paths.push(file);
        }
        Ok(paths)
    }

    /// The files hold what it says they hold. What it lists and no file holds must be dispensable: an unembedding that is
    /// the embedding, a table that is computed. What it leaves out is read all the same, as transformers does.
    fn check(&self, files: &[TensorFile], tensors: &BTreeMap<String, usize>, tied: bool) -> Result<()> {
        let hint = "index and files belong to different models";
        for (tensor, file) in &self.weight_map {
            match tensors.get(tensor) {
                Some(&number) if files[number].path().file_name().is_some_and(|own| own == file.as_str()) => {
                }
                Some(&number) => {
                    let own = files[number].path().file_name().unwrap_or_default().to_string_lossy();
                    return self.refuse(
                        format!("it says that `{tensor}` is in `{file}`, and `{own}` holds it"),
                        hint,
                    );
                }
                None if names::dispensable(tensor, tied) => {}
                None => {
                    return self.refuse(
                        format!("it says that `{tensor}` is in `{file}`, which does not hold it"),
                        hint,
                    );
                }
            }
        }
        Ok(())
    }
}

impl Layout for HuggingFace {
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
        let files = self.files.len();
        format!("Hugging Face, {files} file{}", if files == 1 { "" } else { "s" })
    }

    fn stored(&self, weight: Weight) -> Result<(String, u64)> {
        let name = self.names.of(weight);
        let stored = self.file(&name)?.stored(&name)?;
        let bytes = stored.bytes.len() as u64;
        Ok((
            stored.kind_name,
            self.part(weight).map_or(bytes, |part| bytes / part.of as u64 * part.count as u64),
        ))
    }

    fn copy(&self, weight: Weight, wanted: Wanted, into: &Tensor) -> Result<()> {
        let name = self.names.of(weight);
        let part = Rows::wanted(self.part(weight), wanted.part);
        self.file(&name)?.copy(&name, part, into, Order::AsStored)?; // queries and keys are in half-split order already
        if self.family.ways.gains_from_one && weight.is_gain() {
            let _ = into.f_alias()?.f_add_scalar_(1.0)?;
        }
        Ok(())
    }

    fn hashed(&self) -> Result<Vec<Hashed<'_>>> {
        let all: Result<Vec<_>> = self.files.iter().map(|file| file.hashed(None)).collect();
        Ok(all?.into_iter().flatten().collect())
    }

    fn tokenizer(&self) -> Result<Tokenizer> {
        if !["tokenizer.json", "tokenizer.model"].iter().any(|name| self.folder.join(name).exists()) {
            return Err(Error::NoTokenizer { path: self.folder.clone() });
        }
        Tokenizer::open(&self.folder)
    }
}
