//! A file as named columns of text: what JSONL, CSV and Parquet have in common.
//!
//! CSV and Parquet are read with polars. JSON lines are parsed one by one: polars' NDJSON reader skips what it does
//! not like or refuses the file without naming the line, and a lost line would shift every `idx` after it.

use crate::error::{Error, Result, quoted};
use minijinja::Value as Cell;
use polars::prelude::{
    ArrowDataType, CsvReadOptions, DataFrame, DataType, ParquetReader, PolarsError, SerReader, StringChunked,
};
use serde_json::{Map, Value};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// The formats a data file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Jsonl,
    Csv,
    Parquet,
}

impl Format {
    /// From the extension, else from the contents.
    pub(crate) fn of(path: &Path, bytes: &[u8]) -> Result<Self> {
        let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        match extension.as_deref() {
            Some("jsonl" | "ndjson" | "json") => Ok(Self::Jsonl),
            Some("csv") => Ok(Self::Csv),
            Some("parquet" | "pq") => Ok(Self::Parquet),
            _ => Self::of_contents(bytes).ok_or_else(|| Error::UnknownFormat { path: path.to_owned() }),
        }
    }

    fn of_contents(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"PAR1") {
            return Some(Self::Parquet);
        }
        let head = String::from_utf8_lossy(bytes.get(..bytes.len().min(4096))?);
        let head = head.trim_start_matches(BOM).trim_start();
        let first_line = head.lines().next()?;
        match first_line {
            line if line.starts_with('{') => Some(Self::Jsonl),
            line if line.contains(',') && !line.contains('\0') => Some(Self::Csv),
            _ => None,
        }
    }
}

const BOM: char = '\u{feff}';

/// The rows of a file, its columns turned into text when they are asked for.
#[derive(Debug)]
pub(crate) struct Table {
    path: PathBuf,
    /// The columns' names: in the file's order for CSV and Parquet, sorted for JSONL, whose objects have no order.
    names: Vec<String>,
    rows: Rows,
}

#[derive(Debug)]
enum Rows {
    Objects(Vec<Map<String, Value>>),
    Frame(DataFrame),
}

impl Table {
    /// Parses the contents of the file at `path`. Of Parquet only the columns that `wanted` names are read.
    pub(crate) fn parse(
        path: &Path,
        bytes: &[u8],
        format: Format,
        wanted: &dyn Fn(&str, Plain) -> bool,
    ) -> Result<Self> {
        let table = match format {
            Format::Jsonl => Self::jsonl(path, bytes)?,
            Format::Csv => Self::csv(path, bytes)?,
            Format::Parquet => Self::parquet(path, bytes, wanted)
                .map_err(|e| unreadable(path, "Parquet", &e, "was the file written completely?"))?,
        };
        if table.height() == 0 { Err(Error::NoRows { path: path.to_owned() }) } else { Ok(table) }
    }

    fn jsonl(path: &Path, bytes: &[u8]) -> Result<Self> {
        let text = utf8(path, bytes)?.trim_end();
        let mut objects = Vec::new();
        for (i, line) in text.lines().enumerate() {
            objects.push(json_object(line).map_err(|(reason, hint)| Error::Line {
                path: path.to_owned(),
                line: i + 1,
                reason,
                hint,
            })?);
        }
        let mut names: Vec<String> = objects.iter().flat_map(Map::keys).cloned().collect();
        names.sort_unstable();
        names.dedup();
        Ok(Self { path: path.to_owned(), names, rows: Rows::Objects(objects) })
    }

