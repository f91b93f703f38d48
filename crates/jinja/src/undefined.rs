//! What a template asks for and is not there: every use of it is an error that names it, but for the questions whether
//! it is there (`is defined`, `is undefined`, `default`).

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, Value};
use std::sync::Arc;

/// The empty cell of a column that there is: it may be tested (`{% if title %}`), and nothing else.
#[derive(Debug)]
pub struct Empty(pub(in crate::template) String);

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

/// Fails if one of the values is undefined.
pub(super) fn refuse(values: &[Value]) -> Result<(), Error> {
    values.iter().find(|value| is(value)).map_or(Ok(()), |value| Err(error(value)))
}

/// The expression whose value is undefined, as the template has it (`row.name`), if that is what the error is about.
pub fn expression(error: &Error) -> Option<&str> {
    let (before, _) = error.detail()?.split_once("` is undefined")?;
    before.rsplit_once('`').map(|(_, expression)| expression)
}
