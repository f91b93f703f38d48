//! A folder of data files as one table: shards of a data set, one after the other.

use super::source::refused;
use super::table::Table;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// What data files are called, without what gzip and zstd add.
const ENDINGS: [&str; 8] = [".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", ".pq"];
const PACKED: [&str; 5] = ["", ".gz", ".gzip", ".zst", ".zstd"];

/// The folder's data files in the order of their names, as one table: files of the same columns. Folders in it, hidden files, and
/// files with other endings are not read.
///
/// # Errors
/// A folder without data files; files of different columns; what any of them gives.
pub(super) fn open(folder: &Path) -> Result<Table> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let is_data = ENDINGS
            .iter()
            .any(|ending| PACKED.iter().any(|packed| name.ends_with(&format!("{ending}{packed}"))));
        if is_data && !name.starts_with('.') && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(refused(
            folder,
            "a folder without data files",
            "give a file, or a folder of CSV, JSON, or Parquet files",
        ));
    }
    let tables = files.iter().map(|file| Table::open(file)).collect::<Result<Vec<_>>>()?;
    for table in &tables {
        let others = tables.iter().flat_map(|other| other.names().iter().map(move |name| (other, name)));
        if let Some((other, name)) = others.into_iter().find(|(_, name)| !table.has(name)) {
            return Err(Error::MissingColumns {
                path: table.path().to_owned(),
                missing: vec![format!("`{name}`, which {} has", other.path().display())],
                found: table.names().to_vec(),
                hint: "the files of a folder are read as one table: put those that belong together into a folder of their own",
            });
        }
        let differs = |name: &&String| tables[0].classes(name) != table.classes(name);
        if let Some(name) = table.names().iter().find(differs) {
            let what = format!(
                "a file whose classes of `{name}` are others than those of {}",
                tables[0].path().display()
            );
            return Err(refused(table.path(), &what, "read the files one by one"));
        }
    }
    Ok(Table::one_of(folder, tables))
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
