//! What each row is: [`Row`], and its encoding as `rows.parquet`.

use std::fmt;
use std::io::Cursor;

use indexmap::{IndexMap, IndexSet};
use polars::prelude::{
    DataFrame, DataType, NamedFrom, ParquetCompression, ParquetReader, ParquetWriter, PolarsResult,
    SerReader as _, Series,
};
use serde::{Deserialize, Serialize};

use crate::bounds;

/// One contrast pair: where it comes from, and its two sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The example's number in the prompts.
    pub idx: u64,
    /// Whether the statement of the plus side is true.
    pub label: bool,
    /// The question's own identifier.
    pub question_id: String,
    /// Rows of one group (one passage) stay together when data is split.
    pub group: String,
    /// The template that made the prompts.
    pub template: String,
    /// The data set.
    pub dataset: String,
    /// The side with the positive answer.
    pub plus: Side,
    /// The side with the negative answer.
    pub minus: Side,
    /// Further columns of the data, by their names there; without those that have no value in this row. In `rows.parquet`
    /// they are called `data.NAME`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub columns: IndexMap<String, String>,
}

/// One side of a contrast pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The prompt with its answer, as the model got it.
    pub prompt: String,
    /// How many tokens that is, BOS included.
    pub tokens: u32,
    /// The first token of the answer; every answer has at least one.
    pub answer_start: u32,
    /// One past the last token of the answer.
    pub answer_end: u32,
    /// The token whose state was taken.
    pub captured_id: u32,
    /// That token as text.
    pub captured_text: String,
}

/// Which side of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SideOf {
    /// The positive answer.
    Plus,
    /// The negative answer.
    Minus,
}

impl SideOf {
    /// Plus, then minus: the order of every list of files.
    pub const BOTH: [Self; 2] = [Self::Plus, Self::Minus];

    /// `plus` or `minus`, as in file and column names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plus => "plus",
            Self::Minus => "minus",
        }
    }
}

impl fmt::Display for SideOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the names of further columns begin with.
const DATA: &str = "data.";

/// The names of the further columns that any of the rows has. Each stands behind those that it follows in a row, so rows
/// without some of the columns leave them in their order.
pub fn column_names(rows: &[Row]) -> IndexSet<&str> {
    let mut names = IndexSet::new();
    for row in rows {
        let mut next = 0;
        for name in row.columns.keys() {
            let at = names.get_index_of(name.as_str());
            if at.is_none() {
                names.shift_insert(next, name.as_str());
            }
            next = next.max(at.unwrap_or(next) + 1);
        }
    }
    names
}

/// The bytes of `rows.parquet`: the same rows give the same bytes.
pub(crate) fn encode(rows: &[Row]) -> PolarsResult<Vec<u8>> {
    let numbers = |get: fn(&Row) -> u64| rows.iter().map(get).collect::<Vec<_>>();
    let texts = |get: fn(&Row) -> &str| rows.iter().map(get).collect::<Vec<_>>();
    let labels: Vec<bool> = rows.iter().map(|row| row.label).collect();
    let mut columns = vec![
        series("row", (0..rows.len() as u64).collect::<Vec<_>>()),
        series("idx", numbers(|row| row.idx)),
        series("label", labels),
        series("question_id", texts(|row| &row.question_id)),
        series("group", texts(|row| &row.group)),
        series("template", texts(|row| &row.template)),
        series("dataset", texts(|row| &row.dataset)),
    ];
    for side in SideOf::BOTH {
        let sides: Vec<&Side> = rows.iter().map(|row| row.side(side)).collect();
        let numbers = |get: fn(&Side) -> u32| sides.iter().map(|side| get(side)).collect::<Vec<_>>();
        let prompts: Vec<&str> = sides.iter().map(|side| side.prompt.as_str()).collect();
        let captured: Vec<&str> = sides.iter().map(|side| side.captured_text.as_str()).collect();
        columns.extend([
            series(&format!("{side}_prompt"), prompts),
            series(&format!("{side}_tokens"), numbers(|side| side.tokens)),
            series(&format!("{side}_answer_start"), numbers(|side| side.answer_start)),
            series(&format!("{side}_answer_end"), numbers(|side| side.answer_end)),
            series(&format!("{side}_captured_id"), numbers(|side| side.captured_id)),
            series(&format!("{side}_captured_text"), captured),
        ]);
    }
    for name in column_names(rows) {
        let cells: Vec<Option<&str>> =
            rows.iter().map(|row| row.columns.get(name).map(String::as_str)).collect();
        columns.push(series(&format!("{DATA}{name}"), cells));
    }
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes)
        .with_compression(ParquetCompression::Zstd(None))
        .finish(&mut DataFrame::new(rows.len(), columns)?)?;
    Ok(bytes)
}

