//! Jinja's operators as Python's: what Python cannot compare, slice or search is an error here too.

use minijinja::value::{Rest, Tuple, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use std::cmp::Ordering;

use super::collections::items;
use super::{filters, limits, ordering, python, undefined};

/// The names of the filters that [`engine`](super::engine) puts in place of the operators. No template can write them.
pub(super) fn add(environment: &mut Environment) {
    type Operator = fn(&State, &Value, &Value) -> Result<Value, Error>;
    let operators: [(&str, Operator); 10] = [
        ("~", |state, a, b| {
            let (a, b) = (python::text(state, a)?, python::text(state, b)?);
            Ok(Value::from(a + &b))
        }),
        ("+", sum),
        ("%", remainder),
        ("==", |state, a, b| ordering::equal(state, a, b).map(Value::from)),
        ("!=", |state, a, b| ordering::equal(state, a, b).map(|equal| Value::from(!equal))),
        ("<", |state, a, b| compared(state, a, b, Ordering::is_lt)),
        ("<=", |state, a, b| compared(state, a, b, Ordering::is_le)),
        (">", |state, a, b| compared(state, a, b, Ordering::is_gt)),
        (">=", |state, a, b| compared(state, a, b, Ordering::is_ge)),
        ("in", contains),
    ];
    for (name, operator) in operators {
        let call = move |state: &State, a: &Value, b: &Value| {
            undefined::refuse_unless_allowed(state, std::slice::from_ref(a))?;
            undefined::refuse_unless_allowed(state, std::slice::from_ref(b))?;
            operator(state, a, b)
        };
        environment.add_filter(name, call);
    }
    environment.add_filter("[:]", |state: &State, args: Rest<Value>| match args.as_slice() {
        [value, start, stop, step] => slice(state, value, [start, stop, step]),
        _ => Err(Error::from(ErrorKind::MissingArgument)),
    });
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn compared(state: &State, a: &Value, b: &Value, wanted: fn(Ordering) -> bool) -> Result<Value, Error> {
    ordering::compare(state, a, b).map(|order| Value::from(wanted(order)))
}

pub(super) fn contains(state: &State, value: &Value, container: &Value) -> Result<Value, Error> {
    if let Some(text) = container.as_str() {
        let part = value
            .as_str()
            .ok_or_else(|| refused(format!("{} cannot be in text: only text can", value.kind())))?;
        limits::charge(state, text.len())?;
        return Ok(Value::from(text.contains(part)));
    }
    match container.kind() {
        ValueKind::Map => {
            Ok(Value::from(container.as_object().is_some_and(|map| map.get_value(value).is_some())))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            for item in items(state, container)? {
                if ordering::equal(state, &item, value)? {
                    return Ok(Value::from(true));
                }
            }
            Ok(Value::from(false))
        }
        _ if undefined::is(container) && undefined::allowed(state) => Ok(Value::from(false)),
        kind => Err(refused(format!("nothing can be in {kind}"))),
    }
}

/// A number that Python calls whole: `True` and `False` are too.
fn whole(value: &Value) -> Option<i128> {
    (value.is_integer() || value.kind() == ValueKind::Bool).then(|| i128::try_from(value.clone()).ok())?
}

fn as_value(whole: i128) -> Value {
    i64::try_from(whole).map_or_else(|_| Value::from(whole), Value::from)
}

fn float(value: &Value) -> Option<f64> {
    whole(value).map(|whole| whole as f64).or_else(|| f64::try_from(value.clone()).ok())
}

/// `+`: of numbers, texts, lists and tuples, each with its like. Lists are made, and paid for, at once: the engine's are
/// made when they are read, all of them.
fn sum(state: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        limits::charge(state, a.len() + b.len())?;
        return Ok(Value::from([a, b].concat()));
    }
    let is_list = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    if is_list(a) && is_list(b) && a.is_tuple() == b.is_tuple() {
        let joined: Vec<Value> = items(state, a)?.into_iter().chain(items(state, b)?).collect();
        return Ok(if a.is_tuple() { Value::from(Tuple::from(joined)) } else { Value::from(joined) });
    }
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        return a.checked_add(b).map(as_value).ok_or_else(|| refused("a number too large".to_owned()));
    }
    match (float(a), float(b)) {
        (Some(a), Some(b)) => Ok(Value::from(a + b)),
        _ => {
            Err(refused(format!("{} + {}: write a ~ b to join texts, value|int to add", a.kind(), b.kind())))
        }
    }
}

