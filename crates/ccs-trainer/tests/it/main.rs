//! The crate from outside: whole runs on planted data, stopped, damaged and continued, and as a program.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]
#![allow(clippy::float_cmp, reason = "these values are exact")]

mod bad_input;
mod both_labels;
mod calibration;
mod cli;
mod columns;
mod damage;
mod data;
mod directions;
mod eval;
mod eval_polarity;
mod explore;
mod export;
mod few_rows;
mod inspect;
mod methods;
mod polarity;
mod predictions;
mod projections;
mod quirky;
#[cfg(feature = "distributed")]
mod ranks;
mod report_fixture;
mod resume;
mod runs;
mod several_layers;
mod statements;
mod store;
mod strata;
mod sweep;
mod templates;
mod tokens;
mod zero_shot;
