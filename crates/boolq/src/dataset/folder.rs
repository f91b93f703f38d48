//! The data files of a folder: shards of a data set, read as one table.

use super::source::refused;
use crate::error::Result;
use std::path::{Path, PathBuf};

/// What data files are called, without what gzip and zstd add.
const ENDINGS: [&str; 8] = [".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq"];
const PACKED: [&str; 5] = ["", ".gz", ".gzip", ".zst", ".zstd"];

/// The folder's data files in the order of their names. Folders in it, hidden files, and files with other endings are not read.
///
/// # Errors
/// A folder without data files.
pub(super) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let ends = |ending: &str| PACKED.iter().any(|packed| name.ends_with(&format!("{ending}{packed}")));
        if ENDINGS.iter().any(|ending| ends(ending)) && !name.starts_with('.') && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        let hint = "give a file, or a folder of CSV, JSON, or Parquet files";
        return Err(refused(folder, "a folder without data files", hint));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use crate::{Dataset, Error};

    #[test]
    fn shards_are_one_table_and_rows_are_named_in_their_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs_err::write(folder.path().join(name), text).expect("writable");
        write("b-00001.csv", "label,question\n1,r\n");
        write("a-00000.jsonl", "{\"question\":\"q\",\"label\":false}\n{\"question\":\"p\",\"label\":true}\n");
        write("README.md", "not data");
        write(".hidden.csv", "x\n1\n");
        let data = Dataset::load(folder.path()).expect("readable");
        let rows: Vec<_> = data.questions.iter().map(|q| (q.row, q.question.as_str(), q.answer)).collect();
        assert_eq!(rows, [(0, "q", false), (1, "p", true), (2, "r", true)]);
        let identity = data.identity;
        write("b-00001.csv", "label,question\n1,s\n");
        assert_ne!(Dataset::load(folder.path()).expect("readable").identity, identity);

        write("b-00001.csv", "label,question\n1,r\n,s\n");
        let error = Dataset::load(folder.path()).expect_err("no label").to_string();
        assert!(error.contains("b-00001.csv") && error.contains("row 1"), "{error}");
        write("b-00001.csv", "label,title\n1,r\n");
        let error = Dataset::load(folder.path()).expect_err("other columns");
        assert!(matches!(error, Error::MissingColumns { .. }), "{error}");
        let empty = tempfile::tempdir().expect("a folder");
        assert!(
            Dataset::load(empty.path())
                .expect_err("nothing")
                .with_hint()
                .contains("a folder without data files")
        );
    }
}
