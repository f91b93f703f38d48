//! Models and data sets by their names on the Hugging Face hub: first from the local cache, else downloaded into it.
//!
//! ```
//! use hub::{Hub, Settings};
//!
//! let settings = Settings::from_env()?; // HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE
//! # let home = tempfile::tempdir()?;
//! # let put = |file: &str, text: &str| -> std::io::Result<()> {
//! #     let path = home.path().join(file);
//! #     std::fs::create_dir_all(path.parent().unwrap())?;
//! #     std::fs::write(path, text)
//! # };
//! # let commit = "0123456789abcdef0123456789abcdef01234567";
//! # put("models--HuggingFaceTB--SmolLM2-135M/refs/main", commit)?;
//! # for file in ["config.json", "tokenizer.json", "model.safetensors"] {
//! #     put(&format!("models--HuggingFaceTB--SmolLM2-135M/snapshots/{commit}/{file}"), "{}")?;
//! # }
//! # put("datasets--google--boolq/refs/refs/convert/parquet", commit)?;
//! # put(&format!("datasets--google--boolq/snapshots/{commit}/default/validation/0000.parquet"), "")?;
//! # let settings = Settings { cache: home.path().to_owned(), offline: true, ..settings };
//! let hub = Hub::new(settings);
//! let folder = hub.model(&"HuggingFaceTB/SmolLM2-135M".parse()?, &mut ())?;
//! assert!(folder.join("config.json").exists());
//! let parts = hub.data(&"google/boolq:validation".parse()?, &mut ())?; // Parquet files
//! assert_eq!(parts.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A name is `ORG/NAME[@REVISION][:FILE]` for a model and `ORG/NAME[/CONFIG][:SPLIT]` for a data set. Of a model, only
//! what it takes to run it is downloaded: the configuration, the tokenizer, and the weights, once (safetensors where
//! there are any; else PyTorch's files, Meta's, or one GGUF file). Of a data set it is its Parquet conversion.
//!
//! Several files are downloaded at once, each is continued where an interruption left it, and none is put into the cache
//! whose hash is not the hub's. The cache is the one that `huggingface_hub` for Python keeps: each finds what the other
//! downloaded. A model that is there completely is used as it is, without a question to the hub; so a branch (`main`)
//! stays at the commit at which it was downloaded, until a newer one is.
//!
//! An [`Observer`] hears of progress and may stop a download. This crate prints nothing.

mod cache;
mod choice;
mod client;
mod data;
mod digest;
mod download;
mod error;
mod listing;
mod model;
mod name;
mod observer;
mod path;
#[cfg(feature = "program")]
pub mod program;
mod settings;

pub use error::{Error, Result};
pub use model::Hub;
pub use name::{DataName, ModelName, Repository};
pub use observer::Observer;
pub use settings::{Settings, Token};
