//! Reading a finished store: one layer, some rows, or mapped into memory; and how far an unfinished one is.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fs_err::File;

use crate::batch_states::ColumnStates;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::journal::Sum;
use crate::manifest::{Column, Manifest, StoreDtype};
use crate::mapped::{Mapped, MappedSlice, map_file};
use crate::npy::Geometry;
use crate::provenance::Provenance;
use crate::rows::Row;
use crate::side::{RowKind, SideOf};
use crate::token_reader::TokenReader;
use crate::tokens::Offsets;
use crate::values::Array;
use crate::{journal, open};

/// A finished store.
#[derive(Debug, Clone)]
pub struct Store {
    files: Files,
    manifest: Arc<Manifest>,
    /// The journal's checksums, batch by batch.
    records: Arc<Vec<Vec<Sum>>>,
    /// Where each row's tokens begin, in a store with columns of all tokens.
    offsets: Offsets,
    fingerprint: String,
}

impl Store {
    /// Opens a finished store, and checks that every array is there with its header and length.
    ///
    /// Values are not read here. Whoever reads some gets them checked against the journal; [`verify`](crate::verify)
    /// checks all of them.
    ///
    /// # Errors
    /// [`Error::Incomplete`] where rows are missing, [`Error::NotAStore`], and what damaged files give.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let files = Files::new(dir.as_ref());
        let (manifest, hash) = files.read_manifest()?;
        let journal = files.read_journal(&manifest, &hash)?.undamaged(&files.journal())?;
        let status = Status::new(&files, &manifest, journal.records.len())?;
        if !status.finished {
            return Err(Error::Incomplete { dir: files.dir, done: status.rows_done, rows: status.rows });
        }
        let journal::Journal { records, fingerprint, .. } = journal;
        let offsets = files.read_offsets(&manifest)?;
        let (manifest, records) = (Arc::new(manifest), Arc::new(records));
        let store = Self { files, manifest, records, offsets, fingerprint };
        for (number, column) in store.manifest.columns.iter().enumerate() {
            let reader = store.reader(number, column)?;
            store.kind().sides().iter().try_for_each(|&side| reader.open(side).map(drop))?;
        }
        Ok(store)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.files.dir
    }

    /// What the store holds and what made it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What a row is: a pair, or a statement.
    pub fn kind(&self) -> RowKind {
        self.manifest.kind
    }

    /// What made the states.
    pub fn provenance(&self) -> Provenance {
        self.manifest.provenance()
    }

    /// A hash that stands for the manifest, the rows and every value: two stores with one fingerprint are equal.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// What each row is.
    ///
    /// # Errors
    /// [`Error::Rows`] where `rows.parquet` is not the file the store was begun with.
    pub fn rows(&self) -> Result<Vec<Row>> {
        self.files.read_rows(&self.manifest)
    }

    /// The text of every token of the prompts by its id (`▁True` is a word with the space before it). None in a store without
    /// columns of all tokens, or one that was begun without texts.
    ///
    /// # Errors
    /// [`Error::TokenFile`] where the file is not the one that was written.
    pub fn token_texts(&self) -> Result<Option<BTreeMap<u32, String>>> {
        self.files.read_texts(&self.manifest)
    }

    /// The residual stream's columns under one token rule (`last`, `mean`, …) by layer, in order: 0 is `hook_embed`,
    /// l is `blocks.{l-1}.hook_resid_post`. None if the store has no such rule; [`Manifest::token_rules`] lists them.
    pub fn layers(&self, tokens: &str) -> Vec<(usize, &Column)> {
        let under_rule = self.manifest.columns.iter().filter(|column| column.tokens == tokens);
        let mut layers: Vec<_> = under_rule.filter_map(|column| Some((column.layer?, column))).collect();
        layers.sort_by_key(|&(layer, _)| layer);
        layers
    }

    /// The reader of the residual stream at one layer and token rule: 0 is the embedding, l the stream leaving block l − 1.
    ///
    /// ```
    /// # use activations::{BatchStates, Column, Manifest, Row, Side, Sides, StoreDtype, StoreWriter};
    /// use activations::{ColumnStates, Store};
    /// # let folder = tempfile::tempdir()?;
    /// # let dir = folder.path().join("store");
    /// # let side = || Side { prompt: "Is water wet? Yes".to_owned(), tokens: 6, answer_start: 5, answer_end: 6,
    /// #     captured_id: 8, captured_text: "Yes".to_owned() };
    /// # let rows: Vec<Row> = (0..2).map(|idx| Row { idx, label: true, question_id: String::new(), group: String::new(),
    /// #     template: String::new(), dataset: String::new(), sides: Sides::Pair { plus: side(), minus: side() },
    /// #     columns: [].into() }).collect();
    /// # let columns = vec![Column::new("blocks.11.hook_resid_post", &["d_model"], &[2])];
    /// # let manifest = Manifest::new(StoreDtype::F16, columns, vec![vec![0, 1]], serde_json::Map::new());
    /// # let mut writer = StoreWriter::open(&dir, manifest, &rows)?;
    /// # let states = ColumnStates::Pair { plus: vec![1.0, 2.0, 3.0, 4.0], minus: vec![5.0, 6.0, 7.0, 8.0] };
    /// # writer.commit(0, BatchStates { columns: vec![states] })?;
    /// # writer.finish()?;
    /// let store = Store::open(&dir)?; // its states are kept in f16
    /// let ColumnStates::Pair { plus, minus } = store.layer(12, "last")?.row(1)? else { unreachable!("of pairs") };
    /// assert_eq!(plus, [3.0, 4.0]); // f32, after the positive answer
    /// assert_eq!(minus, [7.0, 8.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownLayer`] with the layers, or the token rules, that there are; [`Error::Ragged`] for the rule
    /// [`ALL_TOKENS`](crate::ALL_TOKENS).
    pub fn layer(&self, layer: usize, tokens: &str) -> Result<ColumnReader> {
        let mut columns = self.manifest.columns.iter().enumerate();
        match columns.find(|(_, column)| column.layer == Some(layer) && column.tokens == tokens) {
            Some((number, column)) => self.plain(number, column),
            None => Err(self.unknown_layer(layer, tokens)),
        }
    }

    /// The reader of one column, by [`Column::name`].
    ///
    /// # Errors
    /// [`Error::UnknownColumn`] with the nearest name; [`Error::Ragged`] for a column of all tokens.
    pub fn column(&self, name: &str) -> Result<ColumnReader> {
        let (number, column) = self.find(name)?;
        self.plain(number, column)
    }

    /// The reader of one column of all tokens, by [`Column::name`], such as `blocks.11.hook_resid_post@all`.
    ///
    /// # Errors
    /// [`Error::UnknownColumn`] with the nearest name; [`Error::NotRagged`] for a column with a state for each row.
    pub fn token_column(&self, name: &str) -> Result<TokenReader> {
        let (number, column) = self.find(name)?;
        if !column.is_ragged() {
            return Err(Error::NotRagged { column: name.to_owned() });
        }
        Ok(TokenReader::new(self.reader(number, column)?))
    }

    fn find(&self, name: &str) -> Result<(usize, &Column)> {
        let mut columns = self.manifest.columns.iter().enumerate();
        columns.find(|(_, column)| column.name() == name).ok_or_else(|| self.unknown(name))
    }

    fn plain(&self, number: usize, column: &Column) -> Result<ColumnReader> {
        if column.is_ragged() {
            return Err(Error::Ragged { column: column.name() });
        }
        self.reader(number, column)
    }

    fn reader(&self, number: usize, column: &Column) -> Result<ColumnReader> {
        let sides = 0..self.kind().sides().len();
        let geometry = sides.map(|side| Geometry::new(&self.manifest, column, side, &self.offsets));
        let geometry = geometry.collect::<Result<_>>()?;
        let (manifest, records) = (Arc::clone(&self.manifest), Arc::clone(&self.records));
        let files = self.files.clone();
        Ok(ColumnReader { column: column.clone(), number, geometry, files, manifest, records })
    }

    fn unknown_layer(&self, layer: usize, tokens: &str) -> Error {
        let layers: Vec<String> = self.layers(tokens).iter().map(|(layer, _)| layer.to_string()).collect();
        let known = if layers.is_empty() {
            format!(
                "no layers there, and states under the token rules {}",
                self.manifest.token_rules().join(", ")
            )
        } else {
            format!("the layers {}", layers.join(", "))
        };
        Error::UnknownLayer { layer, tokens: tokens.to_owned(), known }
    }

    fn unknown(&self, name: &str) -> Error {
        const SHOWN: usize = 6;
        let names: Vec<String> = self.manifest.columns.iter().map(Column::name).collect();
        let nearest = host::nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
        let mut known = names.iter().take(SHOWN).cloned().collect::<Vec<_>>();
        if names.len() > SHOWN {
            known.push(format!("and {} more", names.len() - SHOWN));
        }
        let known = known.join(", ");
        Error::UnknownColumn { name: name.to_owned(), nearest, known }
    }
}

