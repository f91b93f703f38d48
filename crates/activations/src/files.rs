//! Where everything lies in a store's folder, how it is created, and how a half-created store is recognized.
//!
//! Creation, in this order, each step durable before the next: `journal` (empty, and locked from here on),
//! `rows.parquet`, the arrays as `*.npy.partial`, the journal's first line, `manifest.json` by rename. So:
//!
//! - with a manifest, everything else is there too, at its full length: the store can be continued;
//! - without one, a journal that names no batch says that nothing is worth keeping: the store is made anew, if
//!   the folder holds nothing but what creation makes;
//! - anything else is somebody's data and is left alone.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err::File;
use host::lock::Lock;

use crate::error::{Error, Result};
use crate::journal::{self, Chain, Journal};
use crate::manifest::{Column, Manifest};
use crate::npy::Geometry;
use crate::open;
use crate::rows::Row;
use crate::side::{RowKind, SideOf};
use crate::table;
use crate::tokens::{self, Offsets, TokenIds};

/// The most bytes of a `manifest.json`: the plan of some ten million rows.
const MANIFEST_LIMIT: u64 = 256 << 20;
/// How much of what follows a journal's records is looked at.
const TAIL_LIMIT: u64 = 64 << 10;

/// The paths of a store.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
}

/// What a folder holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing, or no folder.
    Nothing,
    /// A store whose creation was interrupted.
    HalfCreated,
    /// A store, finished or not.
    Store,
}

/// One array of a store.
#[derive(Debug, Clone)]
pub(crate) struct ArrayFile {
    pub(crate) column: usize,
    pub(crate) side: SideOf,
    /// `{column}/{side}.npy`, as long as not every row is there with `.partial` behind it.
    pub(crate) path: PathBuf,
    pub(crate) partial: PathBuf,
}

