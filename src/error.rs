//! What can go wrong between a model, prompts and a store, besides what each crate says itself.

/// What a fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of one of the crates, or of putting them together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model, its tokenizer or its hooks.
    #[error(transparent)]
    Llama(#[from] llama_core::Error),
    /// Data, templates or prompts.
    #[error(transparent)]
    Boolq(#[from] boolq::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] activations::Error),
    /// LibTorch itself.
    #[error(transparent)]
    Runtime(#[from] torch_runtime::Error),
    /// A file; the message names it.
    #[error("{0}\nhint: check that the path is right and may be read or written")]
    Io(#[from] std::io::Error),
    /// Nothing to run a model over.
    #[error(
        "there are no prompts\nhint: every pair was dropped, or the file is empty; look at --max-seq-len, --limit and --offset"
    )]
    NoPairs,
    /// A hook point whose activation has another size in every prompt, or belongs to no token.
    #[error(
        "{hook} cannot be stored: its size differs from prompt to prompt\nhint: store what has one shape per token, for example `blocks.*.hook_resid_post` or `blocks.*.attn.hook_z`"
    )]
    NotStorable {
        /// The hook point.
        hook: String,
    },
    /// An answer without a token of its own, or with none before it, so that it has no probability.
    #[error(
        "row {row} (idx {idx}): the answer has no token with one before it, so the model gives it no probability\nhint: a prompt needs text before its answer, or a tokenizer with BOS"
    )]
    NothingBeforeAnswer {
        /// The row in the store.
        row: usize,
        /// The pair's `idx`.
        idx: u64,
    },
}
