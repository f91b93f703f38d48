//! Jinja as Python's jinja2 renders it: no HTML escapes, values printed as Python's `str` prints them, Python's methods of
//! text, lists and dictionaries. What jinja2 does otherwise than this engine is an error, never another text.
//! Templates may come from anywhere: the work, the text and the source of one are bounded, and nothing is read or run.
//!
//! ```
//! use jinja::{Dialect, Engine};
//! use minijinja::{Value, context};
//!
//! let source = "{% for m in messages %}<|{{ m['role'] }}|>{{ m.content|trim }}</s>{% endfor %}";
//! let engine = Engine::compile(source, Dialect::Chat)?;
//! let messages = vec![Value::from_pairs([("role", "user"), ("content", " Is water wet? ")])];
//! assert_eq!(engine.render(context! { messages })?, "<|user|>Is water wet?</s>");
//! # Ok::<(), minijinja::Error>(())
//! ```
//!
//! It is [minijinja]'s machinery with Python's operators, filters, tests and methods. `tests/python/` holds two thousand
//! constructs with what jinja2 prints, in each [`Dialect`].

mod arguments;
mod casing;
mod checks;
mod collections;
mod dialect;
mod engine;
mod environment;
mod filters;
#[cfg(test)]
mod jinja2_tests;
mod json;
mod limits;
mod operators;
mod ordering;
mod python;
mod raise;
mod source;
mod stack;
mod text;
mod time;
mod undefined;

pub use dialect::Dialect;
pub use engine::Engine;
pub use environment::hint;
pub use limits::{LONGEST, LONGEST_SOURCE, WORK};
pub use raise::raised;
pub use source::prepared;
pub use stack::deeply;
pub use time::Moment;
pub use undefined::{Empty, absent, expression};

/// What `str.strip` strips: Unicode's white space, and four separators of ASCII that Unicode does not count.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Python's `str.strip()`.
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_python_space)
}

/// Python's `str.lstrip()`.
pub fn strip_start(text: &str) -> &str {
    text.trim_start_matches(is_python_space)
}

/// Jinja reads `\r\n` and `\r` in a template as `\n`.
pub fn newlines(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}
