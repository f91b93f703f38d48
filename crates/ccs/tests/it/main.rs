//! The crate from outside: against PyTorch and scikit-learn, on planted data, over whole runs, and as a program.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![allow(clippy::float_cmp, reason = "these values are exact")]

mod bad_input;
mod both_labels;
mod calibration;
mod cli;
mod closed_forms;
mod damage;
mod data;
mod direction;
mod eval;
mod few_rows;
mod fits;
mod golden;
mod inspect;
mod methods;
mod oracle;
mod planted;
mod planted_closed;
mod recursive;
mod resume;
mod runs;
mod store;
mod supervised;
mod sweep;
mod templates;
mod zero_shot;
