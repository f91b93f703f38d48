//! `tojson`, which is Python's `json.dumps`: jinja2's with sorted keys and nothing but ASCII, and four characters of HTML
//! escaped; transformers' with the keys as they stand, and all text as it is.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};
use std::fmt::Write as _;

use super::arguments::{named, whole};
use super::{limits, python, undefined};

const DEEPEST: usize = 64;

/// jinja2's own filter.
pub(super) fn jinja2(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [indent] = named(args, ["indent"])?;
    let style = Style::new(indent, Escapes::Html, true)?;
    written(state, value, style).map(Value::from_safe_string)
}

/// What transformers puts in its place for chat templates.
pub(super) fn transformers(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [ascii, indent, separators, sorted] =
        named(args, ["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let is_true = |flag: Option<Value>| flag.is_some_and(|flag| flag.is_true());
    let escapes = if is_true(ascii) { Escapes::Ascii } else { Escapes::None };
    let mut style = Style::new(indent, escapes, is_true(sorted))?;
    if let Some(separators) = separators {
        let two: Vec<Value> = separators.try_iter()?.collect();
        let [Some(items), Some(keys)] = [two.first(), two.get(1)].map(|one| one.and_then(Value::as_str))
        else {
            let message = "tojson's separators are two texts, between items and after keys";
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        };
        (style.between_items, style.after_keys) = (items.to_owned(), keys.to_owned());
    }
    written(state, value, style).map(Value::from)
}

fn written(state: &State, value: &Value, style: Style) -> Result<String, Error> {
    let mut writer = Writer { out: String::new(), style, room: limits::room(state) };
    writer.value(value, 0)?;
    limits::charge(state, 16 * writer.out.len())?;
    Ok(writer.out)
}

/// Which characters are written as escapes, besides those that JSON asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    None,
    Ascii,
    /// All but ASCII, and `<`, `>`, `&` and `'`.
    Html,
}

struct Style {
    indent: Option<usize>,
    escapes: Escapes,
    sorted: bool,
    between_items: String,
    after_keys: String,
}

impl Style {
    fn new(indent: Option<Value>, escapes: Escapes, sorted: bool) -> Result<Self, Error> {
        let indent = match indent {
            None => None,
            indent => Some(usize::try_from(whole(indent, 0)?).unwrap_or_default()),
        };
        if indent.is_some_and(|indent| indent > 100) {
            return Err(Error::new(ErrorKind::InvalidOperation, "tojson indents by 100 spaces at most"));
        }
        let between_items = if indent.is_some() { "," } else { ", " }.to_owned();
        Ok(Self { indent, escapes, sorted, between_items, after_keys: ": ".to_owned() })
    }
}

struct Writer {
    out: String,
    style: Style,
    room: usize,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST || self.out.len() > self.room {
            return Err(limits::exceeded());
        }
        if let Some(text) = value.as_str() {
            self.text(text);
            return Ok(());
        }
        match value.kind() {
            _ if undefined::is_none(value) => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)?),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list(['[', ']'], depth, &items, |writer, item| writer.value(item, depth + 1))?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if !keys.iter().all(|key| key.as_str().is_some()) {
                    let message = "tojson takes dictionaries whose keys are text";
                    return Err(Error::new(ErrorKind::InvalidOperation, message));
                }
                if self.style.sorted {
                    keys.sort();
                }
                self.list(['{', '}'], depth, &keys, |writer, key| {
                    writer.text(key.as_str().unwrap_or_default());
                    writer.out.push_str(&writer.style.after_keys);
                    writer.value(&value.get_item(key)?, depth + 1)
                })?;
            }
            kind => {
                return Err(Error::new(ErrorKind::InvalidOperation, format!("{kind} is no JSON")));
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        [open, close]: [char; 2],
        depth: usize,
        items: &[Value],
        each: impl Fn(&mut Self, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.push_str(&self.style.between_items);
            }
            self.line(depth + 1);
            each(self, item)?;
        }
        if !items.is_empty() {
            self.line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if let Some(indent) = self.style.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn text(&mut self, text: &str) {
        let html = self.style.escapes == Escapes::Html;
        self.out.push('"');
        for c in text.chars() {
            // Writing to a String cannot fail.
            let _ = match c {
                '"' => write!(self.out, "\\\""),
                '\\' => write!(self.out, "\\\\"),
                '\n' => write!(self.out, "\\n"),
                '\r' => write!(self.out, "\\r"),
                '\t' => write!(self.out, "\\t"),
                '\u{8}' => write!(self.out, "\\b"),
                '\u{c}' => write!(self.out, "\\f"),
                ' '..='~' if html && matches!(c, '<' | '>' | '&' | '\'') => escaped(&mut self.out, c),
                ' '..='~' => write!(self.out, "{c}"),
                '\u{7f}'.. if self.style.escapes == Escapes::None => write!(self.out, "{c}"),
                c => escaped(&mut self.out, c),
            };
        }
        self.out.push('"');
    }
}

/// The character as UTF-16, which is how JSON escapes one.
fn escaped(out: &mut String, c: char) -> std::fmt::Result {
    c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
}

fn number(value: &Value) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    let number = f64::try_from(value.clone())?;
    Ok(match number {
        number if number.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        number => python::float(number),
    })
}
