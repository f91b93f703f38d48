//! Which columns of a table travel with its rows, and their values as text.

use super::Question;
use super::label::existing;
use super::table::Table;
use crate::columns::KeepColumns;
use crate::error::Result;
use crate::warning::Warning;
use minijinja::Value;
use minijinja::value::ValueKind;
use std::collections::HashSet;

/// The most characters of a value, and of a column's name.
const LONGEST: usize = 200;
/// The most columns that are kept unasked.
const MOST: usize = 64;

/// The columns that are kept, and a warning of those that are not though they might have been. Columns that are `used`
/// otherwise are kept only where they are named.
///
/// # Errors
/// A name that no column has.
pub(super) fn columns(
    table: &Table,
    questions: &[Question],
    used: &[&str],
    keep: &KeepColumns,
) -> Result<(Vec<String>, Option<Warning>)> {
    let mut candidates: Vec<String> = match keep {
        KeepColumns::Nothing => return Ok((Vec::new(), None)),
        KeepColumns::Named(names) => {
            let named = names.iter().map(|name| Ok(existing(table, name, "columns to keep")?.0));
            named.collect::<Result<_>>()?
        }
        KeepColumns::Short => {
            let own = table.names().iter().filter(|name| !used.contains(&name.as_str()));
            own.filter(|name| !is_index(name)).cloned().collect()
        }
    };
    let mut seen = HashSet::new();
    candidates.retain(|name| seen.insert(name.clone()));
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for name in candidates {
        match refused(table, questions, &name) {
            Some(reason) => left_out.push((name, reason.to_owned())),
            None if *keep == KeepColumns::Short && !has_values(table, questions, &name) => {}
            None if *keep == KeepColumns::Short && kept.len() == MOST => {
                left_out.push((name, format!("more than {MOST} columns")));
            }
            None => kept.push(name),
        }
    }
    let warning = (!left_out.is_empty()).then_some(Warning::ColumnsLeftOut { columns: left_out });
    Ok((kept, warning))
}

/// A column without a name, which pandas reads as `Unnamed: 0`: the index of the table that was written.
fn is_index(name: &str) -> bool {
    name.trim().is_empty() || name.starts_with("Unnamed: ")
}

fn has_values(table: &Table, questions: &[Question], name: &str) -> bool {
    values(table, questions, name).any(|value| matches!(plain(value), Ok(Some(_))))
}

/// Why a column cannot be kept, if it cannot.
fn refused(table: &Table, questions: &[Question], name: &str) -> Option<&'static str> {
    if name.chars().any(char::is_control) || name.trim().is_empty() {
        return Some("a name that is empty, or holds a line break");
    }
    if name.chars().count() > LONGEST {
        return Some("a name of more than 200 characters");
    }
    values(table, questions, name).find_map(|value| match plain(value) {
        Err(()) => Some("lists, objects, or a type that is not read"),
        Ok(Some(text)) if text.chars().nth(LONGEST).is_some() => Some("longer than 200 characters"),
        Ok(_) => None,
    })
}

fn values<'a>(
    table: &'a Table,
    questions: &'a [Question],
    name: &'a str,
) -> impl Iterator<Item = Option<&'a Value>> {
    questions.iter().map(move |question| table.get(name, usize::try_from(question.row).ok()?))
}

/// A value as text: texts as they stand, `True` and `False` as in the labels of `prompts.csv`, and numbers. Nothing, white
/// space, and NaN, which is what pandas writes for nothing, are no value.
///
/// # Errors
/// Lists, objects, and the like.
pub(crate) fn plain(value: Option<&Value>) -> Result<Option<String>, ()> {
    let Some(value) = value else { return Ok(None) };
    if let Some(text) = value.as_str() {
        return Ok((!text.trim().is_empty()).then(|| text.to_owned()));
    }
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => Ok(None),
        ValueKind::Bool => Ok(Some(if value.is_true() { "True" } else { "False" }.to_owned())),
        ValueKind::Number if value.is_integer() => Ok(Some(value.to_string())),
        ValueKind::Number => {
            Ok(f64::try_from(value.clone()).ok().filter(|x| !x.is_nan()).map(|x| format!("{x:?}")))
        }
        _ => Err(()),
    }
}
