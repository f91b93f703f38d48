//! What a writer does about damage that it finds in the store it is to continue, before it goes on.
//!
//! Values that the journal names and that are not there any more are computed again, at their old place, and must come out
//! as the journal has them. A file that is missing or cut off is made again around its values. A damaged record of the
//! journal is made again from the values that it names; the hash in it, or in a record after it, shows that it is the same.

use std::collections::BTreeSet;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use fs_err::File;

use crate::error::{Error, Result, listed};
use crate::files::{Files, sync_dir};
use crate::journal::{self, Chain, Journal, Tail};
use crate::manifest::Manifest;
use crate::npy::{Beginning, Geometry};
use crate::open;
use crate::tokens::Offsets;
use crate::values::{Array, each_of, gather};

/// The store as it is now, and what has to be computed again.
pub(crate) struct Mended {
    /// Batches that the journal names and whose values are not there, ascending.
    pub(crate) damaged: Vec<usize>,
    /// What was found, in sentences.
    pub(crate) notes: Vec<String>,
}

/// One array under the name it has now.
struct Found {
    path: PathBuf,
    geometry: Geometry,
    beginning: Beginning,
}

/// Finds what is damaged and sets right what can be without the model. The journal's good lines are as `read` says; what
/// the values prove of its tail is added to them.
pub(crate) fn mend(
    files: &Files,
    manifest: &Manifest,
    manifest_hash: &str,
    offsets: &Offsets,
    journal: &mut File,
    read: &mut Journal,
) -> Result<Mended> {
    let mut notes = Vec::new();
    let arrays = arrays(files, manifest, offsets, &mut notes)?;
    if let Some(tail) = read.tail.take_if(|tail| tail.damage || tail.states_records) {
        restore(files, manifest, manifest_hash, journal, (read, tail), &arrays, &mut notes)?;
    }
    let mut damaged = BTreeSet::new();
    // Without a record there is nothing that values could be compared with.
    let found = each_of(&arrays, |number, found| scan(manifest, read, number, found))?;
    for (array, batches) in arrays.iter().zip(found) {
        notes.extend(settle(array, &batches, read.records.len())?);
        notes.extend(said(manifest, array, &batches));
        damaged.extend(batches);
    }
    Ok(Mended { damaged: damaged.into_iter().collect(), notes })
}

/// What is wrong with the values of one array, in a sentence.
fn said(manifest: &Manifest, array: &Found, damaged: &[usize]) -> Option<String> {
    let (&batch, others) = damaged.split_first()?;
    let rows = listed(manifest.batches.get(batch).map(Vec::as_slice).unwrap_or_default());
    let others = match others.len() {
        0 => String::new(),
        n => format!(" and of {n} more"),
    };
    Some(format!(
        "{}: the values of batch {batch} (rows {rows}){others} are not those that were written; they are computed again",
        array.path.display()
    ))
}

/// Every array, made again where it is missing and brought to its length where it is ours.
fn arrays(
    files: &Files,
    manifest: &Manifest,
    offsets: &Offsets,
    notes: &mut Vec<String>,
) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for array in files.arrays(manifest) {
        array.check_one_name()?;
        let geometry = array.geometry(manifest, offsets)?;
        let Some(path) = array.present()?.map(Path::to_owned) else {
            fs_err::create_dir_all(array.folder())?;
            geometry.reserve(&array.partial, geometry.len())?.sync_all()?;
            sync_dir(array.folder())?;
            sync_dir(&files.dir)?;
            notes.push(format!("{} was missing; it is made again", array.path.display()));
            let path = array.partial.clone();
            all.push(Found { path, geometry, beginning: Beginning::Own });
            continue;
        };
        open::own(&path)?;
        let file = open_both(&path)?;
        let (mut beginning, len) = (geometry.beginning(&file)?, file.metadata()?.len());
        if len != geometry.len() {
            if beginning == Beginning::Other {
                geometry.check(&path, &file)?; // says what is wrong
            }
            geometry.reserve_rest(&path, &file, len)?;
            geometry.write_header(&file)?;
            file.sync_all()?;
            beginning = Beginning::Own;
            let expected = geometry.len();
            notes.push(format!(
                "{} had {len} bytes instead of {expected}; it has its length again",
                path.display()
            ));
        }
        all.push(Found { path, geometry, beginning });
    }
    Ok(all)
}

