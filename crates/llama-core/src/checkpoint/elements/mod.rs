//! A tensor's elements in a mapped file, copied to where the model wants them by all cores.
//!
//! A stretch of rows is read once: the next bytes of the file are asked for, its checksum is taken, its numbers are looked
//! at and written to their rows in the model's order and type, and its pages are given back. No tensor is made in between,
//! and what comes out does not depend on how many threads there are.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use memmap2::Mmap;
use tch::{Device, Tensor};

use super::container::mapped;
use super::part::Part;
use super::weight::Order;
use crate::error::{Error, Result};

mod columns;
mod format;
mod place;

use columns::Columns;
#[cfg(feature = "gguf")]
pub(super) use format::Blocks;
pub(super) use format::Format;
use place::Place;

/// Numbers that a thread takes at a time: their bytes stay in its core's cache between checksum and conversion.
const STRETCH: usize = 1 << 17;

/// Where a mapped file holds a tensor's elements, checked to lie inside it.
pub(super) struct Elements<'m> {
    pub(super) path: &'m Path,
    pub(super) name: &'m str,
    pub(super) map: &'m Mmap,
    pub(super) bytes: Range<usize>,
    pub(super) format: Format,
    pub(super) shape: &'m [i64],
    /// In elements; `None` if they lie one after the other.
    pub(super) stride: Option<&'m [i64]>,
    /// Of a matrix whose rows lie one after the other, those that are wanted: from which, how many; `None` is all.
    pub(super) columns: Option<(i64, i64)>,
    /// The CRC-32 of the bytes, where they are all that it is of.
    pub(super) sum: Option<u32>,
}

/// What was found while a tensor was copied.
pub(super) enum Found {
    /// Finite numbers, and the checksum holds.
    Good,
    /// Another checksum.
    Damaged,
}

