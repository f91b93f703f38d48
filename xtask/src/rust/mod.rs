//! As much of Rust's grammar as the repository's rules ask for.

pub mod items;
pub mod lex;
pub mod modules;
pub mod paths;
