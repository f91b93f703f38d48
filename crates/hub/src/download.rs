//! Files of a commit into the cache: several at once, continued, checked.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use host::lock::Lock;
use host::threads;

use crate::cache::Cached;
use crate::client::{ATTEMPTS, About, Client, Line};
use crate::digest::{Etag, Hasher};
use crate::error::{Error, Result};
use crate::listing::Remote;
use crate::observer::Observer;

/// Files that are downloaded at once.
const AT_ONCE: usize = 8;
const CHUNK: usize = 1 << 18;
/// How often the lock of another process is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What workers tell the thread that the observer is on.
enum Heard {
    /// Bytes that are there now; fewer than none where a file is begun anew.
    Bytes(i64),
    Notice(String),
}

/// Where files come from, and where they go.
#[derive(Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) client: &'a Client,
    pub(crate) cached: &'a Cached,
    pub(crate) about: About<'a>,
    pub(crate) commit: &'a str,
}

/// Bytes that are there, and bytes that are needed.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    done: u64,
    total: u64,
}

impl Way<'_> {
    /// Downloads files that are not there yet. Each appears in the snapshot when it is complete and has the hub's hash.
    pub(crate) fn download(
        self,
        files: &[Remote],
        totals: &mut Totals,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        self.cached.prepare()?;
        totals.total += files.iter().filter_map(|file| file.size).sum::<u64>();
        let (sender, receiver) = channel();
        let stop = AtomicBool::new(false);
        let left = Mutex::new(files.iter());
        let first: Mutex<Option<Error>> = Mutex::new(None);
        let work = |sender: &Sender<Heard>| {
            while let Some(file) = left.lock().unwrap_or_else(PoisonError::into_inner).next() {
                if let Err(error) = self.file(file, sender, &stop) {
                    stop.store(true, Ordering::Relaxed);
                    first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    return;
                }
            }
        };
        std::thread::scope(|scope| -> Result<()> {
            for _ in 0..AT_ONCE.min(files.len()) {
                let (sender, work) = (sender.clone(), &work);
                threads::spawn_scoped(scope, "download", move || work(&sender))?;
            }
            drop(sender);
            while let Ok(heard) = receiver.recv() {
                match heard {
                    Heard::Notice(text) => observer.notice(&text),
                    Heard::Bytes(more) => {
                        totals.done = totals.done.saturating_add_signed(more);
                        if observer.bytes(totals.done, totals.total) == ControlFlow::Break(()) {
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                }
            }
            Ok(())
        })?;
        first.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    fn file(self, file: &Remote, sender: &Sender<Heard>, stop: &AtomicBool) -> Result<()> {
        // Nobody listens only after the caller is gone.
        let say = |text| drop(sender.send(Heard::Notice(text)));
        let count = |more: i64| drop(sender.send(Heard::Bytes(more)));
        let line = Line { say: &say, stop };
        let described;
        let file = if file.etag.is_some() && file.size.is_some() {
            file
        } else {
            let about = About { file: Some(&file.path), ..self.about };
            described = self.client.describe(self.at_commit(about), file.path.clone(), line)?;
            &described
        };
        let (Some(etag), Some(size)) = (&file.etag, file.size) else { return Err(Error::Stopped) };
        let blob = self.cached.blob(etag);
        let _lock = self.lock(&file.path, etag, line)?;
        if is_whole(&blob, etag, size)? {
            count(size as i64);
        } else {
            Blob { way: self, path: &file.path, etag, size, line, count: &count }.fetch(&blob)?;
        }
        self.cached.link(self.commit, &file.path, etag)
    }

    /// One commit, whatever the revision is by now.
    fn at_commit<'b>(&'b self, about: About<'b>) -> About<'b> {
        About { revision: self.commit, ..about }
    }

    /// Waits for whoever downloads the same blob.
    fn lock(&self, path: &str, etag: &Etag, line: Line<'_>) -> Result<Lock> {
        let at = self.cached.lock_file(etag);
        let mut options = fs_err::OpenOptions::new();
        // Others of a group may share the cache.
        options.create(true).write(true);
        fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o664);
        let file = options.open(&at)?.into_parts().0;
        let mut said = false;
        loop {
            if let Some(lock) = Lock::try_hold(&file)? {
                return Ok(lock);
            }
            if !std::mem::replace(&mut said, true) {
                (line.say)(format!("another process downloads `{path}`; waiting for it"));
            }
            line.wait(LOOK)?;
        }
    }
}

/// Whether a blob is there already; one of another length is damaged, and goes.
fn is_whole(blob: &Path, etag: &Etag, size: u64) -> Result<bool> {
    let Ok(there) = std::fs::metadata(blob) else {
        if blob.symlink_metadata().is_ok() {
            fs_err::remove_file(blob)?;
        }
        return Ok(false);
    };
    let whole = there.len() == size && hashed(blob, etag, size)? == etag.as_str();
    if !whole {
        fs_err::remove_file(blob)?;
    }
    Ok(whole)
}

fn hashed(path: &Path, etag: &Etag, size: u64) -> Result<String> {
    let (mut file, mut hasher) = (fs_err::File::open(path)?, etag.hasher(size));
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// A blob that is being downloaded, by the one who holds its lock.
struct Blob<'a> {
    way: Way<'a>,
    path: &'a str,
    etag: &'a Etag,
    size: u64,
    line: Line<'a>,
    count: &'a dyn Fn(i64),
}

/// What of it is there, and the hash so far.
struct Part {
    file: fs_err::File,
    length: u64,
    hasher: Hasher,
}

impl Blob<'_> {
    fn fetch(&self, blob: &Path) -> Result<()> {
        let incomplete = blob.with_file_name(format!("{}.incomplete", self.etag.as_str()));
        let mut part = self.begin(&incomplete)?;
        let mut continued = part.length > 0;
        loop {
            self.complete(&mut part)?;
            let found = part.hasher.clone().finish();
            if found == self.etag.as_str() {
                break;
            }
            if !continued {
                drop(part);
                fs_err::remove_file(&incomplete)?;
                let (file, expected) = (self.path.to_owned(), self.etag.as_str().to_owned());
                return Err(Error::WrongHash { file, expected, found });
            }
            // What an earlier run left was not the beginning of this file.
            (self.line.say)(format!("what was there of `{}` is damaged; downloading it anew", self.path));
            self.reset(&mut part)?;
            continued = false;
        }
        part.file.sync_all()?;
        Ok(fs_err::rename(&incomplete, blob)?)
    }

    fn begin(&self, incomplete: &Path) -> Result<Part> {
        let mut options = fs_err::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(incomplete)?;
        let mut part = Part { file, length: 0, hasher: self.etag.hasher(self.size) };
        if part.file.metadata()?.len() > self.size {
            part.file.set_len(0)?;
        }
        let mut buffer = vec![0; CHUNK];
        loop {
            self.line.check()?;
            match part.file.read(&mut buffer)? {
                0 => return Ok(part),
                n => self.take(&mut part, &buffer[..n]),
            }
        }
    }

    fn take(&self, part: &mut Part, bytes: &[u8]) {
        part.hasher.update(bytes);
        part.length += bytes.len() as u64;
        (self.count)(bytes.len() as i64);
    }

    fn reset(&self, part: &mut Part) -> Result<()> {
        (self.count)(-(part.length as i64));
        part.file.set_len(0)?;
        part.file.seek(SeekFrom::Start(0))?;
        (part.length, part.hasher) = (0, self.etag.hasher(self.size));
        Ok(())
    }

    /// Downloads what is not there, over as many connections as it takes, as long as each brings something.
    fn complete(&self, part: &mut Part) -> Result<()> {
        let mut fruitless = 0;
        while part.length < self.size {
            let before = part.length;
            let Err(why) = self.one_connection(part)? else { continue };
            fruitless = if part.length > before { 0 } else { fruitless + 1 };
            if fruitless >= ATTEMPTS {
                let (file, got, size) = (self.path.to_owned(), part.length, self.size);
                return Err(Error::Cut { file, got, size, why });
            }
            (self.line.say)(format!("the download of `{}` broke off ({why}); continuing", self.path));
            self.line.wait(self.way.client.pause(fruitless))?;
        }
        Ok(())
    }

    /// Downloads over one connection; why it broke off, if it did.
    fn one_connection(&self, part: &mut Part) -> Result<Result<(), String>> {
        let about = About { file: Some(self.path), revision: self.way.commit, ..self.way.about };
        let mut answer = self.way.client.open(about, self.path, part.length, self.line)?;
        let begins = match answer.status().as_u16() {
            206 => answer.headers().get("content-range").and_then(|range| begin_of(range.to_str().ok()?)),
            200 => Some(0),
            _ => None,
        };
        if begins != Some(part.length) {
            self.reset(part)?;
            if begins != Some(0) {
                return Ok(Err("it was asked for a part that it does not have".to_owned()));
            }
        }
        let mut body = answer.body_mut().as_reader();
        let mut buffer = vec![0; CHUNK];
        while part.length < self.size {
            self.line.check()?;
            let most = usize::try_from(self.size - part.length).unwrap_or(CHUNK).min(CHUNK);
            match body.read(&mut buffer[..most]) {
                Ok(0) => return Ok(Err("the connection was closed".to_owned())),
                Ok(n) => {
                    part.file.write_all(&buffer[..n])?;
                    self.take(part, &buffer[..n]);
                }
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
        Ok(Ok(()))
    }
}

/// `bytes 100-199/200` begins at 100.
fn begin_of(range: &str) -> Option<u64> {
    range.trim().strip_prefix("bytes")?.trim().split('-').next()?.parse().ok()
}
