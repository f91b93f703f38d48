//! The writer thread: takes batches from a bounded channel, puts them on disk, and makes them durable in groups.
//!
//! A batch's values go to their rows at once. Then, for a group of batches: every array is synced, the group's
//! records are appended to the journal, the journal is synced. A record therefore never precedes its data, and
//! its bytes do not depend on the grouping.

use std::io::Write as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fs_err::File;
use host::threads::spawn_scoped;

use crate::error::{Error, Result};
use crate::journal::{self, Chain, Sum};
use crate::npy::{self, Geometry};
use crate::states::{BatchStates, Pace};

/// Batches waiting for the thread: a slow disk slows the model and never grows the memory.
const QUEUE: usize = 2;
/// Threads that sync arrays: a file system merges what they wait for.
const SYNCERS: usize = 8;

/// Everything the thread owns.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The open journal, at its end, and locked.
    pub(crate) journal: File,
    pub(crate) chain: Chain,
    /// Every side of each column.
    pub(crate) arrays: Vec<Vec<File>>,
    /// Likewise.
    pub(crate) geometry: Vec<Vec<Geometry>>,
    pub(crate) pace: Pace,
}

/// One committed batch.
pub(crate) struct Job {
    pub(crate) batch: usize,
    pub(crate) rows: Vec<usize>,
    pub(crate) states: BatchStates,
    /// Where the batch has a record: the checksums in it, which its values must have.
    pub(crate) named: Option<Vec<Sum>>,
}

/// The running thread.
#[derive(Debug)]
pub(crate) struct Worker {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Worker {
    pub(crate) fn start(disk: Disk) -> Result<Self> {
        let (jobs, inbox) = sync_channel(QUEUE);
        let thread = host::threads::spawn("activations", move || disk.run(&inbox))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Hands a batch over; waits while the queue is full.
    pub(crate) fn send(&mut self, job: Job) -> Result<()> {
        match &self.jobs {
            Some(jobs) if jobs.send(job).is_ok() => Ok(()),
            // The thread hangs up only at an error.
            _ => Err(self.close().err().unwrap_or(Error::Stopped)),
        }
    }

    /// Waits until everything handed over is durable.
    pub(crate) fn close(&mut self) -> Result<()> {
        self.jobs = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            None | Some(Err(_)) => Err(Error::Stopped),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // What was committed still becomes durable; an error now has nobody to go to, and the journal, which
        // decides what is there, does not lie.
        let _ = self.close();
    }
}

/// Batches on disk but not yet durable.
#[derive(Default)]
struct Group {
    records: Vec<u8>,
    batches: usize,
    bytes: u64,
    since: Option<Instant>,
}

impl Disk {
    fn run(mut self, inbox: &Receiver<Job>) -> Result<()> {
        let mut group = Group::default();
        loop {
            let wait =
                group.since.map_or(Duration::MAX, |since| self.pace.every.saturating_sub(since.elapsed()));
            match next(inbox, wait) {
                Ok(job) => self.accept(&job, &mut group)?,
                Err(RecvTimeoutError::Timeout) => self.make_durable(&mut group)?,
                Err(RecvTimeoutError::Disconnected) => return self.make_durable(&mut group),
            }
        }
    }

    /// Writes a batch, and makes the group durable where a limit of the pace is reached: while batches keep coming,
    /// nothing else looks at the clock.
    fn accept(&mut self, job: &Job, group: &mut Group) -> Result<()> {
        self.write(job, group)?;
        let late = group.since.is_some_and(|since| since.elapsed() >= self.pace.every);
        if late || group.bytes >= self.pace.bytes { self.make_durable(group) } else { Ok(()) }
    }

    fn write(&mut self, job: &Job, group: &mut Group) -> Result<()> {
        let mut sums = Vec::with_capacity(self.arrays.iter().map(Vec::len).sum());
        let mut narrow = Vec::new();
        for ((states, files), geometry) in job.states.columns.iter().zip(&self.arrays).zip(&self.geometry) {
            for (((_, values), file), geometry) in states.sides().zip(files).zip(geometry) {
                let bytes = npy::encode(geometry.dtype, values, &mut narrow);
                let sum = journal::sum(bytes);
                if let Some(named) = &job.named
                    && named.get(sums.len()) != Some(&sum)
                {
                    return Err(Error::OtherBytes { path: file.path().to_owned(), batch: job.batch });
                }
                geometry.write(file, &job.rows, bytes)?;
                sums.push(sum);
                group.bytes += bytes.len() as u64;
            }
        }
        if job.named.is_none() {
            group.records.extend(self.chain.record(job.batch, &sums).into_bytes());
        }
        group.batches += 1;
        group.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn make_durable(&mut self, group: &mut Group) -> Result<()> {
        if group.batches == 0 {
            return Ok(());
        }
        sync_all(&self.arrays)?;
        self.journal.write_all(&group.records)?;
        self.journal.sync_data()?;
        tracing::debug!(batches = group.batches, bytes = group.bytes, "durable");
        *group = Group::default();
        Ok(())
    }
}

fn next(inbox: &Receiver<Job>, wait: Duration) -> std::result::Result<Job, RecvTimeoutError> {
    if wait == Duration::MAX {
        return inbox.recv().map_err(|_| RecvTimeoutError::Disconnected);
    }
    inbox.recv_timeout(wait)
}

/// Syncs every array, a few at a time.
fn sync_all(arrays: &[Vec<File>]) -> Result<()> {
    let files: Vec<&File> = arrays.iter().flatten().collect();
    let sync = |part: &[&File]| part.iter().try_for_each(|file| file.sync_data());
    std::thread::scope(|scope| {
        let parts = files.chunks(files.len().div_ceil(SYNCERS).max(1));
        let threads = parts.map(|part| spawn_scoped(scope, "sync", move || sync(part)));
        let threads = threads.collect::<std::io::Result<Vec<_>>>()?;
        threads.into_iter().try_for_each(|thread| Ok(thread.join().map_err(|_| Error::Stopped)??))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records on disk after each of three batches that come without a pause.
    fn durable_after(every: Duration) -> Vec<usize> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let (chain, _) = Chain::begin("m");
        let pace = Pace { every, bytes: u64::MAX };
        let journal = File::create(&path).unwrap();
        let mut disk = Disk { journal, chain, arrays: vec![], geometry: vec![], pace };
        let mut group = Group::default();
        let after = |batch| {
            let job = Job { batch, rows: vec![batch], states: BatchStates::default(), named: None };
            disk.accept(&job, &mut group).unwrap();
            fs_err::read_to_string(&path).unwrap().lines().count()
        };
        (0..3).map(after).collect()
    }

    #[test]
    fn a_queue_that_is_never_empty_does_not_stop_the_clock() {
        assert_eq!(durable_after(Duration::ZERO), [1, 2, 3]);
        assert_eq!(durable_after(Duration::from_hours(1)), [0, 0, 0]);
    }
}