impl Elements<'_> {
    /// Goes on with a part of elements that lie one after the other. Of rows, no other byte is read.
    pub(super) fn part<T>(self, part: Part, work: impl FnOnce(Elements<'_>) -> T) -> T {
        let Part { axis, from, count } = part;
        if axis > 0 {
            return work(Elements { columns: Some((from, count)), ..self });
        }
        let each = self.bytes.len() / self.shape[0].max(1) as usize;
        let start = self.bytes.start + from as usize * each;
        let shape = part.shape(self.shape);
        work(Elements { bytes: start..start + count as usize * each, shape: &shape, ..self })
    }

    /// The shape of what is wanted.
    fn wanted(&self) -> Vec<i64> {
        let mut shape = self.shape.to_vec();
        if let (Some((_, count)), Some(columns)) = (self.columns, shape.last_mut()) {
            *columns = count;
        }
        shape
    }

    /// Copies the elements to where they belong, in the model's order and type.
    ///
    /// # Shapes
    /// `into` the tensor's own, or that of its columns; it may be a view.
    ///
    /// # Errors
    /// Elements that are not finite.
    pub(super) fn copy(&self, into: &Tensor, order: Order) -> Result<Found> {
        if let Some(rows) = self.rows(into, order) {
            return self.copy_rows(&rows);
        }
        if into.device() != Device::Cpu && self.in_order() {
            // In the narrower type over the bus; the device converts.
            let kind = match self.format {
                Format::Plain(kind) => kind,
                #[cfg(feature = "gguf")]
                Format::Blocks(_) => into.f_kind()?,
            };
            let here = Tensor::f_empty(self.wanted(), (kind, Device::Cpu))?;
            if let Some(rows) = self.rows(&here, order) {
                let found = self.copy_rows(&rows)?;
                into.f_alias()?.f_copy_(&here)?;
                return Ok(found);
            }
        }
        self.copy_strided(into, order)
    }

    /// Whether the elements lie one after the other.
    fn in_order(&self) -> bool {
        self.stride.is_none_or(|stride| stride == contiguous(self.shape))
    }

    /// How the rows of the file are those of a tensor, where both have rows and their numbers can be converted here.
    fn rows<'t>(&self, into: &'t Tensor, order: Order) -> Option<Rows<'t>> {
        let place = Place::of(into)?;
        let (rows, columns) = place.shape();
        let width = if self.columns.is_some() { usize::try_from(*self.shape.last()?).ok()? } else { columns };
        let bytes = self.format.bytes(width)?;
        let wanted =
            self.columns.map(|(from, count)| Columns::new(self.format, from as usize, count as usize));
        let fits = into.size() == self.wanted()
            && self.in_order()
            && bytes.checked_mul(rows) == Some(self.bytes.len())
            && order.divides(rows)
            && self.format.converts_to(place.kind());
        fits.then_some(Rows { place, order, bytes, wanted, each: (STRETCH / width).clamp(1, rows) })
    }

    /// Copies stretches of rows, as many at a time as there are cores.
    fn copy_rows(&self, rows: &Rows<'_>) -> Result<Found> {
        let count = rows.place.shape().0;
        let sums: Vec<AtomicU32> = (0..count.div_ceil(rows.each)).map(|_| AtomicU32::new(0)).collect();
        let (finite, length) = (AtomicBool::new(true), rows.each * rows.bytes);
        let work = |stretch: usize| {
            let from = self.bytes.start + stretch * length;
            let bytes = from..self.bytes.end.min(from + length);
            mapped::read_ahead(self.map, &bytes, stretch == 0);
            let source = &self.map[bytes.clone()];
            if self.sum.is_some() {
                sums[stretch].store(crc32fast::hash(source), Ordering::Relaxed);
            }
            if !rows.copy(self.format, source, stretch * rows.each) {
                finite.store(false, Ordering::Relaxed);
            }
            mapped::release(self.map, &bytes);
        };
        host::threads::share(sums.len(), &work, &mut || ()).map_err(|_| Error::WeightsThread)?;
        if let Some(expected) = self.sum {
            let mut whole = crc32fast::Hasher::new();
            for (stretch, sum) in sums.iter().enumerate() {
                let bytes = length.min(self.bytes.len() - stretch * length) as u64;
                let sum = sum.load(Ordering::Relaxed);
                whole.combine(&crc32fast::Hasher::new_with_initial_len(sum, bytes));
            }
            if whole.finalize() != expected {
                return Ok(Found::Damaged);
            }
        }
        if finite.load(Ordering::Relaxed) { Ok(Found::Good) } else { Err(self.not_finite()) }
    }

    /// Copies elements that lie anyhow, by LibTorch.
    fn copy_strided(&self, into: &Tensor, order: Order) -> Result<Found> {
        let bytes = &self.map[self.bytes.clone()];
        if self.sum.is_some_and(|sum| crc32fast::hash(bytes) != sum) {
            return Ok(Found::Damaged);
        }
        let kind = match self.format {
            Format::Plain(kind) => kind,
            #[cfg(feature = "gguf")]
            Format::Blocks(_) => return Err(self.misshapen(into)),
        };
        let contiguous = contiguous(self.shape);
        let stride = self.stride.unwrap_or(&contiguous);
        let aligned = bytes.as_ptr().align_offset(kind.elt_size_in_bytes()) == 0;
        let source = if aligned {
            #[allow(unsafe_code)]
            // SAFETY: the caller has checked that shape and strides stay inside `bytes`. The tensor is read only, and
            // gone at the end of this function, before the mapping.
            unsafe {
                Tensor::f_from_blob(bytes.as_ptr(), self.shape, stride, kind, Device::Cpu)?
            }
        } else {
            let count = bytes.len() / kind.elt_size_in_bytes();
            let flat = Tensor::f_from_data_size(bytes, &[count as i64], kind)?;
            flat.f_as_strided(self.shape, stride, 0)?
        };
        if source.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
            return Err(self.not_finite());
        }
        let wanted = match self.columns {
            Some((from, count)) => source.f_narrow(-1, from, count)?,
            None => source.f_alias()?,
        };
        order.copy(&wanted, into)?;
        drop((source, wanted));
        mapped::release(self.map, &self.bytes);
        Ok(Found::Good)
    }

    /// A tensor that is not in whole blocks, or not of the weight's shape: the headers' checks let none pass.
    #[cfg(feature = "gguf")]
    fn misshapen(&self, into: &Tensor) -> Error {
        let (expected, found) = (into.size(), self.shape.to_vec());
        Error::TensorShape { path: self.path.to_owned(), name: self.name.to_owned(), expected, found }
    }

    fn not_finite(&self) -> Error {
        Error::NonFiniteWeight { path: self.path.to_owned(), name: self.name.to_owned() }
    }
}

/// Rows of a file and where they belong.
struct Rows<'t> {
    place: Place<'t>,
    order: Order,
    /// Of one row in the file.
    bytes: usize,
    /// What is wanted of each; `None` is all.
    wanted: Option<Columns>,
    /// Rows that a thread takes at a time.
    each: usize,
}

impl Rows<'_> {
    /// Copies the rows that a stretch of the file holds, the first of which has this number; says whether every number is
    /// finite. No row is copied by two calls at once.
    fn copy(&self, format: Format, source: &[u8], first: usize) -> bool {
        let mut room = format::ROOM;
        let mut finite = true;
        for (row, source) in (first..).zip(source.chunks_exact(self.bytes)) {
            #[allow(unsafe_code)]
            // SAFETY: each row of the file has a place of its own (`Order::row`), each stretch is taken by one thread, and
            // whoever asked for the copy waits for its end with a tensor that it has not yet shown to anybody.
            let into = unsafe { self.place.row(self.order.row(row)) };
            let kind = self.place.kind();
            finite &= into.is_some_and(|into| match &self.wanted {
                None => format.convert(source, kind, into, &mut room),
                Some(columns) => columns.convert(format, source, kind, into, &mut room),
            });
        }
        finite
    }
}

/// Strides, in elements, of a tensor whose elements lie one after the other.
pub(super) fn contiguous(shape: &[i64]) -> Vec<i64> {
    let mut stride = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        stride[axis - 1] = stride[axis] * shape[axis].max(1);
    }
    stride
}
