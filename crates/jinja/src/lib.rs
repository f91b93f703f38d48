//! Jinja as Python's jinja2 renders it: no HTML escapes, values printed as Python's `str` prints them, Python's methods,
//! and what is not there an error that names it, never another text. `tests/python/` holds what jinja2 prints.

mod arguments;
mod casing;
mod checks;
mod collections;
mod engine;
mod filters;
#[cfg(test)]
mod jinja2_tests;
mod json;
mod limits;
mod operators;
mod ordering;
mod python;
mod source;
mod stack;
mod text;
mod undefined;

pub(super) use engine::Engine;
pub(super) use limits::{LONGEST, WORK};
pub(crate) use stack::deeply;
pub(super) use undefined::{Empty, expression};

use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

/// An environment without templates, in which using or testing an undefined value is an error.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Errors name what is undefined.
    environment.set_debug(true);
    environment.set_fuel(Some(limits::WORK));
    // Prompts are no HTML, whatever the file is called.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(print);
    environment.set_unknown_method_callback(method);
    environment.remove_global("debug");
    environment.add_function("range", collections::range);
    // promptsource's.
    environment.add_function("zip", minijinja::filters::zip);
    filters::add(&mut environment);
    checks::add(&mut environment);
    operators::add(&mut environment);
    environment
}

fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
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

/// What `str.strip` strips: Unicode's white space, and four separators of ASCII that Unicode does not count.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Python's `str.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(is_python_space)
}

/// Python's `str.lstrip()`.
pub(super) fn strip_start(text: &str) -> &str {
    text.trim_start_matches(is_python_space)
}

/// Jinja reads `\r\n` and `\r` in a template as `\n`.
pub(super) fn newlines(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}

/// What to do about an error of Jinja's.
pub(super) fn hint(error: &Error) -> String {
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
