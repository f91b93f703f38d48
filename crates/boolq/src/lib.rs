//! BoolQ and other labelled data as contrast pairs: every yes/no question, or true/false statement, becomes two
//! prompts that differ in their answer and nothing else. The crate reads the data ([`Dataset`]), renders it with a
//! [`Template`], keeps what fits a model ([`select()`]) through any [`Tokenizer`], and writes and reads
//! `prompts.csv` ([`prompts`]). It needs no LibTorch, prints nothing, and names the row of whatever it refuses.
//!
//! ```
//! use boolq::{Dataset, Template, pairs};
//!
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("tiny.jsonl");
//! std::fs::write(&file, r#"{"question": "is water wet", "answer": true, "passage": "Water is wet."}"#)?;
//!
//! let data = Dataset::load(&file)?;
//! let made = pairs(&data, &Template::named("llama-ccs")?)?;
//! let pair = &made.pairs[0];
//! println!("{}", pair.plus_prompt);
//! assert!(pair.plus_prompt.ends_with("is water wet?\n\nTrue or False: True"));
//! assert!(pair.minus_prompt.ends_with("is water wet?\n\nTrue or False: False"));
//! assert!(pair.label, "the plus prompt's answer is the right one");
//! boolq::prompts::write(folder.path().join("prompts.csv"), &made.pairs)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod dataset;
mod error;
mod pair;
mod preview;
pub mod prompts;
mod select;
mod suggest;
mod template;
mod tokenize;
mod warning;

pub use answer::answer_ranges;
pub use dataset::{Dataset, Kind, Question};
pub use error::{BoxError, Error, Result};
pub use pair::{ContrastPair, Pairs, group_of, pairs, pairs_with, require_both_classes};
pub use preview::preview;
pub use select::{DropReason, Dropped, Selected, Selection, select};
pub use template::Template;
pub use tokenize::{Token, TokenizedPair, TokenizedPrompt, Tokenizer};
pub use warning::Warning;
