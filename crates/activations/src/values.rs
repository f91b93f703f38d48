//! Values that are checked on the way: nothing leaves an array before its batch has been compared with the journal.
//!
//! A batch's rows may lie anywhere in an array, and its sum is over its rows in the order of the plan. A reader brings the
//! bytes into memory once, puts each batch's rows side by side there, and hashes them.

use std::ops::Range;
use std::path::Path;

use fs_err::File;
use fs_err::os::unix::fs::FileExt as _;
use half::f16;
use half::slice::HalfFloatSliceExt as _;

use crate::error::{Error, Result};
use crate::journal::{self, Sum};
use crate::manifest::StoreDtype;
use crate::npy::{Geometry, runs};

/// An array, and what the journal says of it.
pub(crate) struct Array<'a> {
    pub(crate) path: &'a Path,
    pub(crate) geometry: &'a Geometry,
    /// Its place in every record.
    pub(crate) number: usize,
    pub(crate) plan: &'a [Vec<usize>],
    pub(crate) records: &'a [Vec<Sum>],
}

impl Array<'_> {
    /// Some rows, widened to f32. Of the file, no more is read than the batches that they are of.
    ///
    /// # Errors
    /// [`Error::Damaged`], where a batch that has one of these rows is.
    pub(crate) fn rows(&self, file: &File, range: Range<usize>) -> Result<Vec<f32>> {
        let touched = |rows: &[usize]| rows.iter().any(|row| range.contains(row));
        let batches: Vec<usize> = (0..self.plan.len()).filter(|&batch| touched(&self.plan[batch])).collect();
        let mut rows: Vec<usize> = batches.iter().flat_map(|&batch| &self.plan[batch]).copied().collect();
        rows.sort_unstable();
        let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        if last - first < 2 * rows.len() {
            rows = (first..=last).collect(); // with what lies between in one go
        }
        let values = Values::read(self, file, &rows)?;
        self.check(&batches, |row| rows.binary_search(&row).ok().map(|at| values.row(at)))?;
        let start = rows.partition_point(|&row| row < range.start);
        Ok(values.widened(start..start + range.len()))
    }

    /// The rows of one batch in the order of the plan, widened to f32.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub(crate) fn batch(&self, file: &File, batch: usize) -> Result<Vec<f32>> {
        let rows = self.plan.get(batch).map(Vec::as_slice).unwrap_or_default();
        let values = Values::read(self, file, rows)?;
        // They lie in the order that the sum is over.
        let bytes = (0..rows.len()).map(|at| values.row(at));
        self.compare([(batch, bytes)])?;
        Ok(values.widened(0..rows.len()))
    }

    /// Checks every row; `bytes` is the whole file.
    pub(crate) fn check_all(&self, bytes: &[u8]) -> Result<()> {
        let all: Vec<usize> = (0..self.plan.len()).collect();
        self.check(&all, |row| {
            let start = self.geometry.offset(row) as usize;
            bytes.get(start..start + self.geometry.bytes(row..row + 1))
        })
    }

    /// Compares batches with the journal; `row` finds a row's bytes.
    fn check<'b>(&self, batches: &[usize], row: impl Fn(usize) -> Option<&'b [u8]>) -> Result<()> {
        let find = |&number: &usize| row(number).unwrap_or_default();
        self.compare(batches.iter().map(|&batch| (batch, self.plan[batch].iter().map(find))))
    }

    /// Compares batches with the journal, each given as its rows' bytes in the order of the plan, and names those that
    /// differ.
    fn compare<'b, R: Iterator<Item = &'b [u8]>>(
        &self,
        batches: impl IntoIterator<Item = (usize, R)>,
    ) -> Result<()> {
        let mut side_by_side = Vec::new();
        let mut damaged = Vec::new();
        for (batch, rows) in batches {
            side_by_side.clear();
            rows.for_each(|row| side_by_side.extend_from_slice(row));
            let named = self.records.get(batch).and_then(|sums| sums.get(self.number));
            if named != Some(&journal::sum(&side_by_side)) {
                damaged.push(batch);
            }
        }
        let Some(&batch) = damaged.first() else { return Ok(()) };
        let (rows, others) = (self.plan[batch].clone(), damaged.len() - 1);
        Err(Error::Damaged { path: self.path.to_owned(), batch, rows, others })
    }

    /// Reads every durable batch, the rows in the order of the plan, and shows it to `each` with whether it is what the
    /// journal names. Memory holds one batch.
    pub(crate) fn scan(&self, file: &File, mut each: impl FnMut(usize, &[u8], bool)) -> Result<()> {
        // Rows lie scattered, so nobody else would guess that all of them will be asked for.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(file.file(), 0, None, rustix::fs::Advice::WillNeed);
        let mut bytes = Vec::new();
        for (batch, (rows, sums)) in self.plan.iter().zip(self.records).enumerate() {
            gather(self.geometry, file, rows, &mut bytes)?;
            each(batch, &bytes, sums.get(self.number) == Some(&journal::sum(&bytes)));
        }
        Ok(())
    }
}