    fn csv(path: &Path, bytes: &[u8]) -> Result<Self> {
        let text = utf8(path, bytes)?;
        if text.trim().is_empty() {
            return Err(Error::NoRows { path: path.to_owned() });
        }
        // Inferring from 0 rows makes every column text, and an empty cell is empty text: nothing is guessed.
        let frame = CsvReadOptions::default()
            .with_infer_schema_length(Some(0))
            .map_parse_options(|o| o.with_missing_is_null(false))
            .into_reader_with_file_handle(Cursor::new(without_blank_end(text).as_bytes()))
            .finish()
            .map_err(|e| unreadable(path, "CSV", &e, "quote cells that hold commas, quotes or newlines"))?;
        let names = frame.get_column_names().into_iter().map(ToString::to_string).collect();
        Ok(Self { path: path.to_owned(), names, rows: Rows::Frame(frame) })
    }

    /// Reads the columns that may be needed: others may have types this build of polars does not read.
    fn parquet(path: &Path, bytes: &[u8], wanted: &dyn Fn(&str, Plain) -> bool) -> Result<Self, PolarsError> {
        let mut reader = ParquetReader::new(Cursor::new(bytes));
        let schema = reader.schema()?;
        let names = schema.iter_names().map(ToString::to_string).collect();
        let wanted = schema
            .iter()
            .filter(|(name, field)| wanted(name.as_str(), Plain(plain_in_parquet(&field.dtype))))
            .map(|(name, _)| name.to_string())
            .collect();
        let frame = reader.with_columns(Some(wanted)).finish()?;
        Ok(Self { path: path.to_owned(), names, rows: Rows::Frame(frame) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }

    pub(crate) fn height(&self) -> usize {
        match &self.rows {
            Rows::Objects(objects) => objects.len(),
            Rows::Frame(frame) => frame.height(),
        }
    }

    /// The first of `names` that is a column.
    pub(crate) fn first_of(&self, names: &[&str]) -> Option<Column> {
        names.iter().find(|n| self.has(n)).map(|n| Column((*n).to_owned()))
    }

    /// The cells of `column` as text, `None` where there is no value. Booleans are `true` and `false`.
    pub(crate) fn cells(&self, column: &Column) -> Result<Vec<Option<String>>> {
        match &self.rows {
            Rows::Objects(objects) => objects
                .iter()
                .enumerate()
                .map(|(row, object)| {
                    scalar(object.get(&column.0)).map_err(|found| {
                        self.cell_error(
                            row,
                            column,
                            found,
                            "text, a number or a boolean",
                            "flatten nested values",
                        )
                    })
                })
                .collect(),
            Rows::Frame(frame) => frame_cells(frame, &column.0).map_err(|e| {
                unreadable(&self.path, "table", &e, "write the column as text, numbers or booleans")
            }),
        }
    }

    /// Whether `column` was read and holds text, numbers or booleans and nothing else.
    pub(crate) fn is_plain(&self, column: &Column) -> bool {
        match &self.rows {
            Rows::Objects(objects) => objects
                .iter()
                .all(|object| !matches!(object.get(&column.0), Some(Value::Array(_) | Value::Object(_)))),
            Rows::Frame(frame) => frame.column(&column.0).is_ok_and(|column| {
                let dtype = column.dtype();
                dtype.is_bool() || dtype.is_primitive_numeric() || dtype.is_string()
            }),
        }
    }

    /// Whether `column` holds lists or dictionaries that can be read.
    pub(crate) fn is_nested(&self, column: &Column) -> bool {
        matches!(self.rows, Rows::Objects(_)) && !self.is_plain(column)
    }

    /// The cells of a plain `column` as templates see them, with their own types; undefined where there is nothing,
    /// or white space alone.
    pub(crate) fn values(&self, column: &Column) -> Result<Vec<Cell>> {
        match &self.rows {
            Rows::Objects(objects) => {
                Ok(objects.iter().map(|object| json_cell(object.get(&column.0))).collect())
            }
            Rows::Frame(frame) => frame_values(frame, &column.0).map_err(|e| {
                unreadable(&self.path, "table", &e, "write the column as text, numbers or booleans")
            }),
        }
    }

    /// The error for a cell of this table.
    pub(crate) fn cell_error(
        &self,
        row: usize,
        column: &Column,
        found: String,
        expected: &'static str,
        hint: &'static str,
    ) -> Error {
        Error::Cell {
            path: self.path.clone(),
            row: row as u64,
            column: column.0.clone(),
            found,
            expected,
            hint,
        }
    }

    /// The cells of `column`, each of which must hold text.
    pub(crate) fn texts(&self, column: &Column) -> Result<Vec<String>> {
        self.cells(column)?
            .into_iter()
            .enumerate()
            .map(|(row, cell)| match cell {
                Some(text) if !text.trim().is_empty() => Ok(text),
                Some(_) => Err(self.cell_error(row, column, "empty text".into(), "text", FILL)),
                None => Err(self.cell_error(row, column, "nothing".into(), "text", FILL)),
            })
            .collect()
    }

    /// The cells of `column` as booleans: true/false, yes/no (in any case) and 1/0.
    pub(crate) fn booleans(&self, column: &Column) -> Result<Vec<bool>> {
        self.cells(column)?
            .into_iter()
            .enumerate()
            .map(|(row, cell)| {
                let found = match &cell {
                    Some(text) => match boolean(text) {
                        Some(value) => return Ok(value),
                        None => quoted(text),
                    },
                    None => "nothing".to_owned(),
                };
                Err(self.cell_error(row, column, found, "a boolean", "write true/false, yes/no or 1/0"))
            })
            .collect()
    }
}

const FILL: &str = "fill the cell or remove the row";

/// Whether a column holds text, numbers or booleans, as far as its file says before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plain(pub(crate) bool);

/// The name of a column that its table has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column(pub(crate) String);

/// `1.0` and `0.0` are what pandas makes of 1 and 0 in a column that once held a missing value.
fn boolean(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" | "1.0" => Some(true),
        "false" | "no" | "0" | "0.0" => Some(false),
        _ => None,
    }
}

fn json_object(line: &str) -> Result<Map<String, Value>, (String, &'static str)> {
    if line.trim().is_empty() {
        return Err(("blank".to_owned(), "remove blank lines; only those at the end are ignored"));
    }
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err((
            "a JSON value that is not an object".to_owned(),
            "every line is one {…} object with a question",
        )),
        Err(e) if line.trim_start().starts_with('[') && e.is_eof() => {
            Err(("a JSON array over several lines".to_owned(), "write one object a line: `jq -c '.[]' FILE`"))
        }
        Err(e) => {
            // serde_json counts lines too, but sees only this one.
            let place = format!(" at line {} column {}", e.line(), e.column());
            let message = e.to_string();
            let message = message.strip_suffix(&place).unwrap_or(&message);
            Err((
                format!("{message}, at column {}", e.column()),
                "every line must be one complete JSON object",
            ))
        }
    }
}

