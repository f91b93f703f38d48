//! How large a file of data may be.

use std::path::Path;

use crate::error::Error;

/// The most columns of a table, and keys of JSON objects: a row is an example.
pub(crate) const MOST_COLUMNS: usize = 10_000;
/// The most values of a table, its cells and what lists hold: about a gigabyte in memory.
pub(crate) const MOST_VALUES: usize = 50_000_000;
/// The most bytes of text in a cell: a hundred times what the longest context takes.
pub(crate) const LONGEST_CELL: usize = 16 << 20;

pub(crate) fn too_many_columns(path: &Path) -> Error {
    Error::TooLarge {
        path: path.to_owned(),
        found: "too many columns".to_owned(),
        limit: format!("{MOST_COLUMNS} columns"),
        hint: "every row is an example, and its columns have the same names in all rows; is the table on its side?",
    }
}

pub(crate) fn too_many_values(path: &Path) -> Error {
    Error::TooLarge {
        path: path.to_owned(),
        found: "too many rows times columns".to_owned(),
        limit: format!("{MOST_VALUES} values"),
        hint: "split the file, or keep the rows and columns that are needed; if it should be small, it is damaged",
    }
}
