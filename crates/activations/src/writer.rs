//! Writing a store: create it or continue it, commit batches, finish.

use std::collections::BTreeMap;
use std::io::{Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use fs_err::File;
use host::lock::Lock;
use rustix::io::Errno;

use crate::batch_states::BatchStates;
use crate::differences::Differences;
use crate::error::{Error, Result};
use crate::files::{self, ArrayFile, Files, Found, sync_dir};
use crate::journal::{Chain, Journal, Sum};
use crate::manifest::Manifest;
use crate::npy::{self, Geometry};
use crate::rows::{self, Row};
use crate::side::SideOf;
use crate::store::Store;
use crate::token_files::write_lost_tokens;
use crate::tokens::TokenIds;
use crate::worker::{Disk, Job, Worker};
use crate::{json, open, repair, table};

/// How often committed batches are made durable: whichever limit comes first.
///
/// Only what is lost in a crash depends on it, never a byte of the finished store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The longest a batch waits.
    pub every: Duration,
    /// The most that waits, in bytes.
    pub bytes: u64,
}

impl Default for Pace {
    /// Two seconds, 256 MiB.
    fn default() -> Self {
        Self { every: Duration::from_secs(2), bytes: 256 << 20 }
    }
}

/// Writes a store, a batch at a time, through a thread of its own.
///
/// Dropping the writer makes durable what was committed and leaves a store that can be continued.
#[derive(Debug)]
pub struct StoreWriter {
    files: Files,
    manifest: Manifest,
    /// Each row's `idx`, for messages.
    idx: Vec<u64>,
    /// Of every side of each column.
    geometry: Vec<Vec<Geometry>>,
    /// The batches to commit, in order: those whose values were damaged, then those without a record.
    plan: Vec<usize>,
    /// How many of them are committed.
    next: usize,
    /// The checksums of those that have a record.
    named: BTreeMap<usize, Vec<Sum>>,
    /// What was damaged, in sentences.
    repairs: Vec<String>,
    /// None where no batch remained.
    worker: Option<Worker>,
    /// Of the journal. The last field, so that the worker has ended before it is given back.
    _lock: Lock,
}

impl StoreWriter {
    /// Creates the store in `dir`, or continues the one that is there.
    ///
    /// The rows are those of the manifest's plan, by number. A finished store has nothing
    /// [`remaining`](Self::remaining), unless it is damaged.
    ///
    /// Of a store that is there everything is read, and compared with its journal. Batches whose values are damaged
    /// remain to be committed again: [`repairs`](Self::repairs) says what was found, `FORMAT.md` what is done about it.
    ///
    /// # Errors
    /// [`Error::Different`] where the store was begun with other settings or rows, [`Error::ForeignFiles`] where
    /// the folder holds something else, [`Error::Locked`] while another writer has it, [`Error::DiskFull`] where
    /// a new store does not fit, and what a damaged store gives. A folder that is refused is not changed.
    pub fn open(dir: impl AsRef<Path>, manifest: Manifest, rows: &[Row]) -> Result<Self> {
        Self::open_paced(dir, manifest, rows, Pace::default())
    }

