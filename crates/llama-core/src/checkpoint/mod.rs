//! Models on disk: what kind a path is, is found out from its contents; described and checked before a weight is read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::Tensor;

use crate::config::{Config, RopeScaling};
use crate::error::{Error, Result};
use crate::family::Family;
use crate::tokenizer::Tokenizer;

mod container;
mod elements;
mod files;
#[cfg(feature = "gguf")]
mod gguf;
mod hugging_face;
mod identity;
mod json;
mod meta;
mod part;
mod weight;

use identity::Hashed;
pub use identity::{IdentityCache, TensorHash};
pub use meta::{save_meta, save_random_meta};
pub(crate) use part::{Part, Wanted};
pub(crate) use weight::Order;
pub use weight::{BlockWeight, Weight};

/// One way of keeping a LLaMA on disk: opened and checked, its weights read one at a time.
trait Layout: fmt::Debug + Send + Sync {
    /// The model's hyper-parameters.
    fn config(&self) -> &Config;

    /// The family that the model is of.
    fn family(&self) -> &'static Family;

    /// For people: `Meta, 2 parts`.
    fn describe(&self) -> String;

    /// The name of the type that a weight is stored in, and its bytes.
    fn stored(&self, weight: Weight) -> Result<(String, u64)>;

    /// Copies what is wanted of a weight into `into`, converting it to its type and device; queries and keys in half-split
    /// rotary order, parts of them whole heads.
    ///
    /// # Shapes
    /// `into` [`Weight::shape`], `[out, in]`, or its part's; it may be a view.
    fn copy(&self, weight: Weight, wanted: Wanted, into: &Tensor) -> Result<()>;

    /// The axis along which the embedding is best divided: rows, unless the files have it in columns.
    fn embedding_axis(&self) -> Result<usize> {
        Ok(0)
    }

    /// What its files hold and its tensors are hashed by, each tensor once.
    fn hashed(&self) -> Result<Vec<Hashed<'_>>>;

    /// What a person should know of how the model was read.
    fn warnings(&self) -> &[String];

    /// The tokenizer that came with the model.
    fn tokenizer(&self) -> Result<Tokenizer>;
}

/// A model on disk. Opening it reads and checks the configuration and the headers; [`crate::Llama::load`] reads the
/// weights.
///
/// A clone shares the open files.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    layout: Arc<dyn Layout>,
    /// Asked for in place of the layout's own.
    config: Option<Box<Config>>,
    /// Hashes of tensors, once they were asked for.
    known: Arc<identity::Known>,
}

