//! A memory-mapped file.

use std::ops::Range;
use std::path::Path;

use crate::checkpoint::files;
use crate::checkpoint::identity::Stamp;
use crate::error::{Error, Result};
use memmap2::Mmap;

/// A mapped file, and what the file system said of it then.
#[derive(Debug)]
pub(in crate::checkpoint) struct Mapped {
    map: Mmap,
    stamp: Stamp,
}

impl Mapped {
    /// What the file system said of the file when it was mapped.
    pub(in crate::checkpoint) fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

impl std::ops::Deref for Mapped {
    type Target = Mmap;

    fn deref(&self) -> &Mmap {
        &self.map
    }
}

/// Maps a file for reading, if it is one.
///
/// # Errors
/// What is no file, and what stands in a file's place: a Git LFS pointer, a web page.
pub(in crate::checkpoint) fn map(path: &Path) -> Result<Mapped> {
    files::check_regular(path)?;
    let file = fs_err::File::open(path)?;
    let stamp = Stamp::from(&file.metadata()?);
    #[allow(unsafe_code)]
    // SAFETY: a read-only mapping. A file that is changed while it is mapped gives wrong numbers, as it would when
    // read; one that is cut short ends the process, as documented on `Checkpoint::open`.
    let map = unsafe { Mmap::map(file.file()) };
    let map =
        map.map_err(|e| std::io::Error::new(e.kind(), format!("could not map {}: {e}", path.display())))?;
    match files::instead(&map[..map.len().min(64)]) {
        None => Ok(Mapped { map, stamp }),
        Some((reason, hint)) => {
            Err(Error::WeightFile { path: path.to_owned(), reason: reason.to_owned(), hint: hint.to_owned() })
        }
    }
}

/// Tells the system that these bytes are not needed soon, so that a model that was read does not stay in this process'
/// memory a second time.
pub(in crate::checkpoint) fn release(map: &Mmap, bytes: &Range<usize>) {
    #[cfg(unix)]
    {
        #[allow(unsafe_code)]
        // SAFETY: the mapping is read-only and of a file, so pages that are dropped are read from the file again.
        let advised = unsafe {
            map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, bytes.start, bytes.len())
        };
        if let Err(error) = advised {
            tracing::debug!("pages were not released: {error}"); // costs memory, nothing else
        }
    }
    #[cfg(not(unix))]
    let _ = (map, bytes);
}

/// Asks the system for bytes of a file that are wanted soon, a distance behind those that are wanted now, so that a disk
/// reads all the time; at the `beginning` of a tensor, for those before them as well.
pub(in crate::checkpoint) fn read_ahead(map: &Mmap, now: &Range<usize>, beginning: bool) {
    /// Bytes between what is used and what is asked for: more than a fast disk reads while one is at work.
    #[cfg(unix)]
    const AHEAD: usize = 32 << 20;
    #[cfg(unix)]
    {
        let from = if beginning { now.start } else { now.start + AHEAD }.min(map.len());
        let to = (now.end + AHEAD).min(map.len());
        if let Err(error) = map.advise_range(memmap2::Advice::WillNeed, from, to - from) {
            tracing::debug!("pages were not asked for: {error}"); // costs time, nothing else
        }
    }
    #[cfg(not(unix))]
    let _ = (map, now, beginning);
}
