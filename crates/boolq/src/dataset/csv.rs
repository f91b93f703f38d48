//! CSV as pandas reads it, with its quoting held to.
//!
//! The reader follows the states of pandas' C parser (`tokenize_bytes` in pandas/_libs/src/parser/tokenizer.c): a quote
//! opens a cell at its beginning only, `""` inside is a quote, lines end in `\n`, `\r\n` or `\r`, and blank lines are
//! no rows. Where pandas goes on with a guess, this reader stops: text after a closing quote, a quote after white
//! space, rows longer than the header, two columns of one name. It is a reader of our own because the csv crate and
//! polars accept such files without a word. `tests/it/fixtures/csv` holds what pandas makes of eighty shapes.

use super::limits::{LONGEST_CELL, MOST_COLUMNS, MOST_VALUES, too_many_columns, too_many_values};
use crate::error::{Error, Result, quoted};
use minijinja::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// What may part cells; a comma where the header does not tell.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

const QUOTING: &str = "quote cells that hold separators, quotes or newlines: a \" at each end, with nothing outside \
                       the quotes, and every \" inside written twice";
const BACKSLASH: &str = "quotes seem to be escaped by backslashes; write \"\" for every \\\", for example with pandas: \
                         `read_csv(FILE, escapechar='\\\\', doublequote=False).to_csv(NEW, index=False)`";

/// A table, column by column.
#[derive(Debug)]
pub(super) struct Csv {
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<Vec<Value>>,
}

/// Reads CSV whose cells are parted by commas, semicolons, tabs or bars, whichever its header has.
///
/// # Errors
/// Quotes and rows that do not fit, with their line; too many columns, too long cells.
pub(super) fn read(path: &Path, text: &str) -> Result<Csv> {
    // Excel's own first line says what parts the cells.
    let (text, first_line, separator) = match declared(text) {
        Some((rest, separator)) => (rest, 2, separator),
        None => (text, 1, separator(path, text)),
    };
    let mut lines = Lines { path, text, separator, at: 0, line: first_line };
    let Some(header) = lines.row()? else { return Err(Error::NoRows { path: path.to_owned() }) };
    let names = names(path, header.cells)?;
    let mut columns = vec![Vec::new(); names.len()];
    let mut values = 0;
    while let Some(row) = lines.row()? {
        if row.cells.len() > names.len() {
            let (found, columns) = (row.cells.len(), names.len());
            let reason = format!(
                "{found} cells, parted by {:?}, where the header has {columns}; the first is {}",
                char::from(separator),
                quoted(row.cells.first().map_or("", String::as_str))
            );
            return Err(lines.error(row.line, reason, QUOTING));
        }
        // As in pandas, a row may lack its last cells: they are empty.
        values += names.len();
        if values > MOST_VALUES {
            return Err(too_many_values(path));
        }
        let cells = row.cells.into_iter().map(Value::from).chain(std::iter::repeat(Value::from("")));
        for (column, cell) in columns.iter_mut().zip(cells) {
            column.push(cell);
        }
    }
    Ok(Csv { names, columns })
}

/// The text after a first line `sep=;`, and the separator.
fn declared(text: &str) -> Option<(&str, u8)> {
    let (separator, rest) = text.strip_prefix("sep=")?.split_at_checked(1)?;
    let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\n', '\r']))?;
    Some((rest, *separator.as_bytes().first()?))
}

/// The separator that the header has, outside quotes. Where it has several, the one that gives every row as many cells
/// as the header.
fn separator(path: &Path, text: &str) -> u8 {
    let header = text.split(['\n', '\r']).find(|line| !line.trim().is_empty()).unwrap_or_default();
    let mut inside = false;
    let mut there = BTreeSet::new();
    for byte in header.bytes() {
        match byte {
            b'"' => inside = !inside,
            byte if !inside && SEPARATORS.contains(&byte) => {
                there.insert(byte);
            }
            _ => {}
        }
    }
    let candidates = || SEPARATORS.into_iter().filter(|separator| there.contains(separator));
    let even = |separator: &u8| {
        let mut lines = Lines { path, text, separator: *separator, at: 0, line: 1 };
        let width = lines.row().ok().flatten().map_or(0, |header| header.cells.len());
        loop {
            match lines.row() {
                Ok(Some(row)) if row.cells.len() == width => {}
                Ok(None) => return true,
                _ => return false,
            }
        }
    };
    let first = candidates().next().unwrap_or(b',');
    if there.len() < 2 { first } else { candidates().find(even).unwrap_or(first) }
}

