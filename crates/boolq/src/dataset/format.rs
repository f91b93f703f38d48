//! What a data file is: by its name, and by what it holds.

use crate::error::{Error, Result};
use std::path::Path;

/// The formats a data file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
    Parquet,
}

impl Format {
    /// From Parquet's mark, else from the extension, else from the contents. `.gz` and `.zst` are no part of a name.
    pub(super) fn of(path: &Path, bytes: &[u8]) -> Result<Self> {
        if bytes.starts_with(b"PAR1") {
            return Ok(Self::Parquet);
        }
        match extension(path).as_deref() {
            Some("jsonl" | "ndjson" | "json") => Ok(Self::Json),
            Some("csv" | "tsv" | "tab") => Ok(Self::Csv),
            Some("parquet" | "pq") => Ok(Self::Parquet),
            _ => of_contents(bytes).ok_or_else(|| Error::UnknownFormat { path: path.to_owned() }),
        }
    }

    /// What a text is: no header of CSV begins with `{"`, whatever the file is called.
    pub(super) fn of_text(said: Self, text: &str) -> Self {
        let object =
            |text: &str| text.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with('"'));
        let begins = text.trim_start();
        let array = begins.strip_prefix('[').is_some_and(|rest| object(rest.trim_start()));
        if object(begins) || array { Self::Json } else { said }
    }
}

fn extension(path: &Path) -> Option<String> {
    let of = |path: &Path| path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    match of(path).as_deref() {
        Some("gz" | "gzip" | "zst" | "zstd") => of(Path::new(path.file_stem()?)),
        _ => of(path),
    }
}

fn of_contents(bytes: &[u8]) -> Option<Format> {
    // Of UTF-16 what is ASCII is left.
    let head: Vec<u8> = bytes.iter().take(4096).copied().filter(|byte| *byte != 0).collect();
    let head = String::from_utf8_lossy(&head);
    let head = head.trim_start_matches(['\u{feff}', '\u{fffd}']).trim_start();
    let first_line = head.lines().next()?;
    if first_line.starts_with(['{', '[']) {
        return Some(Format::Json);
    }
    first_line.contains([',', ';', '\t', '|']).then_some(Format::Csv)
}

/// The file's name without its extension, and without that of its packing.
pub(crate) fn stem(path: &Path) -> String {
    let without = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let packed =
        path.extension().is_some_and(|e| ["gz", "gzip", "zst", "zstd"].iter().any(|packing| e == *packing));
    let stem = without(path).unwrap_or_else(|| "data".to_owned());
    if packed { without(Path::new(&stem)).unwrap_or(stem) } else { stem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_extension_then_contents() {
        let of = |name: &str, bytes: &[u8]| Format::of(Path::new(name), bytes).ok();
        assert_eq!(of("a.CSV", b"{}"), Some(Format::Csv));
        assert_eq!(of("a.csv.gz", b"{}"), Some(Format::Csv));
        assert_eq!(of("a.csv", b"PAR1rest"), Some(Format::Parquet));
        assert_eq!(of("a", b"\xef\xbb\xbf {\"a\": 1}"), Some(Format::Json));
        assert_eq!(of("a", b"\xff\xfe{\0\"\0a\0\"\0"), Some(Format::Json));
        assert_eq!(of("a.txt", b"statement,label\n"), Some(Format::Csv));
        assert_eq!(of("a", b"PAR1rest"), Some(Format::Parquet));
        assert_eq!(of("a", b""), None);
        let text = |text: &str| Format::of_text(Format::Csv, text);
        assert_eq!(
            (text(" {\"a\": 1}"), text("[{ \"a\": 1}]"), text("{a},b\n")),
            (Format::Json, Format::Json, Format::Csv)
        );
        assert_eq!(
            (stem(Path::new("x/dev.jsonl.gz")), stem(Path::new("dev.v2.csv"))),
            ("dev".into(), "dev.v2".into())
        );
    }
}
