//! The journal: which batches are durable, with a checksum per file. Append-only; the truth after a crash.
//!
//! Line 1 names the manifest by hash, line k + 2 is batch k of the plan: batches become durable in plan order.
//! Every line ends in a hash over itself and the line before, so the last one stands for the whole store.

use std::borrow::Cow;
use std::collections::HashSet;
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

/// What stands between a line's body and its hash.
const BEFORE_CHECK: &[u8] = b",\"check\":\"";

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

    /// The hash in the last line.
    pub(crate) fn last(&self) -> &str {
        &self.last
    }

    /// The line of a durable batch.
    pub(crate) fn record(&mut self, batch: usize, sums: &[Sum]) -> String {
        let sums = sums.join(r#"",""#);
        self.seal(&format!(r#"{{"batch":{batch},"files":["{sums}"]"#))
    }

    fn seal(&mut self, body: &str) -> String {
        self.last = link(&self.last, body.as_bytes());
        format!("{body},\"check\":\"{}\"}}\n", self.last)
    }
}

fn link(last: &str, body: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(last.as_bytes()).update(body);
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
    /// The hash in the last good line: a fingerprint of everything durable. Empty if not even the first line is good.
    pub(crate) fingerprint: String,
    /// The bytes of the good lines.
    pub(crate) good: u64,
    /// What follows them, if anything.
    pub(crate) tail: Option<Tail>,
}

/// Bytes after the last good line.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) bytes: Vec<u8>,
    /// Why they do not begin with a record.
    pub(crate) what: String,
    /// Whether they end in a newline, which a write that was cut off rarely leaves. Zeros are a block that never
    /// reached the disk, and whole lines may follow it.
    pub(crate) whole: bool,
    /// Whether a record of this journal stands among them: then the first of these lines was a good one once, and is
    /// damaged. Otherwise nothing here was ever reported durable.
    pub(crate) damage: bool,
    /// Whether a whole line states the hash of such a record: what is lost can then perhaps be told from the values.
    pub(crate) states_records: bool,
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
    /// Reads a journal's bytes: the good lines, and what follows them.
    ///
    /// # Errors
    /// [`Error::Journal`] for another manifest's journal, and another format's.
    pub(crate) fn parse(
        path: &Path,
        bytes: &[u8],
        manifest_hash: &str,
        batches: usize,
        files: usize,
    ) -> Result<Self> {
        let bad = |what: &str| Error::Journal { path: path.to_owned(), line: 1, what: what.to_owned() };
        let mut read = Self { records: Vec::new(), fingerprint: String::new(), good: 0, tail: None };
        let mut good = 0;
        for (number, line) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
            let found = if number == 0 {
                first(line, manifest_hash).map(|check| (None, check))
            } else {
                record(line, &read.fingerprint, read.records.len(), batches, files)
                    .map(|(sums, check)| (Some(sums), check))
            };
            match found {
                Ok((sums, check)) => {
                    read.records.extend(sums);
                    read.fingerprint = check;
                    good += line.len();
                }
                // Its hash is right: it is whole, and says something else.
                Err(Bad::Other(what)) => return Err(bad(what)),
                Err(Bad::Line(what)) => {
                    let rest = bytes.get(good..).unwrap_or_default();
                    // The first line is durable before there is a manifest.
                    let damage = number == 0
                        || holds_record(rest, &read.fingerprint, read.records.len(), batches, files);
                    let whole = rest.ends_with(b"\n") && !line.contains(&0);
                    let lines = &mut rest.split_inclusive(|&b| b == b'\n');
                    let states_records = lines.any(|line| split(line).is_some());
                    read.tail = Some(Tail { bytes: rest.to_owned(), what, whole, damage, states_records });
                    break;
                }
            }
        }
        read.good = good as u64;
        if read.fingerprint.is_empty() && read.tail.is_none() {
            return Err(bad("the file is empty"));
        }
        Ok(read)
    }

    /// Refuses damage; what a crash leaves at the end is none.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub(crate) fn undamaged(self, path: &Path) -> Result<Self> {
        match &self.tail {
            Some(tail) if tail.damage => {
                let line = self.lines() + 1;
                Err(Error::Journal { path: path.to_owned(), line, what: tail.what.clone() })
            }
            _ => Ok(self),
        }
    }

    /// How many lines are good.
    pub(crate) fn lines(&self) -> usize {
        if self.fingerprint.is_empty() { 0 } else { self.records.len() + 1 }
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

/// Why a line is not the one that belongs there.
enum Bad {
    /// It is no line of ours, or not whole.
    Line(String),
    /// It is whole, and of another store.
    Other(&'static str),
}

impl From<String> for Bad {
    fn from(what: String) -> Self {
        Self::Line(what)
    }
}

/// The first line's hash.
fn first(line: &[u8], manifest_hash: &str) -> std::result::Result<String, Bad> {
    let (body, check) = open(line, "")?;
    let head: First = serde_json::from_str(&body).map_err(|e| e.to_string())?;
    if head.journal != "activations" || head.schema != SCHEMA {
        return Err(Bad::Other("it is the journal of another format"));
    }
    if head.manifest != manifest_hash {
        return Err(Bad::Other("manifest.json is not the one the store was begun with"));
    }
    Ok(check)
}

/// One record's checksums and hash.
fn record(
    line: &[u8],
    last: &str,
    batch: usize,
    batches: usize,
    files: usize,
) -> std::result::Result<(Vec<Sum>, String), Bad> {
    let (body, check) = open(line, last)?;
    let record: Record = serde_json::from_str(&body).map_err(|e| e.to_string())?;
    if record.batch != batch || batch >= batches {
        return Err(format!("batch {} stands where batch {batch} of {batches} belongs", record.batch).into());
    }
    if record.files.len() != files {
        return Err(format!("it has {} checksums, the store {files} arrays", record.files.len()).into());
    }
    Ok((record.files, check))
}

/// A line's content without its hash (as JSON again), and the hash.
fn open(line: &[u8], last: &str) -> std::result::Result<(String, String), String> {
    let text = std::str::from_utf8(line).map_err(|_| "it is not text".to_owned())?;
    if text.strip_suffix("\"}\n").is_none() {
        return Err("it does not end like a record".to_owned());
    }
    let (body, check) = split(line).ok_or("it has no checksum")?;
    if link(last, body) != check {
        return Err("its checksum is wrong".to_owned());
    }
    Ok((format!("{}}}", String::from_utf8_lossy(body)), check.to_owned()))
}

/// What a line's hash is of, and the hash that it states. The body may be damaged.
fn split(line: &[u8]) -> Option<(&[u8], &str)> {
    let sealed = line.strip_suffix(b"\"}\n")?;
    let at = sealed.len().checked_sub(HASH_LEN + BEFORE_CHECK.len())?;
    let (body, check) = sealed.split_at(at);
    let check = std::str::from_utf8(check.strip_prefix(BEFORE_CHECK)?).ok()?;
    check.bytes().all(|b| b.is_ascii_hexdigit()).then_some((body, check))
}

/// As [`split`], by where things stand in a line, whatever bytes of it are damaged.
fn by_position(line: &[u8]) -> Option<(&[u8], Cow<'_, str>)> {
    let (rest, _) = line.split_at_checked(line.len().checked_sub(b"\"}\n".len())?)?;
    let (rest, check) = rest.split_at_checked(rest.len().checked_sub(HASH_LEN)?)?;
    let (body, _) = rest.split_at_checked(rest.len().checked_sub(BEFORE_CHECK.len())?)?;
    Some((body, String::from_utf8_lossy(check)))
}

/// The hashes that stand, whole, in damaged lines.
pub(crate) fn stated(bytes: &[u8]) -> HashSet<&[u8]> {
    let ends = |at: usize| bytes.get(at..)?.strip_prefix(BEFORE_CHECK)?.split_at_checked(HASH_LEN);
    let hashes = (0..bytes.len()).filter(|&at| bytes[at] == b',').filter_map(ends);
    hashes.filter(|(_, rest)| rest.starts_with(b"\"")).map(|(hash, _)| hash).collect()
}

/// Whether one of these lines is whole and builds on a hash.
pub(crate) fn builds_on(bytes: &[u8], last: &str) -> bool {
    let mut lines = bytes.split_inclusive(|&b| b == b'\n').filter_map(split);
    lines.any(|(body, check)| link(last, body) == check)
}

/// Whether a later batch's record stands in `rest`, whose first line is not the record that belongs there.
///
/// A record proves itself by its hash, which is of the hash in the line before it: the one that line states, or, where
/// the damage is in that, the one that it should state. Garbage does not link, and copies of earlier records name
/// batches that are there.
fn holds_record(rest: &[u8], last: &str, batch: usize, batches: usize, files: usize) -> bool {
    let mut before = vec![last.to_owned()];
    for (number, line) in rest.split_inclusive(|&b| b == b'\n').enumerate() {
        let Some((body, stated)) = by_position(line) else {
            before.clear();
            continue;
        };
        let is_later = || {
            let record = serde_json::from_str(&format!("{}}}", String::from_utf8_lossy(body)));
            record.is_ok_and(|r: Record| r.batch > batch && r.batch < batches && r.files.len() == files)
        };
        let mut links: Vec<String> = before.iter().map(|last| link(last, body)).collect();
        if number > 0
            && split(line).is_some_and(|(_, check)| links.iter().any(|link| link == check))
            && is_later()
        {
            return true;
        }
        links.truncate(1);
        links.push(stated.into_owned());
        before = links;
    }
    false
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

    fn lenient(bytes: &[u8]) -> Result<Journal> {
        Journal::parse(Path::new("journal"), bytes, MANIFEST, 12, 2)
    }

    fn parse(bytes: &[u8]) -> Result<Journal> {
        lenient(bytes)?.undamaged(Path::new("journal"))
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

    /// Whatever byte is changed: a change that a later record shows to be damage is damage, the rest is the end.
    #[test]
    fn damage_before_the_last_record_is_an_error() {
        let four = journal(4);
        let ends = [1, 2, 3].map(|batches| journal(batches).len());
        for at in 0..four.len() {
            for bit in 0..8 {
                let mut bytes = four.clone();
                bytes[at] ^= 1 << bit;
                let line =
                    if at < journal(0).len() { 1 } else { 2 + ends.iter().filter(|end| at >= **end).count() };
                match parse(&bytes) {
                    Ok(read) => {
                        // In the last record, or in the newline before it, which makes one line of two.
                        assert!(at >= ends[2] - 1, "byte {at}, bit {bit} went unnoticed");
                        assert!(read.tail.is_some_and(|tail| !tail.damage));
                        assert_eq!(read.records.len(), line - 2);
                    }
                    Err(error) => {
                        assert!(error.to_string().contains(&format!("line {line}:")), "byte {at}: {error}");
                    }
                }
            }
        }
    }

    /// What stands after the last record and is none is the end of an interrupted write, whatever it is.
    #[test]
    fn garbage_at_the_end_is_no_damage() {
        let (three, full) = (journal(3), journal(12));
        let record = &three[journal(2).len()..];
        let first = &three[..journal(0).len()];
        let wrong = String::from_utf8(record.to_vec()).unwrap().replace("\"batch\":2", "\"batch\":3");
        let again = [&three[first.len()..], record].concat();
        let tails: Vec<Vec<u8>> = vec![
            b"\n".to_vec(),
            b"dear\ndiary\n\n".to_vec(),
            vec![0; 5000],
            [&[0; 100][..], b"\n\n", &[0xff; 10]].concat(),
            (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect(),
            record.to_vec(),
            wrong.clone().into_bytes(),
            [wrong.as_bytes(), wrong.as_bytes(), wrong.as_bytes()].concat(),
            first.to_vec(),
            again,
            [b"x\n", &record[..20], b"\n", record].concat(),
        ];
        for whole in [&three, &full] {
            for tail in &tails {
                let read = parse(&[&whole[..], tail].concat()).unwrap();
                assert_eq!(read.good, whole.len() as u64);
                assert!(!read.tail.unwrap().damage, "{:?}", String::from_utf8_lossy(tail));
            }
        }
    }

    /// A block that is gone in the middle hides records that are whole: nothing of them is thrown away unsaid.
    #[test]
    fn a_block_of_zeros_before_whole_records_is_damage() {
        let mut bytes = journal(5);
        let (one, two) = (journal(1).len(), journal(2).len());
        bytes[one + 5..two - 5].fill(0);
        let read = lenient(&bytes).unwrap();
        assert_eq!((read.records.len(), read.good), (1, one as u64));
        assert!(read.tail.unwrap().damage);
        // With one record after it, whose hash builds on one that is gone, nothing can be told.
        bytes.truncate(journal(3).len());
        assert!(!parse(&bytes).unwrap().tail.unwrap().damage);
    }

    #[test]
    fn records_cannot_be_moved_or_taken_from_elsewhere() {
        let two = journal(2);
        let (first, one) = (journal(0).len(), journal(1).len());
        let swapped = [&two[..first], &two[one..], &two[first..one]].concat();
        assert!(parse(&swapped).unwrap().records.is_empty());
        let doubled = [&two[..], &two[one..], b"\n"].concat();
        assert_eq!(parse(&doubled).unwrap().records.len(), 2);
        let other = Journal::parse(Path::new("journal"), &two, "n", 12, 2).unwrap_err();
        assert!(other.to_string().contains("manifest.json is not the one"));
        assert!(parse(b"").unwrap_err().to_string().contains("line 1: the file is empty"));
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
