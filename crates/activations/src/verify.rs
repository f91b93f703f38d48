//! Reading everything again: every value against the journal, every other file against its hash.

use std::fmt;
use std::path::Path;

use fs_err::File;
use half::f16;

use crate::error::{Error, Result};
use crate::files::{ArrayFile, Files};
use crate::journal::{self, Journal, Sum};
use crate::manifest::{Manifest, StoreDtype};
use crate::npy::{self, Geometry};
use crate::store::{Status, map_file};

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// How far the store is, where its manifest and journal can be read.
    pub status: Option<Status>,
    /// Bytes of durable values that were read.
    pub bytes: u64,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

impl Verification {
    /// Whether what is there is as it was written. The store may still be unfinished: see `status`.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Something wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, relative to the store, with `/`.
    pub file: String,
    /// The batch, where the trouble is in one.
    pub batch: Option<usize>,
    /// The rows concerned: the batch's, or the bad ones of it.
    pub rows: Vec<usize>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 12;
        write!(f, "{}: {}", self.file, self.what)?;
        if let Some(batch) = self.batch {
            let rows: Vec<String> = self.rows.iter().take(SHOWN).map(ToString::to_string).collect();
            let more = if self.rows.len() > SHOWN { ", …" } else { "" };
            write!(f, " (batch {batch}, rows {}{more})", rows.join(", "))?;
        }
        Ok(())
    }
}

/// Reads a whole store again and lists everything that is not as it was written. Unfinished stores are checked
/// as far as they are.
///
/// # Errors
/// Only where there is no store or the disk cannot be read; everything else is a [`Problem`].
pub fn verify(dir: impl AsRef<Path>) -> Result<Verification> {
    let files = Files::new(dir.as_ref());
    let mut report = Verification { status: None, bytes: 0, problems: Vec::new() };
    let Some((manifest, hash)) = or_problem(files.read_manifest(), "manifest.json", &mut report)? else {
        return Ok(report);
    };
    or_problem(files.read_rows(&manifest), "rows.parquet", &mut report)?;
    let Some(journal) = or_problem(files.read_journal(&manifest, &hash), "journal", &mut report)? else {
        return Ok(report);
    };
    let status = Status::new(&files, &manifest, journal.records.len())?;
    check_tail(&files, &manifest, &journal, &status, &mut report)?;
    report.status = Some(status);

    let arrays = files.arrays(&manifest);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let parts = std::thread::scope(|scope| -> std::io::Result<Vec<Result<Vec<Checked>>>> {
        let numbered: Vec<(usize, &ArrayFile)> = arrays.iter().enumerate().collect();
        let parts = numbered
            .chunks(arrays.len().div_ceil(threads).max(1))
            .map(|part| {
                let (part, manifest, journal) = (part.to_vec(), &manifest, &journal);
                let check =
                    move || part.iter().map(|&(i, array)| check_array(manifest, journal, i, array)).collect();
                host::threads::spawn_scoped(scope, "verify", check)
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        Ok(parts.into_iter().map(|part| part.join().unwrap_or(Err(Error::Stopped))).collect())
    })?;
    for part in parts {
        for checked in part? {
            report.bytes += checked.bytes;
            report.problems.extend(checked.problems);
        }
    }
    Ok(report)
}

/// Turns an error about the store's content into a problem; errors of the disk, and no store at all, stay errors.
fn or_problem<T>(result: Result<T>, file: &str, report: &mut Verification) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ (Error::Io(_) | Error::NotAStore { .. })) => Err(error),
        Err(error) => {
            report.problems.push(problem(file, None, &[], said(&error)));
            Ok(None)
        }
    }
}

/// An error without its hint and without the path in front, which the problem names itself.
fn said(error: &Error) -> String {
    let text = match error {
        Error::Manifest { what, .. } | Error::Rows { what, .. } => what.clone(),
        Error::Journal { line, what, .. } => format!("line {line}: {what}"),
        Error::Missing { .. } => "the file is missing".to_owned(),
        Error::BothNames { .. } => "the array is there with and without `.partial` in its name".to_owned(),
        other => other.to_string(),
    };
    text.split("\nhint:").next().unwrap_or_default().to_owned()
}

fn problem(file: &str, batch: Option<usize>, rows: &[usize], what: String) -> Problem {
    Problem { file: file.to_owned(), batch, rows: rows.to_vec(), what }
}