/// Reads one column; all sides of it. What it gives has been compared, batch by batch, with the journal's checksums.
#[derive(Debug, Clone)]
pub struct ColumnReader {
    column: Column,
    /// Its place in the manifest.
    number: usize,
    /// Of every side.
    geometry: Vec<Geometry>,
    pub(crate) files: Files,
    pub(crate) manifest: Arc<Manifest>,
    records: Arc<Vec<Vec<Sum>>>,
}

impl ColumnReader {
    /// The column.
    pub fn column(&self) -> &Column {
        &self.column
    }

    /// What the values are kept in.
    pub fn dtype(&self) -> StoreDtype {
        self.column.dtype(self.manifest.dtype)
    }

    /// Rows of the store, N.
    pub fn rows(&self) -> usize {
        self.manifest.rows
    }

    /// Numbers per row, D.
    pub fn row_len(&self) -> usize {
        self.column.row_len()
    }

    /// What a row is, and so which sides there are to read.
    pub fn kind(&self) -> RowKind {
        self.manifest.kind
    }

    /// Where a side's array is.
    ///
    /// # Errors
    /// [`Error::NoSide`] where the rows have no such side.
    pub fn path(&self, side: SideOf) -> Result<PathBuf> {
        self.position(side)?;
        Ok(self.files.array(self.number, &self.column, side).path)
    }

