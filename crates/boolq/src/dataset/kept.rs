//! Which columns of a table travel with its rows, and their values as text.

use crate::warning::Warning;
use minijinja::Value;
use minijinja::value::ValueKind;
use std::collections::HashSet;

/// The most characters of a value, and of a column's name.
const LONGEST: usize = 200;
/// The most columns that are kept unasked.
const MOST: usize = 64;

/// Of the columns called `names` those that are kept, and a warning of those that are not. `values` are a column's, one a
/// row. Of columns that nobody `asked` for by name, [`MOST`] with any value are kept.
pub(super) fn choose<'a>(
    mut names: Vec<String>,
    asked: bool,
    values: impl Fn(&str) -> Vec<Option<&'a Value>>,
) -> (Vec<String>, Option<Warning>) {
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for name in names {
        let values = values(&name);
        match refused(&name, &values) {
            Some(reason) => left_out.push((name, reason.to_owned())),
            None if !asked && !values.iter().any(|value| matches!(plain(*value), Ok(Some(_)))) => {}
            None if !asked && kept.len() == MOST => {
                left_out.push((name, format!("more than {MOST} columns")));
            }
            None => kept.push(name),
        }
    }
    let warning = (!left_out.is_empty()).then_some(Warning::ColumnsLeftOut { columns: left_out });
    (kept, warning)
}

/// A column without a name, which pandas reads as `Unnamed: 0`: the index of the table that was written.
pub(super) fn is_index(name: &str) -> bool {
    name.trim().is_empty() || name.starts_with("Unnamed: ")
}

/// Why a column cannot be kept, if it cannot.
fn refused(name: &str, values: &[Option<&Value>]) -> Option<&'static str> {
    if name.chars().any(char::is_control) || name.trim().is_empty() {
        return Some("a name that is empty, or holds a line break");
    }
    if name.chars().count() > LONGEST {
        return Some("a name of more than 200 characters");
    }
    values.iter().find_map(|value| match plain(*value) {
        Err(()) => Some("lists, objects, or a type that is not read"),
        Ok(Some(text)) if text.chars().nth(LONGEST).is_some() => Some("longer than 200 characters"),
        Ok(_) => None,
    })
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
