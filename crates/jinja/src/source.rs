//! What a template's source may not hold, looked for before the engine reads it.

use minijinja::{Error, ErrorKind};

use super::{Dialect, limits};

/// # Errors
/// A source longer than [`limits::LONGEST_SOURCE`]; a tag longer than [`limits::LONGEST_TAG`]; escapes in a text that Python knows and the engine does not.
pub(super) fn check(source: &str, dialect: Dialect) -> Result<(), Error> {
    if source.len() > limits::LONGEST_SOURCE {
        return Err(limits::source_too_long(source.len()));
    }
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        rest = rest.get(at + 1..).unwrap_or_default();
        rest = match rest.chars().next() {
            Some('#') => after(rest, "#}"),
            Some('{') => tag(source, rest.get(1..).unwrap_or_default(), "}}")?,
            Some('%') if is_raw(rest) => end_of_raw(rest),
            Some('%') if dialect == Dialect::Data && controls_loop(rest) => {
                let message = "there is no break and no continue: filter the items, `for … if …`";
                return Err(Error::new(ErrorKind::SyntaxError, message));
            }
            Some('%') => tag(source, rest.get(1..).unwrap_or_default(), "%}")?,
            _ => rest,
        };
    }
    Ok(())
}

fn after<'a>(text: &'a str, end: &str) -> &'a str {
    text.split_once(end).map_or("", |(_, rest)| rest)
}

fn is_raw(tag: &str) -> bool {
    let inside = tag.trim_start_matches(['%', '-', '+']).trim_start();
    inside
        .strip_prefix("raw")
        .is_some_and(|rest| rest.trim_start().trim_start_matches(['-', '+']).starts_with("%}"))
}

/// Whether a tag is of jinja2's extension `loopcontrols`.
fn controls_loop(tag: &str) -> bool {
    let inside = tag.trim_start_matches(['%', '-', '+']).trim_start();
    let name = inside.split(|c: char| !c.is_ascii_alphanumeric()).next();
    matches!(name, Some("break" | "continue"))
}

fn end_of_raw(text: &str) -> &str {
    let mut rest = text;
    while let Some((_, tag)) = rest.split_once("{%") {
        if tag.trim_start_matches(['-', '+']).trim_start().starts_with("endraw") {
            return after(tag, "%}");
        }
        rest = tag;
    }
    ""
}

/// What stands behind a tag that ends in `end`, whose texts have been checked.
fn tag<'a>(source: &str, text: &'a str, end: &str) -> Result<&'a str, Error> {
    let mut rest = text;
    let (mut braces, mut length) = (0_usize, 0_usize);
    while let Some(c) = rest.chars().next() {
        length += c.len_utf8();
        if length > limits::LONGEST_TAG {
            return Err(limits::tag_too_long());
        }
        if rest.starts_with(end) && (braces == 0 || end == "%}") {
            return Ok(rest.get(2..).unwrap_or_default());
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '{' => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            '"' | '\'' => rest = quoted(source, rest, c)?,
            _ => {}
        }
    }
    Ok("")
}

/// What stands behind the text that begins here and ends in `quote`.
fn quoted<'a>(source: &str, text: &'a str, quote: char) -> Result<&'a str, Error> {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        if c == quote {
            break;
        }
        if c == '\\' {
            let escaped = rest.chars().next();
            if let Some(c @ ('U' | 'N' | 'a' | 'v' | '/' | '0'..='7' | '\n')) = escaped {
                let line = 1 + source
                    .len()
                    .checked_sub(rest.len())
                    .and_then(|at| source.get(..at))
                    .map_or(0, |before| before.matches('\n').count());
                let message = format!(
                    "there is no \\{} in texts (line {line}): write the character itself",
                    c.escape_default()
                );
                return Err(Error::new(ErrorKind::BadEscape, message));
            }
            rest = escaped.map_or("", |c| rest.get(c.len_utf8()..).unwrap_or_default());
        }
    }
    Ok(rest)
}

/// A source as [`Engine::compile`](super::Engine::compile) takes it: without `\r`, and of a chat template with
/// `{% generation %}` blocks, which print their body, as `{% with %}` blocks, which do no more and no less.
pub fn prepared(source: &str, dialect: Dialect) -> String {
    let source = super::newlines(source.strip_prefix('\u{feff}').unwrap_or(source));
    if dialect == Dialect::Data {
        return source;
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    while let Some((before, tag)) = rest.split_once("{%") {
        out.push_str(before);
        out.push_str("{%");
        if is_raw(&["%", tag].concat()) {
            // jinja2 keeps the end of the line behind `raw`, and nothing is a block before `endraw`.
            let (inside, after) = tag.split_once("%}").unwrap_or((tag, ""));
            let end = end_of_raw(after);
            let keeps = if inside.ends_with(['-', '+']) { "" } else { "+" };
            out.extend([inside, keeps, "%}", after.strip_suffix(end).unwrap_or(after)]);
            rest = end;
            continue;
        }
        rest = match generation(tag) {
            Some((start, name, after)) => {
                out.push_str(start);
                out.push_str(name);
                after
            }
            None => tag,
        };
    }
    out + rest
}

/// What stands before a generation block's name in its tag, the name instead, and what follows.
fn generation(tag: &str) -> Option<(&str, &'static str, &str)> {
    let name = tag.trim_start_matches(['-', '+']).trim_start();
    let start = tag.get(..tag.len() - name.len())?;
    let (instead, after) = match name.strip_prefix("endgeneration") {
        Some(after) => ("endwith", after),
        None => ("with", name.strip_prefix("generation")?),
    };
    let ends = after.trim_start().trim_start_matches(['-', '+']).starts_with("%}");
    ends.then_some((start, instead, after))
}
