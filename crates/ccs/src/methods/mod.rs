//! The methods: one file each, or one for a family; one contract, [`Fit`]; one line each in [`REGISTRY`].
//!
//! A method is a value that holds its hyper-parameters. To add one, write its file, implement [`Fit`], and add its line to the
//! registry: command line, help, reports and the conformance test (`tests/it/conformance.rs`) take it from there.

pub mod bss;
pub mod ccs;
pub(crate) mod centered;
mod eigen;
mod fit;
pub mod inlp;
pub mod kmeans;
mod lbfgs;
pub mod logistic;
pub mod logistic_regression;
pub mod mass_mean;
pub mod means;
pub mod quadratic;
pub mod recursive;
mod registry;
pub mod tokens;
pub mod ttpd;

pub use fit::{Convergence, Fit, Fitted, Precision, Starts};
pub use registry::{Entry, REGISTRY, STATEMENT_METHODS, TOKEN_METHODS, find};
