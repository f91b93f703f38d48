//! A file that is one object: a row, columns, or rows by their numbers.

use super::values::Names;
use super::{Json, Row};
use crate::dataset::limits::too_many_columns;
use crate::error::{Error, Result};
use minijinja::Value;
use minijinja::value::ValueKind;
use std::path::Path;

/// The rows of an only object whose members are columns (lists of one length, or objects with the same keys), or rows
/// by their numbers, as pandas' `to_json` writes them. `None` if it is a row.
pub(super) fn columns(path: &Path, names: &[String], row: &Row) -> Result<Option<Json>> {
    let all = |kind: ValueKind| row.iter().all(|(_, value)| value.kind() == kind);
    if ["columns", "index", "data"].iter().all(|member| names.iter().any(|name| name == member)) {
        return Err(Error::NoData {
            path: path.to_owned(),
            what: "JSON as pandas writes it with orient=\"split\"".to_owned(),
            hint: "write it with `orient=\"records\", lines=True`".to_owned(),
        });
    }
    refuse_rows_inside(path, names, row, all(ValueKind::Seq))?;
    if row.is_empty() {
        return Ok(None);
    }
    let lists: Option<Vec<Vec<Value>>> = if all(ValueKind::Seq) {
        row.iter().map(|(_, value)| Some(value.try_iter().ok()?.collect())).collect()
    } else if all(ValueKind::Map) && names.iter().all(|name| is_number(name)) {
        return rows_by_number(path, row);
    } else if all(ValueKind::Map) {
        let first = row.first().map(|(_, value)| keys(value)).unwrap_or_default();
        let of = |value: &Value| -> Option<Vec<Value>> {
            (keys(value) == first)
                .then(|| first.iter().map(|key| value.get_attr(key).ok()).collect())
                .flatten()
        };
        row.iter().map(|(_, value)| of(value)).collect()
    } else {
        None
    };
    let Some(lists) = lists else { return Ok(None) };
    let height = lists.first().map_or(0, Vec::len);
    if lists.iter().any(|list| list.len() != height) {
        return Ok(None);
    }
    let mut rows: Vec<Row> = vec![Vec::new(); height];
    for ((at, _), list) in row.iter().zip(lists) {
        for (row, value) in rows.iter_mut().zip(list) {
            row.push((*at, value));
        }
    }
    Ok(Some(Json { names: names.to_vec(), rows }))
}

fn keys(value: &Value) -> Vec<String> {
    value.try_iter().map(|keys| keys.map(|key| key.to_string()).collect()).unwrap_or_default()
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

/// Refuses an object one of whose members holds the rows, beside a version or the like.
fn refuse_rows_inside(path: &Path, names: &[String], row: &Row, only_lists: bool) -> Result<()> {
    let holds_rows = |value: &Value| {
        value.kind() == ValueKind::Seq
            && value
                .try_iter()
                .is_ok_and(|mut items| items.next().is_some_and(|item| item.kind() == ValueKind::Map))
    };
    let label = |value: &Value| matches!(value.kind(), ValueKind::Bool | ValueKind::Number);
    let holding: Vec<&(usize, Value)> = row.iter().filter(|(_, value)| holds_rows(value)).collect();
    match holding.as_slice() {
        [(at, inside)] if (row.len() == 1 || !only_lists) && !row.iter().any(|(_, value)| label(value)) => {
            let (name, rows) = (names.get(*at).map_or("", String::as_str), inside.len().unwrap_or_default());
            Err(Error::NoData {
                path: path.to_owned(),
                what: format!("one object whose `{name}` holds {rows} rows"),
                hint: format!("take them out: `jq -c '.{name}[]' FILE`"),
            })
        }
        _ => Ok(()),
    }
}

/// pandas' `orient="index"`. `None` if the numbers are not those of rows.
fn rows_by_number(path: &Path, row: &Row) -> Result<Option<Json>> {
    let mut names = Names::default();
    let mut rows = Vec::new();
    for (_, value) in row {
        let mut cells = Row::new();
        for key in keys(value) {
            if is_number(&key) {
                return Ok(None);
            }
            let cell = value.get_attr(&key).unwrap_or_default();
            let at = names.column::<serde_json::Error>(key).map_err(|_| too_many_columns(path))?;
            cells.push((at, cell));
        }
        cells.sort_by_key(|(at, _)| *at);
        rows.push(cells);
    }
    Ok(Some(Json { names: names.in_order, rows }))
}
