//! Python's methods of text, by `CPython`'s documentation and `Objects/unicodeobject.c`.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Tuple, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};

use super::arguments::named;
use super::{casing, is_python_space, limits, python};

/// All methods of text that there are, for hints.
pub(super) const METHODS: &str = "capitalize, center, count, endswith, expandtabs, find, format, index, isalnum, \
    isalpha, isascii, isdecimal, isdigit, islower, isnumeric, isprintable, isspace, istitle, isupper, join, ljust, \
    lower, lstrip, partition, removeprefix, removesuffix, replace, rfind, rindex, rjust, rpartition, rsplit, rstrip, \
    split, splitlines, startswith, strip, swapcase, title, upper, zfill";

pub(super) fn method(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    limits::charge(state, text.len())?;
    match method {
        "capitalize" | "casefold" | "lower" | "swapcase" | "title" | "upper" => recased(text, method, args),
        "center" | "ljust" | "rjust" | "zfill" | "expandtabs" => padded(state, text, method, args),
        "strip" | "lstrip" | "rstrip" | "removeprefix" | "removesuffix" => shortened(text, method, args),
        "split" | "rsplit" | "splitlines" | "partition" | "rpartition" => {
            let parts = divided(text, method, args)?;
            limits::charge(state, 64 * parts.len().unwrap_or_default())?;
            Ok(parts)
        }
        "count" | "find" | "index" | "rfind" | "rindex" | "startswith" | "endswith" => {
            searched(text, method, args)
        }
        "replace" => replaced(state, text, args),
        "join" => joined(state, text, args),
        "format" => formatted(state, text, args),
        _ if method.starts_with("is") => classified(text, method, args),
        _ => Err(unknown(method)),
    }
}

fn unknown(method: &str) -> Error {
    Error::new(ErrorKind::UnknownMethod, format!("text has no method named {method}"))
}

fn refused(message: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.to_owned())
}

fn recased(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    from_args::<()>(args)?;
    Ok(Value::from(match method {
        "capitalize" => casing::capitalize(text),
        "lower" => text.to_lowercase(),
        "swapcase" => casing::swapcase(text),
        "title" => casing::title(text),
        "upper" => text.to_uppercase(),
        _ => return Err(unknown(method)),
    }))
}

/// `count` times the character `fill`, paid for.
fn filler(state: &State, fill: char, count: usize) -> Result<String, Error> {
    limits::charge(state, count.saturating_mul(fill.len_utf8()))?;
    Ok(std::iter::repeat_n(fill, count).collect())
}

fn padded(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    if method == "expandtabs" {
        return expanded(state, text, args);
    }
    let (width, fill): (i64, Option<&str>) = from_args(args)?;
    let mut fills = fill.unwrap_or(" ").chars();
    let (Some(fill), None) = (fills.next(), fills.next()) else {
        return Err(refused("the fill must be one character"));
    };
    let length = text.chars().count();
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(length);
    Ok(Value::from(match method {
        "ljust" => text.to_owned() + &filler(state, fill, missing)?,
        "rjust" => filler(state, fill, missing)? + text,
        "center" => {
            // As Python divides: the odd one goes to the left of text of even length.
            let left = missing / 2 + (missing & usize::try_from(width).unwrap_or(0) & 1);
            filler(state, fill, left)? + text + &filler(state, fill, missing - left)?
        }
        _ => {
            let (sign, digits) = match text.strip_prefix(['+', '-']) {
                Some(digits) => (text.get(..1).unwrap_or_default(), digits),
                None => ("", text),
            };
            sign.to_owned() + &filler(state, '0', missing)? + digits
        }
    }))
}

fn expanded(state: &State, text: &str, args: &[Value]) -> Result<Value, Error> {
    let [size] = named(args, ["tabsize"])?;
    let size =
        size.map_or(Ok(8), |size| i64::try_from(size).map(|size| usize::try_from(size).unwrap_or(0)))?;
    let (mut out, mut column) = (String::new(), 0_usize);
    for c in text.chars() {
        match c {
            '\t' if size > 0 => {
                let spaces = size - column % size;
                column = column.saturating_add(spaces);
                out += &filler(state, ' ', spaces)?;
            }
            '\t' => {}
            c => {
                column = if matches!(c, '\n' | '\r') { 0 } else { column.saturating_add(1) };
                out.push(c);
            }
        }
    }
    Ok(Value::from(out))
}

fn shortened(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    if let "removeprefix" | "removesuffix" = method {
        let (part,): (&str,) = from_args(args)?;
        let rest = if method == "removeprefix" { text.strip_prefix(part) } else { text.strip_suffix(part) };
        return Ok(Value::from(rest.unwrap_or(text)));
    }
    let (characters,): (Option<&str>,) = from_args(args)?;
    let goes = |c: char| characters.map_or_else(|| is_python_space(c), |these| these.contains(c));
    let text = if method == "rstrip" { text } else { text.trim_start_matches(goes) };
    Ok(Value::from(if method == "lstrip" { text } else { text.trim_end_matches(goes) }))
}