/// A JSON value as a cell; the error says what was found instead of a scalar.
fn scalar(value: Option<&Value>) -> Result<Option<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Bool(b)) => Ok(Some(b.to_string())),
        Some(Value::Number(n)) => Ok(Some(n.to_string())),
        Some(nested @ (Value::Array(_) | Value::Object(_))) => Err(quoted(&nested.to_string())),
    }
}

fn frame_cells(frame: &DataFrame, name: &str) -> Result<Vec<Option<String>>, PolarsError> {
    let column = frame.column(name)?.strict_cast(&DataType::String)?;
    let text: &StringChunked = column.str()?;
    Ok(text.iter().map(|cell| cell.map(str::to_owned)).collect())
}

/// What this build of polars reads; its other types need features that nothing else here uses.
fn plain_in_parquet(dtype: &ArrowDataType) -> bool {
    use ArrowDataType as T;
    matches!(
        dtype,
        T::Boolean
            | T::Int32
            | T::Int64
            | T::UInt32
            | T::UInt64
            | T::Float32
            | T::Float64
            | T::Utf8
            | T::LargeUtf8
            | T::Utf8View
    )
}

fn text_cell(text: &str) -> Cell {
    if text.trim().is_empty() { Cell::UNDEFINED } else { Cell::from(text) }
}

