//! From prompts to tokens. A prompt is tokenized whole, prompt and answer jointly, because a tokenizer may join them
//! (`▁True` covers the space before it); the answer's tokens are found afterwards, by the bytes they cover.

use crate::answer::SpanFault;
use crate::error::{BoxError, Error, Result};
use crate::pair::ContrastPair;
use std::ops::Range;

/// One token and the text it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token's id in the vocabulary.
    pub id: u32,
    /// The bytes of the text that the token covers; empty for tokens that stand for no text, such as BOS (`0..0`).
    pub span: Range<usize>,
}

/// What this crate needs of a tokenizer. `llama-core` implements it for its own.
pub trait Tokenizer {
    /// The tokens of a whole prompt, BOS included where the model wants one.
    ///
    /// # Errors
    /// Whatever the tokenizer fails with; it is passed on inside [`Error::Tokenizer`].
    fn encode(&self, text: &str) -> Result<Vec<Token>, BoxError>;

    /// The tokens of a text that a chat template rendered: nothing is put in front of it, and control tokens written in it
    /// are those tokens.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    fn encode_chat(&self, text: &str) -> Result<Vec<Token>, BoxError>;

    /// A token's text for people to read, such as `▁True` or `<s>`.
    fn token_text(&self, id: u32) -> String;

    /// The tokens of a prompt, which is a chat or not.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    fn encode_prompt(&self, text: &str, is_chat: bool) -> Result<Vec<Token>, BoxError> {
        if is_chat { self.encode_chat(text) } else { self.encode(text) }
    }
}

impl<T: Tokenizer + ?Sized> Tokenizer for &T {
    fn encode(&self, text: &str) -> Result<Vec<Token>, BoxError> {
        (**self).encode(text)
    }

    fn encode_chat(&self, text: &str) -> Result<Vec<Token>, BoxError> {
        (**self).encode_chat(text)
    }

    fn token_text(&self, id: u32) -> String {
        (**self).token_text(id)
    }
}

/// One prompt's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizedPrompt {
    /// The token ids.
    ///
    /// # Shapes
    /// `[T]`, BOS included.
    pub ids: Vec<u32>,
    /// The positions in `ids` of the tokens that cover the answer, all of it.
    pub answer: Range<usize>,
    /// Whether one of those covers other text too, white space apart: the tokenizer joined the answer with what stands
    /// beside it.
    pub joined: bool,
}

/// Both prompts of a pair, tokenized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizedPair {
    /// The pair.
    pub pair: ContrastPair,
    /// The plus prompt's tokens.
    pub plus: TokenizedPrompt,
    /// The minus prompt's tokens.
    pub minus: TokenizedPrompt,
    /// Whether the tokens before the answer differ between the two sides.
    ///
    /// They are the same where the answer starts at a token boundary of both prompts. At a seam the tokenizer joined
    /// text before the answer with one of the two answers: the pair is valid, but its sides share no prefix of
    /// tokens up to the answer, and their hidden states differ for another reason than the answer too.
    pub seam: bool,
}

impl TokenizedPair {
    /// Tokenizes both prompts of `pair` and finds the tokens of its answer in each.
    ///
    /// # Errors
    /// A tokenizer that fails or returns spans outside the text; prompts, or answers, of the same text
    /// ([`Error::NoAnswerText`]); answers that are not where the pair says ([`Error::AnswerSpan`]); one that no token
    /// covers ([`Error::NoAnswerToken`]).
    pub fn new<T: Tokenizer + ?Sized>(pair: ContrastPair, tokenizer: &T) -> Result<Self> {
        let idx = pair.idx;
        if pair.plus_prompt == pair.minus_prompt {
            return Err(Error::NoAnswerText { idx });
        }
        pair.answers.check(&pair.plus_prompt, &pair.minus_prompt).map_err(|fault| match fault {
            SpanFault::Same => Error::NoAnswerText { idx },
            fault => Error::AnswerSpan { idx, fault },
        })?;
        let encoded = |side, prompt: &str| {
            let tokens = tokenizer.encode_prompt(prompt, pair.chat.is_some());
            tokens.map_err(|source| Error::Tokenizer { idx, side, source })
        };
        let (plus, minus) = (encoded("plus", &pair.plus_prompt)?, encoded("minus", &pair.minus_prompt)?);
        let plus = with_answer(plus, idx, "plus", &pair.plus_prompt, pair.answers.plus.clone())?;
        let minus = with_answer(minus, idx, "minus", &pair.minus_prompt, pair.answers.minus.clone())?;
        let seam = plus.ids.get(..plus.answer.start) != minus.ids.get(..minus.answer.start);
        Ok(Self { pair, plus, minus, seam })
    }

    /// The longer side's length in tokens, BOS included: what `max_seq_len` limits.
    pub fn longer_side(&self) -> usize {
        self.plus.ids.len().max(self.minus.ids.len())
    }
}

/// A prompt's tokens with those of its answer.
fn with_answer(
    tokens: Vec<Token>,
    idx: u64,
    side: &'static str,
    text: &str,
    answer: Range<usize>,
) -> Result<TokenizedPrompt> {
    let len = text.len();
    if let Some((token, Token { span, .. })) =
        tokens.iter().enumerate().find(|(_, t)| t.span.start > t.span.end || t.span.end > len)
    {
        return Err(Error::TokenSpan { idx, side, token, start: span.start, end: span.end, len });
    }
    let covers = |t: &Token| t.span.start.max(answer.start) < t.span.end.min(answer.end);
    let first = tokens.iter().position(covers);
    let last = tokens.iter().rposition(covers);
    let (Some(first), Some(last)) = (first, last) else {
        let answer = text.get(answer).unwrap_or_default().to_owned();
        return Err(Error::NoAnswerToken { idx, side, answer });
    };
    let answer_tokens = tokens.get(first..=last).unwrap_or_default();
    let joined = answer_tokens.iter().any(|t| covers_more(text, &answer, &t.span));
    let ids = tokens.into_iter().map(|t| t.id).collect();
    Ok(TokenizedPrompt { ids, answer: first..last + 1, joined })
}

/// Whether a token covers text on either side of the answer that is not white space. (Where a token cuts a character,
/// which byte tokens do, nothing is said.)
fn covers_more(text: &str, answer: &Range<usize>, token: &Range<usize>) -> bool {
    let more = |range: Range<usize>| text.get(range).is_some_and(|text| !text.trim().is_empty());
    (token.start < answer.start && more(token.start..answer.start))
        || (token.end > answer.end && more(answer.end..token.end))
}
