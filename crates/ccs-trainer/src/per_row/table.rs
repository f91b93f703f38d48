//! The run row by row as flat tables: `predictions.csv` and `.parquet`, a row per method and row of the data; and
//! `rows.parquet`, what each row is.

use polars::prelude::DataFrame;

use crate::Result;
use crate::per_row::about::RunRows;
use crate::per_row::predictions::MethodPredictions;
use crate::tables::Columns;

/// Before the names of the data's own columns.
pub(crate) const DATA: &str = "data.";

/// What a probe reads most: the text before the token, the token, and the text behind it. Tables of runs whose probes do not
/// learn where to look lack these columns.
pub(crate) const READS: [&str; 3] = ["read_before", "read_token", "read_after"];
/// The token's share of what it reads.
pub(crate) const READ_SHARE: &str = "read_share";

/// A row of the predictions.
struct Prediction<'a> {
    of: &'a MethodPredictions,
    /// Among the method's rows.
    place: usize,
    /// Among the data's.
    row: usize,
}

/// The predictions of every method, method after method.
pub(crate) fn predictions(rows: &RunRows, methods: &[MethodPredictions]) -> Result<DataFrame> {
    let of = |of| move |(place, &row): (usize, &usize)| Prediction { of, place, row };
    let entries: Vec<Prediction<'_>> =
        methods.iter().flat_map(|m| m.rows.iter().enumerate().map(of(m))).collect();
    let text = |of: &[String], e: &Prediction<'_>| of.get(e.row).cloned().unwrap_or_default();
    let side = |e: &Prediction<'_>, side: usize| e.of.sides.as_ref()?.get(side)?.get(e.place).copied();
    let read = |e: &Prediction<'_>| e.of.reads.as_ref()?.get(e.place).cloned();
    let with_reads = methods.iter().any(|of| of.reads.is_some());
    let table = Columns::of(&entries)
        .count("row", |e| Some(e.row))
        .text("id", |e| text(&rows.ids, e))
        .text("question", |e| text(&rows.questions, e))
        .text("template", |e| text(&rows.templates, e))
        .text("split", |e| split(rows, e.row).to_owned())
        .maybe_flag("label", |e| rows.labels.get(e.row).copied())
        .text("method", |e| e.of.method.name().to_owned())
        .count("layer", |e| e.of.layer)
        .number("score", |e| e.of.scores.get(e.place).copied())
        .number("threshold", |e| Some(e.of.threshold))
        .number("p_plus", |e| side(e, 0))
        .number("p_minus", |e| side(e, 1))
        .number("p", |e| e.of.p.as_ref()?.get(e.place).copied())
        .maybe_flag("prediction", |e| e.of.predicts_true(e.place));
    if !with_reads {
        return table.table("predictions.parquet");
    }
    let part = |at: usize| move |e: &Prediction<'_>| read(e)?.text.get(at).cloned();
    table
        .maybe_text(READS[0], part(0))
        .maybe_text(READS[1], part(1))
        .maybe_text(READS[2], part(2))
        .number(READ_SHARE, |e| Some(read(e)?.share))
        .table("predictions.parquet")
}

/// What each row is, with the end of its text.
pub(crate) fn rows(rows: &RunRows) -> Result<DataFrame> {
    let all: Vec<usize> = (0..rows.labels.len()).collect();
    let text = |of: &[String], row: &usize| of.get(*row).cloned().unwrap_or_default();
    let of_text = |row: &usize| rows.texts.get(*row)?.as_ref();
    let mut table = Columns::of(&all)
        .count("row", |row| Some(*row))
        .text("id", |row| text(&rows.ids, row))
        .text("question", |row| text(&rows.questions, row))
        .text("template", |row| text(&rows.templates, row))
        .text("group", |row| text(&rows.groups, row))
        .text("split", |row| split(rows, *row).to_owned())
        .maybe_flag("label", |row| rows.labels.get(*row).copied())
        .maybe_text("text", |row| Some(of_text(row)?.shared.clone()))
        .maybe_text("plus", |row| Some(of_text(row)?.plus.clone()))
        .maybe_text("minus", |row| Some(of_text(row)?.minus.clone()));
    for (name, values) in &rows.columns {
        table = table.maybe_text(&format!("{DATA}{name}"), |row| values.get(*row).cloned().flatten());
    }
    table.table("rows.parquet")
}

fn split(rows: &RunRows, row: usize) -> &'static str {
    match rows.train.get(row).copied().flatten() {
        Some(true) => "train",
        Some(false) => "test",
        None => "",
    }
}
