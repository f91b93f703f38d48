//! Files written whole or not at all, and read within bounds.

use std::fs::{File, FileType, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read as _, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::hint::refused;

/// How long a named pipe is waited for when nobody has opened it for writing, and how often it is looked at.
const PATIENCE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);
/// Temporary names tried beside a file.
const ATTEMPTS: u32 = 100;

/// Writes a file, replacing an existing one. Readers see the old file or the new one, never a part of it. After an
/// error, the old file is unchanged and nothing is left beside it. When this returns, the new file is durable under its
/// name and has the permissions of the old one. Links are followed.
///
/// # Errors
/// What the file system refuses, with the path; a path that leads to a folder, a device or a pipe.
pub fn replace(path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
    let mut beside = Beside::of(path)?;
    beside.write_all(bytes)?;
    beside.finish()
}

/// As [`replace`], through the temporary file `temporary` beside `path`; a file of that name is lost. For folders in
/// which every name has a meaning.
///
/// # Errors
/// As [`replace`].
pub fn replace_by(path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    let cannot = |error| named("cannot write", path, error);
    if temporary.symlink_metadata().is_ok_and(|left| left.is_file()) {
        std::fs::remove_file(temporary).map_err(cannot)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).open(temporary).map_err(cannot)?;
    let (place, temporary) = (path.to_owned(), temporary.to_owned());
    let mut beside = Beside { file, temporary, place, permissions: None, failed: false, moved: false };
    beside.write_all(bytes)?;
    beside.finish()
}

/// A file that is written beside its destination, and moved there by [`Beside::finish`]. If it is dropped before that,
/// it is removed.
#[derive(Debug)]
pub struct Beside {
    file: File,
    temporary: PathBuf,
    place: PathBuf,
    permissions: Option<Permissions>,
    /// A write failed: the rest is thrown away, so that whoever writes to this in a drop has nothing to complain of.
    failed: bool,
    moved: bool,
}

impl Beside {
    /// Begins a file for `path`, under a temporary name that is free.
    ///
    /// # Errors
    /// As [`replace`].
    pub fn of(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let (place, permissions) = place_of(path)?;
        // Short, so that no name is too long that is not so by itself.
        let name: String = path.file_name().unwrap_or_default().to_string_lossy().chars().take(40).collect();
        for attempt in 0..ATTEMPTS {
            let temporary = place.with_file_name(format!("{name}.{}-{attempt}.tmp", std::process::id()));
            match OpenOptions::new().read(true).write(true).create_new(true).open(&temporary) {
                Ok(file) => {
                    return Ok(Self { file, temporary, place, permissions, failed: false, moved: false });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(named("cannot write", path, error)),
            }
        }
        let what = format!("cannot write {}: {ATTEMPTS} unfinished files lie beside it", path.display());
        Err(refused(
            ErrorKind::AlreadyExists,
            what,
            "remove those that end in .tmp, if no program is writing them",
        ))
    }

    /// Makes the file durable and moves it to its destination.
    ///
    /// # Errors
    /// What the file system refuses, and that an earlier write failed.
    pub fn finish(mut self) -> io::Result<()> {
        if self.failed {
            let what = format!("{} was not written: an earlier write to it failed", self.place.display());
            return Err(io::Error::other(what));
        }
        let done = self.complete();
        done.map_err(|error| named("cannot write", &self.place, error))
    }

    fn complete(&mut self) -> io::Result<()> {
        if let Some(permissions) = self.permissions.take() {
            self.file.set_permissions(permissions)?;
        }
        self.file.sync_all()?;
        std::fs::rename(&self.temporary, &self.place)?;
        self.moved = true;
        match self.place.parent().map(folder) {
            // A folder that may be written to and not listed.
            Some(parent) => match File::open(parent) {
                Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
                opened => opened?.sync_all(),
            },
            None => Ok(()),
        }
    }
}

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Ok(bytes.len());
        }
        let written = self.file.write(bytes);
        if let Err(error) = &written {
            self.failed = error.kind() != ErrorKind::Interrupted;
        }
        written.map_err(|error| if self.failed { named("cannot write", &self.place, error) } else { error })
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.failed { Ok(()) } else { self.file.flush() }
    }
}

