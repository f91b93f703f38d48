//! What to do about an error of the operating system.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// An error with a hint: what to do about it. [`hint()`] also finds it inside an [`io::Error`].
#[derive(Debug)]
pub struct Hinted {
    what: String,
    hint: Cow<'static, str>,
}

impl Hinted {
    /// What went wrong, and what to do about it.
    pub fn new(what: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }

    /// What to do about it.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Hinted {}

pub(crate) fn refused(kind: ErrorKind, what: String, hint: &'static str) -> io::Error {
    io::Error::new(kind, Hinted::new(what, hint))
}

/// What to do about an error of the operating system.
///
/// ```
/// let error = std::fs::read("/nowhere/at/all").unwrap_err();
/// assert!(host::hint::hint(&error).contains("check how the path is written"));
/// ```
pub fn hint(error: &io::Error) -> &str {
    // Wrapped errors keep the number only in the one inside.
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(hinted) = error.downcast_ref::<Hinted>() {
            return hinted.hint();
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            if let Some(hint) = Errno::from_io_error(io).and_then(of_number) {
                return hint;
            }
            if let Some(inner) = io.get_ref() {
                next = Some(inner);
                continue;
            }
        }
        next = error.source();
    }
    // fs-err's keep it in their text alone.
    let text = error.to_string();
    let number =
        text.rsplit_once("(os error ").and_then(|(_, number)| number.split(')').next()?.parse().ok());
    number.map(Errno::from_raw_os_error).and_then(of_number).unwrap_or_else(|| of_kind(error.kind()))
}

/// What only the error's number says.
fn of_number(number: Errno) -> Option<&'static str> {
    Some(match number {
        Errno::MFILE | Errno::NFILE => "more files are open than may be; raise the limit (`ulimit -n 4096`)",
        Errno::FBIG => {
            "a file may not grow that large there; look at `ulimit -f` and at the file system's own limit"
        }
        Errno::IO => "the disk, or the way to it, fails: look at the system's log (`dmesg`)",
        _ => return None,
    })
}

fn of_kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => {
            "check how the path is written: the file must be there to be read, its folder to be written"
        }
        ErrorKind::PermissionDenied => {
            "this user may not do that; look at the permissions (`ls -l`) of the file and of the folders above it"
        }
        ErrorKind::IsADirectory => "that is a folder; give a file",
        ErrorKind::NotADirectory => "a part of the path is a file and not a folder",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space there, or choose another place",
        ErrorKind::FileTooLarge => {
            "a file may not grow that large there; look at `ulimit -f` and at the file system's own limit"
        }
        ErrorKind::ReadOnlyFilesystem => "nothing can be written there; choose another place",
        ErrorKind::InvalidData => "the file must be text in UTF-8",
        ErrorKind::UnexpectedEof => "the file ends too early: was it written, or copied, completely?",
        ErrorKind::InvalidFilename => "the name is too long, or holds what no name may hold",
        ErrorKind::WouldBlock => THREADS,
        ErrorKind::OutOfMemory => "memory has run out: end other programs, or do less at once",
        _ => "check that the path is right and may be read or written",
    }
}

/// Where the system refuses a thread or a process.
pub(crate) const THREADS: &str =
    "no more threads may be started: raise `ulimit -u`, or the container's limit on processes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_inside_decides() {
        let number = |n: Errno| io::Error::from_raw_os_error(n.raw_os_error());
        assert!(hint(&number(Errno::MFILE)).contains("ulimit -n"));
        assert!(hint(&number(Errno::NOSPC)).contains("free some space"));
        assert!(hint(&number(Errno::AGAIN)).contains("threads"));
        let missing = fs_err::read("/nowhere/at/all").unwrap_err();
        assert!(missing.to_string().contains("/nowhere/at/all"));
        assert!(hint(&missing).contains("how the path is written"));
        let wrapped = io::Error::other(format!("failed to open file `x`: {}", number(Errno::MFILE)));
        assert!(hint(&wrapped).contains("ulimit -n"));
        let own = refused(ErrorKind::InvalidInput, "x".to_owned(), "do y");
        assert_eq!(hint(&own), "do y");
        assert_eq!(hint(&io::Error::other(own)), "do y", "wrapped once more");
    }
}
