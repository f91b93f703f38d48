//! Whole ways through the crate: files, prompts, tokens, selections, and the shared reference data.
// clippy.toml allows these in tests, but not in the functions that tests share.
#![allow(clippy::expect_used, clippy::print_stdout)]

mod answers;
mod chat;
mod columns;
mod golden;
mod inputs;
mod labels;
mod prompts_csv;
mod promptsource;
mod selection;
mod statements;
mod tables;
mod templates;
mod toy;

/// An error's message, and its hint on a line of its own.
pub(crate) fn with_hint(error: &boolq::Error) -> String {
    let message = error.to_string();
    assert!(!message.contains("hint:"), "{message}");
    format!("{message}\nhint: {}", error.hint().expect("a hint"))
}
