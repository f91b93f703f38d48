//! What can go wrong between a model, prompts and a store, besides what each crate says itself.

use crate::predict::Mismatch;

/// What a fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of one of the crates, or of putting them together; [`Error::hint`] says what to do about it.
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
    /// A part of a plan that has fewer batches than there are parts.
    #[error("there is nothing in part {part}: the plan has {batches} batches")]
    EmptyPart {
        /// The part.
        part: crate::PartOf,
        /// The batches of the whole plan.
        batches: usize,
    },
    /// What connects several processes; one of them was lost, or they are not of one mind.
    #[cfg(feature = "distributed")]
    #[error("{0}")]
    Ranks(#[from] torch_runtime::dist::Error),
    /// A number of stages that the processes, or the blocks, cannot be divided into.
    #[cfg(feature = "distributed")]
    #[error("{ranks} processes cannot be {stages} stages each of a model of {n_layers} blocks")]
    Grid {
        /// The processes.
        ranks: usize,
        /// The stages.
        stages: usize,
        /// The model's blocks.
        n_layers: usize,
    },
    /// Processes that cannot hold the model together in the number that was asked for.
    #[cfg(feature = "distributed")]
    #[error("{wanted} processes cannot hold the model together: {reason}")]
    TensorParallel {
        /// How many were asked for.
        wanted: usize,
        /// Why not.
        reason: String,
    },
    /// A file; the message names it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Nothing to run a model over.
    #[error("there are no prompts")]
    NoPairs,
    /// Even with its blocks on disk a model needs more memory than there may be.
    #[error(
        "the model needs {needed} bytes of memory with its blocks read from disk, and {limit} are allowed"
    )]
    TooLittleMemory {
        /// Bytes allowed.
        limit: u64,
        /// Bytes needed.
        needed: u64,
    },
    /// A hook point whose activation has another size in every prompt, or belongs to no token.
    #[error("{hook} cannot be stored: its size differs from prompt to prompt")]
    NotStorable {
        /// The hook point.
        hook: String,
    },
    /// A token rule of answers, for single statements, which have none.
    #[error("the token rule `{rule}` is of an answer, and single statements have none")]
    NoAnswers {
        /// The rule.
        rule: crate::TokenRule,
    },
    /// A template was to be recorded that none of the pairs was made with.
    #[error("no pair is of the template `{template}`; they are of {named}")]
    TemplateOfNoPair {
        /// The template's name.
        template: String,
        /// The names that the pairs bear.
        named: String,
    },
    /// Prompts of which some are chats and some are not, or chats of several templates.
    #[error("the prompts are of several chat templates, or some of them are no chats")]
    MixedChats,
    /// A probe's token rule is not one of [`crate::TokenRule`].
    #[error("the probe was fitted on states at the tokens `{rule}`, a rule that this program cannot follow")]
    UnknownTokenRule {
        /// The rule.
        rule: String,
    },
    /// A probe that reads the states of all tokens.
    #[error("the probe of `{method}` reads the states of all tokens; a prediction is from one")]
    AllTokens {
        /// Its method.
        method: ccs_report::Method,
    },
    /// A probe that was fitted on what `predict` does not make.
    #[error("the probe was fitted on {what}, and predictions are of pairs, with one state for each prompt")]
    NotPredicted {
        /// What it was fitted on.
        what: &'static str,
    },
    /// A probe is used on another model, or with another tokenizer, than it was fitted on.
    #[error("{mismatch}")]
    OtherModel {
        /// What differs.
        mismatch: Mismatch,
    },
    /// A run does not say how to write a question.
    #[error("{why}")]
    NoTemplate {
        /// What is not known.
        why: String,
    },
    /// An answer without a token of its own, or with none before it, so that it has no probability.
    #[error(
        "row {row} (idx {idx}): the answer has no token with one before it, so the model gives it no probability"
    )]
    NothingBeforeAnswer {
        /// The row in the store.
        row: usize,
        /// The pair's `idx`.
        idx: u64,
    },
}