/// Reads rows, one behind the other, into `bytes`.
pub(crate) fn gather(geometry: &Geometry, file: &File, rows: &[usize], bytes: &mut Vec<u8>) -> Result<()> {
    bytes.resize(geometry.numbers_of(rows) * geometry.dtype.size(), 0);
    read_into(geometry, file, rows, bytes)
}

fn read_into(geometry: &Geometry, file: &File, rows: &[usize], bytes: &mut [u8]) -> Result<()> {
    let mut rest = bytes;
    for run in runs(rows) {
        let (now, later) = rest.split_at_mut(geometry.bytes(run.clone()));
        file.read_exact_at(now, geometry.offset(run.start))?;
        rest = later;
    }
    Ok(())
}

/// Rows as they are kept.
struct Values {
    numbers: Numbers,
    /// Where each row's numbers begin, and where the last row's end.
    starts: Vec<usize>,
}

enum Numbers {
    F32(Vec<f32>),
    F16(Vec<f16>),
}

impl Values {
    /// Reads rows, one behind the other.
    fn read(array: &Array<'_>, file: &File, rows: &[usize]) -> Result<Self> {
        let mut starts = vec![0];
        let mut numbers = 0;
        for &row in rows {
            numbers += array.geometry.numbers(row);
            starts.push(numbers);
        }
        let none = |_| Error::Memory {
            path: array.path.to_owned(),
            bytes: (numbers * array.geometry.dtype.size()) as u64,
        };
        let mut values = match array.geometry.dtype {
            StoreDtype::F32 => Numbers::F32(room(numbers).map_err(none)?),
            StoreDtype::F16 => Numbers::F16(room(numbers).map_err(none)?),
        };
        read_into(array.geometry, file, rows, values.bytes_mut())?;
        Ok(Self { numbers: values, starts })
    }

    /// The bytes of the row at a place.
    fn row(&self, at: usize) -> &[u8] {
        self.numbers.bytes(self.starts[at]..self.starts[at + 1])
    }

    /// The numbers of the rows at some places.
    fn widened(self, places: Range<usize>) -> Vec<f32> {
        let range = self.starts[places.start]..self.starts[places.end];
        self.numbers.widened(range)
    }
}

impl Numbers {
    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::F32(values) => bytemuck::cast_slice_mut(values),
            Self::F16(values) => bytemuck::cast_slice_mut(values),
        }
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        match self {
            Self::F32(values) => bytemuck::cast_slice(&values[range]),
            Self::F16(values) => bytemuck::cast_slice(&values[range]),
        }
    }

    fn widened(self, range: Range<usize>) -> Vec<f32> {
        match self {
            Self::F32(values) if range == (0..values.len()) => values,
            Self::F32(values) => values[range].to_vec(),
            Self::F16(values) => {
                let mut wide = vec![0.0; range.len()];
                values[range].convert_to_f32_slice(&mut wide);
                wide
            }
        }
    }
}

fn room<T: bytemuck::Zeroable + Clone>(
    numbers: usize,
) -> std::result::Result<Vec<T>, std::collections::TryReserveError> {
    let mut values = Vec::new();
    values.try_reserve_exact(numbers)?;
    values.resize(numbers, T::zeroed());
    Ok(values)
}

/// Does something with each of a store's arrays, on all cores, and gives the results in order.
pub(crate) fn each_of<I: Sync, T: Send>(
    items: &[I],
    work: impl Fn(usize, &I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(items.len());
    if threads <= 1 {
        return items.iter().enumerate().map(|(number, item)| work(number, item)).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let some = || -> Result<Vec<(usize, T)>> {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(item) = items.get(number) else { return Ok(done) };
            done.push((number, work(number, item)?));
        }
    };
    let mut all = std::thread::scope(|scope| {
        // Where the system starts no more threads, those that there are do the work; without any, this one does.
        let others: Vec<_> =
            (1..threads).map_while(|_| host::threads::spawn_scoped(scope, "read", some).ok()).collect();
        let mut all = some()?;
        for thread in others {
            all.extend(thread.join().unwrap_or(Err(Error::Stopped))?);
        }
        Ok::<_, Error>(all)
    })?;
    all.sort_by_key(|&(number, _)| number);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}