/// The header's names; a column without one is called as pandas calls it.
fn names(path: &Path, header: Vec<String>) -> Result<Vec<String>> {
    if header.len() > MOST_COLUMNS {
        return Err(too_many_columns(path));
    }
    let mut seen = BTreeSet::new();
    for name in header.iter().filter(|name| !name.is_empty()) {
        if !seen.insert(name.as_str()) {
            return Err(Error::ColumnTwice { path: path.to_owned(), column: name.clone() });
        }
    }
    let named = |(at, name): (usize, String)| if name.is_empty() { format!("Unnamed: {at}") } else { name };
    Ok(header.into_iter().enumerate().map(named).collect())
}

/// A row, with the line that it begins in.
struct Row {
    cells: Vec<String>,
    line: usize,
}

/// The text, read row by row.
struct Lines<'a> {
    path: &'a Path,
    text: &'a str,
    separator: u8,
    /// The next byte.
    at: usize,
    /// Its line, counted from 1.
    line: usize,
}

/// What ends a cell.
#[derive(PartialEq, Eq)]
enum End {
    Cell,
    Row,
    File,
}

impl Lines<'_> {
    /// The next row; `None` at the end of the text.
    fn row(&mut self) -> Result<Option<Row>> {
        self.skip_blank_lines();
        if self.at >= self.text.len() {
            return Ok(None);
        }
        let mut row = Row { cells: Vec::new(), line: self.line };
        loop {
            let (cell, end) = if self.peek() == Some(b'"') { self.quoted_cell()? } else { self.bare_cell()? };
            row.cells.push(cell);
            if end != End::Cell {
                return Ok(Some(row));
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Lines of nothing but spaces and tabs, unless a tab parts cells.
    fn skip_blank_lines(&mut self) {
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let blank = |byte: &&u8| **byte == b' ' || (**byte == b'\t' && self.separator != b'\t');
            let spaces = rest.iter().take_while(blank).count();
            match rest.get(spaces) {
                Some(b'\n' | b'\r') => {
                    self.at += spaces;
                    self.line_end();
                }
                None => {
                    self.at += spaces;
                    return;
                }
                Some(_) => return,
            }
        }
    }

    /// Steps over one `\n`, `\r\n` or `\r`.
    fn line_end(&mut self) {
        self.at += if self.text.as_bytes().get(self.at..self.at + 2) == Some(b"\r\n") { 2 } else { 1 };
        self.line += 1;
    }

    /// What follows a cell, stepped over; `None` if that is text.
    fn end(&mut self) -> Option<End> {
        match self.peek() {
            None => Some(End::File),
            Some(byte) if byte == self.separator => {
                self.at += 1;
                Some(End::Cell)
            }
            Some(b'\n' | b'\r') => {
                self.line_end();
                Some(End::Row)
            }
            Some(_) => None,
        }
    }

    fn bare_cell(&mut self) -> Result<(String, End)> {
        let ends = |byte: &u8| *byte == self.separator || matches!(byte, b'\n' | b'\r');
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        let cell = self.text.get(self.at..self.at + length).unwrap_or_default();
        let inner = cell.trim();
        if inner.len() > 1 && !cell.starts_with('"') && inner.starts_with('"') && inner.ends_with('"') {
            return Err(self.error(self.line, "a quote after white space".to_owned(), QUOTING));
        }
        self.bound(length, self.line)?;
        self.at += length;
        Ok((cell.to_owned(), self.end().unwrap_or(End::File)))
    }

    fn quoted_cell(&mut self) -> Result<(String, End)> {
        let opened = self.line;
        let mut cell = String::new();
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(length) = rest.find('"') else {
                let hint = if self.text.contains("\\\"") { BACKSLASH } else { QUOTING };
                return Err(self.error(opened, "a quote opens here and is never closed".to_owned(), hint));
            };
            let part = rest.get(..length).unwrap_or_default();
            self.bound(cell.len() + length, opened)?;
            cell.push_str(part);
            self.line += line_ends(part);
            self.at += length + 1;
            if self.peek() == Some(b'"') {
                cell.push('"');
                self.at += 1;
                continue;
            }
            if let Some(end) = self.end() {
                return Ok((cell, end));
            }
            let hint = if part.ends_with('\\') { BACKSLASH } else { QUOTING };
            let after: String = self.text.get(self.at..).unwrap_or_default().chars().take(20).collect();
            return Err(self.error(
                self.line,
                format!("text after a closing quote: {}", quoted(&after)),
                hint,
            ));
        }
    }

    fn bound(&self, bytes: usize, line: usize) -> Result<()> {
        if bytes <= LONGEST_CELL {
            return Ok(());
        }
        Err(Error::TooLarge {
            path: self.path.to_owned(),
            found: format!("{bytes} bytes in the cell that begins in line {line}"),
            limit: format!("{LONGEST_CELL} bytes in a cell"),
            hint: "is a quote never closed, or is this no text?",
        })
    }

    fn error(&self, line: usize, reason: String, hint: &'static str) -> Error {
        Error::Line { path: self.path.to_owned(), line, reason, hint }
    }
}