/// A torn last record is how a killed writer leaves a store, and zeros with lines after them are how a power cut
/// does, but no writer leaves a whole record that is wrong, or any tail beside finished arrays.
fn check_tail(
    files: &Files,
    manifest: &Manifest,
    journal: &Journal,
    status: &Status,
    report: &mut Verification,
) -> Result<()> {
    let batch = status.batches_done;
    let rows = manifest.batches.get(batch).map(Vec::as_slice).unwrap_or_default();
    if let Some(tail) = &journal.tail
        && (tail.whole || status.rows_done == status.rows)
    {
        let what = format!("line {}: {}", batch + 2, tail.what);
        report.problems.push(problem("journal", Some(batch), rows, what));
        return Ok(());
    }
    if status.rows_done < status.rows {
        for array in files.arrays(manifest) {
            if fs_err::exists(&array.path)? {
                let what = "an array has its final name, but the journal does not name every row";
                report.problems.push(problem("journal", Some(batch), rows, what.to_owned()));
                break;
            }
        }
    }
    Ok(())
}

/// What one array gave.
struct Checked {
    /// Bytes of values read.
    bytes: u64,
    problems: Vec<Problem>,
}

/// Checks one array.
fn check_array(manifest: &Manifest, journal: &Journal, number: usize, array: &ArrayFile) -> Result<Checked> {
    let mut checked = Checked { bytes: 0, problems: Vec::new() };
    let Some(column) = manifest.columns.get(array.column) else { return Ok(checked) };
    let name = format!("{}/{}.npy", column.name(), array.side);
    match array.check_one_name() {
        Err(error @ Error::BothNames { .. }) => {
            checked.problems.push(problem(&name, None, &[], said(&error)));
        }
        other => other?,
    }
    let Some(path) = array.present()? else {
        checked.problems.push(problem(&name, None, &[], "the file is missing".to_owned()));
        return Ok(checked);
    };
    let geometry = Geometry::new(manifest, column)?;
    let file = File::open(path)?;
    match geometry.check(path, &file) {
        // The values can be read all the same.
        Err(error @ Error::Header { .. }) if file.metadata()?.len() == geometry.len() => {
            checked.problems.push(problem(&name, None, &[], said(&error)));
        }
        Err(error @ (Error::Header { .. } | Error::Length { .. })) => {
            checked.problems.push(problem(&name, None, &[], said(&error)));
            return Ok(checked);
        }
        other => other?,
    }
    let map = map_file(&file)?;
    for (batch, (sums, rows)) in journal.records.iter().zip(&manifest.batches).enumerate() {
        let Some(sum) = sums.get(number) else { continue };
        checked.bytes += (rows.len() * geometry.row_bytes()) as u64;
        checked.problems.extend(check_batch(&geometry, &map, &name, batch, rows, sum));
    }
    Ok(checked)
}

/// Checks one batch in one array: its checksum, and that every value is finite.
fn check_batch(
    geometry: &Geometry,
    map: &[u8],
    name: &str,
    batch: usize,
    rows: &[usize],
    sum: &Sum,
) -> Vec<Problem> {
    let mut hasher = blake3::Hasher::new();
    let mut not_finite = Vec::new();
    for &row in rows {
        let start = geometry.offset(row) as usize;
        let bytes = map.get(start..start + geometry.row_bytes()).unwrap_or_default();
        hasher.update(bytes);
        if !is_finite(geometry.dtype, bytes) {
            not_finite.push(row);
        }
    }
    let mut problems = Vec::new();
    if journal::short(&hasher.finalize()) != *sum {
        problems.push(problem(
            name,
            Some(batch),
            rows,
            "the values are not those the journal names".to_owned(),
        ));
    }
    if !not_finite.is_empty() {
        problems.push(problem(name, Some(batch), &not_finite, "values are NaN or infinite".to_owned()));
    }
    problems
}

fn is_finite(dtype: StoreDtype, bytes: &[u8]) -> bool {
    match dtype {
        StoreDtype::F32 => bytemuck::try_cast_slice(bytes)
            .is_ok_and(|values: &[f32]| npy::first_beyond(values, f32::INFINITY).is_none()),
        StoreDtype::F16 => bytemuck::try_cast_slice(bytes)
            .is_ok_and(|values: &[f16]| values.iter().all(|value| value.is_finite())),
    }
}
