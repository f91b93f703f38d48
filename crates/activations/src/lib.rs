//! Hidden states of contrast pairs, or of single statements, on disk: plain `.npy` files that `NumPy` opens, a journal that says which rows are
//! durable, and a writer that continues after a crash and ends with the same bytes as an uninterrupted run. Every row
//! is written, or the store says which are not. `FORMAT.md` specifies the format.
//!
//! ```
//! use activations::{BatchStates, Column, ColumnStates, Manifest, SideOf, Store, StoreDtype, StoreWriter};
//! # use activations::{Row, Side, Sides};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let dir = folder.path().join("store");
//! # let side = |answer: &str| Side { prompt: format!("Is water wet? {answer}"), tokens: 6, answer_start: 5,
//! #     answer_end: 6, captured_id: 8, captured_text: answer.to_owned() };
//! # let rows: Vec<Row> = (0..3).map(|idx| Row { idx, label: true, question_id: String::new(), group: String::new(),
//! #     template: String::new(), dataset: String::new(), sides: Sides::Pair { plus: side("Yes"), minus: side("No") },
//! #     columns: [].into() }).collect();
//! // Three pairs in two batches, two numbers each after the embedding.
//! let columns = vec![Column::new("hook_embed", &["d_model"], &[2])];
//! let plan = vec![vec![2, 0], vec![1]];
//! let manifest = Manifest::new(StoreDtype::F32, columns, plan, serde_json::Map::new());
//!
//! // Run again after a crash, the same lines continue where the last run stopped.
//! let mut writer = StoreWriter::open(&dir, manifest, &rows)?;
//! for batch in writer.remaining().to_vec() {
//!     let states: Vec<f32> =
//!         writer.manifest().batches[batch].iter().flat_map(|&row| [row as f32, 0.5]).collect();
//!     let states = ColumnStates::Pair { plus: states.clone(), minus: states };
//!     writer.commit(batch, BatchStates { columns: vec![states] })?;
//! }
//! writer.finish()?;
//!
//! let store = Store::open(&dir)?;
//! assert_eq!(store.layer(0, "last")?.read(SideOf::Plus)?, [0.0, 0.5, 1.0, 0.5, 2.0, 0.5]);
//! assert!(activations::verify(&dir)?.is_sound());
//! # Ok(()) }
//! ```

mod batch_states;
mod bounds;
mod differences;
mod error;
mod export;
mod files;
mod hint;
mod journal;
mod json;
mod manifest;
mod mapped;
mod merge;
mod npy;
mod open;
pub mod provenance;
mod repair;
mod rows;
mod side;
mod store;
mod table;
mod token_files;
mod token_reader;
mod tokens;
mod values;
mod verify;
mod worker;
mod writer;

pub use batch_states::{BatchStates, ColumnStates};
pub use differences::{Difference, Differences};
pub use error::{Error, Result};
pub use export::export_llama_ccs;
pub use manifest::{ANSWER_LOGPROB, ANSWER_LOGPROB_MEAN, Column, Manifest, SCHEMA, StoreDtype};
pub use mapped::{Mapped, MappedSlice};
pub use merge::merge;
pub use provenance::Provenance;
pub use rows::{Prompt, Row, Side, Sides, column_names};
pub use side::{RowKind, SideOf};
pub use store::{ColumnReader, Status, Store};
pub use token_reader::{TokenReader, TokenStates};
pub use tokens::{ALL_TOKENS, TokenIds, TokenRecord, Tokens};
pub use verify::{Problem, Verification, verify};
pub use writer::{Pace, StoreWriter};

// Types of the public API that come from elsewhere.
pub use half;
pub use serde_json;
