//! Columns of texts, of files without a label.

use std::path::Path;

use super::label::existing;
use super::table::{Column, Table};
use crate::error::Result;

/// The texts of some columns of a data file, which needs no label: row by row, in the order of `needed` and then `optional`.
/// A column of `optional` that is not there is `None` in every row. Files are those that [`crate::Dataset::load`] reads; `-`
/// is standard input.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("pairs.jsonl");
/// std::fs::write(&file, r#"{"context": "The sky is", "continuation": " blue"}"#)?;
/// let rows = boolq::texts(&file, &["context", "continuation"], &["id"])?;
/// assert_eq!(rows, [[Some("The sky is".to_owned()), Some(" blue".to_owned()), None]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What is no table, damaged, or too large; a column of `needed` that is not there or lacks a value (an empty text is one);
/// lists and other values that are no text.
pub fn texts(path: impl AsRef<Path>, needed: &[&str], optional: &[&str]) -> Result<Vec<Vec<Option<String>>>> {
    let table = Table::open(path.as_ref())?;
    let there = needed.iter().map(|name| existing(&table, name, "texts")).collect::<Result<Vec<_>>>()?;
    let perhaps = optional.iter().map(|name| table.first_of(&[name]));
    let columns: Vec<Option<Column>> = there.into_iter().map(Some).chain(perhaps).collect();
    let row = |row| {
        let cell = |(at, column): (usize, &Option<Column>)| {
            let Some(column) = column else { return Ok(None) };
            let cell = table.cell(column, row)?;
            if at < needed.len() && cell.is_none() {
                let hint = "fill the cell or remove the row; an empty text is a text";
                return Err(table.cell_error(row, column, "nothing".to_owned(), "text", hint));
            }
            Ok(cell)
        };
        columns.iter().enumerate().map(cell).collect()
    };
    (0..table.height()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn columns_are_read_by_name_and_missing_ones_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let of = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs_err::write(&path, text).expect("writable");
            texts(path, &["a", "b"], &["id"])
        };
        let some = |text: &str| Some(text.to_owned());
        let expected = [[some("x "), some(""), some("7")], [some("y\nz"), some("1"), None]];
        let json = "{\"id\":7,\"b\":\"\",\"a\":\"x \"}\n{\"a\":\"y\\nz\",\"b\":1}\n";
        assert_eq!(of("t.jsonl", json).expect("rows"), expected);
        assert_eq!(of("t.csv", "b,a\n,x \n1,\"y\nz\"\n").expect("rows")[1], [some("y\nz"), some("1"), None]);
        let error = of("t.csv", "a,B\n1,2\n").expect_err("no b");
        assert!(matches!(&error, Error::NoColumn { suggestion: Some(near), .. } if near == "B"), "{error}");
        let error = of("t.jsonl", "{\"a\":\"x\",\"b\":null}\n").expect_err("no value");
        assert!(error.to_string().contains("row 0"), "{error}");
        assert!(of("t.jsonl", "{\"a\":[1],\"b\":1}\n").is_err());
    }
}
