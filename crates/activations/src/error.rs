//! Everything that can go wrong with a store, each with the thing at fault.
//!
//! Long because it is one list.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::differences::Differences;
use crate::side::{RowKind, SideOf};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with a store.
///
/// Every message names the file, row, or column at fault; [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused; the message names the path.
    // Not a `source`: the message already contains all of it.
    #[error("{0}")]
    Io(io::Error),

    /// More open files than the process may have: a store that is being written keeps every column open.
    #[error(
        "cannot open {path}: the store needs {files} open files at once, more than this process may have"
    )]
    TooManyFiles {
        /// The file that could not be opened.
        path: PathBuf,
        /// How many files the store keeps open.
        files: usize,
    },

    /// No room for a file, found before the first row is written.
    #[error("no room for {path}: it needs {bytes} bytes, the whole store {total}")]
    DiskFull {
        /// The file that did not fit.
        path: PathBuf,
        /// Its length in bytes.
        bytes: u64,
        /// The length of all arrays of the store together, in bytes.
        total: u64,
    },

    /// The folder holds no store, or only a half-created one.
    #[error("no store in {dir}: {what}")]
    NotAStore {
        /// The folder.
        dir: PathBuf,
        /// What is missing.
        what: String,
    },

    /// A new store was asked for in a folder that holds something else.
    #[error("{dir} is not empty and holds no store: it contains {example:?}")]
    ForeignFiles {
        /// The folder.
        dir: PathBuf,
        /// One of the entries that are not ours.
        example: String,
    },

    /// Another process is writing this store.
    #[error("the store {dir} is being written by another process")]
    Locked {
        /// The store.
        dir: PathBuf,
    },

    /// The store in the folder was begun with other settings.
    #[error("the store {dir} was begun with other settings (stored → asked for):\n{differences}")]
    Different {
        /// The store.
        dir: PathBuf,
        /// What differs.
        differences: Differences,
    },

    /// Not every row is there yet.
    #[error("the store {dir} is not finished: {done} of {rows} rows are there{}", if done == rows { ", but not all files have their final names" } else { "" })]
    Incomplete {
        /// The store.
        dir: PathBuf,
        /// Rows that are durable.
        done: usize,
        /// Rows in all.
        rows: usize,
    },

    /// The manifest breaks a rule of the format.
    #[error("{path}: {what}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The rule it breaks.
        what: String,
    },

    /// Written by another version of the format.
    #[error("{path} has schema {found}, and this version reads schema {supported}")]
    Schema {
        /// The manifest.
        path: PathBuf,
        /// Its schema.
        found: String,
        /// The schema of this build.
        supported: u32,
    },

    /// Something other than a regular file has the name of a file of the store.
    #[error("{path} is {what}, and a store is made of files")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },

    /// A file is longer than it may be.
    #[error("{path} has more than {limit} bytes, the most that such a file may have")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most bytes it may have.
        limit: u64,
    },

    /// There is not enough memory for what was asked for.
    #[error("no memory for {bytes} bytes of {path}")]
    Memory {
        /// The file.
        path: PathBuf,
        /// Bytes that were asked for.
        bytes: u64,
    },

    /// Values differ from the journal's checksums.
    #[error("{path}: the values of batch {batch} (rows {}) are not those that were written{}", listed(rows), match others { 0 => String::new(), 1 => ", nor are those of another batch".to_owned(), n => format!(", nor are those of {n} other batches") })]
    Damaged {
        /// The array.
        path: PathBuf,
        /// The first batch that is damaged.
        batch: usize,
        /// Its rows.
        rows: Vec<usize>,
        /// How many further batches are damaged, among those that were asked for.
        others: usize,
    },

    /// A damaged batch was computed again and came out different.
    #[error(
        "{path}: batch {batch}, whose values are damaged, was computed again, and is not bit for bit what it was"
    )]
    OtherBytes {
        /// The array that came out otherwise.
        path: PathBuf,
        /// The batch.
        batch: usize,
    },

    /// The given rows contain more text than a reader would accept.
    #[error("the rows cannot be kept: {what}")]
    RowText {
        /// What would be refused.
        what: String,
    },

    /// A row does not say where its answer is, or its prompt has no tokens.
    #[error("row {row} (idx {idx}), {side}: {what}")]
    PromptTokens {
        /// The row.
        row: usize,
        /// Its `idx`.
        idx: u64,
        /// Its side.
        side: SideOf,
        /// What is wrong.
        what: String,
    },

    /// A row is of another kind than the store.
    #[error("row {row} (idx {idx}) is one of {found}, and the manifest is of {expected}")]
    RowKind {
        /// The row.
        row: usize,
        /// Its `idx`.
        idx: u64,
        /// What the manifest says.
        expected: RowKind,
        /// What the row is.
        found: RowKind,
    },

    /// The given rows do not fit the given manifest.
    #[error("{what}")]
    RowCount {
        /// The two numbers.
        what: String,
    },

    /// The ids of tokens that a writer was given are not those of its rows.
    #[error("{what}")]
    TokenIds {
        /// What is wrong.
        what: String,
    },

    /// A file of offsets or ids is not the one that the manifest names.
    #[error("{path}: {what}")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },

    /// A column of all tokens was to be read as one with a state for each row.
    #[error("{column} has a state for every token, not one for each row")]
    Ragged {
        /// The column.
        column: String,
    },

    /// A column with a state for each row was to be read as one of all tokens.
    #[error("{column} has one state for each row, not one for every token")]
    NotRagged {
        /// The column.
        column: String,
    },

    /// `rows.parquet` cannot be read or is not the one the store was begun with.
    #[error("{path}: {what}")]
    Rows {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },

    /// The journal is damaged before its last record, or does not belong to the manifest.
    #[error("{path}, line {line}: {what}")]
    Journal {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },

    /// An array does not have the header the manifest asks for.
    #[error(
        "{path}: the .npy header does not fit the manifest\n  expected {expected:?}\n  found    {found:?}"
    )]
    Header {
        /// The array.
        path: PathBuf,
        /// The header it must have.
        expected: String,
        /// The header it has, shortened.
        found: String,
    },

    /// An array does not have the length its header promises.
    #[error("{path} has {found} bytes instead of {expected}")]
    Length {
        /// The array.
        path: PathBuf,
        /// Bytes it must have.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },

    /// A file of the store is missing.
    #[error("{path} is missing")]
    Missing {
        /// The file.
        path: PathBuf,
    },

    /// An array exists twice, finished and unfinished.
    #[error("{path} and {partial} are both there")]
    BothNames {
        /// The finished array.
        path: PathBuf,
        /// The unfinished one.
        partial: PathBuf,
    },

    /// Stores that are not the parts of one plan.
    #[error("{dir} cannot be merged: {what}")]
    Parts {
        /// The store that does not fit.
        dir: PathBuf,
        /// Why.
        what: String,
    },

    /// Batches are committed in the order of [`StoreWriter::remaining`](crate::StoreWriter::remaining).
    #[error("batch {batch} was committed where {} is next", match expected { Some(batch) => format!("batch {batch}"), None => "none".to_owned() })]
    BatchOrder {
        /// The batch given.
        batch: usize,
        /// The next in order, if any remains.
        expected: Option<usize>,
    },

    /// A batch holds another number of columns than the manifest.
    #[error("batch {batch} has states for {found} columns, the manifest has {expected}")]
    BatchColumns {
        /// The batch.
        batch: usize,
        /// Columns of the manifest.
        expected: usize,
        /// Columns given.
        found: usize,
    },

    /// A column of a batch is of another kind than the store.
    #[error("batch {batch}, {column}: the states are of {found}, the store is of {expected}")]
    BatchKind {
        /// The batch.
        batch: usize,
        /// The column.
        column: String,
        /// What the manifest says.
        expected: RowKind,
        /// What the states are of.
        found: RowKind,
    },

    /// A column of a batch has the wrong number of values.
    #[error(
        "batch {batch}, {column}, {side}: {found} values instead of {expected} (rows of the batch × values per row)"
    )]
    BatchLength {
        /// The batch.
        batch: usize,
        /// The column.
        column: String,
        /// The side.
        side: SideOf,
        /// Values it must have.
        expected: usize,
        /// Values it has.
        found: usize,
    },

    /// A hidden state is NaN or infinite.
    #[error(
        "row {row} (idx {idx}), {hook}, {side}: the model gave {value} at position {position} of the row; nothing of this batch has been written"
    )]
    NonFinite {
        /// The row.
        row: usize,
        /// Its `idx`.
        idx: u64,
        /// The column.
        hook: String,
        /// The side.
        side: SideOf,
        /// Which value of the row, in C order.
        position: usize,
        /// The value.
        value: f32,
    },

    /// A finite value does not fit into half precision.
    #[error(
        "row {row} (idx {idx}), {hook}, {side}: {value} at position {position} of the row is beyond half precision (65504); nothing of this batch has been written"
    )]
    Overflow {
        /// The row.
        row: usize,
        /// Its `idx`.
        idx: u64,
        /// The column.
        hook: String,
        /// The side.
        side: SideOf,
        /// Which value of the row, in C order.
        position: usize,
        /// The value.
        value: f32,
    },

    /// `finish` was called before every batch was committed.
    #[error("{remaining} batches have not been committed")]
    Unfinished {
        /// How many batches are missing.
        remaining: usize,
    },

    /// The writer thread stopped at an earlier error.
    #[error("the writer has stopped at an earlier error")]
    Stopped,

    /// The store has no such layer under that token rule.
    #[error("no layer {layer} under the token rule {tokens:?} in the store; it has {known}")]
    UnknownLayer {
        /// The layer asked for.
        layer: usize,
        /// The token rule asked for.
        tokens: String,
        /// The layers there are under that rule, or the rules there are.
        known: String,
    },

    /// The store has no such column.
    #[error("no column {name:?} in the store{}; it has {known}", match nearest { Some(name) => format!(", the nearest is {name:?}"), None => String::new() })]
    UnknownColumn {
        /// The name asked for.
        name: String,
        /// The most similar name, if one is near.
        nearest: Option<String>,
        /// The names there are, shortened.
        known: String,
    },

    /// The rows of the store have no such side.
    #[error("{column} has no {side} side: the store is of {kind}")]
    NoSide {
        /// The column.
        column: String,
        /// The side asked for.
        side: SideOf,
        /// What the rows are.
        kind: RowKind,
    },

    /// Rows beyond the end of the store.
    #[error("rows {}..{} were asked for, the store has {rows}", range.start, range.end)]
    RowRange {
        /// The rows asked for.
        range: Range<usize>,
        /// The rows there are.
        rows: usize,
    },

    /// The store cannot be exported in this layout.
    #[error("cannot export to {dir}: {what}")]
    Export {
        /// The folder asked for.
        dir: PathBuf,
        /// What stands in the way.
        what: String,
    },
}

/// The first rows of a list.
pub(crate) fn listed(rows: &[usize]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<String> = rows.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if rows.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

impl Error {
    /// An error of the operating system that does not name its path yet.
    pub(crate) fn at(path: &Path, error: &io::Error) -> Self {
        Self::Io(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
