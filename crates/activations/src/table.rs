//! The rows as a table: `rows.parquet`.

use std::io::Cursor;
use std::ops::Range;

use indexmap::IndexMap;
use polars::prelude::{
    DataFrame, DataType, NamedFrom, ParquetCompression, ParquetReader, ParquetWriter, PolarsResult,
    SerReader as _, Series,
};

use crate::bounds;
use crate::rows::{Prompt, Row, Seen, Side, Sides, column_names, first_fault};
use crate::side::{RowKind, SideOf};

/// What the names of further columns begin with.
const DATA: &str = "data.";

/// The bytes of `rows.parquet`: the same rows give the same bytes. All are of the kind.
pub(crate) fn encode(rows: &[Row], kind: RowKind) -> PolarsResult<Vec<u8>> {
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
    for &side in kind.sides() {
        columns.extend(side_columns(rows, side));
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

/// The columns of one side, `{side}_prompt` and so on; those of the answer for a side that has one.
fn side_columns(rows: &[Row], side: SideOf) -> Vec<polars::prelude::Column> {
    let sides: Vec<Seen<'_>> = rows.iter().filter_map(|row| row.seen(side)).collect();
    let numbers = |get: fn(&Seen<'_>) -> u32| sides.iter().map(get).collect::<Vec<_>>();
    let prompts: Vec<&str> = sides.iter().map(|side| side.prompt).collect();
    let captured: Vec<&str> = sides.iter().map(|side| side.captured_text).collect();
    let answers: Option<Vec<&Range<u32>>> = sides.iter().map(|side| side.answer.as_ref()).collect();
    let mut columns = vec![
        series(&format!("{side}_prompt"), prompts),
        series(&format!("{side}_tokens"), numbers(|side| side.tokens)),
    ];
    if let Some(answers) = answers {
        let numbers = |get: fn(&Range<u32>) -> u32| answers.iter().map(|of| get(of)).collect::<Vec<_>>();
        columns.push(series(&format!("{side}_answer_start"), numbers(|answer| answer.start)));
        columns.push(series(&format!("{side}_answer_end"), numbers(|answer| answer.end)));
    }
    columns.extend([
        series(&format!("{side}_captured_id"), numbers(|side| side.captured_id)),
        series(&format!("{side}_captured_text"), captured),
    ]);
    columns
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

/// The rows in the bytes of a `rows.parquet` that must have so many of them, of this kind.
pub(crate) fn decode(bytes: &[u8], rows: usize, kind: RowKind) -> Result<Vec<Row>, String> {
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
    let mut sides = sides(&frame, kind)?.into_iter();
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
            sides: sides.next()?,
            columns: columns.next()?,
        })
    });
    let rows: Vec<Row> = rows.collect();
    match first_fault(&rows) {
        Some((row, side, what)) => Err(format!("row {row}, {side}: {what}")),
        None => Ok(rows),
    }
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

/// The prompts of each row.
fn sides(frame: &DataFrame, kind: RowKind) -> Result<Vec<Sides>, String> {
    match kind {
        RowKind::Pairs => {
            let [plus, minus] = [pair_side(frame, SideOf::Plus)?, pair_side(frame, SideOf::Minus)?];
            let both = plus.into_iter().zip(minus);
            Ok(both.map(|(plus, minus)| Sides::Pair { plus, minus }).collect())
        }
        RowKind::Statements => {
            let single = |statement| Sides::Single { statement };
            Ok(prompts(frame, SideOf::Statement)?.into_iter().map(single).collect())
        }
    }
}

/// One side of each pair.
fn pair_side(frame: &DataFrame, side: SideOf) -> Result<Vec<Side>, String> {
    let starts = small(frame, side, "answer_start")?.into_iter();
    let answers = starts.zip(small(frame, side, "answer_end")?);
    let whole = |(prompt, (answer_start, answer_end)): (Prompt, (u32, u32))| {
        let Prompt { prompt, tokens, captured_id, captured_text } = prompt;
        Side { prompt, tokens, answer_start, answer_end, captured_id, captured_text }
    };
    Ok(prompts(frame, side)?.into_iter().zip(answers).map(whole).collect())
}

/// What every side has.
fn prompts(frame: &DataFrame, side: SideOf) -> Result<Vec<Prompt>, String> {
    let mut captured_id = small(frame, side, "captured_id")?.into_iter();
    let mut captured_text = texts(frame, &format!("{side}_captured_text"))?.into_iter();
    let mut prompt = texts(frame, &format!("{side}_prompt"))?.into_iter();
    let prompts = small(frame, side, "tokens")?.into_iter().map_while(|tokens| {
        Some(Prompt {
            prompt: prompt.next()?,
            tokens,
            captured_id: captured_id.next()?,
            captured_text: captured_text.next()?,
        })
    });
    Ok(prompts.collect())
}

fn small(frame: &DataFrame, side: SideOf, name: &str) -> Result<Vec<u32>, String> {
    let values = unsigned(frame, &format!("{side}_{name}"))?.into_iter();
    values.map(|value| u32::try_from(value).map_err(|e| format!("{side}_{name}: {e}"))).collect()
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
            sides: Sides::Pair { plus: side("Yes"), minus: side("No") },
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
        let bytes = encode(&rows, RowKind::Pairs).unwrap();
        let read = decode(&bytes, 3, RowKind::Pairs).unwrap();
        assert_eq!(read, rows);
        assert_eq!(encode(&read, RowKind::Pairs).unwrap(), bytes, "in the same order");
        let frame = ParquetReader::new(Cursor::new(&bytes)).finish().unwrap();
        assert_eq!(frame.column("data.x").unwrap().null_count(), 2);
        assert_eq!(frame.column("data.data.a").unwrap().dtype(), &DataType::String);
    }

    #[test]
    fn rows_without_further_columns_are_written_as_before_and_others_are_text() {
        let rows: Vec<Row> = [0, 1].map(row).into();
        let mut frame =
            ParquetReader::new(Cursor::new(encode(&rows, RowKind::Pairs).unwrap())).finish().unwrap();
        assert!(frame.get_column_names().iter().all(|name| !name.starts_with("data.")));
        frame.with_column(series("data.n", vec![1u32, 2])).unwrap();
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
        assert_eq!(decode(&bytes, 2, RowKind::Pairs).unwrap_err(), "the column data.n is not of text");
    }

    #[test]
    fn rows_come_back() {
        let rows: Vec<Row> = [3, u64::MAX, 0].map(row).into();
        let bytes = encode(&rows, RowKind::Pairs).unwrap();
        assert_eq!(decode(&bytes, 3, RowKind::Pairs).unwrap(), rows);
        assert!(
            decode(&bytes, 4, RowKind::Pairs)
                .unwrap_err()
                .contains("it says it has 3 rows, the manifest has 4")
        );
        assert_eq!(encode(&rows, RowKind::Pairs).unwrap(), bytes, "the same rows give the same bytes");
        assert!(decode(b"PAR1 no", 3, RowKind::Pairs).is_err());
    }

    #[test]
    fn every_answer_has_tokens_of_its_prompt() {
        for (start, end) in [(10, 10), (11, 10), (11, 13)] {
            let mut rows: Vec<Row> = [0, 1].map(row).into();
            let Sides::Pair { minus, .. } = &mut rows[1].sides else { unreachable!("a pair") };
            (minus.answer_start, minus.answer_end) = (start, end);
            let error = decode(&encode(&rows, RowKind::Pairs).unwrap(), 2, RowKind::Pairs).unwrap_err();
            let expected = format!("row 1, minus: the answer's tokens {start}..{end} are none of the 12");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    fn statement(idx: u64) -> Row {
        let statement = Prompt {
            prompt: format!("Zahl {idx} ist gerade. 🦙"),
            tokens: 1 + idx as u32,
            captured_id: 29889,
            captured_text: ".".to_owned(),
        };
        Row { sides: Sides::Single { statement }, ..row(idx) }
    }

    #[test]
    fn statements_have_one_side_and_no_answer() {
        let rows: Vec<Row> = [3, 5, 0].map(statement).into();
        let bytes = encode(&rows, RowKind::Statements).unwrap();
        assert_eq!(decode(&bytes, 3, RowKind::Statements).unwrap(), rows);
        let frame = ParquetReader::new(Cursor::new(&bytes)).finish().unwrap();
        let names: Vec<&str> = frame.get_column_names().iter().map(|name| name.as_str()).collect();
        let own =
            ["statement_prompt", "statement_tokens", "statement_captured_id", "statement_captured_text"];
        assert_eq!(names[7..], own);
        let json = serde_json::to_value(&rows[0]).unwrap();
        assert_eq!(json["statement"]["tokens"], 4);
        assert_eq!(serde_json::from_value::<Row>(json).unwrap(), rows[0]);
        let error = decode(&bytes, 3, RowKind::Pairs).unwrap_err();
        assert!(error.contains("plus_"), "{error}");
    }

    #[test]
    fn every_statement_has_a_token() {
        let mut rows: Vec<Row> = [3, 5].map(statement).into();
        let Sides::Single { statement } = &mut rows[1].sides else { unreachable!("a statement") };
        statement.tokens = 0;
        let error = decode(&encode(&rows, RowKind::Statements).unwrap(), 2, RowKind::Statements).unwrap_err();
        assert_eq!(error, "row 1, statement: its prompt has no tokens");
    }
}
