//! Export in llama-ccs' layout: one file per row and side, all layers in it.

use std::collections::HashSet;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use fs_err::File;

use crate::column_reader::ColumnReader;
use crate::error::{Error, Result};
use crate::files::sync_dir;
use crate::manifest::StoreDtype;
use crate::npy;
use crate::side::{RowKind, SideOf};
use crate::store::Store;
use crate::tokens::ALL_TOKENS;

/// Temporary names tried beside the output folder.
const ATTEMPTS: u32 = 100;

/// Writes `plus/{idx}.npy` and `minus/{idx}.npy` into the new folder `out`: the residual stream under one token rule
/// (llama-ccs' own is `last`) after the embedding and after each of the L blocks, in f32. Returns the number of rows.
///
/// The folder gets its name only when it is complete.
///
/// # Shapes
/// Each file is [L + 1, D].
///
/// # Errors
/// [`Error::Export`] where `out` exists, the store has no such token rule, a layer is missing, or two rows have one
/// `idx`; [`Error::Damaged`].
pub fn export_llama_ccs(store: &Store, tokens: &str, out: impl AsRef<Path>) -> Result<usize> {
    let out = out.as_ref();
    let refuse = |what: String| Error::Export { dir: out.to_owned(), what };
    if fs_err::exists(out)? {
        return Err(refuse("it exists".to_owned()));
    }
    if store.manifest().kind != RowKind::Pairs {
        return Err(refuse(
            "the store is of single statements, and the layout is of pairs, plus and minus".to_owned(),
        ));
    }
    if tokens == ALL_TOKENS {
        return Err(refuse(
            "the states are of all tokens, and the layout has one for each prompt".to_owned(),
        ));
    }
    let layers = residual_stream(store, tokens).map_err(refuse)?;
    let dim = layers.first().map_or(0, ColumnReader::row_len);
    let idx: Vec<u64> = store.rows()?.iter().map(|row| row.idx).collect();
    let mut seen = HashSet::new();
    if let Some(twice) = idx.iter().find(|idx| !seen.insert(**idx)) {
        return Err(refuse(format!("idx {twice} is there twice, and files are named by it")));
    }

    let partial = temporary_beside(out)?;
    let written = write_files(&partial, store, &layers, dim, &idx)
        .and_then(|()| Ok(fs_err::rename(&partial, out)?))
        .and_then(|()| sync_dir(&out.join("..")));
    if written.is_err() {
        // This call made the folder. The first error is the one to report.
        let _ = fs_err::remove_dir_all(&partial);
    }
    written.map(|()| idx.len())
}

/// A new empty folder beside `out`, under a name that was free.
fn temporary_beside(out: &Path) -> Result<PathBuf> {
    if let Some(parent) = out.parent() {
        fs_err::create_dir_all(parent)?;
    }
    for attempt in 0..ATTEMPTS {
        let folder = out.with_added_extension(format!("partial-{}-{attempt}", std::process::id()));
        match fs_err::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(Error::Export { dir: out.to_owned(), what: format!("{ATTEMPTS} unfinished exports lie beside it") })
}

/// Writes every row's two files into `partial`, durably.
///
/// A batch of the store at a time: a batch is what is checked, so that each value is read once.
fn write_files(
    partial: &Path,
    store: &Store,
    layers: &[ColumnReader],
    dim: usize,
    idx: &[u64],
) -> Result<()> {
    let header = npy::header(StoreDtype::F32, layers.len(), &[dim])?;
    for side in SideOf::PAIR {
        let folder = partial.join(side.name());
        fs_err::create_dir(&folder)?;
        for (batch, rows) in store.manifest().batches.iter().enumerate() {
            let states: Vec<Vec<f32>> =
                layers.iter().map(|layer| layer.read_batch(side, batch)).collect::<Result<_>>()?;
            for (i, name) in rows.iter().map(|&row| idx[row]).enumerate() {
                let mut file = File::create_new(folder.join(format!("{name}.npy")))?;
                let rows = states.iter().filter_map(|layer| layer.get(i * dim..(i + 1) * dim));
                let values: Vec<f32> = rows.flatten().copied().collect();
                file.write_all(&[&header, bytemuck::cast_slice(&values)].concat())?;
                file.sync_all()?;
            }
        }
        sync_dir(&folder)?;
    }
    sync_dir(partial)
}

/// The readers of layers 0 to L, under one token rule.
fn residual_stream(store: &Store, tokens: &str) -> std::result::Result<Vec<ColumnReader>, String> {
    let layers = store.layers(tokens);
    if layers.is_empty() {
        let rules = match store.manifest().token_rules().join(", ") {
            none if none.is_empty() => "no states at all".to_owned(),
            rules => format!("states under the token rules {rules}"),
        };
        return Err(format!(
            "the store has no residual stream under the token rule `{tokens}`; it has {rules}"
        ));
    }
    for (expected, (layer, column)) in layers.iter().enumerate() {
        if *layer != expected {
            return Err(format!("layer {expected} is not in the store"));
        }
        if column.shape.len() != 1 || column.shape != layers[0].1.shape {
            return Err(format!("{} has shape {:?}", column.name(), column.shape));
        }
    }
    layers.iter().map(|(_, column)| store.column(&column.name()).map_err(|e| e.to_string())).collect()
}