/// How many lines end inside `text`.
fn line_ends(text: &str) -> usize {
    let bytes = text.as_bytes();
    let ends = |(at, byte): &(usize, &u8)| match **byte {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    bytes.iter().enumerate().filter(ends).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<Vec<String>>> {
        let csv = read(Path::new("a.csv"), text)?;
        let cells = |column: &Vec<Value>| column.iter().map(ToString::to_string).collect();
        Ok(csv.columns.iter().map(cells).collect())
    }

    /// `tests/it/fixtures/csv/make.py` wrote what pandas makes of each shape.
    #[test]
    fn as_pandas_reads_it_or_refused() {
        /// Shapes that pandas guesses at.
        const REFUSED: [&str; 6] = [
            "space before a quote",
            "space after a quote",
            "text after a quote",
            "two quoted parts",
            "backslash before a quote",
            "same name twice",
        ];
        #[derive(serde::Deserialize)]
        struct Shape {
            #[serde(rename = "shape")]
            name: String,
            text: String,
            names: Option<Vec<String>>,
            rows: Option<Vec<Vec<String>>>,
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/csv/shapes.json");
        let shapes: Vec<Shape> =
            serde_json::from_str(&fs_err::read_to_string(path).expect("there")).expect("JSON");
        assert!(shapes.len() > 75);
        for Shape { name: shape, text, names, rows } in shapes {
            // The mark at the beginning goes where bytes become text.
            let found = read(Path::new("a.csv"), text.strip_prefix('\u{feff}').unwrap_or(&text));
            match (found, names, rows) {
                (Err(_), None, _) => {}
                (Err(_), ..) if REFUSED.contains(&shape.as_str()) => {}
                (Ok(found), Some(names), Some(rows)) if !REFUSED.contains(&shape.as_str()) => {
                    assert_eq!(found.names, names, "{shape}");
                    for (at, column) in found.columns.iter().enumerate() {
                        let cells: Vec<&str> = column.iter().filter_map(Value::as_str).collect();
                        let expected: Vec<&str> = rows.iter().map(|row| row[at].as_str()).collect();
                        assert_eq!(cells, expected, "{shape}");
                    }
                }
                (found, ..) => panic!("{shape}: {found:?}"),
            }
        }
    }

    #[test]
    fn separators_are_the_headers() {
        let two = [vec!["x, y".to_owned()], vec!["1".to_owned()]];
        for text in [
            "text;label\nx, y;1\n",
            "text\tlabel\nx, y\t1\n",
            "text|label\nx, y|1",
            "sep=;\r\ntext;label\nx, y;1\n",
        ] {
            assert_eq!(of(text).expect(text), two, "{text}");
        }
        // A name with a semicolon: only commas give rows of one length.
        assert_eq!(of("a;b,label\n\"x, y\",1\n").expect("readable"), two);
        assert_eq!(of("\"a,b\";label\n\"x, y\";1\n").expect("readable"), two);
    }

    #[test]
    fn what_pandas_guesses_is_refused_with_its_line() {
        let at = |text: &str| match of(text) {
            Err(Error::Line { line, reason, hint, .. }) => (line, reason, hint),
            other => panic!("{text:?}: {other:?}"),
        };
        let (line, reason, hint) = at("a,b\n1,2\n\"say \\\"hi\\\", or\",2\n");
        assert_eq!((line, hint), (3, BACKSLASH));
        assert!(reason.contains("after a closing quote: \"hi"), "{reason}");
        assert_eq!(
            (at("a,b\n\"1\n\n5\"x,2\n").0, at("a,b\r\n\"1\r\n5\"x,2\r\n").0, at("a,b\r\"1\r5\"x,2\r").0),
            (4, 3, 3)
        );
        assert_eq!(
            at("a,b\n1,2\n\"never\n,3\n"),
            (3, "a quote opens here and is never closed".into(), QUOTING)
        );
        assert_eq!(at("a,b\n\n1,2,3\n").0, 3);
        assert_eq!(at("a,b\n1, \"2\"\n").1, "a quote after white space");
        assert!(matches!(of("a,b,a\n1,2,3\n"), Err(Error::ColumnTwice { column, .. }) if column == "a"));
    }

    #[test]
    fn columns_and_cells_are_bounded() {
        let names: Vec<String> = (0..=MOST_COLUMNS).map(|i| format!("c{i}")).collect();
        let many = of(&format!("{}\n1\n", names.join(","))).expect_err("too many").to_string();
        assert!(many.contains("10000 columns"), "{many}");
        let long = "x".repeat(LONGEST_CELL + 1);
        for text in [format!("a\n{long}\n"), format!("a\n\"{long}\"\n")] {
            assert!(matches!(of(&text), Err(Error::TooLarge { .. })));
        }
    }
}
