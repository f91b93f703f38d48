//! JSON as rows: an object a line, an array of objects, objects one after the other over several lines, or one object
//! of columns.

mod columns;
mod values;

use super::limits::{LONGEST_CELL, too_many_columns, too_many_values};
use crate::error::{Error, Result};
use columns::columns;
use minijinja::Value;
use serde::de::DeserializeSeed as _;
use std::path::Path;
use values::{ArraySeed, NOT_AN_OBJECT, Names, Refused, RowSeed};

/// The cells of a row: the column by its number, and the value.
pub(super) type Row = Vec<(usize, Value)>;

/// Rows of the cells that they have.
#[derive(Debug, Default)]
pub(super) struct Json {
    /// In the order in which they first occur.
    pub(super) names: Vec<String>,
    /// Each row's cells in the order of the names.
    pub(super) rows: Vec<Row>,
}

/// Reads JSON in any of its forms.
///
/// # Errors
/// What is no JSON, or not rows, with its line; too many columns or values, too long texts.
pub(super) fn read(path: &Path, text: &str) -> Result<Json> {
    let text = text.trim_end();
    if text.is_empty() {
        return Err(Error::NoRows { path: path.to_owned() });
    }
    let mut reader = Reader { path, names: Names::default() };
    let rows = match text.trim_start().as_bytes().first() {
        Some(b'[') => reader.array(text)?,
        Some(b'{') if first_line_is_whole(text) => reader.lines(text)?,
        Some(b'{') => reader.values(text)?,
        _ => {
            let hint = "a file of JSON begins with { or [; is it CSV? Then name it .csv";
            return Err(line_error(path, 1, "no JSON object".to_owned(), hint));
        }
    };
    let json = Json { names: reader.names.in_order, rows };
    match json.rows.as_slice() {
        [only] => columns(path, &json.names, only).map(|columns| columns.unwrap_or(json)),
        _ => Ok(json),
    }
}

fn first_line_is_whole(text: &str) -> bool {
    let line = text.lines().next().unwrap_or_default();
    serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok()
}

struct Reader<'a> {
    path: &'a Path,
    names: Names,
}

impl Reader<'_> {
    fn lines(&mut self, text: &str) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                let hint = "remove blank lines; only those at the end are ignored";
                return Err(line_error(self.path, at + 1, "blank".to_owned(), hint));
            }
            let mut json = serde_json::Deserializer::from_str(line);
            let row =
                RowSeed(&mut self.names).deserialize(&mut json).and_then(|row| json.end().map(|()| row));
            rows.push(row.map_err(|e| self.error(&e, line, at))?);
        }
        Ok(rows)
    }

    fn values(&mut self, text: &str) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut json = serde_json::Deserializer::from_str(text);
        while json.end().is_err() {
            let row = RowSeed(&mut self.names).deserialize(&mut json);
            rows.push(row.map_err(|e| self.error(&e, text, 0))?);
        }
        Ok(rows)
    }

    fn array(&mut self, text: &str) -> Result<Vec<Row>> {
        let mut json = serde_json::Deserializer::from_str(text);
        let rows =
            ArraySeed(&mut self.names).deserialize(&mut json).and_then(|rows| json.end().map(|()| rows));
        rows.map_err(|e| self.error(&e, text, 0))
    }

    /// The error of `text`, which begins `before` lines after the file.
    fn error(&self, error: &serde_json::Error, text: &str, before: usize) -> Error {
        match &self.names.refused {
            Some(Refused::Columns) => return too_many_columns(self.path),
            Some(Refused::Values) => return too_many_values(self.path),
            Some(Refused::Cell(bytes)) => {
                return Error::TooLarge {
                    path: self.path.to_owned(),
                    found: format!("{bytes} bytes in a text of line {}", before + error.line()),
                    limit: format!("{LONGEST_CELL} bytes in a cell"),
                    hint: "is this a file of examples?",
                };
            }
            None => {}
        }
        let position = format!(" at line {} column {}", error.line(), error.column());
        let message = error.to_string();
        let message = message.strip_suffix(&position).unwrap_or(&message);
        let reason = format!("{message}, at column {}", error.column());
        let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
        line_error(self.path, before + error.line().max(1), reason, hint(message, line))
    }
}

