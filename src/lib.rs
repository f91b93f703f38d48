//! Read what a LLaMA believes: contrast pairs, hidden states on disk, CCS probes with honest controls.
//!
//! The crates, each usable alone, and the two things that need all of them: [`Extraction`], which runs a model over
//! contrast pairs and writes its hidden states to a store that `ccs` fits probes on, and [`predict()`], which reads new
//! questions with such a probe.
//!
//! | crate | what it does |
//! |---|---|
//! | [`boolq`] | labeled yes/no data → contrast pairs, or single statements |
//! | [`llama_core`] | LLaMA models on LibTorch, with hooks |
//! | [`activations`] | the on-disk store of hidden states |
//! | [`ccs`] | probes, baselines, intervals, reports |
//! | [`torch_runtime`] | LibTorch, linked and version-checked |
//!
//! ```
//! use llama_ccs::{Extraction, Outcome, PairTokenizer, boolq, llama_core};
//! # let quiz = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/quiz");
//! # let folder = tempfile::tempdir()?;
//! # let out = folder.path().join("store");
//!
//! let checkpoint = llama_core::Checkpoint::open(format!("{quiz}/model"))?; // or a folder with LLaMA 7B
//! let tokenizer = checkpoint.tokenizer()?;
//! let data = boolq::Dataset::load(format!("{quiz}/questions.jsonl"))?; // or BoolQ's dev.jsonl
//! let pairs = boolq::pairs(&data, &boolq::Template::named("llama-ccs")?)?;
//! let few = boolq::Selection { limit: Some(8), ..Default::default() };
//! let selected = boolq::select(&pairs.pairs, &PairTokenizer(&tokenizer), &few)?;
//!
//! let extraction = Extraction::new(&checkpoint, &tokenizer); // f32, every layer's residual stream, last token
//! let Outcome::Finished(store) = extraction.run(&selected.examples, &out, &mut ())? else { return Ok(()) };
//! let layer_3 = store.column("blocks.2.hook_resid_post")?.read(activations::SideOf::Plus)?;
//! assert_eq!(layer_3.len(), 8 * checkpoint.config().dim as usize); // [rows, dim]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use activations;
pub use boolq;
pub use ccs;
pub use ccs_report;
pub use ccs_trainer;
pub use llama_core;
pub use tch;
pub use torch_runtime;

mod chat;
mod drift;
mod error;
mod extract;
mod pairs;
mod predict;
#[cfg(feature = "distributed")]
mod tensor_parallel;

pub use chat::Chat;
pub use drift::{Drift, drift};
pub use error::{Error, Result, hint};
pub use extract::{Examples, Extraction, Observer, Outcome, PartOf, TokenRule, computing, recorded_threads};
pub use pairs::{PairTokenizer, tokenize_all, tokenize_statements};
pub use predict::{Mismatch, Origin, PredictOptions, Predicted, Prediction, check_predictable, predict};
#[cfg(feature = "distributed")]
pub use tensor_parallel::{exchange, predict_together, sharded};
#[cfg(feature = "distributed")]
pub use torch_runtime::dist::{Patience, Ranks};