impl Checkpoint {
    /// Opens a model: a folder in Meta's layout (`params.json` beside `consolidated.NN.pth` in 1, 2, 4 or 8 parts), a
    /// folder in Hugging Face's (`config.json` beside `model.safetensors` or `pytorch_model.bin` or their numbered parts), or
    /// a `.gguf` file. Mistral's own files (`params.json` beside `consolidated.safetensors`) are in Meta's layout.
    ///
    /// Weight files are memory-mapped: shortening one while a model is loading ends the process (SIGBUS).
    ///
    /// # Errors
    /// What is missing, damaged, foreign, or hostile, with its file and tensor; a configuration that asks for something
    /// that is not computed here, by its name. Nothing in a checkpoint is executed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let layout: Arc<dyn Layout> = match Kind::of(path)? {
            Kind::Meta => Arc::new(meta::Meta::open(path)?),
            Kind::HuggingFace => Arc::new(hugging_face::HuggingFace::open(path)?),
            #[cfg(feature = "gguf")]
            Kind::Gguf => Arc::new(gguf::Gguf::open(path)?),
            #[cfg(not(feature = "gguf"))]
            Kind::Gguf => {
                let found =
                    "it is a GGUF file, and this program was built without the feature `gguf`".to_owned();
                return Err(Error::NotAModel { path: path.to_owned(), found });
            }
        };
        for warning in layout.warnings() {
            tracing::warn!("{}: {warning}", path.display());
        }
        Ok(Self { path: path.to_owned(), layout, config: None, known: Arc::default() })
    }

    /// Replaces the scaling of the rotary embedding in the configuration: for fine-tunes whose files do not state
    /// theirs, or to reproduce another program.
    ///
    /// # Errors
    /// A scaling that makes no model: a factor that is not positive, another number of factors than K/2.
    pub fn with_rope_scaling(mut self, scaling: RopeScaling) -> Result<Self> {
        let config = Config { rope_scaling: scaling, ..self.config().clone() };
        if let Some(reason) = config.problem() {
            return Err(Error::Config { reason });
        }
        self.config = Some(Box::new(config));
        Ok(self)
    }

    /// The path it was opened at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model's hyper-parameters.
    pub fn config(&self) -> &Config {
        self.config.as_deref().unwrap_or_else(|| self.layout.config())
    }

    /// The family that its configuration is of.
    pub fn family(&self) -> &'static Family {
        self.layout.family()
    }

    /// The layout, for people: `Meta, 2 parts`; `Hugging Face, 3 files`; `GGUF version 3`.
    pub fn layout(&self) -> String {
        self.layout.describe()
    }

    /// The types that weights are stored in, largest share first: `bf16`; `Q4_1, Q8_0, f32`.
    ///
    /// # Errors
    /// None after a checkpoint was opened.
    pub fn stored_as(&self) -> Result<Vec<String>> {
        let mut bytes: Vec<(String, u64)> = Vec::new();
        for weight in Weight::all(self.config()) {
            let (name, size) = self.layout.stored(weight)?;
            match bytes.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += size,
                None => bytes.push((name, size)),
            }
        }
        bytes.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
        Ok(bytes.into_iter().map(|(name, _)| name).collect())
    }

    /// Bytes of all weights as they are stored.
    ///
    /// # Errors
    /// None after a checkpoint was opened.
    pub fn stored_bytes(&self) -> Result<u64> {
        Weight::all(self.config()).map(|weight| Ok(self.layout.stored(weight)?.1)).sum()
    }

    /// The tokenizer that came with the model: in a folder `tokenizer.json` or `tokenizer.model` (Meta ships it beside
    /// the folder as well), in a GGUF file its own vocabulary.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`] if there is none, or what is wrong with it.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        Ok(self.layout.tokenizer()?.for_model(self.config()))
    }

    /// Warnings about how the model was read: unknown keys of its configuration, a missing unembedding.
    /// [`Checkpoint::open`] has already logged them through `tracing`.
    pub fn warnings(&self) -> &[String] {
        self.layout.warnings()
    }

    /// The model's identity: a BLAKE3 hash, in hex, of the configuration as it is computed and of every byte of its
    /// tensors. Folder and file names are not part of it.
    ///
    /// All cores read all weights for it, unless the cache remembers the files. `progress` is called with the bytes
    /// done and the total, and not at all if nothing is read.
    ///
    /// ```
    /// use llama_core::{Checkpoint, Config, IdentityCache, save_random_meta, tch::Kind};
    ///
    /// let folder = std::env::temp_dir().join(format!("identity-{}", std::process::id()));
    /// let config = Config { dim: 8, n_layers: 1, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    ///     vocab_size: 10, ..Config::default() };
    /// save_random_meta(&config, 7, &folder, Kind::Half, 1)?;
    /// let checkpoint = Checkpoint::open(&folder)?;
    /// let identity = checkpoint.identity(&IdentityCache::none(), &mut |_, _| {})?;
    ///
    /// // The same from parts, as processes that read a part each would make them.
    /// let mut parts = checkpoint.tensor_hashes(&|name| name.starts_with("layers."), &mut |_, _| {})?;
    /// parts.extend(checkpoint.tensor_hashes(&|name| !name.starts_with("layers."), &mut |_, _| {})?);
    /// assert_eq!(checkpoint.identity_of(parts)?, identity);
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A file that is no longer there, a thread that died.
    pub fn identity(&self, cache: &IdentityCache, progress: &mut dyn FnMut(u64, u64)) -> Result<String> {
        let hashes = identity::all(self.layout.hashed()?, &self.known, cache, progress)?;
        self.identity_of(hashes)
    }

    /// Hashes of the tensors whose names in the files are wanted: one process's part of a model.
    ///
    /// # Errors
    /// A thread that died.
    pub fn tensor_hashes(
        &self,
        wanted: &dyn Fn(&str) -> bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<TensorHash>> {
        let mut tensors = self.layout.hashed()?;
        tensors.retain(|tensor| wanted(&tensor.name));
        identity::hash(&tensors, progress)
    }

    /// The model's identity from the hashes of all its tensors, in any order, whoever computed them.
    ///
    /// # Errors
    /// Hashes that do not cover each of its tensors once.
    pub fn identity_of(&self, hashes: Vec<TensorHash>) -> Result<String> {
        identity::combine(self.config(), &self.layout.hashed()?, hashes)
    }

    /// Copies what is wanted of a weight into a tensor, converting it to the tensor's type and device.
    ///
    /// # Shapes
    /// `into` [`Weight::shape`], or its part's; it may be a view.
    pub(crate) fn copy(&self, weight: Weight, wanted: Wanted, into: &Tensor) -> Result<()> {
        self.layout.copy(weight, wanted, into)
    }

    /// The axis along which the embedding is divided among processes: 0 for the vocabulary, 1 for D.
    pub(crate) fn embedding_axis(&self) -> Result<usize> {
        // A tied one is the unembedding, too, whose part is of the vocabulary.
        if self.config().tied_embeddings { Ok(0) } else { self.layout.embedding_axis() }
    }
}

