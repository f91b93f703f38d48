//! What a model is run over, pairs or single statements, as the rest of an extraction sees it: rows with their prompts.

use std::ops::Range;

use activations::RowKind;
use boolq::{Example as _, Origin, TokenizedPair, TokenizedPrompt, TokenizedStatement};

/// What an [`Extraction`](crate::Extraction) runs a model over: all pairs, or all single statements.
#[derive(Clone, Copy, Debug)]
pub enum Examples<'a> {
    /// Contrast pairs.
    Pairs(&'a [TokenizedPair]),
    /// Single statements.
    Statements(&'a [TokenizedStatement]),
}

impl<'a> Examples<'a> {
    /// What they are.
    pub fn kind(self) -> RowKind {
        match self {
            Self::Pairs(_) => RowKind::Pairs,
            Self::Statements(_) => RowKind::Statements,
        }
    }

    /// How many there are.
    pub fn len(self) -> usize {
        match self {
            Self::Pairs(pairs) => pairs.len(),
            Self::Statements(statements) => statements.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The first of them, at most so many.
    #[must_use]
    pub fn first(self, most: usize) -> Self {
        match self {
            Self::Pairs(pairs) => Self::Pairs(pairs.split_at(most.min(pairs.len())).0),
            Self::Statements(all) => Self::Statements(all.split_at(most.min(all.len())).0),
        }
    }

    /// Row after row.
    pub(crate) fn rows(self) -> Vec<Example<'a>> {
        match self {
            Self::Pairs(pairs) => pairs.iter().map(Example::of_pair).collect(),
            Self::Statements(statements) => statements.iter().map(Example::of_statement).collect(),
        }
    }
}

impl<'a> From<&'a [TokenizedPair]> for Examples<'a> {
    fn from(pairs: &'a [TokenizedPair]) -> Self {
        Self::Pairs(pairs)
    }
}

impl<'a> From<&'a Vec<TokenizedPair>> for Examples<'a> {
    fn from(pairs: &'a Vec<TokenizedPair>) -> Self {
        Self::Pairs(pairs)
    }
}

impl<'a> From<&'a [TokenizedStatement]> for Examples<'a> {
    fn from(statements: &'a [TokenizedStatement]) -> Self {
        Self::Statements(statements)
    }
}

impl<'a> From<&'a Vec<TokenizedStatement>> for Examples<'a> {
    fn from(statements: &'a Vec<TokenizedStatement>) -> Self {
        Self::Statements(statements)
    }
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Example<'a> {
    pub(crate) origin: Origin<'a>,
    /// One for each side of its kind, in that order: at least one.
    pub(crate) prompts: Vec<Prompt<'a>>,
}

/// One side's prompt.
#[derive(Clone, Debug)]
pub(crate) struct Prompt<'a> {
    pub(crate) text: &'a str,
    pub(crate) ids: &'a [u32],
    /// The positions of the answer's tokens, where there is an answer.
    pub(crate) answer: Option<Range<usize>>,
}

impl<'a> Example<'a> {
    fn of_pair(tokenized: &'a TokenizedPair) -> Self {
        let pair = &tokenized.pair;
        let prompt = |text, tokens: &'a TokenizedPrompt| Prompt {
            text,
            ids: &tokens.ids,
            answer: Some(tokens.answer.clone()),
        };
        let plus = prompt(pair.plus_prompt.as_str(), &tokenized.plus);
        let minus = prompt(pair.minus_prompt.as_str(), &tokenized.minus);
        Self { origin: pair.origin(), prompts: vec![plus, minus] }
    }

    fn of_statement(tokenized: &'a TokenizedStatement) -> Self {
        let statement = &tokenized.statement;
        let prompt = Prompt { text: &statement.prompt, ids: &tokenized.ids, answer: None };
        Self { origin: statement.origin(), prompts: vec![prompt] }
    }

    /// The tokens of its first prompt.
    pub(crate) fn first_ids(&self) -> &'a [u32] {
        self.prompts.first().map(|prompt| prompt.ids).unwrap_or_default()
    }
}
