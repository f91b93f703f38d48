//! Standard output and standard error: the only place that writes to them.
//!
//! Standard output is for data, and a caller learns whether the data arrived. Text for people, on either stream,
//! contains no control characters. Data goes into a pipe unchanged.

use std::error::Error;
use std::io::{self, ErrorKind, IsTerminal as _, Write};

use serde::Serialize;

use super::errors::Errors;
use crate::hint::refused;
use crate::text;

/// Writes text for people to standard output, made safe to show, and a newline.
///
/// # Errors
/// Standard output cannot be written. A reader such as `head` that closes the pipe early is not an error.
pub fn page(text: &str) -> io::Result<()> {
    raw(&format!("{}\n", text::shown(text.strip_suffix('\n').unwrap_or(text))))
}

/// Writes data and a newline to standard output: unchanged, unless standard output is a terminal.
///
/// # Errors
/// As [`page`].
pub fn data(text: &str) -> io::Result<()> {
    if io::stdout().is_terminal() { page(text) } else { raw(&format!("{text}\n")) }
}

/// Writes a value to standard output as JSON, indented.
///
/// # Errors
/// As [`page`]; a value that cannot be written as JSON.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    let document = serde_json::to_string_pretty(value)?;
    raw(&format!("{}\n", text::json(&document)))
}

/// Writes and flushes.
pub(super) fn raw(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => {
            let what = format!("cannot write to standard output: {error}");
            let hint = "give it a place with room; what this command wrote to files is there";
            Err(refused(error.kind(), what, hint))
        }
        Ok(()) => Ok(()),
    }
}

/// Whether help may have colors (<https://no-color.org>).
pub(super) fn colors() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// Prints a message on standard error, if that is a terminal.
pub fn say(text: &str) {
    if io::stderr().is_terminal() {
        stderr(&format!("{text}\n"));
    }
}

/// `warning: …`
pub fn warn(text: &(impl std::fmt::Display + ?Sized)) {
    stderr(&format!("warning: {text}\n"));
}

/// `error: …`, with what to do about it, where no library is concerned.
pub(super) fn error(error: &(dyn Error + 'static)) {
    note(&Errors::new().message(error));
}

/// Prints a line on standard error.
pub fn note(text: &str) {
    stderr(&format!("{text}\n"));
}

/// Where standard error cannot be written there is nobody left to tell.
pub(super) fn stderr(text: &str) {
    let _ = Stderr.write_all(text.as_bytes());
}

/// A writer to standard error for the messages of other libraries, made safe to show.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        io::stderr().lock().write_all(text::shown(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