impl Files {
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.dir.join("manifest.json")
    }

    pub(crate) fn rows(&self) -> PathBuf {
        self.dir.join("rows.parquet")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.dir.join("journal")
    }

    pub(crate) fn array(&self, number: usize, column: &Column, side: SideOf) -> ArrayFile {
        let path = self.dir.join(column.name()).join(format!("{side}.npy"));
        ArrayFile { column: number, side, partial: path.with_added_extension("partial"), path }
    }

    /// Every array, columns in manifest order, plus before minus: the order of a record's checksums.
    pub(crate) fn arrays(&self, manifest: &Manifest) -> Vec<ArrayFile> {
        let columns = manifest.columns.iter().enumerate();
        let sides = manifest.kind.sides().iter();
        columns.flat_map(|(i, column)| sides.clone().map(move |&side| self.array(i, column, side))).collect()
    }

    /// What the folder holds. The manifest is that of the store to be made, if one is.
    ///
    /// # Errors
    /// [`Error::ForeignFiles`] where it is neither empty nor ours.
    pub(crate) fn inspect(&self, manifest: Option<&Manifest>) -> Result<Found> {
        if fs_err::exists(self.manifest())? {
            return Ok(Found::Store);
        }
        let entries = match fs_err::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            entries => entries?.collect::<io::Result<Vec<_>>>()?,
        };
        if entries.is_empty() {
            return Ok(Found::Nothing);
        }
        let foreign = |name: &OsStr| Error::ForeignFiles {
            dir: self.dir.clone(),
            example: name.to_string_lossy().into_owned(),
        };
        for entry in &entries {
            if !is_of_creation(entry, manifest)? {
                return Err(foreign(&entry.file_name()));
            }
        }
        match open::read(&self.journal(), TAIL_LIMIT) {
            Ok(bytes) if Journal::is_unbegun(&bytes) => Ok(Found::HalfCreated),
            Ok(_) => Err(foreign(OsStr::new("journal"))),
            Err(_) => Err(foreign(&entries[0].file_name())),
        }
    }

    /// Opens the journal and locks it for this process. Makes an empty one where a store may be created.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process (or writer) holds it, [`Error::ForeignFiles`] where the folder
    /// holds something else.
    pub(crate) fn lock(&self, manifest: &Manifest) -> Result<(File, Lock)> {
        let path = self.journal();
        // Where there is a journal, somebody may be creating the store right now: look only under the lock.
        if !fs_err::exists(&path)? {
            if self.inspect(Some(manifest))? == Found::Store {
                return Err(Error::Missing { path });
            }
            fs_err::create_dir_all(&self.dir)?;
        }
        open::own(&path)?;
        let journal = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
        let locked = || Error::Locked { dir: self.dir.clone() };
        let held = Lock::try_hold(journal.file()).map_err(|e| Error::at(&path, &e))?.ok_or_else(locked)?;
        // Between opening and locking, a failed creation elsewhere may have removed the file.
        let ours = journal.metadata()?;
        match fs_err::metadata(&path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => Ok((journal, held)),
            _ => Err(locked()),
        }
    }

    /// Makes a new store around the locked `journal`; what is left of an interrupted creation goes first.
    pub(crate) fn create(
        &self,
        manifest: &Manifest,
        rows: &[Row],
        ids: Option<&TokenIds>,
        journal: &mut File,
    ) -> Result<()> {
        self.clear(manifest)?;
        let made = self.create_all(manifest, rows, ids, journal);
        if made.is_err() {
            // The store was never begun: leave nothing behind. The first error is the one to report.
            let _ = self.clear(manifest);
            let _ = fs_err::remove_file(self.journal());
        }
        made
    }

    fn create_all(
        &self,
        manifest: &Manifest,
        rows: &[Row],
        ids: Option<&TokenIds>,
        journal: &mut File,
    ) -> Result<()> {
        let bad_rows = |e: polars::error::PolarsError| Error::Rows { path: self.rows(), what: e.to_string() };
        host::threads::check(host::threads::cores())?; // polars panics where its own cannot be started
        let table = table::encode(rows, manifest.kind).map_err(bad_rows)?;
        table::decode(&table, rows.len(), manifest.kind).map_err(|what| Error::RowText { what })?;
        let manifest = Manifest { rows_hash: hash(&table), ..manifest.clone() };
        let total = manifest.bytes();
        let or_full = |error: Error, path: PathBuf, bytes: &[u8]| match error {
            Error::Io(e) if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                Error::DiskFull { path, bytes: bytes.len() as u64, total }
            }
            other => other,
        };
        write_whole(&self.rows(), &table).map_err(|e| or_full(e, self.rows(), &table))?;
        let offsets = ids.map(TokenIds::offsets).unwrap_or_default();
        if let Some(ids) = ids {
            fs_err::create_dir(self.dir.join(tokens::FOLDER))?;
            for (path, bytes) in self.token_files(ids)? {
                write_whole(&path, &bytes).map_err(|e| or_full(e, path, &bytes))?;
            }
        }
        for array in self.arrays(&manifest) {
            if array.is_first(&manifest) {
                fs_err::create_dir(array.folder())?;
            }
            array.geometry(&manifest, &offsets)?.reserve(&array.partial, total)?.sync_all()?;
            if array.is_last(&manifest) {
                sync_dir(array.folder())?;
            }
        }
        let text = manifest.to_json()?;
        let (_, first) = Chain::begin(&hash(&text));
        journal.set_len(0)?;
        let begun = journal.write_all(first.as_bytes());
        begun.map_err(|e| or_full(e.into(), self.journal(), first.as_bytes()))?;
        Self::reserve_journal(&manifest, journal);
        journal.sync_all()?;
        sync_dir(&self.dir)?;
        // The folder's own name; a parent that may not be listed cannot be synced, and that is not ours to mend.
        let _ = sync_dir(&self.dir.join(".."));
        write_whole(&self.manifest(), &text).map_err(|e| or_full(e, self.manifest(), &text))?;
        tracing::debug!(dir = %self.dir.display(), bytes = total, "store created");
        Ok(())
    }

    /// Reserves the journal's room too, without changing its length. A convenience: where the file system cannot,
    /// a full disk is found when a record is written.
    pub(crate) fn reserve_journal(manifest: &Manifest, journal: &File) {
        let bytes = journal::planned_len(manifest.batches.len(), manifest.arrays());
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fallocate(journal.file(), rustix::fs::FallocateFlags::KEEP_SIZE, 0, bytes);
        #[cfg(not(target_os = "linux"))]
        let _ = (journal, bytes);
    }

    /// Removes what creation makes, except the journal, which is locked.
    fn clear(&self, manifest: &Manifest) -> Result<()> {
        for entry in fs_err::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name() == "journal" || !is_of_creation(&entry, Some(manifest))? {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs_err::remove_dir_all(entry.path())?;
            } else {
                fs_err::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Reads the manifest and its hash.
    pub(crate) fn read_manifest(&self) -> Result<(Manifest, String)> {
        let path = self.manifest();
        match open::read(&path, MANIFEST_LIMIT) {
            Ok(bytes) => Ok((Manifest::from_json(&path, &bytes)?, hash(&bytes))),
            Err(Error::Missing { .. }) => {
                let what = match self.inspect(None) {
                    Ok(Found::HalfCreated) => "its creation was interrupted; `extract` will begin it anew",
                    _ => "manifest.json is missing",
                };
                Err(Error::NotAStore { dir: self.dir.clone(), what: what.to_owned() })
            }
            Err(e) => Err(e),
        }
    }

    /// Reads the journal of that manifest, with what may follow its good lines. However long the file is, no more of it
    /// is read than the plan's records take, and some of what follows them.
    pub(crate) fn read_journal(&self, manifest: &Manifest, manifest_hash: &str) -> Result<Journal> {
        let path = self.journal();
        let (batches, files) = (manifest.batches.len(), manifest.arrays());
        let limit = journal::planned_len(batches, files).saturating_add(TAIL_LIMIT);
        let (bytes, _) = open::read_beginning(&path, limit)?;
        Journal::parse(&path, &bytes, manifest_hash, batches, files)
    }

    /// Reads `rows.parquet`, which must be the file the manifest names.
    pub(crate) fn read_rows(&self, manifest: &Manifest) -> Result<Vec<Row>> {
        let path = self.rows();
        let bad = |what: String| Error::Rows { path: path.clone(), what };
        let other = || bad("its BLAKE3 is not the manifest's rows_hash".to_owned());
        // Before memory is taken for it: whatever lies there may have any length.
        if open::hash(&path)? != manifest.rows_hash {
            return Err(other());
        }
        let bytes = open::read(&path, u64::MAX - 1)?;
        if hash(&bytes) != manifest.rows_hash {
            return Err(other());
        }
        host::threads::check(host::threads::cores())?;
        table::decode(&bytes, manifest.rows, manifest.kind).map_err(bad)
    }
}

impl ArrayFile {
    /// Where everything lies in it.
    pub(crate) fn geometry(&self, manifest: &Manifest, offsets: &Offsets) -> Result<Geometry> {
        let side = manifest.kind.position(self.side).unwrap_or_default();
        Geometry::new(manifest, &manifest.columns[self.column], side, offsets)
    }

    /// Whether no array of its column stands before it.
    pub(crate) fn is_first(&self, manifest: &Manifest) -> bool {
        manifest.kind.sides().first() == Some(&self.side)
    }

    /// Whether no array of its column follows it.
    pub(crate) fn is_last(&self, manifest: &Manifest) -> bool {
        manifest.kind.sides().last() == Some(&self.side)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Refuses an array that is there under both names: no writer leaves that, and one would be lost.
    pub(crate) fn check_one_name(&self) -> Result<()> {
        if fs_err::exists(&self.path)? && fs_err::exists(&self.partial)? {
            return Err(Error::BothNames { path: self.path.clone(), partial: self.partial.clone() });
        }
        Ok(())
    }

    /// The name it has now, if it is there.
    pub(crate) fn present(&self) -> Result<Option<&Path>> {
        for path in [&self.path, &self.partial] {
            if fs_err::exists(path)? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

/// Whether creation makes such an entry. An empty folder is somebody else's unless it bears a column's name; without
/// a manifest, when nothing will be removed, any name will do.
fn is_of_creation(entry: &fs_err::DirEntry, manifest: Option<&Manifest>) -> io::Result<bool> {
    let name = entry.file_name();
    if entry.file_type()?.is_file() {
        let own = ["journal", "rows.parquet", "rows.parquet.tmp", "manifest.json.tmp"];
        return Ok(own.iter().any(|own| name == *own));
    }
    if !entry.file_type()?.is_dir() {
        return Ok(false);
    }
    let in_tokens = name == *tokens::FOLDER;
    let mut empty = true;
    for inner in fs_err::read_dir(entry.path())? {
        empty = false;
        let name = inner?.file_name();
        let texts = [tokens::TEXTS.to_owned(), format!("{}.tmp", tokens::TEXTS)];
        if in_tokens && texts.iter().any(|own| name == **own) {
            continue;
        }
        let mut sides = [RowKind::Pairs, RowKind::Statements].iter().flat_map(|kind| kind.sides());
        let is_own = |side: &SideOf| {
            let of_tokens = ["_offsets.npy", "_ids.npy", "_offsets.npy.tmp", "_ids.npy.tmp"];
            let beside = in_tokens && of_tokens.iter().any(|end| name == *format!("{side}{end}"));
            beside || name == *format!("{side}.npy.partial")
        };
        if !sides.any(is_own) {
            return Ok(false);
        }
    }
    let named = |manifest: &Manifest| {
        in_tokens && manifest.tokens.is_some() || manifest.columns.iter().any(|column| name == *column.name())
    };
    Ok(!empty || manifest.is_none_or(named))
}

/// Writes a file that is either whole or not there, and makes it durable.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(host::files::replace_by(path, &path.with_added_extension("tmp"), bytes)?)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    Ok(File::open(dir)?.sync_all()?)
}

/// BLAKE3 in full.
pub(crate) fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
