//! Jinja as Python renders it, as far as templates for prompts can tell: no HTML escapes, `True` and `None` printed as
//! Python prints them, and the methods of Python's text that promptsource's templates call.

use minijinja::value::{ValueKind, from_args};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, escape_formatter,
};

/// The methods of text, for hints.
const METHODS: &str = "lower, upper, strip, lstrip, rstrip, replace, split, startswith, endswith";

/// An environment without templates. Printing an undefined variable is an error, `{% if variable %}` is none.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    // Prompts are no HTML, whatever the file is called.
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(print);
    environment.set_unknown_method_callback(text_method);
    environment
}

pub(super) fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "True" } else { "False" })?),
        ValueKind::None => Ok(out.write_str("None")?),
        _ => escape_formatter(out, state, value),
    }
}

fn text_method(_: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        let message = format!("{} has no method named {method}", value.kind());
        return Err(Error::new(ErrorKind::UnknownMethod, message));
    };
    let trimmed = |start: bool, end: bool| {
        let (characters,): (Option<&str>,) = from_args(args)?;
        let goes = |c: char| characters.map_or_else(|| is_python_space(c), |these| these.contains(c));
        let text = if start { text.trim_start_matches(goes) } else { text };
        Ok::<_, Error>(Value::from(if end { text.trim_end_matches(goes) } else { text }))
    };
    match method {
        "lower" => from_args::<()>(args).map(|()| Value::from(text.to_lowercase())),
        "upper" => from_args::<()>(args).map(|()| Value::from(text.to_uppercase())),
        "strip" => trimmed(true, true),
        "lstrip" => trimmed(true, false),
        "rstrip" => trimmed(false, true),
        "replace" => from_args(args).map(|(old, new): (&str, &str)| Value::from(text.replace(old, new))),
        "split" => from_args(args).map(|(separator,): (Option<&str>,)| match separator {
            Some(separator) => text.split(separator).collect::<Value>(),
            None => text.split(is_python_space).filter(|word| !word.is_empty()).collect(),
        }),
        "startswith" => from_args(args).map(|(start,): (&str,)| Value::from(text.starts_with(start))),
        "endswith" => from_args(args).map(|(end,): (&str,)| Value::from(text.ends_with(end))),
        _ => Err(Error::new(ErrorKind::UnknownMethod, format!("text has no method named {method}"))),
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
        ErrorKind::UnknownFilter => {
            "Jinja's own filters are there; of promptsource's, choice (which is random), most_frequent and highlight \
             are not"
                .to_owned()
        }
        ErrorKind::UnknownFunction => "Jinja's own functions are there; for zip(a, b) write a|zip(b)".to_owned(),
        ErrorKind::UnknownMethod => format!("text has Python's methods {METHODS}; or use Jinja's filters"),
        _ => "the template must render for every row".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, Error> {
        let context = Value::from_pairs([
            ("yes", Value::from(true)),
            ("none", Value::from(())),
            ("text", Value::from("\u{1c} aB é\u{a0}")),
            ("list", Value::from(vec!["a", "b"])),
        ]);
        environment().render_str(source, context)
    }

    /// The right-hand sides are what jinja2 3.1 prints.
    #[test]
    fn prints_and_calls_as_python() {
        let same =
            |source: &str, expected: &str| assert_eq!(render(source).expect(source), expected, "{source}");
        same("{{ yes }} {{ not yes }} {{ none }} {{ 1 }} {{ 1.0 }} <&>", "True False None 1 1.0 <&>");
        same("[{{ text.strip() }}]", "[aB é]");
        same("[{{ text.strip().rstrip('é ') }}]", "[aB]");
        same("[{{ text.lstrip() }}]", "[aB é\u{a0}]");
        same("{{ text.lower().split()[1] }} {{ 'a,b,,c'.split(',')|length }}", "é 4");
        same("{{ text.strip().upper().replace('É', 'x') }}", "AB x");
        same("{{ 'abc'.replace('', '-') }}", "-a-b-c-");
        same("{% if 'abc'.startswith('ab') and not 'abc'.endswith('b') %}1{% endif %}", "1");
        same("{% if absent %}1{% endif %}2", "2");
    }

    #[test]
    fn what_is_not_there_is_named() {
        for (source, name, advice) in [
            ("{{ list|choice }}", "choice", "random"),
            ("{{ zip(list, list) }}", "zip", "a|zip(b)"),
            ("{{ text.title() }}", "title", "lower, upper"),
            ("{{ list.append(1) }}", "append", "Python's methods"),
            ("{{ absent }}", "undefined", "every row"),
        ] {
            let error = render(source).expect_err(source);
            assert!(error.to_string().contains(name), "{error}");
            assert!(hint(&error).contains(advice), "{source}: {}", hint(&error));
        }
        assert!(render("{{ text.lower(1) }}").is_err());
    }
}
