//! `.npy` arrays of fixed length: the header, where each row lies, and reading and writing rows in place.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use fs_err::File;
use fs_err::os::unix::fs::FileExt as _;
use half::f16;
use half::slice::HalfFloatSliceExt as _;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::manifest::{Column, Manifest, StoreDtype};
use crate::tokens::Offsets;

#[cfg(target_endian = "big")]
compile_error!("the arrays are little-endian on disk and mapped as they are");

/// Where everything lies in one array of a column. Its first axis has an item for each row; in a ragged column, one for each
/// token of each row.
#[derive(Debug, Clone)]
pub(crate) struct Geometry {
    pub(crate) dtype: StoreDtype,
    /// Rows of the store.
    pub(crate) rows: usize,
    /// Numbers per item.
    pub(crate) item_len: usize,
    /// Where each row's items begin; none where each row is one.
    offsets: Option<Arc<[u64]>>,
    header: Vec<u8>,
}

impl Geometry {
    /// The array of one side of `column`; the manifest's rules must hold. `side` is the side's place among those of the kind.
    pub(crate) fn new(manifest: &Manifest, column: &Column, side: usize, offsets: &Offsets) -> Result<Self> {
        let no_offsets = || Error::TokenIds { what: format!("{} has no offsets", column.name()) };
        let offsets =
            column.is_ragged().then(|| offsets.of(side).cloned().ok_or_else(no_offsets)).transpose()?;
        let items = match offsets.as_deref() {
            Some(offsets) => offsets.last().copied().unwrap_or_default() as usize,
            None => manifest.rows,
        };
        let dtype = column.dtype(manifest.dtype);
        let header = header(dtype, items, &column.shape)?;
        Ok(Self { dtype, rows: manifest.rows, item_len: column.row_len(), offsets, header })
    }

    /// The items of consecutive rows.
    pub(crate) fn items(&self, rows: Range<usize>) -> Range<usize> {
        match &self.offsets {
            Some(offsets) => offsets[rows.start] as usize..offsets[rows.end] as usize,
            None => rows,
        }
    }

    /// Numbers of one row.
    pub(crate) fn numbers(&self, row: usize) -> usize {
        self.items(row..row + 1).len() * self.item_len
    }

    /// Numbers of some rows together.
    pub(crate) fn numbers_of(&self, rows: &[usize]) -> usize {
        rows.iter().map(|&row| self.numbers(row)).sum()
    }

    /// Bytes of consecutive rows.
    pub(crate) fn bytes(&self, rows: Range<usize>) -> usize {
        self.items(rows).len() * self.item_len * self.dtype.size()
    }

    /// The file's length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.header.len() as u64 + self.bytes(0..self.rows) as u64
    }

    /// Where a row begins.
    pub(crate) fn offset(&self, row: usize) -> u64 {
        self.header.len() as u64 + self.bytes(0..row) as u64
    }

    /// Makes the file with its header and its whole length, so that a full disk is found now.
    ///
    /// # Errors
    /// [`Error::DiskFull`] with `total`, the store's length, in the message.
    pub(crate) fn reserve(&self, path: &Path, total: u64) -> Result<File> {
        let bytes = self.len();
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        let made = match rustix::fs::fallocate(file.file(), FallocateFlags::empty(), 0, bytes) {
            // Not every file system can reserve; zeros take the room as well.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(&file, bytes),
            made => made.map_err(Into::into),
        };
        made.and_then(|()| file.write_all_at(&self.header, 0)).map_err(|error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Error::DiskFull { path: path.to_owned(), bytes, total }
            }
            _ => Error::at(path, &error),
        })?;
        Ok(file)
    }

    /// Brings a file that has `now` bytes to its length.
    pub(crate) fn reserve_rest(&self, path: &Path, file: &File, now: u64) -> Result<()> {
        let bytes = self.len();
        if now < bytes {
            // Where room cannot be reserved, the length is what matters.
            let reserved = rustix::fs::fallocate(file.file(), FallocateFlags::empty(), 0, bytes);
            if let Err(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) = reserved {
                return Err(Error::DiskFull { path: path.to_owned(), bytes, total: bytes });
            }
        }
        Ok(file.set_len(bytes)?)
    }

    /// Refuses a file whose header or length is not exactly what the manifest asks for.
    ///
    /// The format fixes the header to the byte, so it is compared and never parsed.
    pub(crate) fn check(&self, path: &Path, file: &File) -> Result<()> {
        let found = self.first_bytes(file)?;
        if found != self.header {
            let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
            let (expected, found) = (show(&self.header), show(&found));
            return Err(Error::Header { path: path.to_owned(), expected, found });
        }
        let (expected, found) = (self.len(), file.metadata()?.len());
        if expected != found {
            return Err(Error::Length { path: path.to_owned(), expected, found });
        }
        Ok(())
    }

    /// As many bytes of a file as the header has, or all that there are.
    fn first_bytes(&self, file: &File) -> Result<Vec<u8>> {
        let mut found = vec![0; self.header.len()];
        let mut read = 0;
        while let Some(rest) = found.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        found.truncate(read);
        Ok(found)
    }

    /// Writes a batch's values to its rows.
    pub(crate) fn write(&self, file: &File, rows: &[usize], bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        for run in runs(rows) {
            let (now, later) = rest.split_at(self.bytes(run.clone()));
            file.write_all_at(now, self.offset(run.start))?;
            rest = later;
        }
        Ok(())
    }

    /// Writes the header again, where it was damaged.
    pub(crate) fn write_header(&self, file: &File) -> Result<()> {
        Ok(file.write_all_at(&self.header, 0)?)
    }

    /// What a file's beginning looks like.
    pub(crate) fn beginning(&self, file: &File) -> Result<Beginning> {
        let found = self.first_bytes(file)?;
        Ok(match self.header.strip_prefix(&found[..]) {
            Some([]) => Beginning::Own,
            Some(_) => Beginning::CutOff,
            None => Beginning::Other,
        })
    }
}

