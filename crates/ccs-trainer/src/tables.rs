//! Flat tables, column by column from a list of entries.

use polars::prelude::{Column, CsvWriter, DataFrame, ParquetCompression, ParquetWriter, SerWriter as _};

use crate::Result;
use crate::error::write_error;

/// The columns of a table, a row an entry.
pub(crate) struct Columns<'a, T> {
    entries: &'a [T],
    columns: Vec<Column>,
}

impl<'a, T> Columns<'a, T> {
    /// No column yet.
    pub(crate) fn of(entries: &'a [T]) -> Self {
        Self { entries, columns: Vec::new() }
    }

    pub(crate) fn number(mut self, name: &str, value: impl Fn(&T) -> Option<f64>) -> Self {
        let values: Vec<Option<f64>> = self.entries.iter().map(value).collect();
        self.columns.push(Column::new(name.into(), values));
        self
    }

    pub(crate) fn count(mut self, name: &str, value: impl Fn(&T) -> Option<usize>) -> Self {
        let values: Vec<Option<u64>> = self.entries.iter().map(|e| Some(value(e)? as u64)).collect();
        self.columns.push(Column::new(name.into(), values));
        self
    }

    pub(crate) fn flag(mut self, name: &str, value: impl Fn(&T) -> bool) -> Self {
        let values: Vec<bool> = self.entries.iter().map(value).collect();
        self.columns.push(Column::new(name.into(), values));
        self
    }

    /// A flag that does not apply to every entry.
    pub(crate) fn maybe_flag(mut self, name: &str, value: impl Fn(&T) -> Option<bool>) -> Self {
        let values: Vec<Option<bool>> = self.entries.iter().map(value).collect();
        self.columns.push(Column::new(name.into(), values));
        self
    }

    pub(crate) fn text(mut self, name: &str, value: impl Fn(&T) -> String) -> Self {
        let values: Vec<String> = self.entries.iter().map(value).collect();
        self.columns.push(Column::new(name.into(), values));
        self
    }

    /// A text that not every entry has.
    pub(crate) fn maybe_text(mut self, name: &str, value: impl Fn(&T) -> Option<String>) -> Self {
        let values: Vec<Option<String>> = self.entries.iter().map(value).collect();
        self.columns.push(Column::new(name.into(), values));
        self
    }

    /// A value with the ends of its interval: `NAME`, `NAME_low`, `NAME_high`.
    pub(crate) fn interval(
        self,
        name: &str,
        value: impl Fn(&T) -> Option<f64>,
        ends: impl Fn(&T) -> Option<[f64; 2]>,
    ) -> Self {
        self.number(name, value)
            .number(&format!("{name}_low"), |e| ends(e).map(|ends| ends[0]))
            .number(&format!("{name}_high"), |e| ends(e).map(|ends| ends[1]))
    }

    pub(crate) fn table(self, what: &'static str) -> Result<DataFrame> {
        // polars panics where its own threads cannot be started.
        host::threads::check(host::threads::cores())?;
        DataFrame::new(self.entries.len(), self.columns).map_err(|e| write_error(what, &e))
    }
}

/// A table as CSV.
pub(crate) fn csv(table: &mut DataFrame, what: &'static str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    CsvWriter::new(&mut bytes).finish(table).map_err(|e| write_error(what, &e))?;
    Ok(bytes)
}

/// A table as Parquet, packed or as it is.
pub(crate) fn parquet(
    table: &mut DataFrame,
    compression: ParquetCompression,
    what: &'static str,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let writer = ParquetWriter::new(&mut bytes).with_compression(compression);
    writer.finish(table).map_err(|e| write_error(what, &e))?;
    Ok(bytes)
}
