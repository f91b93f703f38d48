//! The crates together and the program as a user runs it: questions to probes, interrupted and whole, good input and bad.

mod bad_input;
mod commands;
mod golden;
mod quiz;
mod resume;
mod support;
