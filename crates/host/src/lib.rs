//! What libraries and programs share in dealing with the operating system: files that are written whole or not at all
//! and read within bounds, threads that may fail to start, text that is safe to show, and suggestions for misspelled
//! names. For programs (feature `program`): checked standard output, error messages, progress bars, and signals.
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("notes.txt");
//! host::files::replace(&path, b"all of it")?; // whoever looks sees the old file or the new one
//! assert_eq!(host::files::read(&path, 1 << 20)?, b"all of it"); // at most so many bytes, from no device
//! assert_eq!(host::text::shown("a\u{1b}[31mb"), "a\\u{1b}[31mb"); // nothing that a terminal obeys
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod files;
pub mod hint;
pub mod lock;
mod names;
pub mod panics;
pub mod text;
pub mod threads;

pub use names::nearest;

#[cfg(feature = "program")]
pub mod program;