/// Bytes of all text in a table: one entry of a page's dictionary may stand in every row.
fn text_bytes(frame: &DataFrame) -> u64 {
    let mut bytes = 0;
    for texts in frame.columns().iter().filter_map(|column| column.try_str()) {
        for text in texts.iter().flatten() {
            bytes += text.len() as u64;
        }
    }
    bytes
}

fn series<T, Phantom: ?Sized>(name: &str, values: T) -> polars::prelude::Column
where
    Series: NamedFrom<T, Phantom>,
{
    Series::new(name.into(), values).into()
}

/// The rows in the bytes of a `rows.parquet` that must have so many of them.
pub(crate) fn decode(bytes: &[u8], rows: usize) -> Result<Vec<Row>, String> {
    // polars panics at some footers that were made up.
    let read = host::panics::caught(|| {
        bounds::check(bytes, rows)?;
        ParquetReader::new(Cursor::new(bytes)).finish().map_err(|e| e.to_string())
    });
    let frame = read.unwrap_or_else(|| Err("it is no table".to_owned()))?;
    if frame.height() != rows {
        return Err(format!("it has {} rows, the manifest {rows}", frame.height()));
    }
    let limit = bounds::limit(rows, bytes.len() as u64);
    let text = text_bytes(&frame);
    if text > limit {
        return Err(format!(
            "its cells hold {text} bytes of text, more than the {limit} that {rows} rows may"
        ));
    }
    if unsigned(&frame, "row")?.into_iter().ne(0..frame.height() as u64) {
        return Err("the column row does not count from 0".to_owned());
    }
    let mut plus = sides(&frame, SideOf::Plus)?.into_iter();
    let mut minus = sides(&frame, SideOf::Minus)?.into_iter();
    let mut question_id = texts(&frame, "question_id")?.into_iter();
    let mut group = texts(&frame, "group")?.into_iter();
    let mut template = texts(&frame, "template")?.into_iter();
    let mut dataset = texts(&frame, "dataset")?.into_iter();
    let mut label = labels(&frame)?.into_iter();
    let mut columns = further(&frame)?.into_iter();
    let rows = unsigned(&frame, "idx")?.into_iter().map_while(|idx| {
        Some(Row {
            idx,
            label: label.next()?,
            question_id: question_id.next()?,
            group: group.next()?,
            template: template.next()?,
            dataset: dataset.next()?,
            plus: plus.next()?,
            minus: minus.next()?,
            columns: columns.next()?,
        })
    });
    let rows: Vec<Row> = rows.collect();
    match first_without_answer(&rows) {
        Some((row, side)) => Err(format!("row {row}, {side}: {}", rows[row].side(side).wrong_span())),
        None => Ok(rows),
    }
}

/// The first row, and its side, whose answer is not among the tokens of its prompt.
pub(crate) fn first_without_answer(rows: &[Row]) -> Option<(usize, SideOf)> {
    let on = |row: &Row| SideOf::BOTH.into_iter().find(|&side| !row.side(side).has_answer());
    rows.iter().enumerate().find_map(|(number, row)| Some((number, on(row)?)))
}

/// The further columns of each row.
fn further(frame: &DataFrame) -> Result<Vec<IndexMap<String, String>>, String> {
    let mut rows = vec![IndexMap::new(); frame.height()];
    for column in frame.columns() {
        let full = column.name().as_str();
        let Some(name) = full.strip_prefix(DATA) else { continue };
        let cells = column.str().map_err(|_| format!("the column {full} is not of text"))?;
        for (row, cell) in rows.iter_mut().zip(cells.iter()) {
            if let Some(cell) = cell {
                row.insert(name.to_owned(), cell.to_owned());
            }
        }
    }
    Ok(rows)
}

fn sides(frame: &DataFrame, side: SideOf) -> Result<Vec<Side>, String> {
    let small = |name: &str| -> Result<Vec<u32>, String> {
        let values = unsigned(frame, &format!("{side}_{name}"))?;
        values
            .into_iter()
            .map(|value| u32::try_from(value).map_err(|e| format!("{side}_{name}: {e}")))
            .collect()
    };
    let mut answer_start = small("answer_start")?.into_iter();
    let mut answer_end = small("answer_end")?.into_iter();
    let mut captured_id = small("captured_id")?.into_iter();
    let mut captured_text = texts(frame, &format!("{side}_captured_text"))?.into_iter();
    let mut prompt = texts(frame, &format!("{side}_prompt"))?.into_iter();
    let sides = small("tokens")?.into_iter().map_while(|tokens| {
        Some(Side {
            prompt: prompt.next()?,
            tokens,
            answer_start: answer_start.next()?,
            answer_end: answer_end.next()?,
            captured_id: captured_id.next()?,
            captured_text: captured_text.next()?,
        })
    });
    Ok(sides.collect())
}