    /// Where a side stands among the column's arrays.
    pub(crate) fn position(&self, side: SideOf) -> Result<usize> {
        let no_side = || Error::NoSide { column: self.column.name(), side, kind: self.kind() };
        self.kind().position(side).ok_or_else(no_side)
    }

    /// Every row, widened to f32.
    ///
    /// # Shapes
    /// [N, D] in C order.
    ///
    /// # Errors
    /// [`Error::NoSide`] where the rows have no such side, [`Error::Damaged`] where values are not those that were
    /// written, and where the file has changed otherwise since the store was opened.
    pub fn read(&self, side: SideOf) -> Result<Vec<f32>> {
        self.read_rows(side, 0..self.rows())
    }

    /// Some rows, widened to f32. Of the file, those batches are read that have any of them: a batch is what is checked.
    ///
    /// # Shapes
    /// [`rows.len()`, D] in C order.
    ///
    /// # Errors
    /// As [`ColumnReader::read`]; [`Error::RowRange`] beyond the end, [`Error::Damaged`] where values of their batches are not those that were
    /// written, and where the file has changed otherwise since the store was opened.
    pub fn read_rows(&self, side: SideOf, rows: Range<usize>) -> Result<Vec<f32>> {
        if rows.start > rows.end || rows.end > self.rows() {
            return Err(Error::RowRange { range: rows, rows: self.rows() });
        }
        let file = self.open(side)?;
        self.array(side, file.path())?.rows(&file, rows)
    }

