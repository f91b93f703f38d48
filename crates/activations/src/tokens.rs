//! The tokens of every prompt: which there are, and where each row's begin. Beside columns of the rule `all`, whose arrays
//! have one state for each token, they say which states are of which row.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fs_err::File;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;
use crate::open;
use crate::rows::Row;
use crate::side::{RowKind, SideOf};

/// The token rule whose columns have a state for every token: their arrays are ragged.
pub const ALL_TOKENS: &str = "all";

/// The folder of the tokens' files.
pub(crate) const FOLDER: &str = "tokens";
/// The file with their texts in it.
pub(crate) const TEXTS: &str = "texts.json";

/// The tokens of all rows' prompts, as a writer takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIds {
    kind: RowKind,
    /// For each side of the kind.
    sides: Vec<Tokens>,
    /// What each of the ids stands for, where that is kept.
    texts: Option<BTreeMap<u32, String>>,
}

/// The tokens of one side of all rows, row after row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Where each row's tokens begin, and where the last row's end: \[N + 1\], from 0 to M.
    pub offsets: Vec<u64>,
    /// The ids of the M tokens.
    pub ids: Vec<u32>,
}

/// What the manifest says of the tokens of one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// The side.
    pub side: SideOf,
    /// How many tokens all its prompts have: M.
    pub count: u64,
    /// BLAKE3 of the file of offsets.
    pub offsets: String,
    /// BLAKE3 of the file of ids.
    pub ids: String,
}

impl TokenIds {
    /// Those of no row yet.
    pub fn new(kind: RowKind) -> Self {
        let sides = vec![Tokens { offsets: vec![0], ids: Vec::new() }; kind.sides().len()];
        Self { kind, sides, texts: None }
    }