/// The bytes kept for `values`, which must be below the type's limit. `narrow` is room that is used again.
pub(crate) fn encode<'a>(dtype: StoreDtype, values: &'a [f32], narrow: &'a mut Vec<f16>) -> &'a [u8] {
    match dtype {
        StoreDtype::F32 => bytemuck::cast_slice(values),
        StoreDtype::F16 => {
            narrow.resize(values.len(), f16::ZERO);
            narrow.convert_from_f32_slice(values);
            bytemuck::cast_slice(narrow)
        }
    }
}

/// Where the first value at or beyond `limit` (or NaN) is.
///
/// The fast answer "nowhere" must not stop early, or it is not vectorized.
pub(crate) fn first_beyond(values: &[f32], limit: f32) -> Option<usize> {
    let fine = |value: &f32| value.abs() < limit;
    if values.iter().fold(true, |all, value| all & fine(value)) {
        return None;
    }
    values.iter().position(|value| !fine(value))
}

/// How the beginning of a file compares with the header that belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// It is the header.
    Own,
    /// The file ends within it.
    CutOff,
    /// It is something else.
    Other,
}

/// Ascending neighbors are one write, or one read.
pub(crate) fn runs(rows: &[usize]) -> impl Iterator<Item = Range<usize>> {
    rows.chunk_by(|a, b| a + 1 == *b).filter_map(|run| Some(*run.first()?..run.last()? + 1))
}

fn write_zeros(file: &File, bytes: u64) -> std::io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let now = (bytes - at).min(zeros.len() as u64);
        file.write_all_at(&zeros[..now as usize], at)?;
        at += now;
    }
    Ok(())
}

/// The header for `[items, shape…]` in C order, padded to 64 bytes, as `FORMAT.md` gives it.
pub(crate) fn header(dtype: StoreDtype, items: usize, shape: &[usize]) -> Result<Vec<u8>> {
    let shape: Vec<u64> = std::iter::once(items).chain(shape.iter().copied()).map(|n| n as u64).collect();
    header_of(dtype.descr(), &shape)
}

/// The header of an array of any type.
pub(crate) fn header_of(descr: &str, shape: &[u64]) -> Result<Vec<u8>> {
    use npyz::WriterBuilder as _;
    let kind: npyz::TypeStr = descr.parse().map_err(std::io::Error::other)?;
    let mut bytes = Vec::new();
    npyz::WriteOptions::new_header_only()
        .dtype(npyz::DType::Plain(kind))
        .shape(shape)
        .writer(&mut bytes)
        .write_header_only()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_the_one_in_the_format() {
        let bytes = header(StoreDtype::F32, 3270, &[4096]).unwrap();
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\x00\x76\x00");
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (3270, 4096, ), }";
        assert_eq!(bytes.len(), 128);
        assert_eq!(String::from_utf8_lossy(&bytes[10..]), format!("{text:<117}\n"));
        let scalar = header(StoreDtype::F16, 7, &[]).unwrap();
        assert!(String::from_utf8_lossy(&scalar).contains("'<f2', 'fortran_order': False, 'shape': (7, )"));
    }

    #[test]
    fn neighbors_are_joined() {
        let joined = |rows: &[usize]| runs(rows).collect::<Vec<_>>();
        assert_eq!(joined(&[4, 5, 6, 2, 1, 7]), [4..7, 2..3, 1..2, 7..8]);
        assert!(joined(&[]).is_empty());
    }

    #[test]
    fn the_limits_are_those_of_rounding() {
        let limit = StoreDtype::F16.limit();
        let below = f32::from_bits(limit.to_bits() - 1);
        assert_eq!(f16::from_f32(below), f16::MAX);
        assert_eq!(f16::from_f32(limit), f16::INFINITY);
        assert_eq!(first_beyond(&[0.0, below, -below], limit), None);
        assert_eq!(first_beyond(&[0.0, -limit], limit), Some(1));
        assert_eq!(first_beyond(&[f32::MAX, f32::NAN], f32::INFINITY), Some(1));
        assert_eq!(first_beyond(&[f32::NEG_INFINITY], f32::INFINITY), Some(0));
    }

    #[test]
    fn zeros_where_room_cannot_be_reserved() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("zeros")).unwrap();
        write_zeros(&file, (1 << 20) + 5).unwrap();
        assert_eq!(file.metadata().unwrap().len(), (1 << 20) + 5);
    }
}