    /// All sides of one row, widened to f32. Its batch is read and checked: for many rows, [`ColumnReader::read`].
    ///
    /// # Shapes
    /// Each side is \[D\] in C order.
    ///
    /// # Errors
    /// As [`ColumnReader::read_rows`].
    pub fn row(&self, row: usize) -> Result<ColumnStates> {
        let rows = row..row.saturating_add(1);
        ColumnStates::try_each(self.kind(), |side| self.read_rows(side, rows.clone()))
    }

    /// The rows of one batch of the manifest's plan, in its order, widened to f32; nothing else is read.
    pub(crate) fn read_batch(&self, side: SideOf, batch: usize) -> Result<Vec<f32>> {
        let file = self.open(side)?;
        self.array(side, file.path())?.batch(&file, batch)
    }

    /// The array in memory without copying it, in the type it is kept in. All of it is read and checked once, here; what
    /// changes in the file later is seen, as with any map, and not checked.
    ///
    /// # Errors
    /// [`Error::Damaged`] where values are not those that were written, and where the file has changed otherwise since
    /// the store was opened or cannot be mapped.
    pub fn map(&self, side: SideOf) -> Result<Mapped> {
        let file = self.open(side)?;
        let map = map_file(&file)?;
        self.array(side, file.path())?.check_all(&map)?;
        let start = self.geometry(side)?.offset(0) as usize;
        Ok(match self.dtype() {
            StoreDtype::F32 => Mapped::F32(MappedSlice { map, start, kind: PhantomData }),
            StoreDtype::F16 => Mapped::F16(MappedSlice { map, start, kind: PhantomData }),
        })
    }

    /// The array, and what the journal says of it.
    fn array<'a>(&'a self, side: SideOf, path: &'a Path) -> Result<Array<'a>> {
        let number = self.kind().sides().len() * self.number + self.position(side)?;
        let (plan, records) = (&self.manifest.batches, &self.records);
        Ok(Array { path, geometry: self.geometry(side)?, number, plan, records })
    }

    pub(crate) fn geometry(&self, side: SideOf) -> Result<&Geometry> {
        Ok(&self.geometry[self.position(side)?])
    }

    /// The file, whose header and length are checked.
    fn open(&self, side: SideOf) -> Result<File> {
        let path = self.path(side)?;
        let file = open::open(&path)?;
        self.geometry(side)?.check(&path, &file)?;
        Ok(file)
    }
}

/// How far a store is, finished or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Rows in all.
    pub rows: usize,
    /// Rows that are durable.
    pub rows_done: usize,
    /// Batches in all.
    pub batches: usize,
    /// Batches that are durable.
    pub batches_done: usize,
    /// Whether every row is there and every array has its final name.
    pub finished: bool,
}

impl Status {
    /// Reads how far the store in `dir` is; a writer may be at work.
    ///
    /// # Errors
    /// [`Error::NotAStore`] where there is none, and what damaged files give.
    pub fn of(dir: impl AsRef<Path>) -> Result<Self> {
        let files = Files::new(dir.as_ref());
        let (manifest, hash) = files.read_manifest()?;
        let journal = files.read_journal(&manifest, &hash)?.undamaged(&files.journal())?;
        Self::new(&files, &manifest, journal.records.len())
    }

    pub(crate) fn new(files: &Files, manifest: &Manifest, batches_done: usize) -> Result<Self> {
        let mut finished = batches_done == manifest.batches.len();
        if finished {
            for array in files.arrays(manifest) {
                // A missing array is another matter than an unfinished one.
                finished &= array.present()?.is_none_or(|path| path == array.path);
            }
        }
        Ok(Self {
            rows: manifest.rows,
            rows_done: manifest.batches.iter().take(batches_done).map(Vec::len).sum(),
            batches: manifest.batches.len(),
            batches_done,
            finished,
        })
    }
}
