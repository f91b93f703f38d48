//! What each row is: [`Row`], and what its prompts have in common.

use std::ops::Range;

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};

use crate::side::{RowKind, SideOf};

/// One row of a store: where it comes from, and its prompts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The example's number in the prompts.
    pub idx: u64,
    /// Whether the statement is true: of a pair, that of the plus side.
    pub label: bool,
    /// The question's own identifier.
    pub question_id: String,
    /// Rows of one group (one passage) stay together when data is split.
    pub group: String,
    /// The template that made the prompts.
    pub template: String,
    /// The data set.
    pub dataset: String,
    /// The prompts: of all rows of a store the same kind.
    #[serde(flatten)]
    pub sides: Sides,
    /// Further columns of the data, by their names there; without those that have no value in this row. In `rows.parquet`
    /// they are called `data.NAME`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub columns: IndexMap<String, String>,
}

/// A row's prompts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Sides {
    /// A contrast pair.
    Pair {
        /// The side with the positive answer.
        plus: Side,
        /// The side with the negative answer.
        minus: Side,
    },
    /// A single statement.
    Single {
        /// Its only prompt.
        statement: Prompt,
    },
}

/// One side of a contrast pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The prompt with its answer, as the model got it.
    pub prompt: String,
    /// How many tokens that is, BOS included.
    pub tokens: u32,
    /// The first token of the answer; every answer has at least one.
    pub answer_start: u32,
    /// One past the last token of the answer.
    pub answer_end: u32,
    /// The token whose state was taken.
    pub captured_id: u32,
    /// That token as text.
    pub captured_text: String,
}

/// The prompt of a single statement: nothing in it is an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The prompt, as the model got it.
    pub prompt: String,
    /// How many tokens that is, BOS included; at least one.
    pub tokens: u32,
    /// The last token, whose state the rule `last` takes.
    pub captured_id: u32,
    /// That token as text.
    pub captured_text: String,
}

/// The names of the further columns that any of the rows has. Each stands behind those that it follows in a row, so rows
/// without some of the columns leave them in their order.
pub fn column_names(rows: &[Row]) -> IndexSet<&str> {
    let mut names = IndexSet::new();
    for row in rows {
        let mut next = 0;
        for name in row.columns.keys() {
            let at = names.get_index_of(name.as_str());
            if at.is_none() {
                names.shift_insert(next, name.as_str());
            }
            next = next.max(at.unwrap_or(next) + 1);
        }
    }
    names
}

/// The first row, and its side, whose answer is not among the tokens of its prompt, or whose prompt has no tokens; and
/// what is wrong with it.
pub(crate) fn first_fault(rows: &[Row]) -> Option<(usize, SideOf, String)> {
    rows.iter().enumerate().find_map(|(number, row)| {
        let faults = row.all_seen().map(|(side, seen)| Some((number, side, seen.fault()?)));
        faults.flatten().next()
    })
}

/// What there is to know of any side.
pub(crate) struct Seen<'r> {
    pub(crate) prompt: &'r str,
    pub(crate) tokens: u32,
    /// None where nothing is an answer.
    pub(crate) answer: Option<Range<u32>>,
    pub(crate) captured_id: u32,
    pub(crate) captured_text: &'r str,
}

impl Seen<'_> {
    /// What is wrong with its tokens.
    fn fault(&self) -> Option<String> {
        let tokens = self.tokens;
        match &self.answer {
            Some(answer) if answer.start >= answer.end || answer.end > tokens => Some(format!(
                "the answer's tokens {}..{} are none of the {tokens} tokens of its prompt",
                answer.start, answer.end
            )),
            None if tokens == 0 => Some("its prompt has no tokens".to_owned()),
            _ => None,
        }
    }
}

impl Row {
    /// What the row is.
    pub fn kind(&self) -> RowKind {
        match self.sides {
            Sides::Pair { .. } => RowKind::Pairs,
            Sides::Single { .. } => RowKind::Statements,
        }
    }

    /// The text of one side, if the row has that side.
    pub fn prompt(&self, side: SideOf) -> Option<&str> {
        self.seen(side).map(|seen| seen.prompt)
    }

    /// How many tokens one side has, BOS included, if the row has that side.
    pub fn tokens(&self, side: SideOf) -> Option<u32> {
        self.seen(side).map(|seen| seen.tokens)
    }

    fn all_seen(&self) -> impl Iterator<Item = (SideOf, Seen<'_>)> {
        self.kind().sides().iter().filter_map(|&side| Some((side, self.seen(side)?)))
    }

    pub(crate) fn seen(&self, side: SideOf) -> Option<Seen<'_>> {
        match (&self.sides, side) {
            (Sides::Pair { plus, .. }, SideOf::Plus) => Some(plus.seen()),
            (Sides::Pair { minus, .. }, SideOf::Minus) => Some(minus.seen()),
            (Sides::Single { statement }, SideOf::Statement) => Some(statement.seen()),
            (Sides::Pair { .. }, SideOf::Statement)
            | (Sides::Single { .. }, SideOf::Plus | SideOf::Minus) => None,
        }
    }
}

impl Side {
    fn seen(&self) -> Seen<'_> {
        Seen {
            prompt: &self.prompt,
            tokens: self.tokens,
            answer: Some(self.answer_start..self.answer_end),
            captured_id: self.captured_id,
            captured_text: &self.captured_text,
        }
    }
}

impl Prompt {
    fn seen(&self) -> Seen<'_> {
        Seen {
            prompt: &self.prompt,
            tokens: self.tokens,
            answer: None,
            captured_id: self.captured_id,
            captured_text: &self.captured_text,
        }
    }
}
