//! Which questions are used: offset, limit, length filter and class balance. What is left out is listed.
//!
//! A question is one thing under all its templates: it is kept if the pair of every template fits, and dropped with
//! all of them otherwise, so that templates are compared on the same questions. With one template, questions and
//! pairs are the same.

use crate::error::{Error, Result};
use crate::pair::ContrastPair;
use crate::tokenize::{TokenizedPair, Tokenizer};
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
pub struct Selected {
    /// The pairs of the questions kept, in the order given.
    pub pairs: Vec<TokenizedPair>,
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
            Self::NoAnswerText => f.write_str("its prompts do not hold two different answers"),
            Self::NoAnswerToken { side } => write!(f, "no token covers the answer of the {side} prompt"),
            Self::Balance => f.write_str("its class has more pairs than the other"),
        }
    }
}

/// Tokenizes `pairs` in parallel and keeps the questions that `selection` asks for, with all their pairs.
///
/// The pairs of one question are those that stand together with one `idx` and `dataset`, as
/// [`pairs_with`](crate::pairs_with) returns them. Data with one class only is kept, with [`Warning::OneClass`]; see
/// [`require_both_classes`](crate::require_both_classes).
///
/// # Errors
/// The tokenizer's own failures; see [`TokenizedPair::new`]. Pairs without an answer are dropped, not errors.
pub fn select<T: Tokenizer + Sync + ?Sized>(
    pairs: &[ContrastPair],
    tokenizer: &T,
    selection: &Selection,
) -> Result<Selected> {
    let questions = pairs.chunk_by(|a, b| a.idx == b.idx && a.dataset == b.dataset);
    let candidates: Vec<Candidate> = questions.enumerate().skip(selection.offset).collect();
    let templates = candidates.first().map_or(0, |(_, pairs)| pairs.len());
    let mut checked = match selection.balance {
        None => first_fitting(&candidates, selection.limit, tokenizer, selection)?,
        Some(seed) => balanced(candidates, seed, tokenizer, selection)?,
    };
    checked.fitting.sort_by_key(|(position, _)| *position);
    checked.dropped.sort_by_key(|(position, _)| *position);
    let considered = checked.fitting.len() + checked.dropped.len();
    let mut selected = Selected {
        kept: checked.fitting.len(),
        pairs: checked.fitting.into_iter().flat_map(|(_, pairs)| pairs).collect(),
        dropped: checked.dropped.into_iter().map(|(_, dropped)| dropped).collect(),
        considered,
        warnings: Vec::new(),
    };
    selected.warnings = warnings(&selected, templates, selection);
    Ok(selected)
}

/// The pairs of a question, with its position in the data.
type Candidate<'a> = (usize, &'a [ContrastPair]);

/// Questions that fit and questions that do not, with their positions in the data.
#[derive(Default)]
struct Checked {
    fitting: Vec<(usize, Vec<TokenizedPair>)>,
    dropped: Vec<(usize, Dropped)>,
}

/// The first `limit` candidates that fit. Of the last chunk, what follows the last one is left out.
fn first_fitting<T: Tokenizer + Sync + ?Sized>(
    candidates: &[Candidate],
    limit: Option<usize>,
    tokenizer: &T,
    selection: &Selection,
) -> Result<Checked> {
    let mut checked = Checked::default();
    let pool = host::threads::pool()?;
    for chunk in candidates.chunks(CHUNK) {
        let check = |(position, pairs): &Candidate<'_>| (*position, check_all(pairs, tokenizer, selection));
        let results: Vec<_> = pool.install(|| chunk.par_iter().map(check).collect());
        for (position, result) in results {
            if limit.is_some_and(|limit| checked.fitting.len() >= limit) {
                return Ok(checked);
            }
            match result? {
                Ok(pairs) => checked.fitting.push((position, pairs)),
                Err(dropped) => checked.dropped.push((position, dropped)),
            }
        }
    }
    Ok(checked)
}

/// The pairs tokenized, or why the first that does not fit cannot be used.
fn check_all<T: Tokenizer + ?Sized>(
    pairs: &[ContrastPair],
    tokenizer: &T,
    selection: &Selection,
) -> Result<Result<Vec<TokenizedPair>, Dropped>> {
    let mut tokenized = Vec::with_capacity(pairs.len());
    for pair in pairs {
        match check(pair, tokenizer, selection)? {
            Ok(pair) => tokenized.push(pair),
            Err(reason) => {
                return Ok(Err(Dropped { idx: pair.idx, template: Some(pair.template.clone()), reason }));
            }
        }
    }
    Ok(Ok(tokenized))
}

/// The pair tokenized, or why it cannot be used.
fn check<T: Tokenizer + ?Sized>(
    pair: &ContrastPair,
    tokenizer: &T,
    selection: &Selection,
) -> Result<Result<TokenizedPair, DropReason>> {
    Ok(Err(match TokenizedPair::new(pair.clone(), tokenizer) {
        Ok(tokenized) => match selection.max_seq_len {
            Some(max_seq_len) if tokenized.longer_side() > max_seq_len => DropReason::TooLong {
                plus_tokens: tokenized.plus.ids.len(),
                minus_tokens: tokenized.minus.ids.len(),
                max_seq_len,
            },
            _ => return Ok(Ok(tokenized)),
        },
        Err(Error::NoAnswerText { .. }) => DropReason::NoAnswerText,
        Err(Error::NoAnswerToken { side, .. }) => DropReason::NoAnswerToken { side },
        Err(fatal) => return Err(fatal),
    }))
}

/// As many true as false questions, each class in the order of its keys.
fn balanced<T: Tokenizer + Sync + ?Sized>(
    mut candidates: Vec<Candidate>,
    seed: u64,
    tokenizer: &T,
    selection: &Selection,
) -> Result<Checked> {
    let first = |(_, pairs): &Candidate| pairs.first().map_or((0, false), |pair| (pair.idx, pair.label));
    candidates.sort_by_cached_key(|candidate| (key(seed, first(candidate).0), candidate.0));
    let (trues, falses): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|candidate| first(candidate).1);
    let half = selection.limit.map(|limit| limit / 2);
    let mut checked = first_fitting(&trues, half, tokenizer, selection)?;
    let mut falses = first_fitting(&falses, half, tokenizer, selection)?;
    let size = checked.fitting.len().min(falses.fitting.len());
    let surplus = checked.fitting.drain(size..).chain(falses.fitting.drain(size..));
    let dropped = surplus.filter_map(|(position, pairs)| {
        let idx = pairs.first()?.pair.idx;
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

fn warnings(selected: &Selected, templates: usize, selection: &Selection) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(limit) = selection.limit.filter(|limit| selected.kept < *limit) {
        warnings.push(Warning::LimitNotReached { limit, kept: selected.kept });
    }
    match selected.pairs.as_slice() {
        [] => warnings.push(Warning::NothingKept { considered: selected.considered * templates }),
        [first, rest @ ..] if rest.iter().all(|other| other.pair.label == first.pair.label) => {
            let pairs = selected.pairs.len();
            warnings.push(Warning::OneClass { label: first.pair.label, pairs });
        }
        _ => {}
    }
    let seams = selected.pairs.iter().filter(|pair| pair.seam).count();
    if seams > 0 {
        warnings.push(Warning::Seams { pairs: seams });
    }
    let joined = selected.pairs.iter().filter(|pair| pair.plus.joined || pair.minus.joined).count();
    if joined > 0 {
        warnings.push(Warning::AnswerJoined { pairs: joined });
    }
    warnings
}
