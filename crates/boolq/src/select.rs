//! Which questions are used: offset, limit, length filter and class balance. What is left out is listed.
//!
//! A question is one thing under all its templates: it is kept if the pair of every template fits, and dropped with
//! all of them otherwise, so that templates are compared on the same questions. With one template, questions and
//! pairs are the same.

use crate::error::Result;
use crate::example::Example;
use crate::pair::ContrastPair;
use crate::tokenize::Tokenizer;
use crate::warning::Warning;
use rayon::prelude::*;
use serde::Serialize;
use std::fmt;

/// Questions tokenized at once; a limit stops the work at the end of such a chunk.
const CHUNK: usize = 256;

/// What to select.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Questions to skip at the start, kept or not.
    pub offset: usize,
    /// The most questions to keep; `None` keeps all that fit.
    pub limit: Option<usize>,
    /// A pair fits if its longer side, BOS included, has at most this many tokens; `None` takes all lengths.
    pub max_seq_len: Option<usize>,
    /// Keep as many true as false questions, chosen with this seed; `None` keeps the data's own share.
    ///
    /// Questions are chosen in the order of blake3(seed, `idx`), so the choice depends on nothing but the two numbers,
    /// and a larger limit keeps what a smaller one kept. What is returned stands in the data's order.
    pub balance: Option<u64>,
}

impl Default for Selection {
    /// All pairs of at most 512 tokens, llama-ccs' limit.
    fn default() -> Self {
        Self { offset: 0, limit: None, max_seq_len: Some(512), balance: None }
    }
}

/// The questions kept and what became of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected<E: Example = ContrastPair> {
    /// The pairs, or statements, of the questions kept, in the order given.
    pub examples: Vec<E::Tokenized>,
    /// How many questions were kept.
    pub kept: usize,
    /// The questions looked at and not kept, in the data's order. What is beyond the limit is not looked at.
    pub dropped: Vec<Dropped>,
    /// How many questions were looked at: those kept and those dropped.
    pub considered: usize,
    /// What there is to know about the pairs kept.
    pub warnings: Vec<Warning>,
}

/// A question that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The question's `idx`.
    pub idx: u64,
    /// The template whose pair did not fit, the first such; `None` where the question's class is the reason.
    pub template: Option<String>,
    /// Why it was not kept.
    pub reason: DropReason,
}

/// Why a question was not kept.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum DropReason {
    /// Its longer side has too many tokens.
    TooLong {
        /// The plus prompt's tokens, BOS included.
        plus_tokens: usize,
        /// The minus prompt's tokens, BOS included.
        minus_tokens: usize,
        /// The most that were allowed.
        max_seq_len: usize,
    },
    /// A statement with too many tokens.
    StatementTooLong {
        /// Its tokens, BOS included.
        tokens: usize,
        /// The most that were allowed.
        max_seq_len: usize,
    },
    /// Its prompts do not hold two different answers.
    NoAnswerText,
    /// No token covers the answer of one side.
    NoAnswerToken {
        /// `"plus"` or `"minus"`.
        side: &'static str,
    },
    /// Its class has more pairs than the other.
    Balance,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { plus_tokens, minus_tokens, max_seq_len } => {
                write!(
                    f,
                    "too long: {plus_tokens} and {minus_tokens} tokens, at most {max_seq_len} are allowed"
                )
            }
            Self::StatementTooLong { tokens, max_seq_len } => {
                write!(f, "too long: {tokens} tokens, at most {max_seq_len} are allowed")
            }
            Self::NoAnswerText => f.write_str("its prompts do not hold two different answers"),
            Self::NoAnswerToken { side } => write!(f, "no token covers the answer of the {side} prompt"),
            Self::Balance => f.write_str("its class has more pairs than the other"),
        }
    }
}

/// Tokenizes pairs, or statements, in parallel and keeps the questions that `selection` asks for, with all their pairs.
///
/// The examples of one question are those that stand together with one `idx` and `dataset`, as
/// [`pairs_with`](crate::pairs_with) returns them. Data with one class only is kept, with [`Warning::OneClass`]; see
/// [`require_both_classes`](crate::require_both_classes).
///
/// # Errors
/// The tokenizer's own failures; see [`TokenizedPair::new`](crate::TokenizedPair::new). Pairs without an answer are dropped, not errors.
pub fn select<E: Example, T: Tokenizer + Sync + ?Sized>(
    examples: &[E],
    tokenizer: &T,
    selection: &Selection,
) -> Result<Selected<E>> {
    let question = |example: &E| {
        let origin = example.origin();
        (origin.idx, origin.dataset.to_owned())
    };
    let questions = examples.chunk_by(|a, b| question(a) == question(b));
    let candidates: Vec<Candidate<E>> = questions.enumerate().skip(selection.offset).collect();
    let templates = candidates.first().map_or(0, |(_, examples)| examples.len());
    let mut checked = match selection.balance {
        None => first_fitting(&candidates, selection.limit, tokenizer, selection)?,
        Some(seed) => balanced(candidates, seed, tokenizer, selection)?,
    };
    checked.fitting.sort_by_key(|(position, _)| *position);
    checked.dropped.sort_by_key(|(position, _)| *position);
    let considered = checked.fitting.len() + checked.dropped.len();
    let mut selected = Selected {
        kept: checked.fitting.len(),
        examples: checked.fitting.into_iter().flat_map(|(_, examples)| examples).collect(),
        dropped: checked.dropped.into_iter().map(|(_, dropped)| dropped).collect(),
        considered,
        warnings: Vec::new(),
    };
    selected.warnings = warnings(&selected, templates, selection);
    Ok(selected)
}