fn json_cell(value: Option<&Value>) -> Cell {
    match value {
        Some(Value::String(text)) => text_cell(text),
        Some(Value::Bool(b)) => Cell::from(*b),
        Some(Value::Number(n)) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(whole), ..) => Cell::from(whole),
            (_, Some(whole), _) => Cell::from(whole),
            (.., Some(float)) => Cell::from(float),
            _ => Cell::UNDEFINED,
        },
        Some(Value::Array(items)) => Cell::from(items.iter().map(nested).collect::<Vec<_>>()),
        Some(Value::Object(map)) => {
            Cell::from_pairs(map.iter().map(|(key, value)| (key.as_str(), nested(value))))
        }
        None | Some(Value::Null) => Cell::UNDEFINED,
    }
}

/// A value inside a list or dictionary, where nothing is `None`.
fn nested(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::from(()),
        Value::String(text) => Cell::from(text.as_str()),
        value => json_cell(Some(value)),
    }
}

fn frame_values(frame: &DataFrame, name: &str) -> Result<Vec<Cell>, PolarsError> {
    fn cells<T: Into<Cell>>(values: impl Iterator<Item = Option<T>>) -> Vec<Cell> {
        values.map(|value| value.map_or(Cell::UNDEFINED, Into::into)).collect()
    }
    let column = frame.column(name)?;
    Ok(match column.dtype() {
        DataType::Boolean => cells(column.bool()?.iter()),
        dtype if dtype.is_float() => cells(column.strict_cast(&DataType::Float64)?.f64()?.iter()),
        dtype if dtype.is_unsigned_integer() => cells(column.strict_cast(&DataType::UInt64)?.u64()?.iter()),
        dtype if dtype.is_signed_integer() => cells(column.strict_cast(&DataType::Int64)?.i64()?.iter()),
        _ => cells(column.str()?.iter().map(|text| text.map(text_cell))),
    })
}

/// The bytes as text without a byte order mark; the error names the line that is not UTF-8.
fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str> {
    let text = std::str::from_utf8(bytes).map_err(|e| Error::Line {
        path: path.to_owned(),
        line: 1 + bytes.iter().take(e.valid_up_to()).filter(|b| **b == b'\n').count(),
        reason: "not UTF-8".to_owned(),
        hint: "convert the file: `iconv -t UTF-8`",
    })?;
    Ok(text.strip_prefix(BOM).unwrap_or(text))
}

fn unreadable(path: &Path, format: &'static str, error: &PolarsError, hint: &'static str) -> Error {
    Error::Table { path: path.to_owned(), format, reason: error.to_string(), hint }
}

