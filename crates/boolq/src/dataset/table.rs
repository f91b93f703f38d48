//! A file as named columns of values: what JSON, CSV and Parquet have in common.

use super::format::Format;
use super::json::Row;
use super::{csv, encoding, folder, json, parquet, source};
use crate::error::{Error, Result, quoted};
use minijinja::Value;
use minijinja::value::ValueKind;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// The rows of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    path: PathBuf,
    /// blake3 of the file's bytes, in hex.
    identity: String,
    /// The columns' names, in the file's order.
    names: Vec<String>,
    by_name: HashMap<String, usize>,
    cells: Cells,
    /// The names of columns' classes that the file carries, class 0 first.
    classes: BTreeMap<String, Vec<String>>,
    /// Columns whose type is not read, with the type.
    unread: BTreeMap<String, &'static str>,
    /// Of a folder, its files with their first rows.
    parts: Vec<(usize, PathBuf)>,
}

/// JSON's objects may have each its own keys; of the other formats every row has every column.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cells {
    Columns(Vec<Vec<Value>>),
    Rows(Vec<Row>),
}

impl Default for Cells {
    fn default() -> Self {
        Self::Columns(Vec::new())
    }
}

/// The name of a column that its table has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column(pub(crate) String);

const FILL: &str = "fill the cell or remove the row";

impl Table {
    /// Reads the file at `path`, or the files of a folder.
    ///
    /// # Errors
    /// What is no table, damaged or too large; a table without rows.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let tables =
                folder::files(path)?.iter().map(|file| Self::open(file)).collect::<Result<Vec<_>>>()?;
            check_alike(&tables)?;
            return Ok(Self::one_of(path, tables));
        }
        let source::Contents { identity, bytes } = source::read(path)?;
        Ok(Self { identity, ..Self::parse(path, bytes)? })
    }

    /// Parses the contents of the file at `path`.
    pub(crate) fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        // polars panics where its threads cannot be started.
        host::threads::check(host::threads::cores())?;
        let table = match Format::of(path, &bytes)? {
            Format::Parquet => {
                let parquet::Parquet { names, columns, classes, unread } = parquet::read(path, bytes)?;
                Self { classes, unread, ..Self::new(path, names, Cells::Columns(columns)) }
            }
            format => {
                let text = encoding::text(path, &bytes)?;
                drop(bytes);
                if Format::of_text(format, &text) == Format::Json {
                    let json::Json { names, rows } = json::read(path, &text)?;
                    Self::new(path, names, Cells::Rows(rows))
                } else {
                    let csv::Csv { names, columns } = csv::read(path, &text)?;
                    Self::new(path, names, Cells::Columns(columns))
                }
            }
        };
        if table.height() == 0 { Err(Error::NoRows { path: path.to_owned() }) } else { Ok(table) }
    }

    fn new(path: &Path, names: Vec<String>, cells: Cells) -> Self {
        let by_name = names.iter().cloned().zip(0..).collect();
        Self { path: path.to_owned(), names, by_name, cells, ..Self::default() }
    }

    /// Tables of the same columns as one, in the columns' order of the first.
    fn one_of(path: &Path, tables: Vec<Self>) -> Self {
        let (mut identities, mut parts, mut rows) = (blake3::Hasher::new(), Vec::new(), Vec::new());
        let names = tables.first().map(|first| first.names.clone()).unwrap_or_default();
        let (mut classes, mut unread) = (BTreeMap::new(), BTreeMap::new());
        for table in tables {
            identities.update(table.identity.as_bytes());
            parts.push((rows.len(), table.path.clone()));
            let cell = |row, (at, name): (usize, &String)| Some((at, table.get(name, row)?.clone()));
            rows.extend(
                (0..table.height())
                    .map(|row| names.iter().enumerate().filter_map(|own| cell(row, own)).collect::<Row>()),
            );
            classes.extend(table.classes);
            unread.extend(table.unread);
        }
        let identity = identities.finalize().to_hex().to_string();
        Self { identity, classes, unread, parts, ..Self::new(path, names, Cells::Rows(rows)) }
    }

    /// The file that a row is in, and its number there.
    pub(crate) fn place(&self, row: usize) -> (&Path, u64) {
        let part = self.parts.iter().rev().find(|(first, _)| *first <= row);
        part.map_or((&self.path, row as u64), |(first, path)| (path, (row - first) as u64))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub(crate) fn height(&self) -> usize {
        match &self.cells {
            Cells::Rows(rows) => rows.len(),
            Cells::Columns(columns) => columns.first().map_or(0, Vec::len),
        }
    }

    /// The first of `names` that is a column.
    pub(crate) fn first_of(&self, names: &[&str]) -> Option<Column> {
        names.iter().find(|n| self.has(n)).map(|n| Column((*n).to_owned()))
    }

    /// The names of the column's classes, if the file carries them.
    pub(super) fn classes(&self, column: &str) -> Option<&[String]> {
        self.classes.get(column).map(Vec::as_slice)
    }

    /// The type of a column that is not read.
    pub(super) fn unread(&self, column: &str) -> Option<&'static str> {
        self.unread.get(column).copied()
    }

    /// The value of a cell; `None` where there is no such column, or JSON's object lacks it.
    pub(crate) fn get(&self, name: &str, row: usize) -> Option<&Value> {
        let column = *self.by_name.get(name)?;
        match &self.cells {
            Cells::Columns(columns) => columns.get(column)?.get(row),
            Cells::Rows(rows) => {
                let cells = rows.get(row)?;
                let at = cells.binary_search_by_key(&column, |(at, _)| *at).ok()?;
                cells.get(at).map(|(_, value)| value)
            }
        }
    }

    /// A cell as text, `None` where there is no value. Booleans are `true` and `false`.
    ///
    /// # Errors
    /// Lists and other values that are no text.
    pub(crate) fn cell(&self, column: &Column, row: usize) -> Result<Option<String>> {
        let Some(value) = self.get(&column.0, row) else { return Ok(None) };
        match value.kind() {
            ValueKind::None | ValueKind::Undefined => Ok(None),
            ValueKind::Bool => Ok(Some(value.is_true().to_string())),
            ValueKind::String | ValueKind::Number => {
                Ok(Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            }
            _ => {
                let found = self.unread(&column.0).map_or_else(|| quoted(&value.to_string()), str::to_owned);
                let hint = "write the column as text, numbers or booleans";
                Err(self.cell_error(row, column, found, "text, a number or a boolean", hint))
            }
        }
    }

    /// A cell that must hold text.
    pub(crate) fn text(&self, column: &Column, row: usize) -> Result<String> {
        match self.cell(column, row)? {
            Some(text) if !text.trim().is_empty() => Ok(text),
            Some(_) => Err(self.cell_error(row, column, "empty text".into(), "text", FILL)),
            None => Err(self.cell_error(row, column, "nothing".into(), "text", FILL)),
        }
    }

    /// The cells of `column`, each of which must hold text.
    pub(crate) fn texts(&self, column: &Column) -> Result<Vec<String>> {
        (0..self.height()).map(|row| self.text(column, row)).collect()
    }

    /// The cells of `column` as booleans: true/false, yes/no (in any case) and 1/0.
    pub(crate) fn booleans(&self, column: &Column) -> Result<Vec<bool>> {
        (0..self.height())
            .map(|row| {
                let cell = self.cell(column, row)?;
                let found = cell.as_deref().map_or_else(|| "nothing".to_owned(), quoted);
                cell.as_deref().and_then(super::label::boolean).ok_or_else(|| {
                    self.cell_error(row, column, found, "a boolean", "write true/false, yes/no or 1/0")
                })
            })
            .collect()
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
        let (path, row) = self.place(row);
        Error::Cell { path: path.to_owned(), row, column: column.0.clone(), found, expected, hint }
    }
}