    /// [`open`](Self::open) with another pace.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_paced(dir: impl AsRef<Path>, manifest: Manifest, rows: &[Row], pace: Pace) -> Result<Self> {
        Self::open_with(dir, manifest, rows, None, pace)
    }

    /// [`open`](Self::open) with the tokens of the rows' prompts, which a store with columns of the rule
    /// [`ALL_TOKENS`](crate::ALL_TOKENS) needs; the manifest is [`Manifest::with_tokens`] of them.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::TokenIds`] where the ids are missing, or not those of the rows and the manifest.
    pub fn open_with(
        dir: impl AsRef<Path>,
        manifest: Manifest,
        rows: &[Row],
        ids: Option<&TokenIds>,
        pace: Pace,
    ) -> Result<Self> {
        let files = Files::new(dir.as_ref());
        manifest.check(&files.manifest())?;
        if rows.len() != manifest.rows {
            let what = format!("{} rows were given, the manifest plans {}", rows.len(), manifest.rows);
            return Err(Error::RowCount { what });
        }
        if let Some((row, other)) = rows.iter().enumerate().find(|(_, row)| row.kind() != manifest.kind) {
            let (expected, found) = (manifest.kind, other.kind());
            return Err(Error::RowKind { row, idx: other.idx, expected, found });
        }
        if let Some((row, side, what)) = rows::first_fault(rows) {
            return Err(Error::PromptTokens { row, idx: rows[row].idx, side, what });
        }
        check_ids(&manifest, rows, ids)?;
        let (mut journal, lock) = files.lock(&manifest)?;
        if files.inspect(Some(&manifest))? != Found::Store {
            files.create(&manifest, rows, ids, &mut journal)?;
        }
        Self::resume(files, manifest, (rows, ids), (journal, lock), pace)
    }

    /// Continues the store in the folder, be it as new as can be.
    fn resume(
        files: Files,
        mut asked: Manifest,
        (rows, ids): (&[Row], Option<&TokenIds>),
        (mut journal, lock): (File, Lock),
        pace: Pace,
    ) -> Result<Self> {
        let (stored, manifest_hash) = files.read_manifest()?;
        // A store that was begun without the texts of its tokens goes on without them.
        let bare = ids.filter(|_| stored.token_texts.is_none()).map(TokenIds::without_texts);
        let ids = bare.as_ref().or(ids);
        asked.token_texts = asked.token_texts.filter(|_| stored.token_texts.is_some());
        // First, so that a manifest that was changed is not taken for other settings.
        let mut read = files.read_journal(&stored, &manifest_hash)?;
        let lost_rows = compare(&files, &stored, &asked, rows)?;
        let lost_tokens = ids.map(|ids| write_lost_tokens(&files, ids)).transpose()?.unwrap_or_default();
        let manifest = Manifest { rows_hash: stored.rows_hash, ..asked };
        let offsets = ids.map(TokenIds::offsets).unwrap_or_default();
        let of_array = |array: &ArrayFile| array.geometry(&manifest, &offsets);
        let columns = files.arrays(&manifest);
        let columns = columns.chunks(manifest.kind.sides().len());
        let geometry: Vec<Vec<Geometry>> =
            columns.map(|sides| sides.iter().map(of_array).collect()).collect::<Result<_>>()?;
        let mended = repair::mend(&files, &manifest, &manifest_hash, &offsets, &mut journal, &mut read)?;

        let durable = read.records.len();
        let plan: Vec<usize> =
            mended.damaged.iter().copied().chain(durable..manifest.batches.len()).collect();
        let sums = |&batch: &usize| Some((batch, read.records.get(batch)?.clone()));
        let named = mended.damaged.iter().filter_map(sums).collect();
        let repairs = lost_rows.into_iter().chain(lost_tokens).chain(mended.notes).collect();
        let idx = rows.iter().map(|row| row.idx).collect();
        let worker = if plan.is_empty() {
            cut_off_tail(&files, &manifest, journal, &read)?;
            None
        } else {
            let arrays = open_arrays(&files, &manifest, durable < manifest.batches.len())?;
            let journal = cut_off_tail(&files, &manifest, journal, &read)?;
            let chain = Chain::after(read.fingerprint);
            let disk = Disk { journal, chain, arrays, geometry: geometry.clone(), pace };
            Some(Worker::start(disk)?)
        };
        Ok(Self { files, manifest, idx, geometry, plan, next: 0, named, repairs, worker, _lock: lock })
    }

    /// What was found damaged when the store was opened, a sentence for each file. What could be set right without the
    /// model is; batches that have to be computed again are among the [`remaining`](Self::remaining).
    pub fn repairs(&self) -> &[String] {
        &self.repairs
    }

    /// The manifest, with `rows_hash` filled in.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The batches still to commit, in order: after opening, those that are damaged, then those not durable.
    pub fn remaining(&self) -> &[usize] {
        self.plan.get(self.next..).unwrap_or_default()
    }

    /// Commits the next batch. It is durable soon after (see [`Pace`]) and at the latest after
    /// [`finish`](Self::finish) or drop; this waits only while two batches are queued.
    ///
    /// # Errors
    /// [`Error::BatchOrder`], [`Error::BatchColumns`] and [`Error::BatchLength`] for a batch that does not fit
    /// the plan, [`Error::NonFinite`] and [`Error::Overflow`] for values that must not be kept: nothing of that
    /// batch is written, and the writer can go on. An error of the disk surfaces here or in `finish`, once, and so does
    /// [`Error::OtherBytes`] for a batch that was damaged and does not come out as it was; the writer has stopped then.
    pub fn commit(&mut self, batch: usize, states: BatchStates) -> Result<()> {
        let expected = self.remaining().first().copied();
        if expected != Some(batch) {
            return Err(Error::BatchOrder { batch, expected });
        }
        let rows = self.manifest.batches.get(batch).cloned().unwrap_or_default();
        self.check(batch, &rows, &states)?;
        match &mut self.worker {
            Some(worker) => worker.send(Job { batch, rows, states, named: self.named.remove(&batch) })?,
            None => return Err(Error::Stopped),
        }
        self.next += 1;
        Ok(())
    }

    /// Makes everything durable and gives the arrays their final names.
    ///
    /// # Errors
    /// [`Error::Unfinished`] while batches remain (the store can be continued), or what the disk says.
    pub fn finish(mut self) -> Result<Store> {
        if let Some(mut worker) = self.worker.take() {
            worker.close()?;
        }
        match self.remaining().len() {
            0 => {}
            remaining => return Err(Error::Unfinished { remaining }),
        }
        // Every row is durable by now, so a kill between two renames leaves nothing that cannot be trusted;
        // the next `open` renames the rest.
        for array in self.files.arrays(&self.manifest) {
            if fs_err::exists(&array.partial)? {
                fs_err::rename(&array.partial, &array.path)?;
            }
            if array.is_last(&self.manifest) {
                sync_dir(array.folder())?;
            }
        }
        Store::open(&self.files.dir)
    }

    /// Refuses what does not fit the plan and what must not be kept.
    fn check(&self, batch: usize, rows: &[usize], states: &BatchStates) -> Result<()> {
        let (expected, found) = (self.manifest.columns.len(), states.columns.len());
        if expected != found {
            return Err(Error::BatchColumns { batch, expected, found });
        }
        for ((states, column), geometry) in
            states.columns.iter().zip(&self.manifest.columns).zip(&self.geometry)
        {
            if states.kind() != self.manifest.kind {
                let (expected, found) = (self.manifest.kind, states.kind());
                return Err(Error::BatchKind { batch, column: column.name(), expected, found });
            }
            for ((side, values), geometry) in states.sides().zip(geometry) {
                let (expected, found) = (geometry.numbers_of(rows), values.len());
                if expected != found {
                    return Err(Error::BatchLength { batch, column: column.name(), side, expected, found });
                }
                if let Some(at) = npy::first_beyond(values, geometry.dtype.limit()) {
                    return Err(self.bad_value(rows, geometry, &column.name(), side, (values, at)));
                }
            }
        }
        Ok(())
    }

    fn bad_value(
        &self,
        rows: &[usize],
        geometry: &Geometry,
        hook: &str,
        side: SideOf,
        (values, at): (&[f32], usize),
    ) -> Error {
        let (mut row, mut position) = (0, at);
        for &candidate in rows {
            row = candidate;
            let numbers = geometry.numbers(row);
            if position < numbers {
                break;
            }
            position -= numbers;
        }
        let idx = self.idx.get(row).copied().unwrap_or_default();
        let value = values.get(at).copied().unwrap_or_default();
        let hook = hook.to_owned();
        if value.is_finite() {
            Error::Overflow { row, idx, hook, side, position, value }
        } else {
            Error::NonFinite { row, idx, hook, side, position, value }
        }
    }
}

