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
//! What fits probes is the crate [`ccs`]; what a run found and how it is shown is [`ccs_report`].

mod control;
mod convert;
mod diagnostics;
mod engine;
mod error;
mod files;
mod job;
pub mod method;
mod resume;
mod run;
mod run_dir;
mod settings;
mod source;
mod tables;
mod transfer;

pub use control::{Event, Outcome, RunControl};
pub use engine::compute::Compute;
pub use error::{Error, Result};
pub use job::fit::Fit;
pub use job::sweep::Sweep;
pub use run::Run;
pub use run_dir::check::Overwrite;
pub use run_dir::fitted::Fitted;
pub use run_dir::inspect::{ChosenCard, Cosines, ProbeCard, RunCard};
pub use run_dir::reader::RunDir;
pub use run_dir::writer::NewRunDir;
pub use settings::{LayerSelection, Settings};
pub use source::pooled::{Dataset, Pooled};
pub use source::store::{LAST, StoreSource};
pub use source::{Layer, Memory, Rows, Source};
pub use transfer::blank::{blank, check_blank};
pub use transfer::datasets::ALL;
pub use transfer::eval::{EvalOptions, eval, tokens_of};
pub use transfer::evaluate::evaluation;
pub use transfer::report::{EvalReport, EvaluatedProbe};
