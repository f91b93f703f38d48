//! Parquet: every type that a template can print, lists and structs included, and the class names that Hugging Face's
//! `datasets` leaves in the file.
//!
//! It is read with the lower half of polars, which knows all of Arrow's types without features for each, and shows the
//! sizes of pages before they are unpacked. What the footer claims is held against a bound, and against the pages,
//! before memory is asked for.

use super::cells::{self, AppendError};
use super::limits::{MOST_COLUMNS, MOST_VALUES, too_many_columns, too_many_values};
use super::source::LARGEST;
use crate::error::{Error, Result};
use minijinja::Value;
use polars_arrow::array::Array;
use polars_arrow::datatypes::{ArrowDataType, Field};
use polars_buffer::Buffer;
use polars_parquet::parquet::page::CompressedPage;
use polars_parquet::read::{
    BasicDecompressor, ColumnChunkMetadata, FileMetadata, PageReader, column_iter_to_arrays, infer_schema,
    read_metadata,
};
use polars_parquet_format::PageHeader;
use polars_parquet_format::thrift::protocol::TCompactInputProtocol;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;

/// A table, column by column.
#[derive(Debug, Default)]
pub(super) struct Parquet {
    pub(super) names: Vec<String>,
    pub(super) columns: Vec<Vec<Value>>,
    /// The names of columns' classes, by column: class 0 first.
    pub(super) classes: BTreeMap<String, Vec<String>>,
    /// Columns of a type that is not read, with the type.
    pub(super) unread: BTreeMap<String, &'static str>,
}

/// Reads a Parquet file. A column of a type that is not read holds values that fail where they are used.
///
/// # Errors
/// Damaged files, and files that claim or unpack to more than is allowed.
pub(super) fn read(path: &Path, bytes: Vec<u8>) -> Result<Parquet> {
    let file = File { path, bytes: Buffer::from(bytes) };
    // The decoders assert much of what a file should hold; a damaged one is no reason to stop a program.
    host::panics::caught(|| file.read())
        .unwrap_or_else(|| Err(file.damaged("its pages do not hold what they should")))
}

struct File<'a> {
    path: &'a Path,
    bytes: Buffer<u8>,
}

