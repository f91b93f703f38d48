//! The journal: which batches are durable, with a checksum per file. Append-only; the truth after a crash.
//!
//! Line 1 names the manifest by hash, line k + 2 is batch k of the plan: batches become durable in plan order.
//! Every line ends in a hash over itself and the line before, so the last one stands for the whole store.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::manifest::SCHEMA;

/// A checksum: the first 64 bits of BLAKE3.
pub(crate) type Sum = String;

/// Hex digits of a [`Sum`].
const SUM_LEN: usize = 16;
/// Hex digits of a BLAKE3 hash in full.
const HASH_LEN: usize = 64;

/// How line 1 begins in every schema.
const BEGINNING: &str = r#"{"journal":"activations","schema":"#;

/// The checksum of one batch's bytes in one file.
pub(crate) fn sum(bytes: &[u8]) -> Sum {
    short(&blake3::hash(bytes))
}

/// A hash shortened to a checksum.
pub(crate) fn short(hash: &blake3::Hash) -> Sum {
    hash.to_hex().chars().take(SUM_LEN).collect()
}

/// Makes the lines of a journal, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    /// The hash in the last line.
    last: String,
}

impl Chain {
    /// The chain after line 1, and that line.
    pub(crate) fn begin(manifest_hash: &str) -> (Self, String) {
        let mut chain = Self { last: String::new() };
        let line = chain.seal(&format!(r#"{BEGINNING}{SCHEMA},"manifest":"{manifest_hash}""#));
        (chain, line)
    }

    /// The chain after a line that ends in this hash.
    pub(crate) fn after(last: String) -> Self {
        Self { last }
    }

    /// The line of a durable batch.
    pub(crate) fn record(&mut self, batch: usize, sums: &[Sum]) -> String {
        let sums = sums.join(r#"",""#);
        self.seal(&format!(r#"{{"batch":{batch},"files":["{sums}"]"#))
    }

    fn seal(&mut self, body: &str) -> String {
        self.last = link(&self.last, body);
        format!("{body},\"check\":\"{}\"}}\n", self.last)
    }
}

fn link(last: &str, body: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(last.as_bytes()).update(body.as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// The length of a whole journal, known before the first batch.
pub(crate) fn planned_len(batches: usize, files: usize) -> u64 {
    let (mut chain, first) = Chain::begin(&"0".repeat(HASH_LEN));
    let sums = vec!["0".repeat(SUM_LEN); files];
    let record = chain.record(0, &sums).len() as u64;
    let more_digits = |batch: usize| u64::from(batch.checked_ilog10().unwrap_or(0));
    first.len() as u64 + (0..batches).map(|batch| record + more_digits(batch)).sum::<u64>()
}

/// A journal as read.
#[derive(Debug)]
pub(crate) struct Journal {
    /// The checksums of each durable batch, in plan order.
    pub(crate) records: Vec<Vec<Sum>>,
    /// The hash in the last good line: a fingerprint of everything durable.
    pub(crate) fingerprint: String,
    /// The bytes of the good lines.
    pub(crate) good: u64,
    /// What follows them, if anything: why it is not a record, and whether it ends like one.
    pub(crate) tail: Option<Tail>,
}

/// Bytes after the last good line.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) what: String,
    /// Whether the bytes end in a newline, which a write that was cut off rarely leaves. Zeros are a block that
    /// never reached the disk, and whole lines may follow it.
    pub(crate) whole: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    journal: String,
    schema: u32,
    manifest: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    batch: usize,
    files: Vec<Sum>,
}

impl Journal {
    /// Reads a journal's bytes. A bad last record is a [`Tail`].
    ///
    /// # Errors
    /// [`Error::Journal`] for damage before the last record and for another manifest's journal.
    pub(crate) fn parse(
        path: &Path,
        bytes: &[u8],
        manifest_hash: &str,
        batches: usize,
        files: usize,
    ) -> Result<Self> {
        let bad = |line: usize, what: String| Error::Journal { path: path.to_owned(), line, what };
        let mut lines = bytes.split_inclusive(|&b| b == b'\n');
        let first = lines.next().unwrap_or_default();
        let (body, mut check) = open(first, "").map_err(|what| bad(1, what))?;
        let head: First = serde_json::from_str(&body).map_err(|e| bad(1, e.to_string()))?;
        if head.journal != "activations" || head.schema != SCHEMA {
            return Err(bad(1, "it is the journal of another format".to_owned()));
        }
        if head.manifest != manifest_hash {
            return Err(bad(1, "manifest.json is not the one the store was begun with".to_owned()));
        }
        let mut good = first.len();
        let mut records = Vec::new();
        let mut tail = None;
        for line in lines {
            match record(line, &check, records.len(), batches, files) {
                Ok((sums, next)) => {
                    records.push(sums);
                    check = next;
                    good += line.len();
                }
                Err(what) => {
                    let rest = bytes.get(good..).unwrap_or_default();
                    // A block that never reached the disk before a power cut reads as zeros, and lines of the
                    // same write may follow it. None of them was reported durable.
                    if rest.len() > line.len() && !line.contains(&0) {
                        return Err(bad(records.len() + 2, what));
                    }
                    tail = Some(Tail { what, whole: rest.ends_with(b"\n") && !line.contains(&0) });
                    break;
                }
            }
        }
        Ok(Self { records, fingerprint: check, good: good as u64, tail })
    }

    /// Whether these bytes are a journal of ours without a batch: at most a first line, whole or torn. What did not
    /// reach the disk before a power cut reads as zeros.
    pub(crate) fn is_unbegun(bytes: &[u8]) -> bool {
        let line = match bytes.iter().position(|&b| b == b'\n') {
            Some(end) if end + 1 < bytes.len() => return false,
            Some(_) => bytes,
            None => {
                let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
                bytes.get(..end).unwrap_or_default()
            }
        };
        line.starts_with(BEGINNING.as_bytes()) || BEGINNING.as_bytes().starts_with(line)
    }
}

/// One record's checksums and hash.
fn record(
    line: &[u8],
    last: &str,
    batch: usize,
    batches: usize,
    files: usize,
) -> std::result::Result<(Vec<Sum>, String), String> {
    let (body, check) = open(line, last)?;
    let record: Record = serde_json::from_str(&body).map_err(|e| e.to_string())?;
    if record.batch != batch || batch >= batches {
        return Err(format!("batch {} stands where batch {batch} of {batches} belongs", record.batch));
    }
    if record.files.len() != files {
        return Err(format!("it has {} checksums, the store {files} arrays", record.files.len()));
    }
    Ok((record.files, check))
}

/// A line's content without its hash (as JSON again), and the hash.
fn open(line: &[u8], last: &str) -> std::result::Result<(String, String), String> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not text".to_owned())?;
    let sealed = text.strip_suffix("\"}\n").ok_or("it does not end like a record")?;
    let (body, check) = sealed.rsplit_once(",\"check\":\"").ok_or("it has no checksum")?;
    if link(last, body) != check {
        return Err("its checksum is wrong".to_owned());
    }
    Ok((format!("{body}}}"), check.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "m";

    fn journal(batches: usize) -> Vec<u8> {
        let (mut chain, mut text) = Chain::begin(MANIFEST);
        for batch in 0..batches {
            text += &chain.record(batch, &[sum(&[batch as u8]), sum(b"x")]);
        }
        text.into_bytes()
    }

    fn parse(bytes: &[u8]) -> Result<Journal> {
        Journal::parse(Path::new("journal"), bytes, MANIFEST, 12, 2)
    }

    #[test]
    fn the_length_is_known_in_advance() {
        let (mut chain, mut text) = Chain::begin(&"a".repeat(HASH_LEN));
        (0..120).for_each(|batch| text += &chain.record(batch, &[sum(b""), sum(b"x")]));
        assert_eq!(planned_len(120, 2), text.len() as u64);
    }

    #[test]
    fn every_torn_tail_is_cut_off() {
        let (two, three) = (journal(2), journal(3));
        for end in two.len()..three.len() {
            let read = parse(&three[..end]).unwrap();
            assert_eq!((read.records.len(), read.good), (2, two.len() as u64), "cut at {end}");
            assert_eq!(read.tail.is_none(), end == two.len());
        }
        assert_eq!(parse(&three).unwrap().records.len(), 3);
    }

    #[test]
    fn damage_before_the_last_record_is_an_error() {
        let three = journal(3);
        let (one, two) = (journal(1).len(), journal(2).len());
        for at in 0..three.len() {
            let mut bytes = three.clone();
            bytes[at] ^= 1;
            match parse(&bytes) {
                Ok(read) => {
                    assert!(at >= two || (at == two - 1), "byte {at} went unnoticed");
                    assert!(read.tail.is_some());
                }
                Err(error) => {
                    let line = if at < journal(0).len() { 1 } else { 2 + usize::from(at >= one) };
                    assert!(error.to_string().contains(&format!("line {line}:")), "byte {at}: {error}");
                }
            }
        }
    }

    #[test]
    fn a_block_that_never_reached_the_disk_is_cut_off_with_what_follows() {
        let mut bytes = journal(4);
        let (one, two) = (journal(1).len(), journal(2).len());
        bytes[one + 5..two - 5].fill(0);
        let read = parse(&bytes).unwrap();
        assert_eq!((read.records.len(), read.good), (1, one as u64));
        assert!(!read.tail.unwrap().whole, "not damage, though it ends like a record");
    }

    #[test]
    fn records_cannot_be_moved_or_taken_from_elsewhere() {
        let two = journal(2);
        let (first, one) = (journal(0).len(), journal(1).len());
        let swapped = [&two[..first], &two[one..], &two[first..one]].concat();
        assert!(parse(&swapped).unwrap_err().to_string().contains("line 2"));
        let doubled = [&two[..], &two[one..], b"\n"].concat();
        assert!(parse(&doubled).unwrap_err().to_string().contains("line 4"));
        let other = Journal::parse(Path::new("journal"), &two, "n", 12, 2).unwrap_err();
        assert!(other.to_string().contains("manifest.json is not the one"));
    }

    #[test]
    fn a_store_without_batches() {
        assert!(Journal::is_unbegun(b""));
        assert!(Journal::is_unbegun(&journal(0)));
        for end in 0..journal(0).len() {
            let torn = &journal(0)[..end];
            assert!(Journal::is_unbegun(torn), "cut at {end}");
            assert!(Journal::is_unbegun(&[torn, &[0; 7]].concat()), "zeros from {end}");
        }
        for foreign in ["\n", "mine", "mine\n", "{\"journal\":\"activations\"}\n", "{\n", "\0mine"] {
            assert!(!Journal::is_unbegun(foreign.as_bytes()), "{foreign:?}");
        }
        assert!(!Journal::is_unbegun(&journal(1)));
    }
}
