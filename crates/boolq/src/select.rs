//! Which pairs are used: offset, limit, length filter and class balance. What is left out is listed.

use crate::error::{Error, Result};
use crate::pair::ContrastPair;
use crate::tokenize::{TokenizedPair, Tokenizer};
use crate::warning::Warning;
use rayon::prelude::*;
use serde::Serialize;
use std::fmt;

/// Pairs tokenised at once; a limit stops the work at the end of such a chunk.
const CHUNK: usize = 256;

/// What to select.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Selection {
    /// Pairs to skip at the start, kept or not.
    pub offset: usize,
    /// The most pairs to keep; `None` keeps all that fit.
    pub limit: Option<usize>,
    /// A pair is kept if its longer side, BOS included, has at most this many tokens; `None` keeps all lengths.
    pub max_seq_len: Option<usize>,
    /// Keep as many true as false pairs, chosen with this seed; `None` keeps the data's own share.
    ///
    /// Pairs are chosen in the order of blake3(seed, `idx`), so the choice depends on nothing but the two numbers,
    /// and a larger limit keeps what a smaller one kept. The pairs returned stand in the data's order.
    pub balance: Option<u64>,
}

impl Default for Selection {
    /// All pairs of at most 512 tokens, llama-ccs' limit.
    fn default() -> Self {
        Self { offset: 0, limit: None, max_seq_len: Some(512), balance: None }
    }
}

/// The pairs kept and what became of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// The pairs kept, in the data's order.
    pub pairs: Vec<TokenizedPair>,
    /// The pairs looked at and not kept, in the data's order. Pairs beyond the limit are not looked at.
    pub dropped: Vec<Dropped>,
    /// How many pairs were looked at: those kept and those dropped.
    pub considered: usize,
    /// What there is to know about the pairs kept.
    pub warnings: Vec<Warning>,
}

/// A pair that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The pair's `idx`.
    pub idx: u64,
    /// Why it was not kept.
    pub reason: DropReason,
}

/// Why a pair was not kept.
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

/// Tokenises `pairs` in parallel and keeps those that `selection` asks for.
///
/// Data with one class only is kept, with [`Warning::OneClass`]; see
/// [`require_both_classes`](crate::require_both_classes). Give the pairs of one template at a time: a template's
/// pairs are kept or dropped by their own lengths.
///
/// # Errors
/// The tokenizer's own failures; see [`TokenizedPair::new`]. Pairs without an answer are dropped, not errors.
pub fn select<T: Tokenizer + Sync + ?Sized>(
    pairs: &[ContrastPair],
    tokenizer: &T,
    selection: &Selection,
) -> Result<Selected> {
    let candidates: Vec<(usize, &ContrastPair)> = pairs.iter().enumerate().skip(selection.offset).collect();
    let mut kept = match selection.balance {
        None => keep(&candidates, selection.limit, tokenizer, selection)?,
        Some(seed) => keep_balanced(candidates, seed, tokenizer, selection)?,
    };
    kept.pairs.sort_by_key(|(position, _)| *position);
    kept.dropped.sort_by_key(|(position, _)| *position);
    let considered = kept.pairs.len() + kept.dropped.len();
    let pairs: Vec<_> = kept.pairs.into_iter().map(|(_, pair)| pair).collect();
    let dropped = kept.dropped.into_iter().map(|(_, dropped)| dropped).collect();
    let warnings = warnings(&pairs, considered, selection);
    Ok(Selected { pairs, dropped, considered, warnings })
}

/// Pairs with their positions in the data.
#[derive(Default)]
struct Kept {
    pairs: Vec<(usize, TokenizedPair)>,
    dropped: Vec<(usize, Dropped)>,
}

/// The first `limit` candidates that fit. Of the last chunk, what follows the last one kept is forgotten.
fn keep<T: Tokenizer + Sync + ?Sized>(
    candidates: &[(usize, &ContrastPair)],
    limit: Option<usize>,
    tokenizer: &T,
    selection: &Selection,
) -> Result<Kept> {
    let mut kept = Kept::default();
    for chunk in candidates.chunks(CHUNK) {
        let judged: Vec<_> =
            chunk.par_iter().map(|(position, pair)| (*position, judge(pair, tokenizer, selection))).collect();
        for (position, verdict) in judged {
            if limit.is_some_and(|limit| kept.pairs.len() >= limit) {
                return Ok(kept);
            }
            match verdict? {
                Ok(pair) => kept.pairs.push((position, pair)),
                Err(dropped) => kept.dropped.push((position, dropped)),
            }
        }
    }
    Ok(kept)
}

/// The pair tokenised, or why it cannot be used.
fn judge<T: Tokenizer + ?Sized>(
    pair: &ContrastPair,
    tokenizer: &T,
    selection: &Selection,
) -> Result<Result<TokenizedPair, Dropped>> {
    let idx = pair.idx;
    let reason = match TokenizedPair::new(pair.clone(), tokenizer) {
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
    };
    Ok(Err(Dropped { idx, reason }))
}

/// As many true as false pairs, each class in the order of its keys.
fn keep_balanced<T: Tokenizer + Sync + ?Sized>(
    mut candidates: Vec<(usize, &ContrastPair)>,
    seed: u64,
    tokenizer: &T,
    selection: &Selection,
) -> Result<Kept> {
    candidates.sort_by_cached_key(|(position, pair)| (key(seed, pair.idx), *position));
    let (trues, falses): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|(_, pair)| pair.label);
    let half = selection.limit.map(|limit| limit / 2);
    let mut kept = keep(&trues, half, tokenizer, selection)?;
    let mut falses = keep(&falses, half, tokenizer, selection)?;
    let size = kept.pairs.len().min(falses.pairs.len());
    let surplus = kept.pairs.drain(size..).chain(falses.pairs.drain(size..));
    let dropped = surplus.map(|(position, tokenized)| {
        (position, Dropped { idx: tokenized.pair.idx, reason: DropReason::Balance })
    });
    kept.dropped.extend(dropped.chain(falses.dropped));
    kept.pairs.append(&mut falses.pairs);
    Ok(kept)
}

fn key(seed: u64, idx: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&idx.to_le_bytes());
    *hasher.finalize().as_bytes()
}

fn warnings(pairs: &[TokenizedPair], considered: usize, selection: &Selection) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if let Some(limit) = selection.limit.filter(|limit| pairs.len() < *limit) {
        warnings.push(Warning::LimitNotReached { limit, kept: pairs.len() });
    }
    match pairs {
        [] => warnings.push(Warning::NothingKept { considered }),
        [first, rest @ ..] if rest.iter().all(|other| other.pair.label == first.pair.label) => {
            warnings.push(Warning::OneClass { label: first.pair.label, pairs: pairs.len() });
        }
        _ => {}
    }
    let seams = pairs.iter().filter(|pair| pair.seam).count();
    if seams > 0 {
        warnings.push(Warning::Seams { pairs: seams });
    }
    warnings
}
