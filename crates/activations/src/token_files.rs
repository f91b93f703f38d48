//! The files of a store's tokens: where they are, what is in them, and writing again those that are lost.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::files::{Files, hash, sync_dir, write_whole};
use crate::manifest::Manifest;
use crate::open;
use crate::side::SideOf;
use crate::tokens::{self, Offsets, TokenIds, TokenRecord};

impl Files {
    pub(crate) fn offsets(&self, side: SideOf) -> PathBuf {
        self.dir.join(tokens::FOLDER).join(format!("{side}_offsets.npy"))
    }

    pub(crate) fn ids(&self, side: SideOf) -> PathBuf {
        self.dir.join(tokens::FOLDER).join(format!("{side}_ids.npy"))
    }

    pub(crate) fn token_texts(&self) -> PathBuf {
        self.dir.join(tokens::FOLDER).join(tokens::TEXTS)
    }

    /// The texts that the manifest names.
    pub(crate) fn read_texts(&self, manifest: &Manifest) -> Result<Option<BTreeMap<u32, String>>> {
        let hash = manifest.token_texts.as_deref();
        hash.map(|hash| tokens::read_texts(&self.token_texts(), hash)).transpose()
    }

    /// The files beside ragged columns, with their bytes.
    pub(crate) fn token_files(&self, ids: &TokenIds) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut files = Vec::new();
        for (side, tokens) in ids.sides() {
            files.push((self.offsets(side), tokens.offsets_file()?));
            files.push((self.ids(side), tokens.ids_file()?));
        }
        files.extend(ids.texts_file()?.map(|bytes| (self.token_texts(), bytes)));
        Ok(files)
    }

    /// The offsets that the manifest names, of each side; none of a store without ragged columns.
    pub(crate) fn read_offsets(&self, manifest: &Manifest) -> Result<Offsets> {
        let records = manifest.tokens.iter().flatten();
        let of =
            |record: &TokenRecord| tokens::read_offsets(&self.offsets(record.side), record, manifest.rows);
        Ok(Offsets(records.map(of).collect::<Result<_>>()?))
    }
}

/// Writes the files of tokens again that are missing or damaged, and says so.
pub(crate) fn write_lost_tokens(files: &Files, ids: &TokenIds) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for (path, bytes) in files.token_files(ids)? {
        let sound = match open::hash(&path) {
            Err(Error::Missing { .. }) => false,
            found => found? == hash(&bytes),
        };
        open::own(&path)?;
        if !sound {
            fs_err::create_dir_all(path.parent().unwrap_or(&files.dir))?;
            write_whole(&path, &bytes)?;
            notes.push(format!("{} was missing or damaged; it is written again", path.display()));
        }
    }
    if !notes.is_empty() {
        sync_dir(&files.dir)?;
    }
    Ok(notes)
}
