//! A data file's bytes: bounded before they are believed, unpacked if they are packed, and named if they are none of
//! ours.

use crate::error::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::io::Read;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// The most bytes of a file, and of what it unpacks to: thirty times the largest data set of true/false statements.
pub(super) const LARGEST: u64 = 1 << 30;

/// A file as it is on disk, hashed, and what is in it.
pub(super) struct Contents {
    /// blake3 of the file's own bytes, packed or not, in hex.
    pub(super) identity: String,
    /// The bytes, unpacked.
    pub(super) bytes: Vec<u8>,
}

/// Reads the file at `path`.
///
/// # Errors
/// Folders, pipes and devices; more than [`LARGEST`] bytes; files that hold something else than data.
pub(super) fn read(path: &Path) -> Result<Contents> {
    // What data is called that no file has.
    let path = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
    let metadata = fs_err::metadata(path)?;
    if metadata.is_dir() {
        return Err(refused(path, "a folder", "give one file of it"));
    }
    if !metadata.is_file() && !is_open_already(path) {
        return Err(refused(
            path,
            "a pipe or a device",
            "write the data to a file first: pipes and devices have no end to rely on",
        ));
    }
    if metadata.len() > LARGEST {
        return Err(too_large(path, &format!("{} bytes", metadata.len())));
    }
    let bytes =
        bounded(fs_err::File::open(path)?, LARGEST)?.ok_or_else(|| too_large(path, "too many bytes"))?;
    let identity = blake3::hash(&bytes).to_hex().to_string();
    let bytes = unpacked(path, bytes, LARGEST)?;
    match foreign(&bytes) {
        Some((what, hint)) => Err(refused(path, what, hint)),
        None => Ok(Contents { identity, bytes }),
    }
}

/// Standard input and the pipes a shell opens for `<(…)`: somebody writes them already, so opening them cannot wait.
fn is_open_already(path: &Path) -> bool {
    let pipe = fs_err::metadata(path).is_ok_and(|m| m.file_type().is_fifo());
    pipe && ["/dev/fd", "/proc/self/fd", "/dev/stdin"].iter().any(|folder| path.starts_with(folder))
}

/// Everything that `reader` gives; `None` if that is more than `most` bytes.
fn bounded(reader: impl Read, most: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// What gzip or zstd packed, whatever the file is called; other bytes as they are.
fn unpacked(path: &Path, bytes: Vec<u8>, most: u64) -> Result<Vec<u8>> {
    let packing = match bytes.as_slice() {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        _ => return Ok(bytes),
    };
    // gzip ends in how much it unpacks to, modulo 2^32: what admits to too much need not be unpacked. Deflate packs no
    // tighter than 1 : 1032, so more than that is no size but the end of a file cut short.
    if packing == "gzip"
        && let Some(size) = bytes.last_chunk::<4>().map(|size| u64::from(u32::from_le_bytes(*size)))
        && size > most
        && size <= 1032 * bytes.len() as u64
    {
        return Err(too_large(path, &format!("{size} bytes, unpacked by gzip")));
    }
    let read = match packing {
        "gzip" => bounded(MultiGzDecoder::new(bytes.as_slice()), most),
        _ => zstd::stream::read::Decoder::new(bytes.as_slice()).and_then(|decoder| bounded(decoder, most)),
    };
    let unpacked = read.map_err(|e| {
        let what = format!("a damaged {packing} file: {e}");
        refused(path, &what, "was it written or downloaded completely?")
    })?;
    let Some(unpacked) = unpacked else {
        return Err(too_large(path, &format!("too many bytes, unpacked by {packing}")));
    };
    match unpacked.as_slice() {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Err(refused(path, "a file packed twice", "unpack it once, and give what comes out"))
        }
        _ => Ok(unpacked),
    }
}

