//! Values as Python's `str` and `repr` write them: what `{{ … }}` prints.
//!
//! `repr` is `CPython`'s `Objects/unicodeobject.c` (which quotes, what is escaped) and `float.__repr__` (the shortest
//! digits that read back, with an exponent from 1e16 and below 1e-4).

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};
use std::fmt::Write as _;
use unicode_general_category::{GeneralCategory, get_general_category};

use super::collections::{Range, View};
use super::limits;
use super::ordering::Group;
use super::undefined;

/// Lists in lists in lists, and no deeper.
const DEEPEST: usize = 64;

/// `str(value)`, no longer than the work left allows.
///
/// # Errors
/// An undefined value; text longer than [`limits`] allow.
pub(super) fn text(state: &State, value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        limits::charge(state, text.len())?;
        return Ok(text.to_owned());
    }
    if undefined::is(value) && undefined::allowed(state) {
        return Ok(String::new());
    }
    let mut writer = Writer { out: String::new(), room: limits::room(state) };
    writer.value(value, 0, false)?;
    limits::charge(state, 16 * writer.out.len())?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    /// The bytes that may still be written.
    room: usize,
}

impl Writer {
    fn push(&mut self, text: &str) -> Result<(), Error> {
        self.room = self.room.checked_sub(text.len()).ok_or_else(limits::exceeded)?;
        self.out.push_str(text);
        Ok(())
    }

    fn value(&mut self, value: &Value, depth: usize, quoted: bool) -> Result<(), Error> {
        if depth > DEEPEST {
            let message = format!("a value nested more than {DEEPEST} deep cannot be printed");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
        if let Some(text) = value.as_str() {
            return if quoted { self.push(&quote(text)) } else { self.push(text) };
        }
        match value.kind() {
            _ if undefined::is(value) => Err(undefined::error(value)),
            _ if undefined::is_none(value) => self.push("None"),
            ValueKind::Bool => self.push(if value.is_true() { "True" } else { "False" }),
            ValueKind::Number => match f64::try_from(value.clone()) {
                Ok(number) if !value.is_integer() => self.push(&float(number)),
                _ => self.push(&value.to_string()),
            },
            ValueKind::Seq | ValueKind::Iterable => self.items(value, depth),
            ValueKind::Map => self.pairs(value, depth),
            _ => self.push(&value.to_string()),
        }
    }

    fn items(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if let Some(range) = value.downcast_object_ref::<Range>() {
            return self.push(&range.text());
        }
        let is_tuple = value.is_tuple() || value.downcast_object_ref::<Group>().is_some();
        let (before, after) = match value.downcast_object_ref::<View>() {
            Some(view) => view.brackets(),
            None if is_tuple => ("(", if value.len() == Some(1) { ",)" } else { ")" }),
            None => ("[", "]"),
        };
        self.push(before)?;
        for (i, item) in value.try_iter()?.enumerate() {
            if i > 0 {
                self.push(", ")?;
            }
            self.value(&item, depth + 1, true)?;
        }
        self.push(after)
    }

    fn pairs(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.push("{")?;
        for (i, key) in value.try_iter()?.enumerate() {
            if i > 0 {
                self.push(", ")?;
            }
            self.value(&key, depth + 1, true)?;
            self.push(": ")?;
            self.value(&value.get_item(&key)?, depth + 1, true)?;
        }
        self.push("}")
    }
}

/// `repr` of a text.
pub(super) fn quote(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        // Writing to a String cannot fail.
        let _ = match c {
            '\\' => write!(out, "\\\\"),
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            c if c == quote => write!(out, "\\{c}"),
            c if is_printable(c) => write!(out, "{c}"),
            c if u32::from(c) <= 0xff => write!(out, "\\x{:02x}", u32::from(c)),
            c if u32::from(c) <= 0xffff => write!(out, "\\u{:04x}", u32::from(c)),
            c => write!(out, "\\U{:08x}", u32::from(c)),
        };
    }
    out.push(quote);
    out
}

/// `str.isprintable` of one character: no separator but the space, no control, format, private or unassigned one.
pub(super) fn is_printable(c: char) -> bool {
    use GeneralCategory as G;
    c == ' '
        || !matches!(
            get_general_category(c),
            G::Control
                | G::Format
                | G::Surrogate
                | G::PrivateUse
                | G::Unassigned
                | G::LineSeparator
                | G::ParagraphSeparator
                | G::SpaceSeparator
        )
}

/// `repr` of a float.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // Rust's debug form changes to an exponent where Python's does, but writes 1e16 where Python writes 1e+16.
    let text = format!("{number:?}");
    match text.split_once('e') {
        None => text,
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
    }
}

/// Python's `float(text)`.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let text = super::strip(text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let named = ["inf", "infinity", "nan"].iter().any(|name| digits.eq_ignore_ascii_case(name));
    if !named && !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let single = digits.split('_').all(|part| {
        part.starts_with(|c: char| c.is_ascii_digit()) && part.ends_with(|c: char| c.is_ascii_digit())
    });
    if digits.contains('_') && !single {
        return None;
    }
    text.replace('_', "").parse().ok()
}
