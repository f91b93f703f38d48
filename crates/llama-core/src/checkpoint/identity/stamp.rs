//! What a file system says of a file, by which one that has not changed is known again.

use std::path::Path;

/// Device, inode, size, and the times of the last change of content and of the last change of anything. The last one
/// cannot be set by a program, so a file that was changed and given its old time of change is another file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::checkpoint) struct Stamp {
    known: bool,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of the file that a path leads to.
    pub(in crate::checkpoint) fn of(path: &Path) -> std::io::Result<Self> {
        Ok(Self::from(&fs_err::metadata(path)?))
    }

    /// Whether this system says enough.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// Whether the last change lies so far back that another one would be seen: file systems' clocks tick every few
    /// milliseconds, some once a second.
    pub(super) fn is_quiet(&self) -> bool {
        const TICK: i128 = 1_100_000_000;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_nanos() as i128);
        let nanoseconds =
            |(seconds, rest): (i64, i64)| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        self.known && [self.modified, self.changed].into_iter().all(|time| now - nanoseconds(time) > TICK)
    }
}

impl From<&std::fs::Metadata> for Stamp {
    #[cfg(unix)]
    fn from(data: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            known: true,
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        }
    }

    #[cfg(not(unix))]
    fn from(_: &std::fs::Metadata) -> Self {
        Self::default()
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { device, inode, size, modified, changed, .. } = self;
        write!(f, "{device} {inode} {size} {}.{:09} {}.{:09}", modified.0, modified.1, changed.0, changed.1)
    }
}