impl Seek for Beside {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.moved {
            // The error that this is about is on its way.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Where a file that is to be replaced lies, behind links, and the permissions it has.
fn place_of(path: &Path) -> io::Result<(PathBuf, Option<Permissions>)> {
    match std::fs::metadata(path) {
        Ok(there) if there.is_file() => {
            let place = std::fs::canonicalize(path).map_err(|error| named("cannot write", path, error))?;
            Ok((place, Some(there.permissions())))
        }
        Ok(there) => Err(not_a_file("cannot write", path, there.file_type())),
        Err(error) if error.kind() == ErrorKind::NotFound && path.file_name().is_some() => {
            Ok((path.to_owned(), None))
        }
        Err(error) => Err(named("cannot write", path, error)),
    }
}

/// The folder of a file without one in its path.
fn folder(parent: &Path) -> &Path {
    if parent.as_os_str().is_empty() { Path::new(".") } else { parent }
}

/// Reads a file of at most `most` bytes. Pipes are read, too (`/dev/stdin`, `<(…)` of a shell), unless nobody writes to
/// them. Devices, which never end, are refused.
///
/// # Errors
/// What the file system refuses, with the path; a folder, a device, a pipe without a writer; more bytes than that.
pub fn read(path: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    let cannot = |error| named("cannot read", path, error);
    let mut file = open(path, true)?;
    let there = file.metadata().map_err(cannot)?;
    let (length, mut bytes) = (there.len(), Vec::new());
    if there.file_type().is_fifo() {
        bytes = begin_pipe(path, &mut file)?;
    }
    if length <= most {
        file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(cannot)?;
    }
    if length > most || bytes.len() as u64 > most {
        let what =
            format!("{} has more than {most} bytes, the most that such a file may have", path.display());
        return Err(refused(ErrorKind::InvalidInput, what, "is it the file that was meant?"));
    }
    Ok(bytes)
}

/// As [`read`], for UTF-8 text.
///
/// # Errors
/// As [`read`]; bytes that are not UTF-8.
pub fn read_text(path: impl AsRef<Path>, most: u64) -> io::Result<String> {
    let path = path.as_ref();
    String::from_utf8(read(path, most)?).map_err(|error| {
        let what = format!("{}: byte {} is not UTF-8", path.display(), error.utf8_error().valid_up_to());
        refused(ErrorKind::InvalidData, what, "the file must be text in UTF-8")
    })
}

/// Opens a regular file: not a folder, a device, or a pipe.
///
/// # Errors
/// What the file system refuses, with the path, and what is not a regular file.
pub fn open_regular(path: impl AsRef<Path>) -> io::Result<fs_err::File> {
    let path = path.as_ref();
    Ok(fs_err::File::from_parts(open(path, false)?, path))
}

fn open(path: &Path, pipes: bool) -> io::Result<File> {
    let fits = |kind: FileType| kind.is_file() || (pipes && kind.is_fifo());
    // Before opening: a device may do something when it is opened.
    let cannot = |error| named("cannot read", path, error);
    let there = std::fs::metadata(path).map_err(cannot)?;
    if !fits(there.file_type()) {
        return Err(not_a_file("cannot read", path, there.file_type()));
    }
    // Without NONBLOCK opening a pipe waits for a writer, for ever.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(cannot)?;
    let kind = file.metadata().map_err(cannot)?.file_type();
    if !fits(kind) {
        return Err(not_a_file("cannot read", path, kind));
    }
    Ok(file)
}

/// The first bytes of a pipe, which from here on waits for more. A named pipe may have no writer, and is not waited for long;
/// one without a name, which a shell made, has had one.
fn begin_pipe(path: &Path, pipe: &mut File) -> io::Result<Vec<u8>> {
    let cannot = |error| named("cannot read", path, error);
    let (has_name, begun) = (std::fs::canonicalize(path).is_ok(), Instant::now());
    let mut first = vec![0; 4096];
    let read = loop {
        // Without a writer there is nothing to read; with one that has not written yet, it would have to be waited for.
        match pipe.read(&mut first) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => break 0,
            Ok(0) if has_name && begun.elapsed() < PATIENCE => std::thread::sleep(LOOK),
            Ok(0) if has_name => {
                let what =
                    format!("cannot read {}: it is a named pipe, and nobody writes to it", path.display());
                let hint = "start the program that writes to it first, or give a file";
                return Err(refused(ErrorKind::TimedOut, what, hint));
            }
            read => break read.map_err(cannot)?,
        }
    };
    first.truncate(read);
    let waiting = rustix::fs::fcntl_getfl(&*pipe)
        .and_then(|flags| rustix::fs::fcntl_setfl(&*pipe, flags - OFlags::NONBLOCK));
    waiting.map_err(|error| cannot(error.into()))?;
    Ok(first)
}

fn not_a_file(what: &str, path: &Path, kind: FileType) -> io::Error {
    let path = path.display();
    if kind.is_dir() {
        return refused(ErrorKind::IsADirectory, format!("{what} {path}: it is a folder"), "give a file");
    }
    let is = if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    let hint = "give a regular file";
    refused(ErrorKind::InvalidInput, format!("{what} {path}: it is {is}"), hint)
}

/// An error with the path that the caller knows, whatever it was doing to it.
fn named(what: &str, path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Named { what: format!("{what} {}", path.display()), error })
}

