//! What a run of CCS probes found, and how it is shown: the types of `report.json`, its sentences, its figures and its page.
//!
//! Data only: nothing here fits, reads states or needs LibTorch, so a program that shows results builds in seconds.
//!
//! ```
//! use ccs_report::{Method, Report, figures, page};
//!
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/report.json");
//! let report = Report::from_json(&std::fs::read(path)?)?;
//! let layer = report.chosen_layer(Method::CCS).ok_or("nothing could be fitted")?;
//! println!("CCS at layer {layer}\n{}", report.summary());
//! let (html, svg) = (page::html(&report)?, figures::accuracy_svg(&report));
//! assert!(html.starts_with("<!doctype html>") && svg.starts_with("<svg"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
pub mod explore;
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
