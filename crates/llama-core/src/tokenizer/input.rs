//! A tokenizer's files: plain files of a size that such a file can have.

use std::io::Read as _;
use std::path::Path;

use super::{Refusal, refuse};
use crate::error::Result;

/// The largest published `tokenizer.json` has 37 MB, the largest `tokenizer.model` 4 MB.
pub(super) const MOST_BYTES: u64 = 256 << 20;

/// The largest published `tokenizer_config.json` has 1.2 MB.
pub(super) const MOST_SIDECAR: u64 = 32 << 20;

/// The bytes of a file.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let about = fs_err::metadata(path)?;
    let refused = |reason: String| refuse(path, Refusal::new(reason, Refusal::ACCEPTED));
    if !about.is_file() {
        let what = if about.is_dir() { "a folder" } else { "a device or a pipe" };
        return Err(refused(format!("{what}, not a file")));
    }
    let too_large = |found: u64| refused(format!("{found} bytes; a file of a tokenizer has at most {most}"));
    if about.len() > most {
        return Err(too_large(about.len()));
    }
    let mut bytes = Vec::new();
    // Some files of /proc say that they are empty.
    fs_err::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}
