//! Files as they come: what other programs write, packed, encoded and damaged.

use crate::toy::fixture_file as fixture;
use crate::with_hint;
use boolq::{Dataset, DatasetOptions, Error, Kind, Template, pairs};
use serde_json::Value;
use std::io::Write as _;
use std::path::Path;

/// What a template prints for each row of the file.
fn printed(path: &Path, expression: &str) -> Vec<String> {
    let data = Dataset::load(path).expect("loads");
    let template = Template::from_source("t", &format!("[{expression}] {{{{ answer }}}}")).expect("compiles");
    let made = pairs(&data, &template).expect("renders");
    let text =
        |prompt: &str| prompt.strip_prefix('[').and_then(|p| p.strip_suffix("] True")).map(str::to_owned);
    made.pairs.iter().map(|pair| text(&pair.plus_prompt).expect("brackets")).collect()
}

/// `fixtures/parquet/make.py` wrote both files.
#[test]
fn every_type_of_parquet_is_printed_as_python_does() {
    let path = fixture("parquet/types.parquet");
    let expected = fs_err::read_to_string(fixture("parquet/types.json")).expect("there");
    let expected: Vec<serde_json::Map<String, Value>> = serde_json::from_str(&expected).expect("JSON");
    // How lists quote their texts is the templates' matter, not the reader's.
    let alike = |text: &str| text.replace('\'', "\"").to_lowercase();
    for name in expected[0].keys() {
        let found = printed(&path, &format!("{{{{ {name}|default('<undefined>') }}}}"));
        for (found, row) in found.iter().zip(&expected) {
            let wanted = row[name].as_str().unwrap_or("<undefined>");
            assert_eq!(alike(found), alike(wanted), "{name}");
        }
    }
    assert_eq!(printed(&path, "{{ struct.text[1]|default('-') if struct else '+' }}"), ["q", "+", "-"]);
    for (name, what) in [("clock", "times of day"), ("span", "durations"), ("bytes", "bytes")] {
        let data = Dataset::load(&path).expect("loads without them");
        let template =
            Template::from_source("t", &format!("{{{{ {name} }}}} {{{{ answer }}}}")).expect("compiles");
        let said = with_hint(&pairs(&data, &template).expect_err("not read"));
        assert!(said.contains(&format!("`{name}` holds {what}")), "{said}");
    }
}

#[test]
fn categories_of_pandas_and_polars_are_labels() {
    for name in ["parquet/pandas.parquet", "parquet/polars.parquet"] {
        let data = Dataset::load(fixture(name)).expect(name);
        assert_eq!(data.questions.iter().map(|q| q.answer).collect::<Vec<_>>(), [true, false], "{name}");
    }
}

#[test]
fn a_footer_that_lies_asks_for_no_memory() {
    let honest = Dataset::load(fixture("parquet/honest.parquet")).expect("loads");
    assert_eq!(honest.questions.len(), 2);
    let lie = Dataset::load(fixture("parquet/billion.parquet"));
    assert!(matches!(lie, Err(Error::TooLarge { .. })), "{lie:?}");
    let lie = Dataset::load(fixture("parquet/million.parquet"));
    assert!(matches!(lie, Err(Error::Table { format: "Parquet", .. })), "{lie:?}");
}

#[test]
fn a_damaged_parquet_file_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.parquet");
    let whole = fs_err::read(fixture("parquet/honest.parquet")).expect("there");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs_err::write(&path, bytes).expect("writable");
        if let Err(error) = Dataset::load(&path) {
            assert!(error.hint().is_some(), "{at}: {error}");
        }
    }
}

const ROWS: &str = "{\"statement\":\"Étoile\",\"label\":1}\n{\"statement\":\"b\",\"label\":0}\n";

#[test]
fn packed_and_encoded_files_are_read_whatever_they_are_called() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(ROWS.as_bytes()).expect("packs");
    let zstd = zstd::encode_all(ROWS.as_bytes(), 1).expect("packs");
    let utf16: Vec<u8> = ROWS.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let array = format!("[{}]", ROWS.trim_end().replace('\n', ",\n"));
    let csv = "statement;label\rÉtoile;1\rb;0\r";
    for (name, bytes) in [
        ("plain.jsonl", ROWS.as_bytes().to_vec()),
        ("packed.jsonl", gzip.finish().expect("packs")),
        ("packed.jsonl.zst", zstd),
        ("wide.jsonl", utf16.clone()),
        ("wide", [b"\xff\xfe".to_vec(), utf16].concat()),
        ("array.json", array.as_bytes().to_vec()),
        ("called.csv", array.into_bytes()),
        ("old-mac.csv", csv.as_bytes().to_vec()),
        ("no-extension", csv.as_bytes().to_vec()),
    ] {
        let path = folder.path().join(name);
        fs_err::write(&path, bytes).expect("writable");
        let data = Dataset::load(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(data.kind, Kind::Statements, "{name}");
        let rows: Vec<_> = data.questions.iter().map(|q| (q.question.as_str(), q.answer)).collect();
        assert_eq!(rows, [("Étoile", true), ("b", false)], "{name}");
    }
    let packed = Dataset::load(folder.path().join("packed.jsonl.zst")).expect("loads");
    assert_eq!(packed.name, "packed");
}

#[test]
fn what_is_no_data_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs_err::write(&path, bytes).expect("writable");
        with_hint(&Dataset::load(&path).expect_err(name))
    };
    let latin: Vec<u8> = ROWS.chars().map(|c| c as u8).collect();
    for (name, bytes, what) in [
        ("a.csv", &b"<!DOCTYPE html>\n<html>"[..], "a web page"),
        (
            "a.parquet",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            "Git LFS pointer",
        ),
        ("a.xlsx", b"PK\x03\x04\x14\0\x06\0[Content_Types].xml", "an Excel"),
        ("a.jsonl", b"BZh91AY&SY", "bzip2"),
        ("b.jsonl", &latin, "WINDOWS-1252"),
        ("c.jsonl", b"{\"a\":1}\n\0\0\0", "Rows may be missing"),
        ("d.csv", b"statement,label\n\"say \\\"hi\\\", or\",1\n", "escapechar"),
    ] {
        let said = said(name, bytes);
        assert!(said.contains(what), "{said}");
    }
    let said = with_hint(&Dataset::load(folder.path()).expect_err("a folder of such files"));
    assert!(said.contains("a.csv") && said.contains("a web page"), "{said}");
    let said = with_hint(&Dataset::load("/dev/zero").expect_err("no end"));
    assert!(said.contains("a pipe or a device"), "{said}");
    let huge = folder.path().join("huge.csv");
    fs_err::File::create(&huge).and_then(|file| file.set_len(2 << 30)).expect("a sparse file");
    let said = with_hint(&Dataset::load(&huge).expect_err("too large"));
    assert!(said.contains("2147483648 bytes; at most 1073741824 bytes"), "{said}");
}

#[test]
fn lists_and_objects_reach_templates() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a.jsonl");
    let row =
        r#"{"choices": ["red", "blue"], "by": {"name": "Ada", "year": 1815.5}, "void": null, "label": 1}"#;
    fs_err::write(&path, row).expect("writable");
    let template = "{{ choices[1] }} {{ choices|length }} {{ by.name }} {{ by.year }} {{ void is defined }}";
    assert_eq!(printed(&path, template), ["blue 2 Ada 1815.5 False"]);
    let unlisted = with_hint(&DatasetOptions::new().label("choices").load(&path).expect_err("a list"));
    assert!(unlisted.contains("a label is one text"), "{unlisted}");
}
