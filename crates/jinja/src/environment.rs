//! What a template finds: filters, tests, functions, and how values are printed, in each dialect.

use std::sync::OnceLock;

use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use super::{Dialect, checks, collections, filters, limits, operators, python, raise, text, undefined};

/// The environment that templates of a dialect share.
pub(super) fn shared(dialect: Dialect) -> &'static Environment<'static> {
    static DATA: OnceLock<Environment<'static>> = OnceLock::new();
    static CHAT: OnceLock<Environment<'static>> = OnceLock::new();
    match dialect {
        Dialect::Data => DATA.get_or_init(|| new(dialect)),
        Dialect::Chat => CHAT.get_or_init(|| new(dialect)),
    }
}

/// An environment without templates.
pub(super) fn new(dialect: Dialect) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(match dialect {
        Dialect::Data => UndefinedBehavior::Strict,
        Dialect::Chat => UndefinedBehavior::Lenient,
    });
    // Errors name what is undefined.
    environment.set_debug(true);
    environment.set_fuel(Some(limits::WORK));
    // Prompts are no HTML, whatever the file is called.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(print);
    environment.set_unknown_method_callback(method);
    environment.remove_global("debug");
    environment.add_function("range", collections::range);
    match dialect {
        // promptsource's.
        Dialect::Data => environment.add_function("zip", minijinja::filters::zip),
        Dialect::Chat => environment.add_function("raise_exception", raise::raise_exception),
    }
    filters::add(&mut environment, dialect);
    checks::add(&mut environment);
    operators::add(&mut environment);
    environment
}

pub(super) fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => Ok(out.write_str(text)?),
        None if undefined::is_nothing(value) => Ok(()),
        None => Ok(out.write_str(&python::text(state, value)?)?),
    }
}

fn method(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    undefined::refuse(std::slice::from_ref(value))?;
    undefined::refuse(args)?;
    match value.as_str() {
        Some(text) => text::method(state, text, method, args),
        None => collections::method(state, value, method, args),
    }
}

/// What to do about an error of Jinja's.
pub fn hint(error: &Error) -> String {
    match error.kind() {
        ErrorKind::UnknownFilter => filters::hint(error),
        ErrorKind::UnknownFunction => {
            "the functions are range, dict, namespace and zip, and the template's own macros".to_owned()
        }
        ErrorKind::UnknownMethod => {
            format!(
                "text has Python's methods {}; lists have count and index, dictionaries get, items, keys and values",
                text::METHODS
            )
        }
        _ => "the template must render for every row".to_owned(),
    }
}