fn hint(message: &str, line: &str) -> &'static str {
    if message.starts_with("recursion limit") {
        "values are read to a depth of 127: flatten what is nested deeper"
    } else if message.starts_with(NOT_AN_OBJECT) {
        "every row is one {…} object with its columns"
    } else if line.contains("NaN") || line.contains("Infinity") {
        "NaN and Infinity are no JSON: write null"
    } else if line.contains("{'") || line.contains("': ") {
        "JSON has double quotes: write Python's objects with `json.dumps`, not with `str`"
    } else {
        "every row must be one complete JSON object, on its own line or in an array"
    }
}

fn line_error(path: &Path, line: usize, reason: String, hint: &'static str) -> Error {
    Error::Line { path: path.to_owned(), line, reason, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Json> {
        read(Path::new("a.json"), text)
    }

    fn shown(text: &str) -> Vec<String> {
        let json = of(text).expect(text);
        let cell = |(at, value): &(usize, Value)| format!("{}={value:?}", json.names[*at]);
        json.rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn all_forms_are_the_same_rows() {
        let rows = ["b='x' a=1", "b='y' a=0"];
        for text in [
            "{\"b\":\"x\",\"a\":1}\n{\"b\":\"y\",\"a\":0}\n",
            "{\"b\":\"x\",\"a\":1}\r\n{\"a\":0,\"b\":\"y\"}\r\n\r\n",
            "[{\"b\":\"x\",\"a\":1},\n{\"b\":\"y\",\"a\":0}]\n",
            "{\n \"b\": \"x\",\n \"a\": 1\n}\n{\n \"b\": \"y\",\n \"a\": 0\n}\n",
            "{\"b\": [\"x\", \"y\"], \"a\": [1, 0]}",
            "{\"0\": {\"b\": \"x\", \"a\": 1}, \"1\": {\"a\": 0, \"b\": \"y\"}}",
            "{\n\"b\": {\"0\": \"x\", \"1\": \"y\"}, \"a\": {\"0\": 1, \"1\": 0}}",
        ] {
            assert_eq!(shown(text), rows, "{text}");
        }
        assert_eq!(shown("{\"a\":1,\"b\":2,\"a\":3}"), ["a=3 b=2"], "the last of two counts");
        assert_eq!(shown("{\"a\":[1],\"b\":2}"), ["a=[1] b=2"], "a row with a list");
        assert_eq!(shown("{\"a\":{\"z\":1,\"b\":[null,2.5]},\"c\":1}").len(), 1);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text: &str| of(text).expect_err(text).with_hint();
        assert!(said("{\"a\":NaN}").contains("write null"));
        assert!(said("{'a': 1}").contains("json.dumps"));
        assert!(said("{\"data\": [{\"a\": 1}], \"version\": \"1\"}").contains("jq -c '.data[]' FILE"));
        assert!(said("{\"data\": [{\"a\": 1}]}").contains("holds 1 rows"));
        assert!(said("a,b\n1,2\n").contains("name it .csv"));
        assert!(said("[[1, 2], [3, 4]]").contains("not an object"));
        assert!(said("[{\"a\":1}\n,{\"a\":}]").contains("line 2"));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(said(&deep).contains("depth of 127"), "{}", said(&deep));
    }

    #[test]
    fn columns_are_bounded() {
        let rows = |rows: usize, keys: usize| -> String {
            let row = |row| {
                let cells: Vec<String> = (0..keys).map(|key| format!("\"k{row}_{key}\":1")).collect();
                format!("{{{}}}\n", cells.join(","))
            };
            (0..rows).map(row).collect()
        };
        let many = of(&rows(4000, 50)).expect_err("too many").with_hint();
        assert!(many.contains("10000 columns"), "{many}");
        assert_eq!(of(&rows(190, 50)).expect("readable").names.len(), 9500);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(LONGEST_CELL + 1));
        assert!(matches!(of(&long), Err(Error::TooLarge { .. })));
    }
}