    /// The same with the text of every id that they have, for readers who have no tokenizer.
    #[must_use]
    pub fn with_texts<'t>(mut self, text: impl Fn(u32) -> &'t str) -> Self {
        let ids = self.sides.iter().flat_map(|side| &side.ids);
        self.texts =
            Some(ids.collect::<BTreeSet<_>>().into_iter().map(|&id| (id, text(id).to_owned())).collect());
        self
    }

    /// The same without texts, as older stores have them.
    pub(crate) fn without_texts(&self) -> Self {
        Self { texts: None, ..self.clone() }
    }

    /// Appends a row: the ids of each of its prompts, in the order of [`RowKind::sides`].
    ///
    /// # Errors
    /// [`Error::TokenIds`] for another number of prompts.
    pub fn push(&mut self, prompts: &[&[u32]]) -> Result<()> {
        if prompts.len() != self.sides.len() {
            let what = format!("a row of {} has {} prompts", self.kind, prompts.len());
            return Err(Error::TokenIds { what });
        }
        for (side, ids) in self.sides.iter_mut().zip(prompts) {
            side.ids.extend_from_slice(ids);
            side.offsets.push(side.ids.len() as u64);
        }
        Ok(())
    }

    /// What they are of.
    pub fn kind(&self) -> RowKind {
        self.kind
    }

    /// Every side with its tokens.
    pub fn sides(&self) -> impl Iterator<Item = (SideOf, &Tokens)> {
        self.kind.sides().iter().copied().zip(&self.sides)
    }

    /// What the manifest says of them.
    pub(crate) fn records(&self) -> Result<Vec<TokenRecord>> {
        let record = |(side, tokens): (SideOf, &Tokens)| {
            Ok(TokenRecord {
                side,
                count: tokens.ids.len() as u64,
                offsets: files::hash(&tokens.offsets_file()?),
                ids: files::hash(&tokens.ids_file()?),
            })
        };
        self.sides().map(record).collect()
    }

    /// The bytes of the file of texts: a JSON object with one id a line, ascending. None where they are not kept.
    pub(crate) fn texts_file(&self) -> Result<Option<Vec<u8>>> {
        let line = |(id, text): (&u32, &String)| {
            let text = serde_json::to_string(text).map_err(|e| Error::TokenIds { what: e.to_string() })?;
            Ok(format!("\"{id}\": {text}"))
        };
        let file = |texts: &BTreeMap<u32, String>| -> Result<Vec<u8>> {
            let lines = texts.iter().map(line).collect::<Result<Vec<_>>>()?;
            Ok(format!("{{\n{}\n}}\n", lines.join(",\n")).into_bytes())
        };
        self.texts.as_ref().map(file).transpose()
    }

    /// What the manifest says of that file.
    pub(crate) fn texts_hash(&self) -> Result<Option<String>> {
        Ok(self.texts_file()?.map(|bytes| files::hash(&bytes)))
    }

    /// Refuses tokens that are not those of the rows.
    pub(crate) fn check(&self, rows: &[Row]) -> Result<()> {
        for (side, tokens) in self.sides() {
            let lengths = tokens.offsets.windows(2).map(|two| two[1] - two[0]);
            if tokens.offsets.len() != rows.len() + 1 {
                let what =
                    format!("ids of {} rows were given, and {} rows", tokens.offsets.len() - 1, rows.len());
                return Err(Error::TokenIds { what });
            }
            for (row, (length, of_row)) in lengths.zip(rows).enumerate() {
                if of_row.tokens(side).map(u64::from) != Some(length) {
                    let what = format!(
                        "row {row} (idx {}), {side}: {length} ids were given, and its prompt has {} tokens",
                        of_row.idx,
                        of_row.tokens(side).unwrap_or_default()
                    );
                    return Err(Error::TokenIds { what });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn offsets(&self) -> Offsets {
        Offsets(self.sides.iter().map(|tokens| tokens.offsets.as_slice().into()).collect())
    }
}

impl Tokens {
    pub(crate) fn offsets_file(&self) -> Result<Vec<u8>> {
        Ok([&header("<u8", self.offsets.len())?, bytemuck::cast_slice(&self.offsets)].concat())
    }

    pub(crate) fn ids_file(&self) -> Result<Vec<u8>> {
        Ok([&header("<u4", self.ids.len())?, bytemuck::cast_slice(&self.ids)].concat())
    }
}

/// The offsets of each side of a store with ragged columns; of none in other stores.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offsets(pub(crate) Vec<Arc<[u64]>>);

impl Offsets {
    /// Those of a side, by its place among the sides.
    pub(crate) fn of(&self, side: usize) -> Option<&Arc<[u64]>> {
        self.0.get(side)
    }

    /// What the rows' own lengths say.
    pub(crate) fn of_rows(rows: &[Row], kind: RowKind) -> Self {
        let of = |side: &SideOf| {
            let lengths = rows.iter().map(|row| u64::from(row.tokens(*side).unwrap_or_default()));
            let mut end = 0;
            let ends = lengths.map(|length| {
                end += length;
                end
            });
            std::iter::once(0).chain(ends).collect()
        };
        Self(kind.sides().iter().map(of).collect())
    }
}

fn header(descr: &str, length: usize) -> Result<Vec<u8>> {
    crate::npy::header_of(descr, &[length as u64])
}

/// Reads a file of offsets that the manifest names, for so many rows.
pub(crate) fn read_offsets(path: &Path, record: &TokenRecord, rows: usize) -> Result<Arc<[u64]>> {
    let bytes = read_named(path, &header("<u8", rows + 1)?, rows + 1, 8, &record.offsets)?;
    let offsets: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
    let ascend = offsets.first() == Some(&0) && offsets.is_sorted();
    if !ascend || offsets.last() != Some(&record.count) {
        let what = format!("the offsets do not go from 0 to the {} tokens that there are", record.count);
        return Err(Error::TokenFile { path: path.to_owned(), what });
    }
    Ok(offsets.into())
}

/// Reads a file of ids that the manifest names.
pub(crate) fn read_ids(path: &Path, record: &TokenRecord) -> Result<Vec<u32>> {
    let count = record.count as usize;
    Ok(bytemuck::pod_collect_to_vec(&read_named(path, &header("<u4", count)?, count, 4, &record.ids)?))
}

/// Reads the file of texts that the manifest names.
pub(crate) fn read_texts(path: &Path, hash: &str) -> Result<BTreeMap<u32, String>> {
    let bad = |what: String| Error::TokenFile { path: path.to_owned(), what };
    let other = || bad(OTHER_HASH.to_owned());
    // Before memory is taken for it: whatever lies there may have any length.
    if open::hash(path)? != hash {
        return Err(other());
    }
    let bytes = open::read(path, u64::MAX - 1)?;
    if files::hash(&bytes) != hash {
        return Err(other());
    }
    serde_json::from_slice(&bytes).map_err(|e| bad(format!("it is no table of texts: {e}")))
}

const OTHER_HASH: &str = "its BLAKE3 is not the one that the manifest names";

/// The values behind the header of a file whose length and hash are known.
fn read_named(path: &Path, header: &[u8], count: usize, size: u64, hash: &str) -> Result<Vec<u8>> {
    let file: File = open::open(path)?;
    let expected = (header.len() as u64).saturating_add((count as u64).saturating_mul(size));
    let found = file.metadata()?.len();
    if found != expected {
        return Err(Error::Length { path: path.to_owned(), expected, found });
    }
    let bytes = open::read(path, expected)?;
    if files::hash(&bytes) != hash || !bytes.starts_with(header) {
        return Err(Error::TokenFile { path: path.to_owned(), what: OTHER_HASH.to_owned() });
    }
    Ok(bytes.get(header.len()..).unwrap_or_default().to_vec())
}
