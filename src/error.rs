//! What can go wrong between a model, prompts and a store, besides what each crate says itself.

use crate::predict::Mismatch;

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
    /// A probe or its run.
    #[error(transparent)]
    Probe(#[from] ccs::Error),
    /// A run of the trainer.
    #[error(transparent)]
    Trainer(#[from] ccs_trainer::Error),
    /// LibTorch itself.
    #[error(transparent)]
    Runtime(#[from] torch_runtime::Error),
    /// A file; the message names it.
    #[error("{0}\nhint: {hint}", hint = host::hint::hint(.0))]
    Io(#[from] std::io::Error),
    /// Nothing to run a model over.
    #[error(
        "there are no prompts\nhint: every pair was dropped, or the file is empty; look at the limits and the offset"
    )]
    NoPairs,
    /// Even with its blocks on disk a model needs more memory than there may be.
    #[error(
        "the model needs {needed} bytes of memory with its blocks read from disk, and {limit} are allowed\nhint: allow more memory, compute in a narrower type, or take fewer tokens a batch"
    )]
    TooLittleMemory {
        /// Bytes allowed.
        limit: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// A hook point whose activation has another size in every prompt, or belongs to no token.
    #[error(
        "{hook} cannot be stored: its size differs from prompt to prompt\nhint: store what has one shape per token, for example `blocks.*.hook_resid_post` or `blocks.*.attn.hook_z`"
    )]
    NotStorable {
        /// The hook point.
        hook: String,
    },
    /// A template was to be recorded that none of the pairs was made with.
    #[error(
        "no pair is of the template `{template}`; they are of {named}\nhint: give the template that the prompts were made with, or none"
    )]
    TemplateOfNoPair {
        /// The template's name.
        template: String,
        /// The names that the pairs bear.
        named: String,
    },
    /// A probe's token rule is not one of [`crate::TokenRule`].
    #[error(
        "the probe was fitted on states at the tokens `{rule}`, a rule that this program cannot follow\nhint: the rules are last, first, mean, answer_mean; a store of another program needs that program"
    )]
    UnknownTokenRule {
        /// The rule.
        rule: String,
    },
    /// A probe is used on another model, or with another tokenizer, than it was fitted on.
    #[error(
        "{mismatch}\nhint: give the model that the run's store was extracted from; on another, probabilities mean nothing unless the two share their directions"
    )]
    OtherModel {
        /// What differs.
        mismatch: Mismatch,
    },
    /// A run does not say how to write a question.
    #[error("{why}\nhint: name the template that writes the question")]
    NoTemplate {
        /// What is not known.
        why: String,
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
