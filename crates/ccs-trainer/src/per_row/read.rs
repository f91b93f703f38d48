//! The tables of a run, read back.

use std::io::Cursor;

use ccs_report::{Method, RowText};
use indexmap::IndexMap;
use polars::prelude::{DataFrame, ParquetReader, SerReader as _};

use crate::per_row::about::RunRows;
use crate::per_row::predictions::{MethodPredictions, ReadToken};
use crate::per_row::table::{DATA, READ_SHARE, READS};

/// What is wrong with a table, in words.
type Read<T> = Result<T, String>;

/// A table.
struct Table(DataFrame);

impl Table {
    fn parse(bytes: Vec<u8>) -> Read<Self> {
        // polars panics at some footers that were made up.
        let read = host::panics::caught(|| {
            ParquetReader::new(Cursor::new(bytes)).finish().map_err(|e| e.to_string())
        });
        read.unwrap_or_else(|| Err("it is no table".to_owned())).map(Self)
    }

    fn column(&self, name: &str) -> Read<&polars::prelude::Column> {
        self.0.column(name).map_err(|_| format!("it has no column {name}"))
    }

    fn texts(&self, name: &str) -> Read<Vec<Option<String>>> {
        let column = self.column(name)?.str().map_err(|e| format!("{name}: {e}"))?;
        Ok(column.iter().map(|text| text.map(str::to_owned)).collect())
    }

    /// Texts that every row has.
    fn names(&self, name: &str) -> Read<Vec<String>> {
        all(self.texts(name)?, name)
    }

    fn numbers(&self, name: &str) -> Read<Vec<Option<f64>>> {
        Ok(self.column(name)?.f64().map_err(|e| format!("{name}: {e}"))?.iter().collect())
    }

    fn counts(&self, name: &str) -> Read<Vec<Option<usize>>> {
        let column = self.column(name)?.u64().map_err(|e| format!("{name}: {e}"))?;
        let count = |count: u64| usize::try_from(count).map_err(|e| format!("{name}: {e}"));
        column.iter().map(|value| value.map(count).transpose()).collect()
    }

    fn flags(&self, name: &str) -> Read<Vec<bool>> {
        all(self.column(name)?.bool().map_err(|e| format!("{name}: {e}"))?.iter().collect(), name)
    }
}

fn all<T>(values: Vec<Option<T>>, name: &str) -> Read<Vec<T>> {
    let found: Option<Vec<T>> = values.into_iter().collect();
    found.ok_or_else(|| format!("{name} has empty cells"))
}

/// What [`table::rows`](crate::per_row::table::rows) wrote.
pub(crate) fn rows(bytes: Vec<u8>) -> Read<RunRows> {
    let table = Table::parse(bytes)?;
    let train = table.names("split")?.into_iter().map(|split| match split.as_str() {
        "train" => Some(true),
        "test" => Some(false),
        _ => None,
    });
    let texts = table.texts("text")?.into_iter().zip(table.texts("plus")?).zip(table.texts("minus")?);
    let texts = texts.map(|((shared, plus), minus)| {
        Some(RowText { shared: shared?, plus: plus.unwrap_or_default(), minus: minus.unwrap_or_default() })
    });
    let mut columns = IndexMap::new();
    for name in table.0.get_column_names() {
        if let Some(own) = name.strip_prefix(DATA) {
            columns.insert(own.to_owned(), table.texts(name)?);
        }
    }
    Ok(RunRows {
        columns,
        ids: table.names("id")?,
        questions: table.names("question")?,
        templates: table.names("template")?,
        groups: table.names("group")?,
        labels: table.flags("label")?,
        train: train.collect(),
        texts: texts.collect(),
    })
}

/// What [`table::predictions`](crate::per_row::table::predictions) wrote.
pub(crate) fn predictions(bytes: Vec<u8>) -> Read<Vec<MethodPredictions>> {
    let table = Table::parse(bytes)?;
    let (methods, layers) = (table.names("method")?, table.counts("layer")?);
    let (rows, scores) = (all(table.counts("row")?, "row")?, all(table.numbers("score")?, "score")?);
    let thresholds = all(table.numbers("threshold")?, "threshold")?;
    let [plus, minus, p] = [table.numbers("p_plus")?, table.numbers("p_minus")?, table.numbers("p")?];
    let reads = reads(&table)?;
    let mut found = Vec::new();
    let mut from = 0;
    // A method's rows stand together.
    for part in methods.chunk_by(|a, b| a == b) {
        let of = from..from + part.len();
        let some = |values: &[Option<f64>]| -> Option<Vec<f64>> {
            values.get(of.clone())?.iter().copied().collect()
        };
        let method: Method = part.first().map(String::as_str).unwrap_or_default().parse()?;
        found.push(MethodPredictions {
            method,
            layer: layers.get(from).copied().flatten(),
            rows: rows.get(of.clone()).unwrap_or_default().to_vec(),
            scores: scores.get(of.clone()).unwrap_or_default().to_vec(),
            threshold: thresholds.get(from).copied().unwrap_or_default(),
            sides: some(&plus).zip(some(&minus)).map(|(plus, minus)| [plus, minus]),
            p: some(&p),
            reads: reads.get(of.clone()).and_then(|reads| reads.iter().cloned().collect()),
        });
        from = of.end;
    }
    Ok(found)
}

/// What probes read most, line by line; of tables without these columns nothing.
fn reads(table: &Table) -> Read<Vec<Option<ReadToken>>> {
    if table.column(READ_SHARE).is_err() {
        return Ok(Vec::new());
    }
    let [before, token, after] = READS.map(|name| table.texts(name));
    let (before, token, after) = (before?, token?, after?);
    let share = table.numbers(READ_SHARE)?;
    let line = |at: usize| {
        let text = [before.get(at)?.clone()?, token.get(at)?.clone()?, after.get(at)?.clone()?];
        Some(ReadToken { text, share: share.get(at).copied()?? })
    };
    Ok((0..share.len()).map(line).collect())
}
