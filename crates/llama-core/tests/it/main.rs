//! llama-core from the outside: goldens, identities of the hook points, checkpoints whole and damaged, generation.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)] // a test that cannot go on fails

mod chat;
mod check;
mod checkpoint;
mod edit_rows;
mod edits;
mod families;
mod generate;
mod golden;
mod hooks;
mod identity;
mod kernels;
mod layouts;
mod lean;
mod loading;
mod mutations;
mod names;
mod padding;
mod rounding;
mod score;
mod sharded;
mod shared;
mod spellings;
mod stages;
mod steering;
mod support;
mod tokenizer;
mod tokenizer_damage;
mod tokenizer_folders;
mod weights;

/// An error's message, and its hint on a line of its own.
pub(crate) fn with_hint(error: &llama_core::Error) -> String {
    let message = error.to_string();
    assert!(!message.contains("hint:"), "{message}");
    format!("{message}\nhint: {}", error.hint().expect("a hint"))
}
