//! JSON that people read and compare: sorted keys, one list entry a line, differences by path.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Value};

use crate::difference::Difference;

/// The object with its keys sorted, and those of every object in it. `serde_json` keeps the order of insertion
/// where any crate of the build asks it to, and polars does.
pub(crate) fn sorted(map: Map<String, Value>) -> Map<String, Value> {
    let mut entries: Vec<_> = map.into_iter().collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.into_iter().map(|(key, value)| (key, sorted_value(value))).collect()
}

fn sorted_value(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(sorted(map)),
        Value::Array(items) => Value::Array(items.into_iter().map(sorted_value).collect()),
        other => other,
    }
}

/// Pretty JSON whose lists have one entry a line, with a newline at the end.
pub(crate) fn to_lines(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Lines::default()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Where `asked` differs from `stored`, added to `found` with the path of each place.
pub(crate) fn differences(
    path: &str,
    stored: Option<&Value>,
    asked: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    match (stored, asked) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut keys: Vec<&String> =
                a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
            keys.sort();
            for key in keys {
                differences(&format!("{path}.{key}"), a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if a.iter().chain(b).any(is_nested) => {
            for i in 0..a.len().max(b.len()) {
                differences(&format!("{path}[{i}]"), a.get(i), b.get(i), found);
            }
        }
        (Some(a), Some(b)) if same(a, b) => {}
        (None, None) => {}
        (a, b) => found.push(Difference {
            path: path.to_owned(),
            stored: a.map(Value::to_string),
            asked: b.map(Value::to_string),
        }),
    }
}

/// Equal but for the last digits of a float: `serde_json` writes floats exactly and reads them nearly so.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(x), Value::Number(y)) if x.is_f64() && y.is_f64() => {
            let (x, y) = (x.as_f64().unwrap_or_default(), y.as_f64().unwrap_or_default());
            (x - y).abs() <= 8.0 * f64::EPSILON * x.abs().max(y.abs())
        }
        _ => a == b,
    }
}

fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_))
}

/// An open object or list while writing.
#[derive(Clone, Copy)]
struct Open {
    list: bool,
    inline: bool,
    filled: bool,
}

/// Objects and lists are broken into lines, except whatever stands inside a list.
#[derive(Default)]
struct Lines {
    open: Vec<Open>,
}

impl Lines {
    fn begin<W: ?Sized + Write>(&mut self, out: &mut W, list: bool) -> io::Result<()> {
        let inline = self.open.last().is_some_and(|parent| parent.inline || parent.list);
        self.open.push(Open { list, inline, filled: false });
        out.write_all(if list { b"[" } else { b"{" })
    }

    fn entry<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        let Some(open) = self.open.last_mut() else { return Ok(()) };
        open.filled = true;
        match (open.inline, first) {
            (true, true) => Ok(()),
            (true, false) => out.write_all(b", "),
            (false, first) => {
                out.write_all(if first { b"\n" } else { b",\n" })?;
                self.indent(out)
            }
        }
    }

    fn end<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        if open.filled && !open.inline {
            out.write_all(b"\n")?;
            self.indent(out)?;
        }
        out.write_all(if open.list { b"]" } else { b"}" })
    }

    fn indent<W: ?Sized + Write>(&self, out: &mut W) -> io::Result<()> {
        self.open.iter().try_for_each(|_| out.write_all(b"  "))
    }
}

impl Formatter for Lines {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, true)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.entry(out, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, false)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.entry(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_and_nested_values() {
        let value = serde_json::json!({"z": {}, "a": [], "l": [1, [], {"k": [2]}]});
        let text = String::from_utf8(to_lines(&sorted_value(value.clone())).unwrap()).unwrap();
        assert_eq!(
            text,
            "{\n  \"a\": [],\n  \"l\": [\n    1,\n    [],\n    {\"k\": [2]}\n  ],\n  \"z\": {}\n}\n"
        );
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