/// `text` without the blank lines at its end, which are no rows. White space inside a last quoted cell ends in a quote
/// and stays.
fn without_blank_end(text: &str) -> &str {
    let end = text.trim_end().len();
    // Spaces of the last line that holds something belong to its last cell.
    let line = text.get(end..).and_then(|blank| blank.find('\n')).map_or(text.len(), |at| end + at + 1);
    text.get(..line).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(name: &str, bytes: &[u8]) -> Result<Table> {
        let path = Path::new(name);
        Table::parse(path, bytes, Format::of(path, bytes)?, &|_, _| true)
    }

    #[test]
    fn format_from_extension_then_contents() {
        let of = |name: &str, bytes: &[u8]| Format::of(Path::new(name), bytes).ok();
        assert_eq!(of("a.CSV", b"{}"), Some(Format::Csv));
        assert_eq!(of("a", b"\xef\xbb\xbf {\"a\": 1}"), Some(Format::Jsonl));
        assert_eq!(of("a.txt", b"statement,label\n"), Some(Format::Csv));
        assert_eq!(of("a", b"PAR1rest"), Some(Format::Parquet));
        assert_eq!(of("a.gz", b"\x1f\x8b\x08"), None);
        assert_eq!(of("a", b""), None);
    }

    #[test]
    fn a_bad_line_is_named() {
        let at = |text: &str| match parse("a.jsonl", text.as_bytes()) {
            Err(Error::Line { line, reason, .. }) => (line, reason),
            other => panic!("{other:?}"),
        };
        assert_eq!(at("{\"a\":1}\n{\"a\":\n{\"a\":3}\n").0, 2);
        assert_eq!(at("{\"a\":1}\n\n{\"a\":3}\n"), (2, "blank".to_owned()));
        assert_eq!(at("{}\n{}\n[1]\n").0, 3);
        assert_eq!(at("{\"a\":\"\\ud800\"}").0, 1, "half a surrogate pair");
        assert!(at("[\n{}\n]").1.contains("array"));
        assert!(at("{\"a\" 1}").1.ends_with("at column 6"), "{}", at("{\"a\" 1}").1);
        assert!(matches!(parse("a.jsonl", b"{}\n\xff"), Err(Error::Line { line: 2, .. })));
    }

    #[test]
    fn cells_become_text() {
        let t = parse(
            "a.jsonl",
            "{\"a\":true}\r\n{\"a\":1}\n{\"a\":\"é \\\"\"}\n{\"a\":null}\n{}\n\n \n".as_bytes(),
        );
        let t = t.expect("readable");
        let cells = t.cells(&Column("a".into())).expect("scalars");
        assert_eq!(cells, [Some("true".into()), Some("1".into()), Some("é \"".into()), None, None]);
        let nested = parse("a.jsonl", b"{\"a\":[1]}").expect("readable").cells(&Column("a".into()));
        assert!(matches!(nested, Err(Error::Cell { row: 0, .. })));
    }

    #[test]
    fn csv_cells_are_not_guessed() {
        let t = parse("a.csv", b"\xef\xbb\xbfa,b\r\n007,\"x, \"\"y\"\"\n z\"\r\nNA,\r\n").expect("readable");
        assert_eq!(t.names(), ["a", "b"]);
        assert_eq!(t.cells(&Column("a".into())).expect("text"), [Some("007".into()), Some("NA".into())]);
        let b = t.cells(&Column("b".into())).expect("text");
        assert_eq!(b, [Some("x, \"y\"\n z".into()), Some(String::new())]);
    }

    #[test]
    fn blank_lines_at_the_end_are_no_rows() {
        for end in ["", "\n", "\n\n", "\r\n\r\n", "\n \n\t\n"] {
            let t = parse("a.csv", format!("a,b\n1,2\n3,4{end}").as_bytes()).expect("readable");
            assert_eq!(t.height(), 2, "{end:?}");
            assert_eq!(t.cells(&Column("b".into())).expect("text"), [Some("2".into()), Some("4".into())]);
        }
        let t = parse("a.csv", b"a,b\n1,\"2\n\n\"\n\n").expect("readable");
        assert_eq!(t.cells(&Column("b".into())).expect("text"), [Some("2\n\n".into())]);
    }

    #[test]
    fn files_without_rows_are_refused() {
        for (name, bytes) in [("a.csv", &b"a,b\n"[..]), ("a.csv", b" \n"), ("a.jsonl", b"\n")] {
            assert!(matches!(parse(name, bytes), Err(Error::NoRows { .. })), "{name}");
        }
        assert!(matches!(parse("a.parquet", b"PAR1"), Err(Error::Table { format: "Parquet", .. })));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|[\",\n\r{}:]){0,60}") {
            for format in [Format::Jsonl, Format::Csv, Format::Parquet] {
                if let Ok(table) = Table::parse(Path::new("a"), text.as_bytes(), format, &|_, _| true) {
                    for column in table.names().iter().map(|name| Column(name.clone())) {
                        let _ = table.cells(&column);
                        let _ = table.is_plain(&column).then(|| table.values(&column));
                    }
                }
            }
        }
    }
}