/// The layouts, as a path's contents tell them apart.
enum Kind {
    Meta,
    HuggingFace,
    Gguf,
}

impl Kind {
    fn of(path: &Path) -> Result<Self> {
        let not_a_model =
            |found: &str| Err(Error::NotAModel { path: path.to_owned(), found: found.to_owned() });
        if path.is_dir() {
            let has = |name: &str| path.join(name).exists();
            return match (has("config.json"), has("params.json")) {
                // A folder with both is a download of a Hugging Face repository that carries Meta's files along.
                (true, true) if meta::has_weights(path) && !hugging_face::has_weights(path) => Ok(Self::Meta),
                (true, _) => Ok(Self::HuggingFace),
                (false, true) => Ok(Self::Meta),
                (false, false) => not_a_model(&inside(path).unwrap_or_else(|| {
                    let part = files::absent(&path.join("config.json"), "");
                    let found = "it has neither params.json nor config.json".to_owned();
                    if part.is_empty() { found } else { format!("{found}: {part}") }
                })),
            };
        }
        if !path.exists() {
            let link = path.symlink_metadata().is_ok();
            return not_a_model(if link {
                "it is a link to nothing"
            } else {
                "there is no such file or folder"
            });
        }
        files::check_regular(path)?;
        let mut start = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(fs_err::File::open(path)?, 64), &mut start)?;
        if let Some((reason, hint)) = files::instead(&start) {
            let (path, reason, hint) = (path.to_owned(), reason.to_owned(), hint.to_owned());
            return Err(Error::WeightFile { path, reason, hint });
        }
        match start.get(..4).unwrap_or_default() {
            b"GGUF" => Ok(Self::Gguf),
            b"PK\x03\x04" => not_a_model("it is one file of a model that torch.save wrote; give its folder"),
            b"tjgg" | b"fmgg" | b"lmgg" | b"algg" => {
                not_a_model("it is a GGML file, the format before GGUF, which llama.cpp can convert")
            }
            _ if path.extension().is_some_and(|e| e == "safetensors") => {
                not_a_model("it is one file of a model in Hugging Face's layout; give its folder")
            }
            _ => not_a_model("the file does not begin with GGUF"),
        }
    }
}

/// What a folder without a configuration holds instead: a file that is often meant by it, an adapter.
fn inside(folder: &Path) -> Option<String> {
    if folder.join("adapter_config.json").exists() {
        return Some(
            "it holds an adapter (adapter_config.json) and no model; merge it into its model first"
                .to_owned(),
        );
    }
    let gguf = |path: &PathBuf| path.extension().is_some_and(|e| e == "gguf");
    let entries = fs_err::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let first = entries.filter(gguf).min()?;
    let name = first.file_name().unwrap_or_default().to_string_lossy();
    Some(format!("it is a folder with a .gguf file in it (`{name}`); give the file"))
}

/// A tensor that a LLaMA of the configuration has no place for: the configuration is another model's, or the model
/// computes something that a LLaMA does not.
fn foreign(config: &Path, tensor: &str) -> Error {
    Error::ModelConfig {
        path: config.to_owned(),
        reason: format!("a model of this configuration has no tensor `{tensor}`, and the weights do"),
        hint: "the configuration belongs to another model, or to an architecture that is not computed here (experts, …)"
            .to_owned(),
    }
}
