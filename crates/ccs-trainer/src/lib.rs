//! The trainer: every layer of a store of hidden states, every method, controls and intervals, into a run folder with
//! probes, `report.json` and `report.html`. The program `ccs` is its command line.
//!
//! ```no_run
//! use ccs_trainer::{Execution, Overwrite, Settings, StoreSource, run};
//!
//! let source = StoreSource::open("out/store")?;
//! let done = run(&source, &Settings::default(), Execution::default(), &|layer| println!("{}", layer.hook))?;
//! println!("{}", done.report.summary());
//! done.write("out/run", Overwrite::No)?;
//! # Ok::<(), ccs_trainer::Error>(())
//! ```
//!
//! What fits probes is the crate [`ccs`]; what a run found and how it is shown is [`ccs_report`].

mod convert;
mod diagnostics;
mod engine;
mod error;
pub mod method;
mod run_dir;
mod settings;
mod source;
mod transfer;

pub use engine::resume::{Pausing, Step};
pub use engine::{Execution, Run, run, run_pausing};
pub use error::{Error, Result};
pub use run_dir::fitted::Fitted;
pub use run_dir::inspect::{ChosenCard, Cosines, ProbeCard, RunCard};
pub use run_dir::{Out, Overwrite, read_report, read_split, render};
pub use settings::{LayerSelection, Settings};
pub use source::pooled::{Dataset, Pooled};
pub use source::store::{LAST, StoreSource};
pub use source::{Layer, Memory, Rows, Source};
pub use transfer::blank::{blank, check_blank};
pub use transfer::eval::{EvalOptions, EvalReport, Judged, eval, tokens_of};
pub use transfer::evaluation;
pub use transfer::sweep::{ALL, sweep};
