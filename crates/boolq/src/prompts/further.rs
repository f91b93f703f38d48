//! Further columns of the data in a prompts file: `data.NAME` for a column `NAME`.

use super::column;
use crate::columns::DataColumns;
use crate::dataset::{Table, plain};
use crate::error::{Result, quoted};
use polars::prelude::Column as Series;
use std::collections::HashMap;
use std::sync::Arc;

/// What the names of these columns begin with.
pub const DATA: &str = "data.";

/// The columns of all rows, a cell without a value where a row has none.
pub(super) fn to_series<'a>(rows: impl ExactSizeIterator<Item = &'a DataColumns>) -> Vec<Series> {
    let height = rows.len();
    let mut names: Vec<&str> = Vec::new();
    let mut cells: HashMap<&str, Vec<Option<&str>>> = HashMap::new();
    for (row, columns) in rows.enumerate() {
        for name in columns.names() {
            let cells = cells.entry(name).or_insert_with(|| {
                names.push(name);
                Vec::with_capacity(height)
            });
            // Twice, if a row has two columns of one name: the first counts.
            if cells.len() <= row {
                cells.resize(row, None);
                cells.push(columns.get(name));
            }
        }
    }
    let series = |name: &str| {
        let mut cells = cells.remove(name).unwrap_or_default();
        cells.resize(height, None);
        Series::new(format!("{DATA}{name}").into(), cells)
    };
    names.into_iter().map(series).collect()
}

/// The columns of each row of a prompts file.
///
/// # Errors
/// A cell that holds a list or an object, in files other than CSV.
pub(super) fn read(table: &Table) -> Result<Vec<DataColumns>> {
    let full: Vec<&String> = table
        .names()
        .iter()
        .filter(|name| name.strip_prefix(DATA).is_some_and(|name| !name.is_empty()))
        .collect();
    let names: Arc<[String]> = full.iter().map(|name| name.split_at(DATA.len()).1.to_owned()).collect();
    let cell = |name: &String, row: usize| {
        plain(table.get(name, row)).map_err(|()| {
            let found = table.get(name, row).map_or_else(String::new, |value| quoted(&value.to_string()));
            let hint = "further columns hold text, numbers, or booleans; remove the column, or write it so";
            table.cell_error(row, &column(name), found, "text, a number, or a boolean", hint)
        })
    };
    (0..table.height())
        .map(|row| {
            let values = full.iter().map(|name| cell(name, row)).collect::<Result<Vec<_>>>()?;
            Ok(DataColumns::of(Arc::clone(&names), values))
        })
        .collect()
}