/// `%`: the remainder with the divisor's sign, or printf's formatting of text.
fn remainder(state: &State, a: &Value, b: &Value) -> Result<Value, Error> {
    if let Some(text) = a.as_str() {
        let args = if b.is_tuple() { items(state, b)? } else { vec![b.clone()] };
        return filters::printf(state, text, args);
    }
    let by_zero = || refused("division by zero".to_owned());
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        let rest = a.checked_rem(b).ok_or_else(by_zero)?;
        return Ok(as_value(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }));
    }
    let (Some(a), Some(b)) = (float(a), float(b)) else {
        return Err(refused(format!("{} has no remainder by {}", a.kind(), b.kind())));
    };
    if b == 0.0 {
        return Err(by_zero());
    }
    let rest = a % b;
    let crosses = (rest < 0.0) != (b < 0.0);
    Ok(Value::from(if rest == 0.0 {
        0.0_f64.copysign(b)
    } else if crosses {
        rest + b
    } else {
        rest
    }))
}

/// Python's slices of text, lists and tuples.
fn slice(state: &State, value: &Value, bounds: [&Value; 3]) -> Result<Value, Error> {
    undefined::refuse(std::slice::from_ref(value))?;
    let [start, stop, step] = bounds.map(|bound| {
        undefined::refuse(std::slice::from_ref(bound))?;
        match bound.kind() {
            ValueKind::None => Ok(None),
            ValueKind::Bool => Ok(Some(i64::from(bound.is_true()))),
            ValueKind::Number if bound.is_integer() => {
                Ok(Some(i64::try_from(bound.clone()).unwrap_or(if *bound > Value::from(0) {
                    i64::MAX
                } else {
                    i64::MIN
                })))
            }
            kind => Err(refused(format!("slices are cut at whole numbers, not at {kind}"))),
        }
    });
    let (start, stop, step) = (start?, stop?, step?.unwrap_or(1));
    if step == 0 {
        return Err(refused("slice step cannot be zero".to_owned()));
    }
    if let Some(text) = value.as_str() {
        limits::charge(state, text.len())?;
        let characters: Vec<char> = text.chars().collect();
        let indices = Indices::of(characters.len(), start, stop, step);
        return Ok(Value::from(indices.filter_map(|at| characters.get(at)).collect::<String>()));
    }
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Err(refused(format!("{} cannot be sliced", value.kind())));
    }
    let items = items(state, value)?;
    let indices = Indices::of(items.len(), start, stop, step);
    let cut: Vec<Value> = indices.filter_map(|at| items.get(at).cloned()).collect();
    Ok(if value.is_tuple() { Value::from(Tuple::from(cut)) } else { Value::from(cut) })
}

/// The indices of a slice, as `slice.indices` gives them.
struct Indices {
    at: i128,
    stop: i128,
    step: i128,
}

impl Indices {
    fn of(length: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> Self {
        let length = length as i128;
        let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
        let index = |bound: i64| {
            let bound = i128::from(bound);
            (if bound < 0 { bound + length } else { bound }).clamp(low, high)
        };
        let (first, last) = if step > 0 { (low, high) } else { (high, low) };
        Self { at: start.map_or(first, index), stop: stop.map_or(last, index), step: i128::from(step) }
    }
}

impl Iterator for Indices {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let goes_on = if self.step > 0 { self.at < self.stop } else { self.at > self.stop };
        let at = goes_on.then(|| usize::try_from(self.at).ok())??;
        self.at += self.step;
        Some(at)
    }
}
