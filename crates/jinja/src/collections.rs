//! Python's methods of dictionaries, lists and tuples, as far as they change nothing: values cannot be changed in place.

use minijinja::value::{Enumerator, Object, ObjectRepr, Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use std::sync::Arc;

use super::{limits, ordering, python};

/// The items of a value that Python can iterate over, paid for.
///
/// # Errors
/// `None`, numbers and booleans, which the engine would take for nothing.
pub(super) fn items(state: &State, value: &Value) -> Result<Vec<Value>, Error> {
    if value.is_none() {
        return Err(Error::new(ErrorKind::InvalidOperation, "None has no items"));
    }
    let mut items = Vec::new();
    for item in value.try_iter()? {
        limits::charge(state, 64)?;
        items.push(item);
    }
    Ok(items)
}

/// What a dotted path of names and numbers leads to.
pub(super) fn attribute(item: &Value, path: &str) -> Result<Value, Error> {
    let found = path.split('.').try_fold(item.clone(), |value, part| match part.parse::<usize>() {
        Ok(index) => value.get_item_by_index(index),
        Err(_) => value.get_attr(part),
    })?;
    if found.is_undefined() {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("an item has no `{path}`")));
    }
    Ok(found)
}

/// `range(…)`, which prints as Python's does.
#[derive(Debug)]
pub(super) struct Range {
    first: i64,
    end: i64,
    step: i64,
    length: usize,
}

impl Range {
    pub(super) fn text(&self) -> String {
        match self.step {
            1 => format!("range({}, {})", self.first, self.end),
            step => format!("range({}, {}, {step})", self.first, self.end),
        }
    }
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = i64::try_from(key.as_usize().filter(|at| *at < self.length)?).ok()?;
        Some(Value::from(self.first.checked_add(self.step.checked_mul(at)?)?))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.length)
    }
}

/// Python's `range`, of so many numbers as a rendering can use.
pub(super) fn range(first: i64, end: Option<i64>, step: Option<i64>) -> Result<Value, Error> {
    let (first, end, step) = (if end.is_some() { first } else { 0 }, end.unwrap_or(first), step.unwrap_or(1));
    if step == 0 {
        return Err(Error::new(ErrorKind::InvalidOperation, "range's step must not be 0"));
    }
    let span = (i128::from(end) - i128::from(first)) * i128::from(step.signum());
    let step_size = i128::from(step.unsigned_abs());
    let length = usize::try_from((span.max(0) + step_size - 1) / step_size).unwrap_or(usize::MAX);
    if length as u64 > limits::WORK {
        return Err(limits::exceeded());
    }
    Ok(Value::from_object(Range { first, end, step, length }))
}

/// What `dict.keys()`, `dict.values()` and `dict.items()` return: a list that prints as Python's views do.
#[derive(Debug)]
pub(super) struct View {
    name: &'static str,
    items: Vec<Value>,
}

impl View {
    fn of(name: &'static str, items: Vec<Value>) -> Value {
        Value::from_object(Self { name, items })
    }

    pub(super) fn brackets(&self) -> (&'static str, &'static str) {
        match self.name {
            "keys" => ("dict_keys([", "])"),
            "values" => ("dict_values([", "])"),
            _ => ("dict_items([", "])"),
        }
    }
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.items.clone())
    }
}

/// The methods that change what they are called on, and what to write instead.
const CHANGING: [(&str, &str); 12] = [
    ("append", "write list + [item]"),
    ("extend", "write list + other"),
    ("insert", "write list[:i] + [item] + list[i:]"),
    ("remove", "write list|reject('equalto', item)|list"),
    ("reverse", "write list|reverse"),
    ("sort", "write list|sort"),
    ("pop", "write list[-1] or list[:-1]"),
    ("clear", "write []"),
    ("update", "write dict(dict, key=value)"),
    ("popitem", "write dict|items"),
    ("setdefault", "write dict.get(key, value)"),
    ("copy", "values cannot be changed, so copies are not needed"),
];

pub(super) fn method(state: &State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Map => of_map(state, value, method, args),
        ValueKind::Seq | ValueKind::Iterable => of_list(state, value, method, args),
        kind => Err(Error::new(ErrorKind::UnknownMethod, format!("{kind} has no method named {method}"))),
    }
}

fn unknown(what: &str, method: &str) -> Error {
    let instead = CHANGING.iter().find(|(name, _)| *name == method);
    let message = match instead {
        Some((_, instead)) => format!("{what} has no method named {method}: {instead}"),
        None => format!("{what} has no method named {method}"),
    };
    Error::new(ErrorKind::UnknownMethod, message)
}

fn of_map(state: &State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let keys = || -> Result<Vec<Value>, Error> {
        from_args::<()>(args)?;
        limits::charge(state, 64 * value.len().unwrap_or_default())?;
        Ok(value.try_iter()?.collect())
    };
    match method {
        "keys" => Ok(View::of("keys", keys()?)),
        "values" => {
            let values: Result<_, _> = keys()?.iter().map(|key| value.get_item(key)).collect();
            Ok(View::of("values", values?))
        }
        "items" => {
            let pair = |key: Value| {
                let item = value.get_item(&key)?;
                Ok(Value::from(Tuple::from([key, item])))
            };
            let pairs: Result<_, Error> = keys()?.into_iter().map(pair).collect();
            Ok(View::of("items", pairs?))
        }
        "get" => {
            let (key, default): (&Value, Option<Value>) = from_args(args)?;
            let found = value.as_object().and_then(|object| object.get_value(key));
            Ok(found.or(default).unwrap_or_else(|| Value::from(())))
        }
        _ => Err(unknown("a dictionary", method)),
    }
}

fn of_list(state: &State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "count" => {
            let (what,): (&Value,) = from_args(args)?;
            let mut count = 0;
            for item in items(state, value)? {
                count += usize::from(ordering::equal(state, &item, what)?);
            }
            Ok(Value::from(count))
        }
        "index" => {
            let (what,): (&Value,) = from_args(args)?;
            for (at, item) in items(state, value)?.iter().enumerate() {
                if ordering::equal(state, item, what)? {
                    return Ok(Value::from(at));
                }
            }
            let message = format!("{} is not in the list", python::text(state, what)?);
            Err(Error::new(ErrorKind::InvalidOperation, message))
        }
        _ => Err(unknown("a list", method)),
    }
}
