//! Reading a file whose content is not known yet, and its hash.

use std::path::Path;

use crate::Result;

/// The most bytes of a probe, a report or a finished layer.
const LIMIT: u64 = 2 << 30;

/// A file's bytes.
///
/// # Errors
/// The file system's, with the path; what is no file, or too large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    Ok(host::files::read(path, LIMIT)?)
}

/// BLAKE3, in 64 hexadecimal digits.
pub(crate) fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().as_str().to_owned()
}
