//! A zip archive's own list of what it holds, read before a library reads the archive.
//!
//! The library keeps one of two entries of a name, and which one differs from PyTorch's reader; so the list (the central
//! directory, PKWARE's APPNOTE 4.3) is walked here, each name once, from the place where the archive's end says it begins
//! to the place where it says it ends.

use std::collections::HashSet;

/// Entries of an archive; a model has one for each tensor and a handful more.
const MAX_ENTRIES: u64 = 1 << 20;

const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const LOCATOR_64: &[u8] = b"PK\x06\x07";
const ENTRY: &[u8] = b"PK\x01\x02";

/// The number of entries, each of another name.
///
/// # Errors
/// A name that is there twice, a list that is not where its end says, in words.
pub(super) fn check(bytes: &[u8]) -> Result<usize, String> {
    let end = end(bytes).ok_or("its end is not there: it was cut short")?;
    let field = |at: usize, width: usize| number(bytes, at, width).ok_or("its end is damaged");
    let mut list = (field(end + 10, 2)?, field(end + 12, 4)?, field(end + 16, 4)?);
    let mut list_end = end;
    let locator = end.checked_sub(20).filter(|&at| bytes[at..].starts_with(LOCATOR_64));
    if let Some(locator) = locator {
        let wide = usize::try_from(field(locator + 8, 8)?).map_err(|_| "its end is damaged")?;
        if !bytes.get(wide..).is_some_and(|rest| rest.starts_with(END_64)) || wide >= locator {
            return Err("its 64-bit end is not where it should be".to_owned());
        }
        let wide_list = (field(wide + 32, 8)?, field(wide + 40, 8)?, field(wide + 48, 8)?);
        // A number in the narrow end is the wide one, or all ones.
        let same = |narrow: u64, wide: u64, width: u32| narrow == wide || narrow == (1 << (8 * width)) - 1;
        if !same(list.0, wide_list.0, 2) || !same(list.1, wide_list.1, 4) || !same(list.2, wide_list.2, 4) {
            return Err("its two ends say different things".to_owned());
        }
        (list, list_end) = (wide_list, wide);
    }
    let (count, size, start) = list;
    if count > MAX_ENTRIES {
        return Err(format!("it is said to hold {count} files; up to {MAX_ENTRIES} are read"));
    }
    if start.checked_add(size) != Some(list_end as u64) {
        return Err("its list of files is not where its end says".to_owned());
    }
    names(bytes.get(start as usize..list_end).unwrap_or_default(), count)
}

/// Walks the list.
fn names(mut list: &[u8], count: u64) -> Result<usize, String> {
    let mut names = HashSet::new();
    for _ in 0..count {
        let lengths = [28, 30, 32].map(|at| number(list, at, 2).unwrap_or(u64::MAX) as usize);
        let length = lengths.iter().try_fold(46usize, |sum, &part| sum.checked_add(part));
        let entry = length.and_then(|length| list.get(..length)).filter(|entry| entry.starts_with(ENTRY));
        let entry = entry.ok_or("its list of files is damaged")?;
        let name = &entry[46..46 + lengths[0]];
        if !names.insert(name) {
            return Err(format!("it holds `{}` twice", String::from_utf8_lossy(name)));
        }
        list = &list[entry.len()..];
    }
    if list.is_empty() {
        Ok(names.len())
    } else {
        Err("its list of files is longer than its end says".to_owned())
    }
}

/// Where the end is: the last one whose comment reaches to the file's last byte.
fn end(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(22)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    let whole = |&at: &usize| {
        bytes[at..].starts_with(END)
            && number(bytes, at + 20, 2).is_some_and(|n| at + 22 + n as usize == bytes.len())
    };
    (first..=last).rev().find(whole)
}

/// A little-endian number of up to 8 bytes.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let mut wide = [0; 8];
    wide[..width].copy_from_slice(bytes.get(at..at.checked_add(width)?)?);
    Some(u64::from_le_bytes(wide))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn archive(names: &[&str]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for name in names {
            zip.start_file(*name, stored).expect("start");
            zip.write_all(name.as_bytes()).expect("write");
        }
        zip.finish().expect("finish").into_inner()
    }

    #[test]
    fn a_name_twice_is_named() {
        assert_eq!(check(&archive(&["m/data.pkl", "m/data/0", "m/data/1"])), Ok(3));
        // The writer refuses it, so a name is changed afterwards, in the entry and in the list.
        let text = archive(&["m/data.pkl", "m/data/0", "m/data/1"]);
        let twice = b"m/data/1";
        let mut bytes = text.clone();
        for at in 0..bytes.len() - twice.len() {
            if bytes[at..].starts_with(twice) {
                bytes[at + 7] = b'0';
            }
        }
        assert_eq!(check(&bytes), Err("it holds `m/data/0` twice".to_owned()));
        for end in 0..text.len() {
            assert!(check(&text[..end]).is_err(), "cut at {end}");
        }
        // One entry fewer in the end than in the list, or one more.
        for count in [2, 4] {
            let mut bytes = text.clone();
            let at = bytes.len() - 22 + 10;
            bytes[at] = count;
            assert!(check(&bytes).is_err());
        }
    }
}