impl Error {
    /// What to do about it; none where a hook of the caller's failed.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Llama(error) => return error.hint(),
            Self::Boolq(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
            Self::Probe(error) => return error.hint(),
            Self::Trainer(error) => return error.hint(),
            Self::Runtime(error) => return error.hint(),
            #[cfg(feature = "distributed")]
            Self::Ranks(error) => return error.hint(),
            #[cfg(feature = "distributed")]
            Self::Grid { .. } => {
                "`stages` must divide the number of processes, and each stage has at least one block"
            }
            #[cfg(feature = "distributed")]
            Self::TensorParallel { .. } => {
                "all processes that were started hold it together: start as many, at most one for each of its heads, so \
                 many that each one's part fits into its memory"
            }
            Self::Io(error) => host::hint::hint(error),
            Self::NoPairs => {
                "every pair was dropped, or the file is empty; look at the limits and the offset"
            }
            Self::TooLittleMemory { .. } => {
                "allow more memory, compute in a narrower type, or take fewer tokens a batch"
            }
            Self::NotStorable { .. } => {
                "store what has one shape per token, for example `blocks.*.hook_resid_post` or `blocks.*.attn.hook_z`"
            }
            Self::NoAnswers { .. } => "the rules last, first, mean, and all are of any prompt",
            Self::TemplateOfNoPair { .. } => "give the template that the prompts were made with, or none",
            Self::MixedChats => {
                "a store is of one kind of prompts: make them all with the same chat template"
            }
            Self::UnknownTokenRule { .. } => {
                "the rules are last, first, mean, answer_mean, answer_last; a store of another program needs that program"
            }
            Self::AllTokens { .. } => "of the methods for all tokens, `last` reads one state",
            Self::NotPredicted { .. } => {
                "extract the new prompts as the run's were, and evaluate the run on that store: `ccs eval`"
            }
            Self::OtherModel { .. } => {
                "give the model that the run's store was extracted from; on another, probabilities mean nothing \
                 unless the two share their directions"
            }
            Self::NoTemplate { .. } => "name the template that writes the question",
            Self::EmptyPart { .. } => "divide the plan into fewer parts, or its batches into smaller ones",
            Self::NothingBeforeAnswer { .. } => {
                "a prompt needs text before its answer, or a tokenizer with BOS"
            }
        };
        Some(hint.to_owned())
    }
}

/// What another rank said that makes no sense here.
#[cfg(feature = "distributed")]
pub(crate) fn unfit(objection: String) -> Error {
    torch_runtime::dist::Error::Disagreement { objections: vec![objection] }.into()
}

/// What to do about an error of this crate or of one that it re-exports; none about any other error.
///
/// ```
/// let missing = llama_ccs::llama_core::Checkpoint::open("/nowhere/at/all").unwrap_err();
/// assert!(llama_ccs::hint(&missing).is_some());
/// ```
pub fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    fn of<E: std::error::Error + 'static>(
        error: &(dyn std::error::Error + 'static),
        hint: fn(&E) -> Option<String>,
    ) -> Option<String> {
        error.downcast_ref().and_then(hint)
    }
    #[cfg(feature = "distributed")]
    let of_ranks = of(error, torch_runtime::dist::Error::hint);
    #[cfg(not(feature = "distributed"))]
    let of_ranks = None;
    of_ranks
        .or_else(|| of(error, Error::hint))
        .or_else(|| of(error, llama_core::Error::hint))
        .or_else(|| of(error, boolq::Error::hint))
        .or_else(|| of(error, activations::Error::hint))
        .or_else(|| of(error, ccs_trainer::Error::hint))
        .or_else(|| of(error, ccs::Error::hint))
        .or_else(|| of(error, ccs_report::Error::hint))
        .or_else(|| of(error, torch_runtime::Error::hint))
}
