//! Reading a column with a state for every token.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::column_reader::{ColumnReader, Mapped};
use crate::error::{Error, Result};
use crate::manifest::{Column, StoreDtype};
use crate::side::{RowKind, SideOf};
use crate::tokens;

/// Reads one column of all tokens; all sides of it. What it gives has been compared: states with the journal, offsets and
/// ids with the manifest.
#[derive(Debug, Clone)]
pub struct TokenReader {
    column: ColumnReader,
    /// Each side's ids, once they have been read.
    ids: Arc<[OnceLock<Vec<u32>>; 2]>,
}

/// The tokens of some rows on one side, with their states.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenStates {
    /// Where each row's tokens begin among these, and where the last row's end: from 0 to S, one more than rows.
    pub offsets: Vec<usize>,
    /// The tokens' ids. \[S\]
    pub ids: Vec<u32>,
    /// The tokens' states, widened to f32. \[S, shape…\] in C order
    pub states: Vec<f32>,
}

impl TokenStates {
    /// How many rows they are of.
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The states of one row's tokens, by its place among these rows; none beyond the end.
    ///
    /// # Shapes
    /// \[T, shape…\] in C order
    pub fn row(&self, row: usize) -> Option<&[f32]> {
        let len = self.states.len().checked_div(self.ids.len())?;
        let (start, end) = (self.offsets.get(row)?, self.offsets.get(row + 1)?);
        self.states.get(start * len..end * len)
    }
}

impl TokenReader {
    pub(crate) fn new(column: ColumnReader) -> Self {
        Self { column, ids: Arc::default() }
    }

    /// The column.
    pub fn column(&self) -> &Column {
        self.column.column()
    }

    /// What the values are kept in.
    pub fn dtype(&self) -> StoreDtype {
        self.column.dtype()
    }

    /// What a row is, and so which sides there are to read.
    pub fn kind(&self) -> RowKind {
        self.column.kind()
    }

    /// Rows of the store, N.
    pub fn rows(&self) -> usize {
        self.column.rows()
    }

    /// Numbers per token, D.
    pub fn token_len(&self) -> usize {
        self.column.row_len()
    }

    /// Where a side's array is.
    ///
    /// # Errors
    /// [`Error::NoSide`] where the rows have no such side.
    pub fn path(&self, side: SideOf) -> Result<PathBuf> {
        self.column.path(side)
    }

    /// Where each row's tokens begin on a side, and where the last row's end: row i has those from `offsets[i]` to
    /// `offsets[i + 1]`, exclusive.
    ///
    /// # Shapes
    /// \[N + 1\], from 0 to M, the number of tokens
    ///
    /// # Errors
    /// [`Error::NoSide`] where the rows have no such side.
    pub fn offsets(&self, side: SideOf) -> Result<Vec<usize>> {
        let geometry = self.column.geometry(side)?;
        Ok((0..self.rows())
            .map(|row| geometry.items(row..row + 1).start)
            .chain([self.count(side)?])
            .collect())
    }

    /// How many tokens all prompts of a side have: M.
    ///
    /// # Errors
    /// [`Error::NoSide`] where the rows have no such side.
    pub fn count(&self, side: SideOf) -> Result<usize> {
        Ok(self.column.geometry(side)?.items(0..self.rows()).len())
    }

    /// The ids of all tokens of a side; read from disk once.
    ///
    /// # Shapes
    /// \[M\]
    ///
    /// # Errors
    /// [`Error::NoSide`], and [`Error::TokenFile`] where the file is not the one that was written.
    pub fn ids(&self, side: SideOf) -> Result<&[u32]> {
        let number = self.column.position(side)?;
        let Some(cell) = self.ids.get(number) else { return Ok(&[]) };
        if let Some(ids) = cell.get() {
            return Ok(ids);
        }
        let no_record = || Error::NotRagged { column: self.column().name() };
        let record = self.column.manifest.tokens.iter().flatten().nth(number).ok_or_else(no_record)?;
        let ids = tokens::read_ids(&self.column.files.ids(side), record)?;
        Ok(cell.get_or_init(|| ids))
    }

    /// Every row's tokens on a side.
    ///
    /// # Errors
    /// As [`TokenReader::read_rows`].
    pub fn read(&self, side: SideOf) -> Result<TokenStates> {
        self.read_rows(side, 0..self.rows())
    }

    /// The tokens of some rows on a side. Of the array, those batches are read that have any of these rows: a batch is what
    /// is checked.
    ///
    /// # Errors
    /// [`Error::NoSide`]; [`Error::RowRange`] beyond the end; [`Error::Damaged`] and [`Error::TokenFile`] where a file
    /// is not the one that was written.
    pub fn read_rows(&self, side: SideOf, rows: Range<usize>) -> Result<TokenStates> {
        let states = self.column.read_rows(side, rows.clone())?;
        let geometry = self.column.geometry(side)?;
        let items = geometry.items(rows.clone());
        let starts = rows.map(|row| geometry.items(row..row + 1).start - items.start);
        let offsets = starts.chain([items.len()]).collect();
        let ids = self.ids(side)?.get(items).unwrap_or_default().to_vec();
        Ok(TokenStates { offsets, ids, states })
    }

    /// The array of a side in memory without copying it, as [`ColumnReader::map`]; its values are \[M, D\] in C order.
    ///
    /// # Errors
    /// As [`ColumnReader::map`].
    pub fn map(&self, side: SideOf) -> Result<Mapped> {
        self.column.map(side)
    }
}
