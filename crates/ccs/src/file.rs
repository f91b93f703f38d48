//! Reading a file whose content is not known yet: a file, of a size that can be believed, and no pipe or device, which
//! would never end.

use std::io::Read as _;
use std::path::Path;

use crate::{Error, Result};

/// The most bytes of a probe, a report or a finished layer.
const LIMIT: u64 = 2 << 30;

/// A file's bytes.
///
/// # Errors
/// [`Error::NotAFile`] for what is none, or too large; the file system's, with the path.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let wrong = |what: String| Error::NotAFile { path: path.to_owned(), what };
    let kind = fs_err::metadata(path)?.file_type();
    if !kind.is_file() {
        return Err(wrong(if kind.is_dir() { "a folder" } else { "a pipe or a device" }.to_owned()));
    }
    let mut bytes = Vec::new();
    fs_err::File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(wrong(format!("longer than {LIMIT} bytes")));
    }
    Ok(bytes)
}

/// BLAKE3, in 64 hexadecimal digits.
pub(crate) fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().as_str().to_owned()
}
