//! Files that are read with care, and written so that a crash leaves a whole one.

use std::io::Write as _;
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

/// Writes a new file down to the disk, and makes the folders above it. For folders that are renamed as a whole when they
/// are complete.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    let mut file = fs_err::File::create_new(path)?;
    file.write_all(bytes)?;
    Ok(file.sync_all()?)
}

/// Writes a file in one step: a reader sees the old bytes or the new ones. Makes the folders above it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs_err::create_dir_all(parent)?;
    }
    Ok(host::files::replace(path, bytes)?)
}

/// Writes a folder's list of names down to the disk, on systems where that is possible.
pub(crate) fn sync_folder(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        fs_err::File::open(dir)?.sync_all()?;
    }
    Ok(())
}
