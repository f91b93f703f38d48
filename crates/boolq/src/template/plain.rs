//! Plain Jinja templates: the answer is a variable, and the two answers stand on the first line or are True and False.

use crate::error::{Error, Result};

/// The answers of a template that does not name them.
pub(super) const TRUE_FALSE: (&str, &str) = ("True", "False");

/// The plus and the minus answer of a template's source, and the source without the line that names them.
///
/// # Errors
/// An answers line that does not hold two different answers.
pub(super) fn split_answers<'a>(name: &str, source: &'a str) -> Result<((&'a str, &'a str), &'a str)> {
    let (first, rest) = source.split_once('\n').unwrap_or((source, ""));
    let answers = first
        .trim()
        .strip_prefix("{#")
        .and_then(|line| line.strip_suffix("#}"))
        .and_then(|comment| comment.trim_matches('-').trim().strip_prefix("answers:"));
    let Some(line) = answers else { return Ok((TRUE_FALSE, source)) };
    match two_answers(line) {
        Some(answers) => Ok((answers, rest)),
        None => Err(Error::Template {
            template: name.to_owned(),
            reason: format!("`{}` does not hold two different answers", line.trim()),
            hint: "write {# answers: Yes | No #}, the plus answer first".to_owned(),
        }),
    }
}

fn two_answers(line: &str) -> Option<(&str, &str)> {
    let (plus, minus) = line.split_once('|')?;
    let (plus, minus) = (plus.trim(), minus.trim());
    let good = !plus.is_empty() && !minus.is_empty() && plus != minus && !minus.contains('|');
    good.then_some((plus, minus))
}
