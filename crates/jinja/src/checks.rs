//! Jinja's tests, `is …`. In data's templates none but `defined` and `undefined` takes an undefined value.

use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value, tests};
use std::cmp::Ordering;

use super::{operators, ordering, python, text, undefined};

pub(super) fn add(environment: &mut Environment) {
    for name in ["startingwith", "endingwith", "int", "safe"] {
        environment.remove_test(name);
    }
    environment.add_test("defined", |value: &Value| !undefined::is(value));
    environment.add_test("undefined", |value: &Value| undefined::is(value));
    for (name, test) in TESTS {
        let test = test();
        let call = move |state: &mut State, args: Rest<Value>| {
            undefined::refuse_unless_allowed(state, &args)?;
            Ok::<_, Error>(test.call(state, &args)?.is_true())
        };
        environment.add_test(name, call);
    }
}

/// A test's name, and its function.
type Named = (&'static str, fn() -> Value);

const TESTS: [Named; 35] = [
    ("!=", || equal(false)),
    ("<", || ordered(Ordering::is_lt)),
    ("<=", || ordered(Ordering::is_le)),
    ("==", || equal(true)),
    (">", || ordered(Ordering::is_gt)),
    (">=", || ordered(Ordering::is_ge)),
    ("boolean", || Value::from_function(tests::is_boolean)),
    ("callable", || {
        Value::from_function(|value: &Value| value.kind() == ValueKind::Plain && !undefined::is_none(value))
    }),
    ("divisibleby", || Value::from_function(|value: i64, by: i64| divides(value, by))),
    ("eq", || equal(true)),
    ("equalto", || equal(true)),
    ("escaped", || Value::from_function(tests::is_safe)),
    ("even", || Value::from_function(|value: f64| value.rem_euclid(2.0) == 0.0)),
    ("false", || Value::from_function(tests::is_false)),
    ("float", || Value::from_function(tests::is_float)),
    ("ge", || ordered(Ordering::is_ge)),
    ("greaterthan", || ordered(Ordering::is_gt)),
    ("gt", || ordered(Ordering::is_gt)),
    ("in", || Value::from_function(operators::contains)),
    ("integer", || Value::from_function(tests::is_integer)),
    // Text and dictionaries are iterable, None is not.
    ("iterable", || {
        Value::from_function(|value: &Value| {
            !value.is_none() && (value.as_str().is_some() || value.try_iter().is_ok())
        })
    }),
    ("le", || ordered(Ordering::is_le)),
    ("lessthan", || ordered(Ordering::is_lt)),
    ("lower", || Value::from_function(|state: &State, value: &Value| is_cased(state, value, "islower"))),
    ("lt", || ordered(Ordering::is_lt)),
    ("mapping", || Value::from_function(tests::is_mapping)),
    ("ne", || equal(false)),
    ("none", || Value::from_function(undefined::is_none)),
    // In Python, True and False are numbers.
    ("number", || Value::from_function(|value: &Value| value.is_number() || value.kind() == ValueKind::Bool)),
    ("odd", || Value::from_function(|value: f64| (value - 1.0).rem_euclid(2.0) == 0.0)),
    ("sameas", || Value::from_function(tests::is_sameas)),
    // Text is a sequence of characters, and a dictionary has items and a length.
    ("sequence", || {
        Value::from_function(|value: &Value| {
            value.as_str().is_some() || value.len().is_some() || undefined::is(value)
        })
    }),
    ("string", || Value::from_function(tests::is_string)),
    ("true", || Value::from_function(tests::is_true)),
    ("upper", || Value::from_function(|state: &State, value: &Value| is_cased(state, value, "isupper"))),
];

fn ordered(wanted: fn(Ordering) -> bool) -> Value {
    Value::from_function(move |state: &State, a: &Value, b: &Value| {
        ordering::compare(state, a, b).map(wanted)
    })
}

fn equal(wanted: bool) -> Value {
    Value::from_function(move |state: &State, a: &Value, b: &Value| {
        ordering::equal(state, a, b).map(|equal| equal == wanted)
    })
}

fn divides(value: i64, by: i64) -> Result<bool, Error> {
    let message = "nothing is divisible by 0";
    let rest = value.checked_rem(by).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, message))?;
    Ok(rest == 0)
}

fn is_cased(state: &State, value: &Value, method: &str) -> Result<bool, Error> {
    Ok(text::method(state, &python::text(state, value)?, method, &[])?.is_true())
}
