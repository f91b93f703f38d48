//! The crates together and the program as a user runs it: questions to probes, interrupted and whole, good input and bad.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)] // a test that cannot go on fails

mod answers;
mod bad_input;
mod chat;
mod columns;
mod commands;
mod damage;
mod export;
mod golden;
mod help;
mod hints;
mod hostile;
mod kernels;
mod memory;
#[cfg(feature = "hub")]
mod named;
mod network;
mod parts;
mod predict;
mod process;
mod quiz;
mod ranks;
mod resume;
mod score;
mod sharing;
mod statements;
mod support;
mod together;
mod tokens;
mod weights;
