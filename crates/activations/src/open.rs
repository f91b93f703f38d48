//! Opening what lies in a store's folder: a file of a size that it may have, and nothing else that bears its name. A
//! pipe would keep a reader waiting for ever, a device would never end.

use std::fs::{FileType, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use fs_err::File;
use rustix::fs::OFlags;

use crate::error::{Error, Result};

/// Opens a file for reading; a link is followed, since what it leads to is checked like everything.
///
/// # Errors
/// [`Error::Missing`], [`Error::NotAFile`], and the system's with the path.
pub(crate) fn open(path: &Path) -> Result<File> {
    let mut options = std::fs::OpenOptions::new();
    // Without waiting for somebody to write into a pipe; for files it changes nothing.
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = match options.open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Missing { path: path.to_owned() });
        }
        Err(e) => return Err(Error::at(path, &e)),
        Ok(file) => File::from_parts(file, path),
    };
    check_kind(path, file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// As [`open`], and [`Error::TooLarge`].
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (bytes, whole) = read_beginning(path, limit)?;
    if whole { Ok(bytes) } else { Err(Error::TooLarge { path: path.to_owned(), limit }) }
}

/// Reads at most `limit` bytes of a file, and says whether that was all of it.
pub(crate) fn read_beginning(path: &Path, limit: u64) -> Result<(Vec<u8>, bool)> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    let expected = file.metadata()?.len().min(limit);
    if bytes.try_reserve_exact(usize::try_from(expected).unwrap_or(usize::MAX)).is_err() {
        return Err(Error::Memory { path: path.to_owned(), bytes: expected });
    }
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let whole = bytes.len() as u64 <= limit;
    bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok((bytes, whole))
}

/// BLAKE3 of a file, in a little memory.
pub(crate) fn hash(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// What is at a path, a link included, that a writer is going to write to; none where nothing is.
///
/// # Errors
/// [`Error::NotAFile`] for whatever is not a file itself: through a link a writer would change another place's file.
pub(crate) fn own(path: &Path) -> Result<Option<Metadata>> {
    match fs_err::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        found => {
            let found = found?;
            check_kind(path, found.file_type())?;
            Ok(Some(found))
        }
    }
}

fn check_kind(path: &Path, kind: FileType) -> Result<()> {
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(Error::NotAFile { path: path.to_owned(), what })
}