#[derive(Debug)]
struct Named {
    what: String,
    error: io::Error,
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.what, self.error)
    }
}

impl std::error::Error for Named {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// A path as text for JSON; bytes that are not Unicode become U+FFFD.
pub fn in_json(path: impl AsRef<Path>) -> String {
    path.as_ref().display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint::hint;

    fn names(dir: &Path) -> Vec<String> {
        let names = std::fs::read_dir(dir).unwrap();
        names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_or_stays() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a"), dir.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("a", &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert!(link.is_symlink(), "the link is still one");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let mut beside = Beside::of(&file).unwrap();
        beside.write_all(b"half").unwrap();
        drop(beside);
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        let mut all = names(dir.path());
        all.sort();
        assert_eq!(all, ["a", "link"]);
    }

    #[test]
    fn what_is_no_file_is_neither_replaced_nor_read() {
        let dir = tempfile::tempdir().unwrap();
        for (path, is) in [(dir.path(), "a folder"), (Path::new("/dev/null"), "a device")] {
            for error in [replace(path, b"x").unwrap_err(), read(path, 9).unwrap_err()] {
                let said = error.to_string();
                assert!(said.contains(is) && said.contains(&path.display().to_string()), "{said}");
                assert!(hint(&error).starts_with("give a "), "{}", hint(&error));
            }
        }
        let missing = dir.path().join("no/such");
        for error in [replace(&missing, b"x").unwrap_err(), read(&missing, 9).unwrap_err()] {
            assert!(error.to_string().contains("no/such: No such file"), "{error}");
        }
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn reading_is_bounded_and_waits_for_no_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        std::fs::write(&file, b"1234\xff").unwrap();
        assert_eq!(read(&file, 5).unwrap().len(), 5);
        assert!(read(&file, 4).unwrap_err().to_string().contains("more than 4 bytes"));
        assert!(read_text(&file, 5).unwrap_err().to_string().contains("byte 4 is not UTF-8"));
        // A pipe with a writer is read to its end, one without is not waited for.
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let writer = {
            let pipe = pipe.clone();
            crate::threads::spawn("writer", move || std::fs::write(pipe, "said")).unwrap()
        };
        assert_eq!(read(&pipe, 9).unwrap(), b"said");
        writer.join().unwrap().unwrap();
        assert!(open_regular(&pipe).unwrap_err().to_string().contains("a pipe"));
        assert!(read(&pipe, 9).unwrap_err().to_string().contains("nobody writes to it"));
        assert!(read("/dev/zero", 9).unwrap_err().to_string().contains("a device"));
    }
}
