//! Reading everything again: every value against the journal, every other file against its hash.

use std::fmt;
use std::path::Path;

use fs_err::File;
use half::f16;

use crate::error::{Error, Result, listed};
use crate::files::{ArrayFile, Files};
use crate::journal::Journal;
use crate::manifest::{Manifest, StoreDtype};
use crate::npy;
use crate::open;
use crate::rows::Row;
use crate::store::Status;
use crate::tokens::{self, Offsets};
use crate::values::{Array, each_of};

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
    /// What to do about it.
    pub hint: String,
}

/// What helps against most damage.
const AGAIN: &str =
    "run the same `extract` command again: it computes what is damaged anew; or restore the file from a copy";
/// What helps where the file cannot be made again.
const RESTORE: &str = "restore the file from a copy, or extract anew into another folder";

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)?;
        if let Some(batch) = self.batch {
            write!(f, " (batch {batch}, rows {})", listed(&self.rows))?;
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
    let rows = or_problem(files.read_rows(&manifest), "rows.parquet", &mut report)?;
    let offsets = check_tokens(&files, &manifest, rows.as_deref(), &mut report)?;
    let Some(journal) = or_problem(files.read_journal(&manifest, &hash), "journal", &mut report)? else {
        return Ok(report);
    };
    let status = Status::new(&files, &manifest, journal.records.len())?;
    check_tail(&files, &manifest, &journal, &status, &mut report)?;
    report.status = Some(status);

    let arrays = files.arrays(&manifest);
    let check = |number, array: &ArrayFile| check_array(&manifest, &offsets, &journal, number, array);
    for checked in each_of(&arrays, check)? {
        report.bytes += checked.bytes;
        report.problems.extend(checked.problems);
    }
    Ok(report)
}

/// Turns an error about the store's content into a problem; errors of the disk, and no store at all, stay errors.
fn or_problem<T>(result: Result<T>, file: &str, report: &mut Verification) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ (Error::Io(_) | Error::NotAStore { .. })) => Err(error),
        Err(error) => {
            report.problems.push(of_error(file, &error));
            Ok(None)
        }
    }
}

/// An error as a problem, without the path in front, which the problem names itself.
fn of_error(file: &str, error: &Error) -> Problem {
    let what = match error {
        Error::Manifest { what, .. } | Error::Rows { what, .. } | Error::TokenFile { what, .. } => {
            what.clone()
        }
        Error::Journal { line, what, .. } => format!("line {line}: {what}"),
        Error::Missing { .. } => "the file is missing".to_owned(),
        Error::NotAFile { what, .. } => format!("it is {what}, not a file"),
        Error::BothNames { .. } => "the array is there with and without `.partial` in its name".to_owned(),
        _ => error.to_string(),
    };
    Problem {
        file: file.to_owned(),
        batch: None,
        rows: Vec::new(),
        what,
        hint: error.hint().unwrap_or_else(|| RESTORE.to_owned()),
    }
}

fn problem(file: &str, batch: usize, rows: &[usize], what: String) -> Problem {
    Problem { file: file.to_owned(), batch: Some(batch), rows: rows.to_vec(), what, hint: AGAIN.to_owned() }
}

/// A torn last record is how a killed writer leaves a store, and zeros are how a power cut does, but neither leaves a whole
/// line that is wrong, or any tail beside finished arrays, or records behind what is none.
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
        && (tail.damage || tail.whole || status.rows_done == status.rows)
    {
        let what = format!("line {}: {}", journal.lines() + 1, tail.what);
        let mut found = problem("journal", batch, rows, what);
        if status.rows_done == status.rows {
            "run the same `extract` command again: it cuts off what follows the last record"
                .clone_into(&mut found.hint);
            found.batch = None;
        }
        report.problems.push(found);
        return Ok(());
    }
    if status.rows_done < status.rows {
        for array in files.arrays(manifest) {
            if fs_err::exists(&array.path)? {
                let what = "an array has its final name, but the journal does not name every row";
                report.problems.push(problem("journal", batch, rows, what.to_owned()));
                break;
            }
        }
    }
    Ok(())
}