/// Refuses ids that are not those of the rows and the manifest.
fn check_ids(manifest: &Manifest, rows: &[Row], ids: Option<&TokenIds>) -> Result<()> {
    let refuse = |what: &str| Err(Error::TokenIds { what: what.to_owned() });
    match (ids, &manifest.tokens) {
        (None, None) => Ok(()),
        (None, Some(_)) => refuse("columns of all tokens were asked for without the tokens' ids"),
        (Some(_), None) => refuse("ids of tokens were given, and no column is of all tokens"),
        (Some(ids), Some(records)) => {
            let same = ids.records()? == *records && ids.texts_hash()? == manifest.token_texts;
            if ids.kind() != manifest.kind || !same {
                return refuse("the ids are not those that the manifest is of");
            }
            ids.check(rows)
        }
    }
}

/// Refuses to continue a store that is not the one asked for. Rows that are lost are written again if they would be the
/// same file; then a sentence says so.
fn compare(files: &Files, stored: &Manifest, asked: &Manifest, rows: &[Row]) -> Result<Option<String>> {
    let mut differences = stored.differences(asked)?;
    let stored_rows = match files.read_rows(stored) {
        Err(lost @ (Error::Rows { .. } | Error::Missing { .. })) => {
            refuse(files, differences)?;
            open::own(&files.rows())?;
            let table =
                table::encode(rows, stored.kind).ok().filter(|table| files::hash(table) == stored.rows_hash);
            let table = table.ok_or(lost)?;
            files::write_whole(&files.rows(), &table)?;
            let path = files.rows();
            return Ok(Some(format!("{} was missing or damaged; it is written again", path.display())));
        }
        stored_rows => stored_rows?,
    };
    for (row, (stored, asked)) in stored_rows.iter().zip(rows).enumerate().filter(|(_, (a, b))| a != b) {
        let to_json = |row: &Row| serde_json::to_value(row).ok();
        json::differences(
            &format!("rows[{row}]"),
            to_json(stored).as_ref(),
            to_json(asked).as_ref(),
            &mut differences.found,
        );
    }
    refuse(files, differences)?;
    Ok(None)
}