/// The examples of a question, with its position in the data.
type Candidate<'a, E> = (usize, &'a [E]);

/// Questions that fit and questions that do not, with their positions in the data.
struct Checked<E: Example> {
    fitting: Vec<(usize, Vec<E::Tokenized>)>,
    dropped: Vec<(usize, Dropped)>,
}

/// The first `limit` candidates that fit. Of the last chunk, what follows the last one is left out.
fn first_fitting<E: Example, T: Tokenizer + Sync + ?Sized>(
    candidates: &[Candidate<E>],
    limit: Option<usize>,
    tokenizer: &T,
    selection: &Selection,
) -> Result<Checked<E>> {
    let mut checked = Checked { fitting: Vec::new(), dropped: Vec::new() };
    let pool = host::threads::pool()?;
    for chunk in candidates.chunks(CHUNK) {
        let check =
            |(position, examples): &Candidate<'_, E>| (*position, check_all(examples, tokenizer, selection));
        let results: Vec<_> = pool.install(|| chunk.par_iter().map(check).collect());
        for (position, result) in results {
            if limit.is_some_and(|limit| checked.fitting.len() >= limit) {
                return Ok(checked);
            }
            match result? {
                Ok(examples) => checked.fitting.push((position, examples)),
                Err(dropped) => checked.dropped.push((position, dropped)),
            }
        }
    }
    Ok(checked)
}

/// The examples tokenized, or why the first that does not fit cannot be used.
fn check_all<E: Example, T: Tokenizer + ?Sized>(
    examples: &[E],
    tokenizer: &T,
    selection: &Selection,
) -> Result<Result<Vec<E::Tokenized>, Dropped>> {
    let mut tokenized = Vec::with_capacity(examples.len());
    for example in examples {
        match example.clone().tokenized(tokenizer, selection.max_seq_len)? {
            Ok(example) => tokenized.push(example),
            Err(reason) => {
                let origin = example.origin();
                let (idx, template) = (origin.idx, Some(origin.template.to_owned()));
                return Ok(Err(Dropped { idx, template, reason }));
            }
        }
    }
    Ok(Ok(tokenized))
}

/// As many true as false questions, each class in the order of its keys.
fn balanced<E: Example, T: Tokenizer + Sync + ?Sized>(
    mut candidates: Vec<Candidate<E>>,
    seed: u64,
    tokenizer: &T,
    selection: &Selection,
) -> Result<Checked<E>> {
    let first = |(_, examples): &Candidate<E>| {
        examples.first().map(Example::origin).map_or((0, false), |origin| (origin.idx, origin.label))
    };
    candidates.sort_by_cached_key(|candidate| (key(seed, first(candidate).0), candidate.0));
    let (trues, falses): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|candidate| first(candidate).1);
    let half = selection.limit.map(|limit| limit / 2);
    let mut checked = first_fitting(&trues, half, tokenizer, selection)?;
    let mut falses = first_fitting(&falses, half, tokenizer, selection)?;
    let size = checked.fitting.len().min(falses.fitting.len());
    let surplus = checked.fitting.drain(size..).chain(falses.fitting.drain(size..));
    let dropped = surplus.filter_map(|(position, examples)| {
        let idx = E::of_tokenized(examples.first()?).origin().idx;
        Some((position, Dropped { idx, template: None, reason: DropReason::Balance }))
    });
    checked.dropped.extend(dropped.chain(falses.dropped));
    checked.fitting.append(&mut falses.fitting);
    Ok(checked)
}

fn key(seed: u64, idx: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&idx.to_le_bytes());
    *hasher.finalize().as_bytes()
}

fn warnings<E: Example>(selected: &Selected<E>, templates: usize, selection: &Selection) -> Vec<Warning> {
    let label = |example: &E::Tokenized| E::of_tokenized(example).origin().label;
    let mut warnings = Vec::new();
    if let Some(limit) = selection.limit.filter(|limit| selected.kept < *limit) {
        warnings.push(Warning::LimitNotReached { limit, kept: selected.kept });
    }
    match selected.examples.as_slice() {
        [] => warnings.push(Warning::NothingKept { considered: selected.considered * templates }),
        [first, rest @ ..] if rest.iter().all(|other| label(other) == label(first)) => {
            let pairs = selected.examples.len();
            warnings.push(Warning::OneClass { label: label(first), pairs });
        }
        _ => {}
    }
    warnings.extend(E::warnings_of(&selected.examples));
    warnings
}