fn unsigned(frame: &DataFrame, name: &str) -> Result<Vec<u64>, String> {
    let series = frame.column(name).map_err(|e| e.to_string())?;
    let wide = series.cast(&DataType::UInt64).map_err(|e| e.to_string())?;
    complete(name, wide.u64().map_err(|e| e.to_string())?.iter())
}

fn texts(frame: &DataFrame, name: &str) -> Result<Vec<String>, String> {
    let series = frame.column(name).map_err(|e| e.to_string())?;
    complete(name, series.str().map_err(|e| e.to_string())?.iter().map(|text| text.map(str::to_owned)))
}

fn labels(frame: &DataFrame) -> Result<Vec<bool>, String> {
    let series = frame.column("label").map_err(|e| e.to_string())?;
    complete("label", series.bool().map_err(|e| e.to_string())?.iter())
}

fn complete<T>(name: &str, values: impl Iterator<Item = Option<T>>) -> Result<Vec<T>, String> {
    values.collect::<Option<_>>().ok_or_else(|| format!("the column {name} has empty cells"))
}

impl Row {
    /// One side of the pair.
    pub fn side(&self, side: SideOf) -> &Side {
        match side {
            SideOf::Plus => &self.plus,
            SideOf::Minus => &self.minus,
        }
    }
}

impl Side {
    fn has_answer(&self) -> bool {
        self.answer_start < self.answer_end && self.answer_end <= self.tokens
    }

    /// What is wrong with the answer's tokens.
    pub(crate) fn wrong_span(&self) -> String {
        format!(
            "the answer's tokens {}..{} are none of the {} tokens of its prompt",
            self.answer_start, self.answer_end, self.tokens
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(idx: u64) -> Row {
        let side = |text: &str| Side {
            prompt: format!("Ist das wahr? \"{idx}\"\n{text} 🦙"),
            tokens: 12,
            answer_start: 10,
            answer_end: 12,
            captured_id: u32::MAX,
            captured_text: "▁No".to_owned(),
        };
        Row {
            idx,
            label: idx.is_multiple_of(2),
            question_id: String::new(),
            group: format!("g{idx}"),
            template: "t".to_owned(),
            dataset: "boolq".to_owned(),
            plus: side("Yes"),
            minus: side("No"),
            columns: IndexMap::new(),
        }
    }

    fn with(columns: &[(&str, &str)], row: Row) -> Row {
        let columns = columns.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Row { columns: columns.collect(), ..row }
    }

    #[test]
    fn further_columns_come_back_and_stay_in_order() {
        let rows = [
            with(&[("a", "1"), ("data.a", "2\n"), ("größe", "é")], row(0)),
            row(1),
            with(&[("x", "0"), ("a", "3"), ("b", "4"), ("data.a", "5"), ("z", "6")], row(2)),
        ];
        let order = ["x", "a", "b", "data.a", "z", "größe"];
        assert_eq!(column_names(&rows).into_iter().collect::<Vec<_>>(), order);
        let bytes = encode(&rows).unwrap();
        let read = decode(&bytes, 3).unwrap();
        assert_eq!(read, rows);
        assert_eq!(encode(&read).unwrap(), bytes, "in the same order");
        let frame = ParquetReader::new(Cursor::new(&bytes)).finish().unwrap();
        assert_eq!(frame.column("data.x").unwrap().null_count(), 2);
        assert_eq!(frame.column("data.data.a").unwrap().dtype(), &DataType::String);
    }

    #[test]
    fn rows_without_further_columns_are_written_as_before_and_others_are_text() {
        let rows: Vec<Row> = [0, 1].map(row).into();
        let mut frame = ParquetReader::new(Cursor::new(encode(&rows).unwrap())).finish().unwrap();
        assert!(frame.get_column_names().iter().all(|name| !name.starts_with("data.")));
        frame.with_column(series("data.n", vec![1u32, 2])).unwrap();
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
        assert_eq!(decode(&bytes, 2).unwrap_err(), "the column data.n is not of text");
    }

    #[test]
    fn rows_come_back() {
        let rows: Vec<Row> = [3, u64::MAX, 0].map(row).into();
        let bytes = encode(&rows).unwrap();
        assert_eq!(decode(&bytes, 3).unwrap(), rows);
        assert!(decode(&bytes, 4).unwrap_err().contains("it says it has 3 rows, the manifest has 4"));
        assert_eq!(encode(&rows).unwrap(), bytes, "the same rows give the same bytes");
        assert!(decode(b"PAR1 no", 3).is_err());
    }

    #[test]
    fn every_answer_has_tokens_of_its_prompt() {
        for (start, end) in [(10, 10), (11, 10), (11, 13)] {
            let mut rows: Vec<Row> = [0, 1].map(row).into();
            (rows[1].minus.answer_start, rows[1].minus.answer_end) = (start, end);
            let error = decode(&encode(&rows).unwrap(), 2).unwrap_err();
            let expected = format!("row 1, minus: the answer's tokens {start}..{end} are none of the 12");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}
