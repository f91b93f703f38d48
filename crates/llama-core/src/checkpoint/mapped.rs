//! A memory-mapped file and what tells it from another without reading all of it.

use std::path::Path;

use memmap2::Mmap;

use crate::error::Result;

/// Bytes sampled at the start, middle and end of each tensor.
const SAMPLE: usize = 4096;

/// Maps a file for reading.
pub(super) fn map(path: &Path) -> Result<Mmap> {
    let file = fs_err::File::open(path)?;
    #[allow(unsafe_code)]
    // SAFETY: a read-only mapping. A file that is changed while it is mapped gives wrong numbers, as it would when
    // read; one that is cut short ends the process, as documented on `Checkpoint::open`.
    let map = unsafe { Mmap::map(file.file()) };
    Ok(map.map_err(|e| std::io::Error::new(e.kind(), format!("could not map {}: {e}", path.display())))?)
}

/// Adds samples of a tensor's bytes: three pages, so that two models of one shape differ.
pub(super) fn sample(hash: &mut blake3::Hasher, bytes: &[u8]) {
    for from in [0, bytes.len() / 2, bytes.len().saturating_sub(SAMPLE)] {
        hash.update(&bytes[from..bytes.len().min(from + SAMPLE)]);
    }
}
