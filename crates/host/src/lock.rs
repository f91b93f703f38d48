//! Files that one holder at a time may write.

use std::fs::{File, TryLockError};
use std::io;

/// An exclusive lock on a file, until this is dropped or the process ends.
///
/// Closing a file does not unlock it while another handle to it is open, and a process that is just being started has a
/// copy of every open handle until it runs its program. So the lock is given back by a call: whoever asks after the drop
/// gets it, whatever else this process was starting.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Locks the file behind a handle; `None` where somebody else holds it, in this process or another one.
    ///
    /// # Errors
    /// A file system without locks, and too many open files.
    pub fn try_hold(file: &File) -> io::Result<Option<Self>> {
        let file = file.try_clone()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // One that cannot be given back ends with the last handle.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a process that is being started holds them between `fork` and `exec`.
    #[test]
    fn a_copied_handle_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::options().create(true).append(true).open(dir.path().join("file")).unwrap();
        let (first, second) = (open(), open());
        let held = Lock::try_hold(&first).unwrap().unwrap();
        let copy = first.try_clone().unwrap();
        assert!(Lock::try_hold(&second).unwrap().is_none());
        drop((held, first));
        assert!(Lock::try_hold(&second).unwrap().is_some());
        drop(copy);
    }
}
