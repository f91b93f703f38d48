//! The crate from outside: against PyTorch and scikit-learn, and on planted data.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![allow(clippy::float_cmp, reason = "these values are exact")]

mod closed_forms;
mod conformance;
mod data;
mod derived;
mod direction;
mod fits;
mod golden;
mod oracle;
mod planted;
mod planted_closed;
mod recursive;
mod spectrum;
mod statements;
mod supervised;
mod tokens;