fn refuse(files: &Files, differences: Differences) -> Result<()> {
    if differences.is_empty() {
        Ok(())
    } else {
        Err(Error::Different { dir: files.dir.clone(), differences })
    }
}

/// Opens the arrays for writing, each side of each column. While rows are missing (`unfinished`), each is given the
/// name that says so; where only damaged rows are written again, the names stay.
fn open_arrays(files: &Files, manifest: &Manifest, unfinished: bool) -> Result<Vec<Vec<File>>> {
    let arrays = files.arrays(manifest);
    let open = |array: &ArrayFile| {
        // A finished store whose journal lost its last record: its arrays are not finished any more.
        if unfinished && fs_err::exists(&array.path)? {
            fs_err::rename(&array.path, &array.partial)?;
            sync_dir(array.folder())?;
        }
        let path = array.present()?.unwrap_or(&array.partial);
        open::own(path)?;
        // Not through fs_err, which hides the error's number.
        match std::fs::File::options().read(true).write(true).open(path) {
            Ok(file) => Ok(File::from_parts(file, path)),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::MFILE) => {
                Err(Error::TooManyFiles { path: path.to_owned(), files: arrays.len() })
            }
            Err(error) => Err(Error::at(path, &error)),
        }
    };
    arrays.chunks(manifest.kind.sides().len()).map(|sides| sides.iter().map(open).collect()).collect()
}

/// Cuts off what follows the last record, durably, and moves to the journal's end.
fn cut_off_tail(files: &Files, manifest: &Manifest, mut journal: File, read: &Journal) -> Result<File> {
    if let Some(tail) = &read.tail {
        tracing::warn!(dir = %files.dir.display(), batch = read.records.len(), "the journal's end was cut off: {}", tail.what);
        journal.set_len(read.good)?;
        Files::reserve_journal(manifest, &journal);
        journal.sync_all()?;
    }
    journal.seek(SeekFrom::Start(read.good))?;
    Ok(journal)
}
