//! A layer's outcome as one message between ranks: its files, each with its name and lengths.

use crate::Result;
use crate::engine::outcome::LayerOutcome;
use crate::resume::outcome::{from_files, to_files};

/// An outcome as one message.
pub(super) fn pack(outcome: &LayerOutcome) -> Result<Vec<u8>> {
    let mut message = Vec::new();
    for (name, bytes) in to_files(outcome)? {
        for part in [name.as_bytes(), &bytes] {
            message.extend_from_slice(&(part.len() as u64).to_le_bytes());
            message.extend_from_slice(part);
        }
    }
    Ok(message)
}

/// The outcome that a message holds; none where it is not as it was sent.
pub(super) fn unpack(message: &[u8]) -> Option<LayerOutcome> {
    let (mut files, mut rest) = (Vec::new(), message);
    while !rest.is_empty() {
        files.push((part(&mut rest)?, part(&mut rest)?));
    }
    let read = |name: &str| {
        files.iter().find(|(known, _)| *known == name.as_bytes()).map(|(_, bytes)| bytes.to_vec())
    };
    from_files(&read).ok()
}

/// The next part.
fn part<'m>(rest: &mut &'m [u8]) -> Option<&'m [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (part, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(part)
}
