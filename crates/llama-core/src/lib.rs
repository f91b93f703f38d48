//! LLaMA models on LibTorch: checkpoints, tokenizers, a forward pass with hooks, generation.
//!
//! ```
//! use llama_core::{Batch, Capture, Config, HookPoint, HookSet, Llama, Precision, Forward, Tokens};
//!
//! // With weights: `Llama::load(&Checkpoint::open("llama-7b")?, Precision::F32, device)?`.
//! let config = Config { dim: 16, n_layers: 2, n_heads: 4, n_kv_heads: 2, head_dim: 4, hidden_dim: 32,
//!     vocab_size: 50, ..Config::default() };
//! let llama = Llama::random(&config, 0, Precision::F32, torch_runtime::open("cpu")?)?;
//!
//! // Two prompts of different lengths; the residual stream at each one's last token, at every layer.
//! let batch = Batch::new(&[vec![1, 5, 6, 7], vec![1, 8]])?;
//! let mut states = Capture::new(HookSet::residual_stream(config.n_layers), Tokens::Last);
//! llama.forward(&batch, Forward::new().hook(&mut states))?;
//!
//! let states = states.finish();
//! let layer_2 = states.get(HookPoint::of_layer(2)).ok_or("not captured")?;
//! assert_eq!(layer_2.size(), [2, 16]); // [prompts, dim]
//! let rows: Vec<Vec<f32>> = layer_2.try_into()?; // the numbers themselves
//! # assert_eq!((rows.len(), rows[1].len()), (2, 16));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Map
//! - [`Checkpoint`] is a model on disk, [`Llama`] a model that computes, [`Tokenizer`] its tokenizer.
//! - [`Batch`] lays prompts out. [`Forward`] says what one pass does: which [`Hook`]s visit it, and which logits it
//!   returns. [`Capture`] is the hook that keeps activations; [`FnHook`] makes a hook of a closure.
//! - [`Llama::run_with_cache`] is the short form: all logits, and the activations at some points.
//! - [`HookPoint`]s have TransformerLens' names with their exact meaning; [`HookSet`] reads globs of them. [`names`] says
//!   what other libraries call them.
//! - [`Edits`] change activations, written as data: steer, patch, ablate.
//! - [`Llama::check`] says whether a model computes what it was trained to compute.
//! - [`Llama::unembed`] reads a residual stream as logits (the logit lens), [`Llama::weight`] gives the weights.
//! - [`Llama::generate`] continues prompts, [`Llama::generate_with`] under a hook; [`KvCache`] is for loops of one's own.
//! - [`Llama::score`] says how probable given continuations are.
//! - [`Llama::stage`] and [`Llama::sharded`] are parts of a model: some blocks, or of every block some heads and columns.
//! - [`chat`] writes messages as a model's own chat template does.
//!
//! # Numbers out of tensors
//! tch converts tensors of one, two, and three axes into `Vec<f32>`, `Vec<Vec<f32>>`, and `Vec<Vec<Vec<f32>>>`, whatever
//! their type and device, as above. It makes an array of any tensor of f32: `let array: ndarray::ArrayD<f32> =
//! (&tensor).try_into()?`, with the ndarray that tch uses (0.16 in tch 0.26).

mod batch;
pub mod chat;
mod checkpoint;
mod config;
mod error;
mod family;
mod generate;
mod hint;
mod hooks;
mod model;
mod score;
mod shard;
mod tokenizer;

pub use batch::{Batch, Padding};
pub use checkpoint::{
    BlockWeight, Checkpoint, IdentityCache, TensorHash, Weight, save_meta, save_random_meta,
};
pub use config::{
    Biases, BlockNorms, Config, Gate, Layers, Multipliers, QueryKeyNorm, RopeScaling, SoftCaps,
};
pub use error::{Error, Result};
pub use family::{Family, families};
pub use generate::{Ended, Generated, Sampling};
pub use hooks::{
    Action, Activation, Axis, Capture, Captured, Change, Edit, EditHook, Edits, FnHook, Hook, HookPoint,
    HookSet, Site, Tokens, Values, names,
};
pub use model::check;
pub use model::{
    Attention, Forward, KernelRates, Kernels, KvCache, Llama, Output, Precision, Products, Rates, Suited,
};
pub use score::{Continuation, Score};
pub use shard::Together;
pub use tch;
pub use tokenizer::{Token, Tokenizer, word_model};
