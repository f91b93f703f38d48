//! What a writer takes: the states of a batch, and how often batches are made durable.

use std::time::Duration;

use crate::side::{RowKind, SideOf};

/// The states of one batch: the columns in manifest order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BatchStates {
    /// One entry for each column of the manifest.
    pub columns: Vec<ColumnStates>,
}

/// The states of one batch, or of one row, at one column.
///
/// # Shapes
/// Each side is [B, shape…] in C order: the B rows in the order of the plan, each with the column's shape. In a
/// [ragged](crate::Column::is_ragged) column it is [S, shape…], the S tokens of these rows, row after row.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnStates {
    /// Of contrast pairs.
    Pair {
        /// The positive answers' side.
        plus: Vec<f32>,
        /// The negative answers' side.
        minus: Vec<f32>,
    },
    /// Of single statements.
    Single {
        /// Their only side.
        statement: Vec<f32>,
    },
}

impl ColumnStates {
    /// The states of rows of a kind, side after side.
    ///
    /// # Errors
    /// Whatever `side` gives.
    pub fn try_each<E>(
        kind: RowKind,
        mut side: impl FnMut(SideOf) -> std::result::Result<Vec<f32>, E>,
    ) -> std::result::Result<Self, E> {
        Ok(match kind {
            RowKind::Pairs => Self::Pair { plus: side(SideOf::Plus)?, minus: side(SideOf::Minus)? },
            RowKind::Statements => Self::Single { statement: side(SideOf::Statement)? },
        })
    }

    /// What they are states of.
    pub fn kind(&self) -> RowKind {
        match self {
            Self::Pair { .. } => RowKind::Pairs,
            Self::Single { .. } => RowKind::Statements,
        }
    }

    /// Every side's states, in the order of [`RowKind::sides`].
    pub fn sides(&self) -> impl Iterator<Item = (SideOf, &[f32])> {
        let sides: Vec<&[f32]> = match self {
            Self::Pair { plus, minus } => vec![plus, minus],
            Self::Single { statement } => vec![statement],
        };
        self.kind().sides().iter().copied().zip(sides)
    }

    /// Appends further rows of the same kind; what is of another kind is given back.
    ///
    /// # Errors
    /// `more`, if it is of another kind.
    pub fn append(&mut self, more: Self) -> std::result::Result<(), Self> {
        match (self, more) {
            (Self::Pair { plus, minus }, Self::Pair { plus: more_plus, minus: more_minus }) => {
                plus.extend(more_plus);
                minus.extend(more_minus);
            }
            (Self::Single { statement }, Self::Single { statement: more }) => statement.extend(more),
            (_, more) => return Err(more),
        }
        Ok(())
    }
}

/// How often committed batches are made durable: whichever limit comes first.
///
/// Only what is lost in a crash depends on it, never a byte of the finished store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The longest a batch waits.
    pub every: Duration,
    /// The most that waits, in bytes.
    pub bytes: u64,
}

impl Default for Pace {
    /// Two seconds, 256 MiB.
    fn default() -> Self {
        Self { every: Duration::from_secs(2), bytes: 256 << 20 }
    }
}