fn divided(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "splitlines" => {
            let [keep] = named(args, ["keepends"])?;
            Ok(lines(text, keep.is_some_and(|keep| keep.is_true())).map(Value::from).collect())
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            if separator.is_empty() {
                return Err(refused("empty separator"));
            }
            let cut =
                if method == "partition" { text.split_once(separator) } else { text.rsplit_once(separator) };
            let parts = match (cut, method) {
                (Some((before, after)), _) => [before, separator, after],
                (None, "partition") => [text, "", ""],
                (None, _) => ["", "", text],
            };
            Ok(Value::from(Tuple::from(parts.map(Value::from).to_vec())))
        }
        _ => split(text, method == "rsplit", args),
    }
}

fn split(text: &str, from_right: bool, args: &[Value]) -> Result<Value, Error> {
    let [separator, most] = named(args, ["sep", "maxsplit"])?;
    let most = most.map_or(Ok(-1), i64::try_from)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let parts: Vec<&str> = match &separator {
        Some(separator) => {
            let separator =
                separator.as_str().ok_or_else(|| refused("the separator must be text or none"))?;
            if separator.is_empty() {
                return Err(refused("empty separator"));
            }
            let count = most.saturating_add(1);
            if from_right {
                let mut parts: Vec<&str> = text.rsplitn(count, separator).collect();
                parts.reverse();
                parts
            } else {
                text.splitn(count, separator).collect()
            }
        }
        None => words(text, most, from_right),
    };
    Ok(parts.into_iter().collect())
}

/// Words between white space, at most `most` of them cut off; the rest keeps the white space at its far end.
fn words(text: &str, most: usize, from_right: bool) -> Vec<&str> {
    let trimmed = |text: &'_ str| -> usize {
        let rest = if from_right {
            text.trim_end_matches(is_python_space)
        } else {
            text.trim_start_matches(is_python_space)
        };
        rest.len()
    };
    let (mut parts, mut rest) = (Vec::new(), text);
    loop {
        let length = trimmed(rest);
        rest =
            if from_right { rest.get(..length) } else { rest.get(rest.len() - length..) }.unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        let cut = match from_right {
            _ if parts.len() == most => None,
            true => rest.rsplit_once(is_python_space).map(|(before, word)| (word, before)),
            false => rest.split_once(is_python_space),
        };
        let (word, after) = cut.unwrap_or((rest, ""));
        parts.push(word);
        rest = after;
    }
    if from_right {
        parts.reverse();
    }
    parts
}

/// Lines as `str.splitlines` cuts them.
pub(super) fn lines(text: &str, keep_ends: bool) -> impl Iterator<Item = &str> {
    let is_end = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = match rest.find(is_end) {
            None => (rest, ""),
            Some(at) => {
                let tail = rest.get(at..)?;
                let end =
                    if tail.starts_with("\r\n") { 2 } else { tail.chars().next().map_or(1, char::len_utf8) };
                (rest.get(..if keep_ends { at + end } else { at })?, tail.get(end..)?)
            }
        };
        rest = after;
        Some(line)
    })
}

fn searched(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (what, start, end): (&Value, Option<i64>, Option<i64>) = from_args(args)?;
    let (offset, part) = window(text, start, end);
    if let "startswith" | "endswith" = method {
        let is_there = |what: &Value| {
            let part = part.unwrap_or_default();
            let what =
                what.as_str().ok_or_else(|| refused("only text, or a tuple of texts, can be looked for"))?;
            Ok(if method == "startswith" { part.starts_with(what) } else { part.ends_with(what) })
        };
        if what.is_tuple() {
            for what in what.try_iter()? {
                if is_there(&what)? {
                    return Ok(Value::from(true));
                }
            }
            return Ok(Value::from(false));
        }
        return is_there(what).map(Value::from);
    }
    let what = what.as_str().ok_or_else(|| refused("only text can be looked for in text"))?;
    if method == "count" {
        return Ok(Value::from(part.map_or(0, |part| part.matches(what).count())));
    }
    let at = match method {
        "find" | "index" => part.and_then(|part| part.find(what)),
        _ => part.and_then(|part| part.rfind(what)),
    };
    match at.and_then(|at| part?.get(..at)) {
        Some(before) => Ok(Value::from(offset + before.chars().count())),
        None if method.ends_with("find") => Ok(Value::from(-1)),
        None => Err(refused(&format!("{} is not in the text", python::quote(what)))),
    }
}

