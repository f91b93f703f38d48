//! What a run of CCS probes found, and how it is shown: the types of `report.json`, its sentences, its figures and its page.
//!
//! Data only: nothing here fits, reads states or needs LibTorch, so a program that shows results builds in seconds.
//!
//! ```no_run
//! let report = ccs_report::Report::from_json(&std::fs::read("run/report.json")?)?;
//! println!("{}", report.summary());
//! std::fs::write("report.html", ccs_report::page::html(&report)?)?;
//! std::fs::write("accuracy.svg", ccs_report::figures::accuracy_svg(&report))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
pub mod figures;
mod method;
mod numbers;
pub mod page;
mod report;
pub mod sentences;
mod summary;

pub use error::{Error, Result};
pub use method::{Method, MethodInfo};
pub use report::*;
