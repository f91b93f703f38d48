//! jinja2's `tojson`: Python's `json.dumps` with sorted keys and nothing but ASCII, and four characters of HTML escaped.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};
use std::fmt::Write as _;

use super::arguments::{named, whole};
use super::{limits, python};

const DEEPEST: usize = 64;

pub(super) fn filter(state: &State, value: &Value, args: &[Value]) -> Result<Value, Error> {
    let [indent] = named(args, ["indent"])?;
    let indent = match indent {
        None => None,
        indent => Some(usize::try_from(whole(indent, 0)?).unwrap_or_default()),
    };
    if indent.is_some_and(|indent| indent > 100) {
        return Err(Error::new(ErrorKind::InvalidOperation, "tojson indents by 100 spaces at most"));
    }
    let mut writer = Writer { out: String::new(), indent, room: limits::room(state) };
    writer.value(value, 0)?;
    limits::charge(state, 16 * writer.out.len())?;
    Ok(Value::from_safe_string(writer.out))
}

struct Writer {
    out: String,
    indent: Option<usize>,
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
            ValueKind::None => self.out.push_str("null"),
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
                keys.sort();
                self.list(['{', '}'], depth, &keys, |writer, key| {
                    writer.text(key.as_str().unwrap_or_default());
                    writer.out.push_str(": ");
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
                self.out.push_str(if self.indent.is_some() { "," } else { ", " });
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
        if let Some(indent) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }

    fn text(&mut self, text: &str) {
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
                ' '..='~' if !matches!(c, '<' | '>' | '&' | '\'') => write!(self.out, "{c}"),
                c => {
                    c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(self.out, "\\u{unit:04x}"))
                }
            };
        }
        self.out.push('"');
    }
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
