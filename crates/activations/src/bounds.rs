//! How much a `rows.parquet` may take in memory, found out before any of it is unpacked: a file says itself how many rows
//! it has and how long its pages are, and one of a few megabytes can say any number.

use std::io::Cursor;

use polars_parquet::parquet::metadata::ColumnChunkMetadata;
use polars_parquet::parquet::read::read_metadata;
use polars_parquet_format::PageHeader;
use polars_parquet_format::thrift::protocol::TCompactInputProtocol;

/// What every table may take.
const FLOOR: u64 = 64 << 20;
/// For every byte of the file: text is packed to a tenth, prompts of one passage under many templates to a thirtieth.
const PER_BYTE: u64 = 64;
/// For every row, in tables of very many rows of the same text.
const PER_ROW: u64 = 4 << 10;

/// The most bytes that the cells of a table of so many rows may take, where its file has so many.
pub(crate) fn limit(rows: usize, file: u64) -> u64 {
    FLOOR + file.saturating_mul(PER_BYTE).max((rows as u64).saturating_mul(PER_ROW))
}

/// Refuses a file with another number of rows, and one whose pages are larger than [`limit`].
pub(crate) fn check(bytes: &[u8], rows: usize) -> Result<(), String> {
    let metadata = read_metadata(&mut Cursor::new(bytes)).map_err(|e| e.to_string())?;
    if metadata.num_rows != rows {
        return Err(format!("it says it has {} rows, the manifest has {rows}", metadata.num_rows));
    }
    let limit = limit(rows, bytes.len() as u64);
    let mut total: u64 = 0;
    for group in &metadata.row_groups {
        for chunk in group.parquet_columns() {
            let mut pages = chunk_bytes(bytes, chunk).ok_or("a column lies outside of the file")?;
            while !pages.is_empty() {
                let page = next_page(&mut pages, rows)?;
                total = total.saturating_add(page);
                if total > limit {
                    return Err(format!(
                        "its pages say that they hold more than {limit} bytes, the most for {rows} rows in a file of {}",
                        bytes.len()
                    ));
                }
            }
        }
    }
    Ok(())
}

/// Where the pages of a column lie, one behind the other.
fn chunk_bytes<'a>(file: &'a [u8], chunk: &ColumnChunkMetadata) -> Option<&'a [u8]> {
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(chunk.compressed_size()).ok()?)?;
    file.get(start..end)
}

/// Moves past a page, and gives the bytes that it says it holds, unpacked.
fn next_page(pages: &mut &[u8], rows: usize) -> Result<u64, String> {
    let most = pages.len();
    let mut header = TCompactInputProtocol::new(&mut *pages, most);
    let header = PageHeader::read_from_in_protocol(&mut header).map_err(|e| e.to_string())?;
    let values = [
        header.data_page_header.as_ref().map(|page| page.num_values),
        header.data_page_header_v2.as_ref().map(|page| page.num_values),
        header.dictionary_page_header.as_ref().map(|page| page.num_values),
    ];
    if !values.into_iter().flatten().all(|values| usize::try_from(values).is_ok_and(|n| n <= rows)) {
        return Err(format!("a page says that it has more than {rows} values"));
    }
    let packed = usize::try_from(header.compressed_page_size).map_err(|e| e.to_string())?;
    *pages = pages.get(packed..).ok_or("a page ends outside of its column")?;
    u64::try_from(header.uncompressed_page_size).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use polars::prelude::{DataFrame, NamedFrom as _, ParquetCompression, ParquetWriter, Series};

    use super::*;

    fn file(columns: Vec<Series>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let rows = columns[0].len();
        let columns = columns.into_iter().map(Into::into).collect();
        let writer = ParquetWriter::new(&mut bytes).with_compression(ParquetCompression::Zstd(None));
        writer.finish(&mut DataFrame::new(rows, columns).unwrap()).unwrap();
        bytes
    }

    /// A file of some kilobytes with rows or text without end.
    #[test]
    fn a_small_file_is_not_believed_to_be_large() {
        let many = file(vec![Series::new("label".into(), vec![true; 3_000_000])]);
        assert!(many.len() < 1_000_000);
        assert!(check(&many, 7).unwrap_err().contains("it says it has 3000000 rows, the manifest has 7"));
        check(&many, 3_000_000).unwrap();

        let long: Vec<String> = (0..9).map(|row| format!("{row}{}", "a".repeat(9 << 20))).collect();
        let long = file(vec![Series::new("plus_prompt".into(), long)]);
        assert!(long.len() < 1_000_000);
        let said = check(&long, 9).unwrap_err();
        assert!(said.contains("its pages say that they hold more than"), "{said}");
    }

    /// Whatever bytes of the file are changed: an answer.
    #[test]
    fn no_damage_ends_the_program() {
        let whole = file(vec![
            Series::new("row".into(), (0..50u64).collect::<Vec<_>>()),
            Series::new("dataset".into(), vec!["boolq"; 50]),
        ]);
        check(&whole, 50).unwrap();
        for at in (0..whole.len()).step_by(3) {
            for value in [0, 0x7f, 0xff, whole[at] ^ 1] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                assert!(
                    crate::table::decode(&bytes, 50, crate::RowKind::Pairs).is_err(),
                    "these are not all columns"
                );
            }
            assert!(crate::table::decode(&whole[..at], 50, crate::RowKind::Pairs).is_err());
        }
    }
}