/// Fails unless tables have the same columns, of the same classes.
fn check_alike(tables: &[Table]) -> Result<()> {
    let Some(first) = tables.first() else { return Ok(()) };
    for table in tables {
        let names = tables.iter().flat_map(|other| other.names().iter().map(move |name| (other, name)));
        if let Some((other, name)) = names.into_iter().find(|(_, name)| !table.has(name)) {
            return Err(Error::MissingColumns {
                path: table.path().to_owned(),
                missing: vec![format!("`{name}`, which {} has", other.path().display())],
                found: table.names().to_vec(),
                hint: "the files of a folder are read as one table: put those that belong together into one of their own",
            });
        }
        let differs = |name: &&String| first.classes(name) != table.classes(name);
        if let Some(name) = table.names().iter().find(differs) {
            let what = format!(
                "a file whose classes of `{name}` are others than those of {}",
                first.path().display()
            );
            return Err(source::refused(table.path(), &what, "read the files one by one"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(name: &str, bytes: &[u8]) -> Result<Table> {
        Table::parse(Path::new(name), bytes.to_vec())
    }

    fn cells(table: &Table, column: &str) -> Vec<Option<String>> {
        let column = Column(column.to_owned());
        (0..table.height()).map(|row| table.cell(&column, row).expect("scalars")).collect()
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
        assert!(at("{\"a\" 1}").1.ends_with("at column 6"), "{}", at("{\"a\" 1}").1);
        assert!(matches!(parse("a.jsonl", b"{}\n\xff"), Err(Error::Line { line: 2, .. })));
    }

    #[test]
    fn cells_become_text() {
        let text = "{\"a\":true}\r\n{\"a\":1}\n{\"a\":\"é \\\"\"}\n{\"a\":null}\n{}\n\n \n";
        let table = parse("a.jsonl", text.as_bytes()).expect("readable");
        assert_eq!(
            cells(&table, "a"),
            [Some("true".into()), Some("1".into()), Some("é \"".into()), None, None]
        );
        let nested = parse("a.jsonl", b"{\"a\":[1],\"b\":2}").expect("readable").cell(&Column("a".into()), 0);
        assert!(matches!(nested, Err(Error::Cell { row: 0, .. })));
    }

    #[test]
    fn csv_cells_are_not_guessed() {
        let table =
            parse("a.csv", b"\xef\xbb\xbfa,b\r\n007,\"x, \"\"y\"\"\n z\"\r\nNA,\r\n").expect("readable");
        assert_eq!(table.names(), ["a", "b"]);
        assert_eq!(cells(&table, "a"), [Some("007".into()), Some("NA".into())]);
        assert_eq!(cells(&table, "b"), [Some("x, \"y\"\n z".into()), Some(String::new())]);
    }

    #[test]
    fn files_without_rows_are_refused() {
        for (name, bytes) in
            [("a.csv", &b"a,b\n"[..]), ("a.csv", b" \n"), ("a.jsonl", b"\n"), ("a.json", b"[]")]
        {
            let found = parse(name, bytes);
            assert!(matches!(found, Err(Error::NoRows { .. })), "{name}: {found:?}");
        }
        assert!(matches!(parse("a.parquet", b"PAR1"), Err(Error::Table { format: "Parquet", .. })));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|[\",\n\r\\[{}:;\t]){0,60}") {
            for name in ["a.jsonl", "a.csv", "a.parquet", "a"] {
                if let Ok(table) = parse(name, text.as_bytes()) {
                    for column in table.names().iter().map(|name| Column(name.clone())) {
                        let _ = table.texts(&column);
                        let _ = table.booleans(&column);
                    }
                }
            }
        }
    }
}
