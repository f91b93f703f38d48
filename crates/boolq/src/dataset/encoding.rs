//! Bytes as text: UTF-8 and UTF-16 are read, other encodings are named.

use crate::error::{Error, Result};
use std::path::Path;

const BOM: char = '\u{feff}';

/// The text of a file, without a byte order mark.
///
/// # Errors
/// Text that is neither UTF-8 nor UTF-16, with the line where that shows; NUL characters, which are what is left of a
/// file that was not written completely.
pub(super) fn text(path: &Path, bytes: &[u8]) -> Result<String> {
    let text = match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
            return Err(line_error(path, 1, "UTF-32", "convert the file: `iconv -f UTF-32 -t UTF-8`"));
        }
        [0xff, 0xfe, rest @ ..] => utf16(path, rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(path, rest, u16::from_be_bytes)?,
        _ if zeros_alternate(bytes, 1) => utf16(path, bytes, u16::from_le_bytes)?,
        _ if zeros_alternate(bytes, 0) => utf16(path, bytes, u16::from_be_bytes)?,
        _ => utf8(path, bytes)?.to_owned(),
    };
    match text.find('\0') {
        Some(at) => Err(nul(path, &text, at)),
        None => Ok(text.strip_prefix(BOM).map(str::to_owned).unwrap_or(text)),
    }
}

/// Whether every second of the first bytes is 0 and no other: UTF-16 of a script that begins in ASCII, as names of
/// columns and JSON's braces do.
fn zeros_alternate(bytes: &[u8], zero_at: usize) -> bool {
    /// Text of four characters decides.
    const LEAST: usize = 8;
    const MOST: usize = 16;
    let head = bytes.get(..bytes.len().min(MOST)).unwrap_or_default();
    head.len() >= LEAST && head.iter().enumerate().all(|(at, byte)| (at % 2 == zero_at) == (*byte == 0))
}

fn utf16(path: &Path, bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String> {
    let hint = "was the file written completely?";
    let (pairs, rest) = bytes.as_chunks::<2>();
    let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)));
    match text.collect::<Result<String, _>>() {
        Ok(text) if rest.is_empty() => Ok(text),
        Ok(text) => Err(line_error(path, 1 + newlines(text.as_bytes()), "half a character of UTF-16", hint)),
        Err(_) => {
            let whole = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).map_while(Result::ok);
            let line = 1 + whole.filter(|c| *c == '\n').count();
            Err(line_error(path, line, "not UTF-16, as the file began", hint))
        }
    }
}

fn utf8<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|e| {
        let valid = bytes.get(..e.valid_up_to()).unwrap_or_default();
        let byte = bytes.get(e.valid_up_to()).copied().unwrap_or_default();
        let (reason, hint) = if e.error_len().is_none() {
            ("the file ends inside a character of UTF-8".to_owned(), "was the file written completely?")
        } else {
            (
                format!("not UTF-8: the byte 0x{byte:02x}"),
                "western European files are often Windows-1252 (Latin-1): convert the file: `iconv -f WINDOWS-1252 \
                 -t UTF-8`, or give the encoding that it is in",
            )
        };
        line_error(path, 1 + newlines(valid), &reason, hint)
    })
}

fn nul(path: &Path, text: &str, at: usize) -> Error {
    let line = 1 + newlines(text.as_bytes().get(..at).unwrap_or_default());
    let at_end = text.get(at..).is_some_and(|rest| rest.chars().all(|c| c == '\0' || c.is_whitespace()));
    let (reason, hint) = if at_end {
        (
            "from here to the file's end there are NUL characters alone",
            "was the file written completely? Rows may be missing",
        )
    } else {
        ("a NUL character", "a text file holds none: is it another kind of file, or damaged?")
    };
    line_error(path, line, reason, hint)
}

fn newlines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count() - 1
}

fn line_error(path: &Path, line: usize, reason: &str, hint: &'static str) -> Error {
    Error::Line { path: path.to_owned(), line, reason: reason.to_owned(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<String> {
        text(Path::new("a.csv"), bytes)
    }

    #[test]
    fn utf8_and_utf16_are_read() {
        let row = "text,label\nÉtoile ☆ 𝄞,1\n";
        let units = |write: fn(u16) -> [u8; 2]| row.encode_utf16().flat_map(write).collect::<Vec<u8>>();
        let (little, big) = (units(u16::to_le_bytes), units(u16::to_be_bytes));
        let marked = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        for bytes in [
            row.as_bytes().to_vec(),
            marked(b"\xef\xbb\xbf", row.as_bytes()),
            little.clone(),
            big.clone(),
            marked(b"\xff\xfe", &little),
            marked(b"\xfe\xff", &big),
        ] {
            assert_eq!(of(&bytes).expect("text"), row, "{bytes:?}");
        }
        assert!(of(&little[..little.len() - 1]).is_err(), "half a character");
        assert!(of(&marked(b"\xff\xfe", &[0x00, 0xd8, 0x61, 0x00])).is_err(), "half a surrogate pair");
    }

    #[test]
    fn other_encodings_are_named_with_their_line() {
        let said = |bytes: &[u8]| of(bytes).expect_err("no text").with_hint();
        let latin = said(b"a,b\n1,2\n\xe9t\xe9,1\n");
        assert!(
            latin.contains("line 3") && latin.contains("0xe9") && latin.contains("WINDOWS-1252"),
            "{latin}"
        );
        assert!(said("a,b\né".as_bytes().split_last().expect("bytes").1).contains("completely"));
        let zeros = said(b"a,b\n1,2\n\0\0\0\0");
        assert!(zeros.contains("line 3") && zeros.contains("Rows may be missing"), "{zeros}");
        assert!(said(b"a,b\n1,\x002\n3,4\n").contains("line 2: a NUL"));
        assert!(said(b"\xff\xfe\0\0a\0\0\0").contains("UTF-32"));
    }
}
