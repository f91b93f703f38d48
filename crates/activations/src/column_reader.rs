//! Reading one column: all of it, some rows, or mapped into memory.

use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytemuck::Pod;
use fs_err::File;
use half::f16;
use memmap2::Mmap;

use crate::error::{Error, Result};
use crate::files::Files;
use crate::journal::Sum;
use crate::manifest::{Column, Manifest, StoreDtype};
use crate::npy::Geometry;
use crate::open;
use crate::side::{RowKind, SideOf};
use crate::states::ColumnStates;
use crate::values::Array;

/// Reads one column; all sides of it. What it gives has been compared, batch by batch, with the journal's checksums.
#[derive(Debug, Clone)]
pub struct ColumnReader {
    pub(crate) column: Column,
    /// Its place in the manifest.
    pub(crate) number: usize,
    /// Of every side.
    pub(crate) geometry: Vec<Geometry>,
    pub(crate) files: Files,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) records: Arc<Vec<Vec<Sum>>>,
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
    pub(crate) fn open(&self, side: SideOf) -> Result<File> {
        let path = self.path(side)?;
        let file = open::open(&path)?;
        self.geometry(side)?.check(&path, &file)?;
        Ok(file)
    }
}

/// Maps a file whose header and length were checked.
#[allow(unsafe_code, reason = "memory maps are unsafe because another process may change the file")]
pub(crate) fn map_file(file: &File) -> Result<Mmap> {
    // SAFETY: the arrays of a finished store are never written again by this crate, and any bits are a valid
    // number. Whoever cuts a file short under a running reader gets SIGBUS, as with NumPy's mmap_mode.
    unsafe { Mmap::map(file.file()) }.map_err(|error| Error::at(file.path(), &error))
}

/// An array mapped into memory, in the type it is kept in.
#[derive(Debug)]
pub enum Mapped {
    /// An array of f32.
    F32(MappedSlice<f32>),
    /// An array of f16.
    F16(MappedSlice<f16>),
}

impl Mapped {
    /// The values, where they are f32.
    ///
    /// # Shapes
    /// [N, D] in C order.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match self {
            Self::F32(values) => Some(values),
            Self::F16(_) => None,
        }
    }

    /// The values, where they are f16.
    ///
    /// # Shapes
    /// [N, D] in C order.
    pub fn as_f16(&self) -> Option<&[f16]> {
        match self {
            Self::F32(_) => None,
            Self::F16(values) => Some(values),
        }
    }
}

/// A mapped array; dereferences to its values, [N, D] in C order.
#[derive(Debug)]
pub struct MappedSlice<T> {
    map: Mmap,
    /// The header's length.
    start: usize,
    kind: PhantomData<T>,
}

impl<T: Pod> Deref for MappedSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // The header is a multiple of 64 bytes and maps begin at a page, so this always fits.
        bytemuck::try_cast_slice(self.map.get(self.start..).unwrap_or_default()).unwrap_or_default()
    }
}
