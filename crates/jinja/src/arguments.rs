//! Arguments by position or by name, as Python's functions take them.

use minijinja::value::{Kwargs, Rest, from_args};
use minijinja::{Error, ErrorKind, Value};

/// The arguments of those names, whether given by position or by name; what is missing or `None` is `None`. A name of
/// `""` is one that cannot be given.
///
/// # Errors
/// More arguments than names, and names that there are not.
pub(super) fn named<const N: usize>(args: &[Value], names: [&str; N]) -> Result<[Option<Value>; N], Error> {
    let (positional, by_name): (Rest<Value>, Kwargs) = from_args(args)?;
    if positional.len() > N {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let mut values = [const { None }; N];
    for (value, given) in values.iter_mut().zip(positional.0) {
        *value = Some(given);
    }
    for (value, name) in values.iter_mut().zip(names) {
        if !name.is_empty()
            && let Some(given) = by_name.get::<Option<Value>>(name)?
        {
            *value = Some(given);
        }
    }
    by_name.assert_all_used()?;
    Ok(values.map(|value| value.filter(|value| !value.is_none())))
}

/// An argument that must be a whole number, `default` where it is missing.
pub(super) fn whole(argument: Option<Value>, default: i64) -> Result<i64, Error> {
    argument.map_or(Ok(default), i64::try_from)
}

/// An argument that must be text.
pub(super) fn text<'a>(argument: Option<&'a Value>, default: &'a str) -> Result<&'a str, Error> {
    match argument {
        None => Ok(default),
        Some(value) => value.as_str().ok_or_else(|| {
            Error::new(ErrorKind::InvalidOperation, format!("{} where text is needed", value.kind()))
        }),
    }
}
