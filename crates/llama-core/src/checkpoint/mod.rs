//! Models on disk: what kind a path is, is found out from its contents; described and checked before a weight is read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Device, Tensor};

use crate::config::{Config, RopeScaling};
use crate::error::{Error, Result};
use crate::model::Precision;
use crate::tokenizer::Tokenizer;

#[cfg(feature = "gguf")]
mod gguf;
mod hugging_face;
mod mapped;
mod meta;
mod weight;

pub use meta::{save_meta, save_random_meta};
pub(crate) use weight::{BlockWeight, Order, Weight};

/// One way of keeping a LLaMA on disk: opened and checked, its weights read one at a time.
trait Layout: fmt::Debug + Send + Sync {
    /// The model's hyper-parameters.
    fn config(&self) -> &Config;

    /// For people: `Meta, 2 parts`.
    fn describe(&self) -> String;

    /// The name of the type that a weight is stored in, and its bytes.
    fn stored(&self, weight: Weight) -> Result<(String, u64)>;

    /// Copies a weight into `into`, converting it to its type and device; queries and keys in half-split rotary order.
    ///
    /// # Shapes
    /// `into` [`Weight::shape`], `[out, in]`; it may be a view.
    fn copy(&self, weight: Weight, into: &Tensor) -> Result<()>;

    /// Adds what tells this model's files from another's without reading all of them.
    fn fingerprint(&self, hash: &mut blake3::Hasher);

    /// The tokenizer that came with the model.
    fn tokenizer(&self) -> Result<Tokenizer>;
}

/// A model on disk. Opening it reads and checks configuration and headers; weights are read by [`crate::Llama::load`].
///
/// A clone is the same open files.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    layout: Arc<dyn Layout>,
    /// Asked for in place of the layout's own.
    config: Option<Config>,
}

impl Checkpoint {
    /// Opens a model: a folder in Meta's layout (`params.json` beside `consolidated.NN.pth` in 1, 2, 4 or 8 parts), a
    /// folder in Hugging Face's (`config.json` beside `model.safetensors` or its numbered parts), or a `.gguf` file.
    ///
    /// Weight files are memory-mapped: shortening one while a model is loading ends the process (SIGBUS).
    ///
    /// # Errors
    /// What is missing, damaged, foreign or hostile, by file and tensor; a model whose configuration asks for something
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
        Ok(Self { path: path.to_owned(), layout, config: None })
    }

    /// Stretches the rotary embedding's wavelengths in another way than the configuration says: for fine-tunes whose files
    /// do not state theirs, or to compute what another program computed.
    ///
    /// # Errors
    /// A scaling that makes no model: a factor that is not positive, another number of factors than K/2.
    pub fn with_rope_scaling(mut self, scaling: RopeScaling) -> Result<Self> {
        let config = Config { rope_scaling: scaling, ..self.config().clone() };
        if let Some(reason) = config.problem() {
            return Err(Error::Config { reason });
        }
        self.config = Some(config);
        Ok(self)
    }

    /// The path it was opened at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model's hyper-parameters.
    pub fn config(&self) -> &Config {
        self.config.as_ref().unwrap_or_else(|| self.layout.config())
    }

    /// The layout, for people: `Meta, 2 parts`; `Hugging Face, 3 files`; `GGUF version 3`.
    pub fn layout(&self) -> String {
        self.layout.describe()
    }

    /// The types that weights are stored in, by their share of the bytes: `bf16`; `Q4_1, Q8_0, f32`.
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

    /// What to compute this model in where nothing else is said: `mixed` for one that is mostly stored in bf16 or f16, on a
    /// device whose bf16 products are the faster ones (GPUs, CPUs with AMX); f32 otherwise.
    ///
    /// # Errors
    /// None after a checkpoint was opened.
    pub fn suited_precision(&self, device: Device) -> Result<Precision> {
        let narrow = self.stored_as()?.first().is_some_and(|most| most == "bf16" || most == "f16");
        let fast = device != Device::Cpu || torch_runtime::machine::bf16_is_fast();
        Ok(if narrow && fast { Precision::Mixed } else { Precision::F32 })
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

    /// What tells this model from another without reading all its weights: a BLAKE3 hash, in hex, of the configuration
    /// and, for every file, of its description of tensors and of the size and samples of each.
    ///
    /// The files' names are part of it (except a GGUF file's), their folder is not.
    pub fn identity(&self) -> String {
        let mut hash = blake3::Hasher::new();
        self.layout.fingerprint(&mut hash);
        if let Some(config) = &self.config {
            hash.update(format!("{:?}", config.rope_scaling).as_bytes());
        }
        hash.finalize().to_hex().to_string()
    }

    /// Copies a weight to where it is wanted, in the type that is wanted there.
    ///
    /// # Shapes
    /// `into` [`Weight::shape`]; it may be a view.
    pub(crate) fn copy(&self, weight: Weight, into: &Tensor) -> Result<()> {
        self.layout.copy(weight, into)
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
                // A folder with both is a download of a Hugging Face repository that carries Meta's file along.
                (true, true) if has("consolidated.00.pth") && !hugging_face::has_weights(path) => {
                    Ok(Self::Meta)
                }
                (true, _) => Ok(Self::HuggingFace),
                (false, true) => Ok(Self::Meta),
                (false, false) => {
                    not_a_model(gguf_inside(path).unwrap_or("it has neither params.json nor config.json"))
                }
            };
        }
        if !path.exists() {
            return not_a_model("there is no such file or folder");
        }
        let mut start = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(fs_err::File::open(path)?, 4), &mut start)?;
        match start.as_slice() {
            b"GGUF" => Ok(Self::Gguf),
            b"PK\x03\x04" => not_a_model("it is one file of a model in Meta's layout; give its folder"),
            _ if path.extension().is_some_and(|e| e == "safetensors") => {
                not_a_model("it is one file of a model in Hugging Face's layout; give its folder")
            }
            _ => not_a_model("the file does not begin with GGUF"),
        }
    }
}

/// A folder that holds a GGUF file is often given in its place.
fn gguf_inside(folder: &Path) -> Option<&'static str> {
    let gguf = |p: PathBuf| p.extension().is_some_and(|e| e == "gguf");
    let inside = fs_err::read_dir(folder).ok()?.flatten().any(|entry| gguf(entry.path()));
    inside.then_some("it is a folder with a .gguf file in it; give the file")
}

/// A tensor that a LLaMA of the configuration has no place for: the configuration is another model's, or the model
/// computes something that a LLaMA does not.
fn foreign(config: &Path, tensor: &str) -> Error {
    Error::ModelConfig {
        path: config.to_owned(),
        reason: format!("a LLaMA of this configuration has no tensor `{tensor}`, and the weights do"),
        hint: "the configuration belongs to another model, or to an architecture that is not computed here (biases, \
               norms of queries and keys, experts, …)"
            .to_owned(),
    }
}
