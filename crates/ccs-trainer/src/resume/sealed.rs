//! JSON files that show whether they are as they were written.

use std::io::Write as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::write_error;
use crate::{Result, files};

/// A file that is not as it was written.
pub(crate) struct Damaged;

/// Reads what [`to_bytes`] gave; nothing where there is no file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> std::result::Result<Option<T>, Damaged> {
    if fs_err::symlink_metadata(path).is_err() {
        return Ok(None);
    }
    parse(&files::read(path).map_err(|_| Damaged)?).map(Some)
}

/// What [`to_bytes`] gave, from its bytes.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, Damaged> {
    let text = unsealed(bytes).ok_or(Damaged)?;
    serde_json::from_slice(text).map_err(|_| Damaged)
}

/// A value as a line of JSON, with the hash of that line in the next.
pub(crate) fn to_bytes(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = text(value)?;
    let hash = files::hash(&text);
    text.extend_from_slice(hash.as_bytes());
    text.push(b'\n');
    Ok(text)
}

/// The text before the hash in the last line, if the hash is its.
fn unsealed(bytes: &[u8]) -> Option<&[u8]> {
    const SEAL: usize = 2 * blake3::OUT_LEN + 1;
    let (text, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
    (seal.strip_suffix(b"\n")? == files::hash(text).as_bytes()).then_some(text)
}

/// A value as a line of JSON.
pub(crate) fn text(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    serde_json::to_writer(&mut text, value).map_err(|e| write_error("a finished layer", &e))?;
    text.write_all(b"\n")?;
    Ok(text)
}