fn open_both(path: &Path) -> Result<File> {
    let opened = std::fs::File::options().read(true).write(true).open(path);
    opened.map(|file| File::from_parts(file, path)).map_err(|e| Error::at(path, &e))
}

/// The batches of one array whose values are not those that the journal names.
fn scan(manifest: &Manifest, read: &Journal, number: usize, found: &Found) -> Result<Vec<usize>> {
    let array = Array {
        path: &found.path,
        geometry: &found.geometry,
        number,
        plan: &manifest.batches,
        records: &read.records,
    };
    let mut damaged = Vec::new();
    array.scan(&open::open(&found.path)?, |batch, _, sound| damaged.extend((!sound).then_some(batch)))?;
    Ok(damaged)
}

/// Writes a damaged header again, if values show that it is our array: one that somebody saved over it has a header and
/// values of its own. Says what was done.
fn settle(found: &Found, damaged: &[usize], durable: usize) -> Result<Option<String>> {
    if found.beginning == Beginning::Own {
        return Ok(None);
    }
    let file = open_both(&found.path)?;
    if durable > 0 && damaged.len() == durable {
        found.geometry.check(&found.path, &file)?; // says what is wrong
    }
    found.geometry.write_header(&file)?;
    file.sync_all()?;
    Ok(Some(format!("{}: its header was damaged; it is written again", found.path.display())))
}

/// Makes records again from the values that they named, as far as a hash in the journal's tail shows that they are the
/// same, and writes them to the journal. What is left of the tail goes: its batches are computed again.
fn restore(
    files: &Files,
    manifest: &Manifest,
    manifest_hash: &str,
    journal: &mut File,
    (read, tail): (&mut Journal, Tail),
    arrays: &[Found],
    notes: &mut Vec<String>,
) -> Result<()> {
    let (path, line) = (files.journal(), read.lines() + 1);
    let stated = journal::stated(&tail.bytes);
    let is_proven = |chain: &Chain| stated.contains(chain.last().as_bytes());
    let (mut text, mut proven) = (String::new(), 0);
    let mut chain = if read.lines() == 0 {
        let (chain, first) = Chain::begin(manifest_hash);
        text += &first;
        if is_proven(&chain) || journal::builds_on(&tail.bytes, chain.last()) {
            (proven, read.fingerprint) = (text.len(), chain.last().to_owned());
        }
        chain
    } else {
        Chain::after(read.fingerprint.clone())
    };
    let opened: Vec<File> = arrays.iter().map(|found| open::open(&found.path)).collect::<Result<_>>()?;
    let mut pending = Vec::new();
    for (batch, rows) in manifest.batches.iter().enumerate().skip(read.records.len()) {
        let mut bytes = Vec::new();
        let mut sums = Vec::new();
        for (found, file) in arrays.iter().zip(&opened) {
            gather(&found.geometry, file, rows, &mut bytes)?;
            sums.push(journal::sum(&bytes));
        }
        text += &chain.record(batch, &sums);
        pending.push(sums);
        if is_proven(&chain) {
            read.records.append(&mut pending);
            (proven, read.fingerprint) = (text.len(), chain.last().to_owned());
        }
    }
    if read.fingerprint.is_empty() {
        // Nothing that is there shows what the store was.
        return Err(Error::Journal { path, line, what: tail.what });
    }
    text.truncate(proven);
    journal.seek(SeekFrom::Start(read.good))?;
    journal.write_all(text.as_bytes())?;
    read.good += proven as u64;
    let said = match proven {
        0 => format!("the batches from {} on are computed again", read.records.len()),
        _ => format!(
            "what the values and the hashes after it prove is written anew, and the journal names {} batches",
            read.records.len()
        ),
    };
    if tail.damage || proven > 0 {
        notes.push(format!("{}, line {line}: {}; {said}", path.display(), tail.what));
    }
    read.tail = Some(Tail { damage: false, states_records: false, ..tail });
    Ok(())
}
