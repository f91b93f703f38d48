//! What a template asks for and is not there. In data's templates every use of it is an error that names it, but for the
//! questions whether it is there (`is defined`, `is undefined`, `default`). Chat templates may use it as jinja2 has it: it
//! prints as nothing, is false, and has no items; its attributes are an error.

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, UndefinedBehavior, Value};
use std::sync::Arc;

/// The empty cell of a column that there is: it may be tested (`{% if title %}`), and nothing else.
#[derive(Debug)]
pub struct Empty(pub String);

impl Object for Empty {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }
}

/// `None` as a variable that Python would not loop over, where the engine takes its own `None` for an empty list.
#[derive(Debug)]
struct Absent;

impl Object for Absent {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }
}

/// The `None` that transformers gives a chat template for `tools` and `documents`: a template that loops over them without
/// asking fails.
pub fn absent() -> Value {
    Value::from_object(Absent)
}

/// Whether a value is [`absent`].
pub(super) fn is_absent(value: &Value) -> bool {
    value.downcast_object_ref::<Absent>().is_some()
}

/// Whether a value is Python's `None`.
pub(super) fn is_none(value: &Value) -> bool {
    value.is_none() || is_absent(value)
}

/// Whether a filter makes an empty list of `None`.
pub(super) fn takes_nothing(filter: &str) -> bool {
    matches!(filter, "map" | "reject" | "rejectattr" | "select" | "selectattr")
}

/// What `'a' if false` is: it prints as nothing, and may be tested.
pub(super) fn nothing() -> Value {
    Value::from_object(Empty(String::new()))
}

/// Whether a value is [`nothing`].
pub(super) fn is_nothing(value: &Value) -> bool {
    value.downcast_object_ref::<Empty>().is_some_and(|empty| empty.0.is_empty())
}

/// Whether a value is undefined, or an empty cell.
pub(super) fn is(value: &Value) -> bool {
    value.is_undefined() || value.downcast_object_ref::<Empty>().is_some()
}

/// The error for the use of an undefined value. The engine adds to it what the value was called in the template.
pub(super) fn error(value: &Value) -> Error {
    if is_nothing(value) {
        return Error::new(ErrorKind::UndefinedError, "an `if` without its `else` gave no value");
    }
    if let Some(Empty(name)) = value.downcast_object_ref() {
        return Error::new(ErrorKind::UndefinedError, format!("`{name}` is undefined"));
    }
    // The one error of the engine's public interface that carries an undefined value's origin.
    match i64::try_from(value.clone()) {
        Err(error) => error,
        Ok(_) => Error::from(ErrorKind::UndefinedError),
    }
}

/// Whether undefined values may be used.
pub(super) fn allowed(state: &State) -> bool {
    state.undefined_behavior() == UndefinedBehavior::Lenient
}

/// Fails if one of the values is undefined, and may not be.
pub(super) fn refuse_unless_allowed(state: &State, values: &[Value]) -> Result<(), Error> {
    if allowed(state) { Ok(()) } else { refuse(values) }
}

/// What a filter makes of an undefined value where it may be used: text filters take it for an empty text, and those of
/// lists for an empty list. `None` leaves it to the filter.
///
/// # Errors
/// Filters with which jinja2 fails.
pub(super) fn filtered(filter: &str, value: &Value) -> Result<Option<Value>, Error> {
    Ok(Some(match filter {
        "count" | "length" | "sum" => Value::from(0),
        "first" | "last" | "max" | "min" => Value::UNDEFINED,
        "format" => Value::from(""),
        "batch" | "groupby" | "items" | "list" | "map" | "reject" | "rejectattr" | "reverse" | "select"
        | "selectattr" | "slice" | "sort" | "unique" => Value::from(Vec::<Value>::new()),
        "truncate" => value.clone(),
        "abs" | "dictsort" | "float" | "indent" | "int" | "round" | "tojson" => return Err(error(value)),
        _ => return Ok(None),
    }))
}

/// Fails if one of the values is undefined.
pub(super) fn refuse(values: &[Value]) -> Result<(), Error> {
    values.iter().find(|value| is(value)).map_or(Ok(()), |value| Err(error(value)))
}

/// The expression whose value is undefined, as the template has it (`row.name`), if that is what the error is about.
pub fn expression(error: &Error) -> Option<&str> {
    let (before, _) = error.detail()?.split_once("` is undefined")?;
    before.rsplit_once('`').map(|(_, expression)| expression)
}