/// The characters from `start` to `end` as slices count them, and how many are before them; `None` beyond the end.
fn window(text: &str, start: Option<i64>, end: Option<i64>) -> (usize, Option<&str>) {
    if start.is_none() && end.is_none() {
        return (0, Some(text));
    }
    let length = text.chars().count();
    let index = |index: i64| match usize::try_from(index) {
        Ok(index) => index,
        Err(_) => usize::try_from(index.saturating_add(length as i64)).unwrap_or(0),
    };
    let (start, end) = (start.map_or(0, index), end.map_or(length, index).min(length));
    if start > end {
        return (start, None);
    }
    let byte = |index: usize| text.char_indices().nth(index).map_or(text.len(), |(at, _)| at);
    (start, text.get(byte(start)..byte(end)))
}

fn replaced(state: &State, text: &str, args: &[Value]) -> Result<Value, Error> {
    let [old, new, count] = named(args, ["", "", "count"])?;
    let (Some(old), Some(new)) = (old.as_ref().and_then(Value::as_str), new.as_ref().and_then(Value::as_str))
    else {
        return Err(refused("replace takes two texts and perhaps a count"));
    };
    let count = count.map_or(Ok(-1), i64::try_from)?;
    replace(state, text, old, new, usize::try_from(count).ok()).map(Value::from)
}

/// Python's `replace`, paid for before it is done.
pub(super) fn replace(
    state: &State,
    text: &str,
    old: &str,
    new: &str,
    count: Option<usize>,
) -> Result<String, Error> {
    let found = text.matches(old).take(count.unwrap_or(usize::MAX)).count();
    limits::charge(state, text.len().saturating_add(found.saturating_mul(new.len())))?;
    Ok(text.replacen(old, new, found))
}

fn joined(state: &State, separator: &str, args: &[Value]) -> Result<Value, Error> {
    let (items,): (&Value,) = from_args(args)?;
    let mut out = String::new();
    for (i, item) in items.try_iter()?.enumerate() {
        let item = item.as_str().ok_or_else(|| match item.kind() {
            ValueKind::Undefined => super::undefined::error(&item),
            _ => refused("join takes texts alone: write list|join(separator), or list|map('string')"),
        })?;
        limits::charge(state, separator.len() + item.len())?;
        if i > 0 {
            out += separator;
        }
        out += item;
    }
    Ok(Value::from(out))
}

fn formatted(state: &State, text: &str, args: &[Value]) -> Result<Value, Error> {
    refuse_widths(text, args)?;
    let mut longest = 64;
    for arg in args.iter().filter(|arg| !arg.is_kwargs()) {
        longest = longest.max(python::text(state, arg)?.len());
    }
    limits::charge(state, text.matches('{').count().saturating_mul(longest))?;
    format(FormatStyle::StrFormat, text, args).map(Value::from)
}

/// Fails for widths in a format that are huge, or that the engine would count in bytes where Python counts characters.
pub(super) fn refuse_widths(text: &str, args: &[Value]) -> Result<(), Error> {
    /// The widest field.
    const WIDEST: u64 = 10_000;
    let fields = text.split(['%', '{']).skip(1);
    let widths = fields.map(|field| {
        let spec =
            field.split(|c: char| c == '}' || c.is_alphabetic() && c != 'l').next().unwrap_or_default();
        spec.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty())
    });
    let mut any = false;
    for width in widths.flatten() {
        any = true;
        if width.parse::<u64>().map_or(true, |width| width > WIDEST) {
            return Err(refused(&format!("a format's fields are at most {WIDEST} wide, not {width}")));
        }
    }
    let wide = |arg: &Value| arg.as_str().is_some_and(|text| !text.is_ascii());
    if text.contains('*') || (any && args.iter().any(wide)) {
        return Err(refused(
            "a format's fields with a width take ASCII alone: write text.ljust(width), rjust or center",
        ));
    }
    Ok(())
}

fn classified(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    from_args::<()>(args)?;
    let all = |is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    Ok(Value::from(match method {
        "isalnum" => all(|c| casing::is_letter(c) || casing::is_numeric(c)),
        "isalpha" => all(casing::is_letter),
        "isascii" => text.is_ascii(),
        "isdecimal" => all(casing::is_decimal),
        "isdigit" => all(casing::is_digit),
        "islower" => casing::is_of_one_case(text, char::is_lowercase, char::is_uppercase),
        "isnumeric" => all(casing::is_numeric),
        "isprintable" => text.chars().all(python::is_printable),
        "isspace" => all(is_python_space),
        "istitle" => casing::is_title(text),
        "isupper" => casing::is_of_one_case(text, char::is_uppercase, char::is_lowercase),
        _ => return Err(unknown(method)),
    }))
}
