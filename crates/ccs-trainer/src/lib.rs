//! The trainer: every layer of a store of hidden states, every method, controls and intervals, into a run folder with
//! probes, `report.json` and `report.html`. The program `ccs` is its command line.
//!
//! ```no_run
//! use ccs_trainer::{Fit, NewRunDir, Overwrite, StoreSource};
//!
//! let source = StoreSource::open("out/store")?;
//! let out = NewRunDir::reserve("out/run", Overwrite::No)?;
//! if let Some(run) = Fit::new(&source).run_to(out)?.finished() {
//!     println!("{}", run.report.summary());
//! }
//! # Ok::<(), ccs_trainer::Error>(())
//! ```
//!
//! States that are in memory are a source too:
//!
//! ```
//! use ccs_report::Method;
//! use ccs_trainer::{Fit, Memory, Rows, Settings};
//!
//! // 60 pairs, two about each passage; the second of three dimensions knows the truth.
//! let labels: Vec<bool> = (0..60).map(|row| row % 5 < 3).collect();
//! let rows = Rows {
//!     ids: (0..60).map(|row| row.to_string()).collect(),
//!     groups: (0..60).map(|row| format!("passage {}", row / 2)).collect(),
//!     labels: labels.clone(),
//!     ..Rows::default()
//! };
//! let side = |sign: f32| -> Vec<f32> {
//!     let truth = |row: usize| if labels[row] { sign } else { -sign };
//!     (0..60).flat_map(|row| [(row as f32).sin(), 3.0 * truth(row), (7.0 * row as f32).cos()]).collect()
//! };
//! let source = Memory::new(rows).with_layer("hook_embed", side(1.0), side(-1.0));
//! let methods = Some(vec![Method::LR, Method::RANDOM, Method::MAJORITY]);
//! let settings = Settings { methods, seeds: 0, shuffles: 0, directions: 50, ..Settings::default() };
//! let run = Fit::new(&source).settings(settings).run()?.finished().expect("nobody stops it");
//! assert_eq!(run.report.chosen_layer(Method::LR), Some(0));
//! # Ok::<(), ccs_trainer::Error>(())
//! ```
//!
//! What fits probes is the crate [`ccs`]; what a run found and how it is shown is [`ccs_report`].

mod control;
mod convert;
mod diagnostics;
mod engine;
mod error;
mod export;
mod files;
mod job;
pub mod method;
mod per_row;
mod resume;
mod run;
mod run_dir;
mod settings;
mod source;
mod tables;
mod transfer;

pub use control::{Event, Outcome, RunControl};
pub use engine::compute::Compute;
pub use engine::polarity::Negated;
pub use error::{Error, Result};
pub use export::{ExportFormat, export};
pub use job::fit::Fit;
pub use job::sweep::Sweep;
pub use per_row::about::RunRows;
pub use per_row::predictions::{MethodPredictions, ReadToken};
pub use run::Run;
pub use run_dir::check::Overwrite;
pub use run_dir::fitted::Fitted;
pub use run_dir::inspect::{ChosenCard, Cosines, ProbeCard, RunCard};
pub use run_dir::layout::EXPLORE;
pub use run_dir::reader::RunDir;
pub use run_dir::writer::NewRunDir;
pub use settings::{LayerSelection, Settings};
pub use source::memory::{Memory, MemoryStatements};
pub use source::memory_tokens::MemoryTokens;
pub use source::pooled::{Dataset, Pooled};
pub use source::states::States;
pub use source::store::{ALL_TOKENS, LAST, StoreSource};
pub use source::subset::Subset;
pub use source::{Layer, Rows, Source};
pub use transfer::blank::{blank, check_blank};
pub use transfer::datasets::ALL;
pub use transfer::eval::{EvalOptions, eval, eval_with_control, tokens_of};
pub use transfer::evaluate::evaluation;
pub use transfer::quirky::{Quirky, QuirkyReport, Recovered, quirky};
pub use transfer::report::{
    ControlText, EvalReport, EvaluatedPolarity, EvaluatedProbe, ProbePolarity, Recall,
};