/// Checks the files of tokens, and gives the offsets: those of the files, or where they are damaged what the rows say, or
/// none.
fn check_tokens(
    files: &Files,
    manifest: &Manifest,
    rows: Option<&[Row]>,
    report: &mut Verification,
) -> Result<Offsets> {
    let mut sound = Some(Vec::new());
    if let Some(hash) = &manifest.token_texts {
        let file = format!("{}/{}", tokens::FOLDER, tokens::TEXTS);
        or_problem(tokens::read_texts(&files.token_texts(), hash), &file, report)?;
    }
    let of_rows = rows.map(|rows| Offsets::of_rows(rows, manifest.kind));
    for (number, record) in manifest.tokens.iter().flatten().enumerate() {
        let file = |what: &str| format!("{}/{}_{what}.npy", tokens::FOLDER, record.side);
        or_problem(tokens::read_ids(&files.ids(record.side), record), &file("ids"), report)?;
        let read = tokens::read_offsets(&files.offsets(record.side), record, manifest.rows);
        let read = or_problem(read, &file("offsets"), report)?;
        let expected = of_rows.as_ref().and_then(|offsets| offsets.of(number));
        if let (Some(read), Some(expected)) = (&read, expected)
            && read != expected
        {
            let what = "the offsets are not those of the lengths in rows.parquet".to_owned();
            report.problems.push(of_error(
                &file("offsets"),
                &Error::TokenFile { path: files.offsets(record.side), what },
            ));
        }
        sound = sound.zip(read).map(|(mut all, read)| {
            all.push(read);
            all
        });
    }
    // With other lengths nothing fits, and the damaged file is named already.
    let fits = |offsets: &Offsets| {
        let records = manifest.tokens.iter().flatten().enumerate();
        records.into_iter().all(|(n, record)| offsets.of(n).and_then(|of| of.last()) == Some(&record.count))
    };
    Ok(sound.map(Offsets).or(of_rows.filter(fits)).unwrap_or_default())
}

/// What one array gave.
struct Checked {
    /// Bytes of values read.
    bytes: u64,
    problems: Vec<Problem>,
}

/// Checks one array.
fn check_array(
    manifest: &Manifest,
    offsets: &Offsets,
    journal: &Journal,
    number: usize,
    array: &ArrayFile,
) -> Result<Checked> {
    let mut checked = Checked { bytes: 0, problems: Vec::new() };
    let Some(column) = manifest.columns.get(array.column) else { return Ok(checked) };
    if column.is_ragged() && offsets.0.is_empty() {
        return Ok(checked); // nothing says which bytes are of which batch, and that is among the problems
    }
    let name = format!("{}/{}.npy", column.name(), array.side);
    match array.check_one_name() {
        Err(error @ Error::BothNames { .. }) => checked.problems.push(of_error(&name, &error)),
        other => other?,
    }
    let (path, file) = match opened(array)? {
        Ok(opened) => opened,
        Err(error) => {
            checked.problems.push(of_error(&name, &error));
            return Ok(checked);
        }
    };
    let geometry = array.geometry(manifest, offsets)?;
    match geometry.check(path, &file) {
        // The values can be read all the same.
        Err(error @ Error::Header { .. }) if file.metadata()?.len() == geometry.len() => {
            checked.problems.push(of_error(&name, &error));
        }
        Err(error @ (Error::Header { .. } | Error::Length { .. })) => {
            checked.problems.push(of_error(&name, &error));
            return Ok(checked);
        }
        other => other?,
    }
    let array =
        Array { path, geometry: &geometry, number, plan: &manifest.batches, records: &journal.records };
    let read = array.scan(&file, |batch, bytes, sound| {
        checked.bytes += bytes.len() as u64;
        let rows = manifest.batches.get(batch).map(Vec::as_slice).unwrap_or_default();
        if !sound {
            let what = "the values are not those the journal names".to_owned();
            checked.problems.push(problem(&name, batch, rows, what));
        }
        let mut rest = bytes;
        let is_bad = |row: &usize| {
            let (own, others) = rest.split_at(geometry.bytes(*row..row + 1));
            rest = others;
            !is_finite(geometry.dtype, own)
        };
        let bad: Vec<usize> = rows.iter().copied().filter(is_bad).collect();
        if !bad.is_empty() {
            checked.problems.push(problem(&name, batch, &bad, "values are NaN or infinite".to_owned()));
        }
    });
    if let Err(error) = read {
        checked.problems.push(of_error(&name, &error)); // the disk gives what it can
    }
    Ok(checked)
}

/// An array's path and file, or why there is none.
fn opened(array: &ArrayFile) -> Result<Result<(&Path, File)>> {
    let missing = || Error::Missing { path: array.path.clone() };
    Ok(array.present()?.ok_or_else(missing).and_then(|path| Ok((path, open::open(path)?))))
}

fn is_finite(dtype: StoreDtype, bytes: &[u8]) -> bool {
    match dtype {
        StoreDtype::F32 => bytemuck::try_cast_slice(bytes)
            .is_ok_and(|values: &[f32]| npy::first_beyond(values, f32::INFINITY).is_none()),
        StoreDtype::F16 => bytemuck::try_cast_slice(bytes)
            .is_ok_and(|values: &[f16]| values.iter().all(|value| value.is_finite())),
    }
}