impl File<'_> {
    fn read(&self) -> Result<Parquet> {
        let metadata = read_metadata(&mut Cursor::new(self.bytes.as_ref())).map_err(|e| self.damaged(e))?;
        let rows = self.rows(&metadata)?;
        let mut names = BTreeSet::new();
        if let Some(twice) = metadata.schema().fields().iter().find(|field| !names.insert(field.name())) {
            return Err(Error::ColumnTwice { path: self.path.to_owned(), column: twice.name().to_owned() });
        }
        let schema = infer_schema(&metadata).map_err(|e| self.damaged(e))?;
        let mut table = Parquet { classes: class_names(&metadata), ..Parquet::default() };
        for field in schema.iter_values() {
            let field = plain_field(field);
            let name = field.name.to_string();
            let column = match cells::unreadable(&field.dtype) {
                Some(what) => {
                    table.unread.insert(name.clone(), what);
                    vec![cells::refused(&name, what); rows]
                }
                None => self.column(&metadata, &field, rows)?,
            };
            table.names.push(name);
            table.columns.push(column);
        }
        Ok(table)
    }

    /// How many rows the file says it has, if that is believable.
    fn rows(&self, metadata: &FileMetadata) -> Result<usize> {
        let leaves = metadata.schema().columns().len();
        if leaves > MOST_COLUMNS {
            return Err(too_many_columns(self.path));
        }
        let rows =
            metadata.row_groups.iter().try_fold(0_usize, |sum, group| sum.checked_add(group.num_rows()));
        let rows = rows.filter(|rows| *rows == metadata.num_rows);
        let rows =
            rows.ok_or_else(|| self.damaged("its row groups have another number of rows than it says"))?;
        match rows.checked_mul(leaves.max(1)) {
            Some(values) if values <= MOST_VALUES => Ok(rows),
            _ => Err(too_many_values(self.path)),
        }
    }

    fn column(&self, metadata: &FileMetadata, field: &Field, rows: usize) -> Result<Vec<Value>> {
        let mut values = Vec::with_capacity(rows);
        let mut budget = cells::Budget::default();
        for group in &metadata.row_groups {
            let chunks = group.columns_under_root_iter(&field.name).into_iter().flatten();
            let chunks: Vec<&ColumnChunkMetadata> = chunks.collect();
            let before = values.len();
            for array in self.arrays(&chunks, field, group.num_rows())? {
                cells::append(array.as_ref(), &mut values, &mut budget).map_err(|error| match error {
                    AppendError::TooMuch(limit) => Error::TooLarge {
                        path: self.path.to_owned(),
                        found: format!("the values of the column `{}`", field.name),
                        limit: limit.to_owned(),
                        hint: "leave the column out",
                    },
                    AppendError::OtherType => self.damaged(format!(
                        "the column `{}` holds values of another type than the file says",
                        field.name
                    )),
                })?;
            }
            if values.len() - before != group.num_rows() {
                return Err(self
                    .damaged(format!("the column `{}` has not as many rows as the file says", field.name)));
            }
        }
        Ok(values)
    }

    fn arrays(
        &self,
        chunks: &[&ColumnChunkMetadata],
        field: &Field,
        rows: usize,
    ) -> Result<Vec<Box<dyn Array>>> {
        let mut columns = Vec::new();
        let mut types = Vec::new();
        let flat = chunks.len() == 1
            && !matches!(field.dtype, ArrowDataType::LargeList(_) | ArrowDataType::FixedSizeList(..));
        for chunk in chunks {
            let values = self.check_pages(chunk)?;
            if (flat && values != rows) || values > MOST_VALUES {
                return Err(self.damaged(format!(
                    "the column `{}` has {values} values where the file says {rows} rows",
                    field.name
                )));
            }
            columns.push(BasicDecompressor::new(self.pages(chunk)?, Vec::new()));
            types.push(&chunk.descriptor().descriptor.primitive_type);
        }
        let (arrays, _) =
            column_iter_to_arrays(columns, types, field.clone(), None).map_err(|e| self.damaged(e))?;
        Ok(arrays)
    }

    fn pages(&self, chunk: &ColumnChunkMetadata) -> Result<PageReader> {
        let range = chunk.byte_range();
        let inside = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let inside = inside.filter(|(start, end)| start <= end && *end <= self.bytes.len());
        let (start, end) = inside.ok_or_else(|| self.damaged("a column lies beyond its end"))?;
        let bytes = self.bytes.clone().sliced(start..end);
        Ok(PageReader::new(Cursor::new(bytes), chunk, Vec::new(), usize::MAX))
    }

    /// How many values the pages of a column say they hold, after a look at what they say they unpack to.
    fn check_pages(&self, chunk: &ColumnChunkMetadata) -> Result<usize> {
        let mut values = 0;
        let mut unpacked = self.first_page(chunk)?;
        for (at, page) in self.pages(chunk)?.enumerate() {
            if let CompressedPage::Data(page) = page.map_err(|e| self.damaged(e))? {
                values += page.num_values();
                unpacked += if at == 0 { 0 } else { page.uncompressed_size() as u64 };
            }
            if unpacked > LARGEST {
                return Err(Error::TooLarge {
                    path: self.path.to_owned(),
                    found: format!(
                        "too many bytes, unpacked, in the column `{}`",
                        chunk.descriptor().descriptor.primitive_type.field_info.name
                    ),
                    limit: format!("{LARGEST} bytes of data"),
                    hint: "leave the column out, or split the file",
                });
            }
        }
        Ok(values)
    }

    /// What the first page, which may be a dictionary, says it unpacks to.
    fn first_page(&self, chunk: &ColumnChunkMetadata) -> Result<u64> {
        let start = usize::try_from(chunk.byte_range().start).unwrap_or(usize::MAX);
        let mut rest = self.bytes.as_ref().get(start..).unwrap_or_default();
        let mut protocol = TCompactInputProtocol::new(&mut rest, usize::MAX);
        let header = PageHeader::read_from_in_protocol(&mut protocol).map_err(|e| self.damaged(e))?;
        let size = u64::try_from(header.uncompressed_page_size).map_err(|e| self.damaged(e))?;
        let values = header.dictionary_page_header.map_or(0, |dictionary| dictionary.num_values);
        // A value of a dictionary takes a bit at least.
        if u64::try_from(values).map_err(|e| self.damaged(e))? > 8 * size.max(1) {
            return Err(self.damaged("a dictionary says that it has more values than it has room for"));
        }
        Ok(size)
    }

    fn damaged(&self, reason: impl std::fmt::Display) -> Error {
        Error::Table {
            path: self.path.to_owned(),
            format: "Parquet",
            reason: reason.to_string(),
            hint: "was the file written completely?",
        }
    }
}

fn plain_field(field: &Field) -> Field {
    Field { dtype: plain(field.dtype.clone()), ..field.clone() }
}

/// Categories are read as the texts that they stand for.
fn plain(dtype: ArrowDataType) -> ArrowDataType {
    match dtype {
        ArrowDataType::Dictionary(_, value, _) => plain(*value),
        ArrowDataType::LargeList(inner) => ArrowDataType::LargeList(Box::new(plain_field(&inner))),
        ArrowDataType::FixedSizeList(inner, size) => {
            ArrowDataType::FixedSizeList(Box::new(plain_field(&inner)), size)
        }
        ArrowDataType::Struct(fields) => ArrowDataType::Struct(fields.iter().map(plain_field).collect()),
        other => other,
    }
}

/// The names in `{"info": {"features": {COLUMN: {"names": [...], "_type": "ClassLabel"}}}}`, which `datasets` writes
/// under the key `huggingface` (`ArrowWriter._build_metadata` in `datasets/arrow_writer.py`).
fn class_names(metadata: &FileMetadata) -> BTreeMap<String, Vec<String>> {
    let entries = metadata.key_value_metadata.iter().flatten();
    let text = entries.filter(|entry| entry.key == "huggingface").find_map(|entry| entry.value.as_deref());
    let Some(Ok(HuggingFace { info })) = text.map(serde_json::from_str) else { return BTreeMap::new() };
    let classes = info.features.into_iter().filter_map(|(column, feature)| match feature {
        Feature::ClassLabel(ClassLabel { kind, names }) if kind == "ClassLabel" => Some((column, names)),
        _ => None,
    });
    classes.collect()
}

#[derive(Deserialize)]
struct HuggingFace {
    info: Info,
}

#[derive(Deserialize)]
struct Info {
    features: BTreeMap<String, Feature>,
}

/// What `datasets` says of a column.
#[derive(Deserialize)]
#[serde(untagged)]
enum Feature {
    ClassLabel(ClassLabel),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct ClassLabel {
    #[serde(rename = "_type")]
    kind: String,
    names: Vec<String>,
}
