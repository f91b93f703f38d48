//! The crate from outside: against PyTorch and scikit-learn, on planted data, over whole runs, and as a program.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![allow(clippy::float_cmp, reason = "these values are exact")]

mod bad_input;
mod cli;
mod closed_forms;
mod data;
mod fits;
mod golden;
mod methods;
mod oracle;
mod planted;
mod planted_closed;
mod recursive;
mod runs;
mod supervised;
mod templates;
