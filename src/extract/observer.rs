//! Who watches an extraction.

use std::ops::ControlFlow;

/// Watches an extraction and may stop it between batches.
pub trait Observer {
    /// How many of how many rows are in the store; called before the first batch, after each one that the model has been
    /// through (its rows follow a moment later), and at the end.
    fn rows(&mut self, done: usize, total: usize) -> ControlFlow<()>;

    /// Something that a person should know while it happens: memory ran out and batches are halved, the model is read
    /// from disk again and again.
    fn notice(&mut self, text: &str) {
        let _ = text;
    }

    /// How many bytes the arrays of the whole store take; called before anything is written, also for a store that is there.
    fn store(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// How many of how many bytes of weights were read for the model's identity, where it is not remembered
    /// ([`Extraction::identities`](crate::Extraction::identities)).
    fn hashing(&mut self, done: u64, total: u64) {
        let _ = (done, total);
    }
}

/// Watches nothing.
impl Observer for () {
    fn rows(&mut self, _done: usize, _total: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