const EXPORT: &str = "export it as CSV: in the program, or with pandas' `read_excel` and `to_csv`";
const PANDAS: &str = "load it where it was made, and write it with pandas' `to_parquet`";
/// How files of other kinds begin, what they are, and what to do about them.
const MAGIC: [(&[u8], &str, &str); 22] = [
    (b"PARE", "an encrypted Parquet file", "write it without encryption"),
    (b"BZh", "a bzip2 archive", "unpack it first: `bunzip2`"),
    (b"\xfd7zXZ\0", "an xz archive", "unpack it first: `unxz`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first: `7z x`"),
    (b"\x04\x22\x4d\x18", "an lz4 archive", "unpack it first: `unlz4`"),
    (b"Rar!", "a RAR archive", "unpack it first: `unrar x`"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel or other Office file", EXPORT),
    (b"ARROW1", "an Arrow (Feather) file", "write it as Parquet: pandas' `read_feather` and `to_parquet`"),
    (b"FEA1", "a Feather file", "write it as Parquet: pandas' `read_feather` and `to_parquet`"),
    (
        b"\xff\xff\xff\xff",
        "an Arrow stream, as `datasets` keeps in its cache",
        "write it as Parquet: `Dataset.from_file(FILE).to_parquet(NEW)` of the package datasets",
    ),
    (b"ORC\n\x06", "an ORC file", PANDAS),
    (b"Obj\x01", "an Avro file", "write it as Parquet or JSON lines"),
    (b"SQLite format 3", "an SQLite data base", "export the table: `sqlite3 -header -csv FILE 'select …'`"),
    (b"%PDF", "a PDF", "give the data that it shows, as CSV"),
    (b"\x93NUMPY", "a NumPy array", PANDAS),
    (b"\x89HDF", "an HDF5 file", PANDAS),
    (b"\x80\x02", "a pickle", PANDAS),
    (b"\x80\x03", "a pickle", PANDAS),
    (b"\x80\x04", "a pickle", PANDAS),
    (b"\x80\x05", "a pickle", PANDAS),
    (b"GGUF", "a model", "give a file of labeled rows"),
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer, not the file itself",
        "fetch it: `git lfs pull`, or download the file from the site",
    ),
];

/// What a file holds that is neither JSON, CSV nor Parquet, with what to do about it.
fn foreign(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    if let Some((_, what, hint)) = MAGIC.iter().find(|(magic, ..)| bytes.starts_with(magic)) {
        return Some((what, hint));
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Some(zipped(bytes));
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some(("a tar archive", "unpack it first: `tar -xf`"));
    }
    marked_up(bytes)
}

/// What a zip archive holds, by the names of its first entries: what is in them is packed, their names are not.
fn zipped(bytes: &[u8]) -> (&'static str, &'static str) {
    let head = bytes.get(..4096).unwrap_or(bytes);
    let has = |part: &[u8]| head.windows(part.len()).any(|window| window == part);
    if has(b"[Content_Types].xml") || has(b"xl/") {
        ("an Excel or other Office file", EXPORT)
    } else if has(b".npy") {
        ("a NumPy archive", PANDAS)
    } else {
        ("a zip archive", "unpack it first: `unzip`")
    }
}

/// HTML and XML.
fn marked_up(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let head = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let head = String::from_utf8_lossy(head.get(..512).unwrap_or(head)).trim_start().to_ascii_lowercase();
    if head.starts_with("<!doctype html") || head.starts_with("<html") || head.starts_with("<head") {
        return Some((
            "a web page, not data",
            "download the file itself: on Hugging Face the address with `resolve` in place of `blob`, on GitHub the \
             one behind `Raw`",
        ));
    }
    head.starts_with("<?xml").then_some(("XML, not data", "convert it to CSV or JSON lines"))
}

pub(super) fn refused(path: &Path, what: &str, hint: &str) -> Error {
    Error::NoData { path: path.to_owned(), what: what.to_owned(), hint: hint.to_owned() }
}

fn too_large(path: &Path, found: &str) -> Error {
    Error::TooLarge {
        path: path.to_owned(),
        found: found.to_owned(),
        limit: format!("{LARGEST} bytes of data"),
        hint: "split the file, or keep the rows that are needed; if it should be small, it is damaged",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn packed_bytes_are_bounded() {
        let zeros = vec![0_u8; 1 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&zeros).expect("packs");
        let packed = [gzip.finish().expect("packs"), zstd::encode_all(zeros.as_slice(), 1).expect("packs")];
        for bytes in packed {
            let whole = unpacked(Path::new("a"), bytes.clone(), 1 << 20).expect("fits");
            assert_eq!(whole.len(), zeros.len());
            let error = unpacked(Path::new("a"), bytes.clone(), (1 << 20) - 1).expect_err("too large");
            assert!(matches!(error, Error::TooLarge { .. }), "{error}");
            assert!(error.to_string().contains(&LARGEST.to_string()), "{error}");
            let cut = unpacked(Path::new("a"), bytes[..bytes.len() / 2].to_vec(), 1 << 20).expect_err("cut");
            assert!(cut.with_hint().contains("completely"), "{cut}");
        }
    }

    #[test]
    fn other_files_are_named() {
        let what = |bytes: &[u8]| foreign(bytes).map(|(what, _)| what);
        assert_eq!(what(b"BZh91AY"), Some("a bzip2 archive"));
        assert_eq!(what(b"\xef\xbb\xbf\n<!DOCTYPE html>"), Some("a web page, not data"));
        assert_eq!(what(b"PK\x03\x04....xl/workbook.xml"), Some("an Excel or other Office file"));
        assert_eq!(what(b"PK\x03\x04....rows.csv"), Some("a zip archive"));
        for data in [&b"PAR1"[..], b"{\"a\": 1}", b"a,b\n1,2\n", b"", b"Obj,label\n", b"ORC\nyes\n"] {
            assert_eq!(what(data), None);
        }
    }
}
