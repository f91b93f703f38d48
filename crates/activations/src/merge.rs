//! Stores of parts of one plan, put together: the bytes of the store that one run would have written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::batch_states::{BatchStates, ColumnStates};
use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::mapped::Mapped;
use crate::provenance::{Part, Provenance};
use crate::rows::Row;
use crate::side::SideOf;
use crate::store::Store;
use crate::tokens::TokenIds;
use crate::verify::verify;
use crate::writer::{Pace, StoreWriter};

/// Writes the store of a whole plan from those of its parts ([`Provenance::part`]), in any order, or continues what an
/// earlier call began. Every part is [verified](crate::verify()) first. `progress` hears how many of how many rows are
/// written.
///
/// # Errors
/// [`Error::Parts`] where the stores are not all the parts of one plan, each once; what [`Store::open`] says of one that is
/// not finished, and [`StoreWriter::open`] of the folder.
pub fn merge<P: AsRef<Path>>(
    parts: &[P],
    out: impl AsRef<Path>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Store> {
    let parts = parts.iter().map(|dir| PartStore::open(dir.as_ref())).collect::<Result<Vec<_>>>()?;
    let Whole { manifest, rows, ids, places } = whole(&parts)?;
    let mut writer = StoreWriter::open_with(out, manifest, &rows, ids.as_ref(), Pace::default())?;
    let maps = parts.iter().map(PartStore::map).collect::<Result<Vec<_>>>()?;
    let missing = writer.remaining().to_vec();
    let total = rows.len();
    let left = missing.iter().map(|&batch| writer.manifest().batches[batch].len()).sum::<usize>();
    let mut done = total - left;
    for batch in missing {
        progress(done, total);
        let (part, own) = places[batch];
        let batch_rows = &parts[part].store.manifest().batches[own];
        done += batch_rows.len();
        writer.commit(batch, maps[part].states(batch_rows)?)?;
    }
    progress(done, total);
    writer.finish()
}

/// A finished store that says which part it is.
struct PartStore {
    dir: PathBuf,
    store: Store,
    part: Part,
}

/// What the store of the whole plan has.
struct Whole {
    manifest: Manifest,
    rows: Vec<Row>,
    ids: Option<TokenIds>,
    /// For every batch the part that has it, and its number there.
    places: Vec<(usize, usize)>,
}

impl PartStore {
    fn open(dir: &Path) -> Result<Self> {
        let store = Store::open(dir)?;
        let part = store.provenance().part.ok_or_else(|| wrong(dir, "it does not say which part it is"))?;
        let manifest = store.manifest();
        if part.rows.len() != manifest.rows || part.batches.len() != manifest.batches.len() {
            return Err(wrong(dir, "its manifest does not fit its `part`"));
        }
        let sound = verify(dir)?;
        if !sound.is_sound() {
            return Err(wrong(
                dir,
                "it is damaged: run the extraction again, which computes what is damaged",
            ));
        }
        Ok(Self { dir: dir.to_owned(), store, part })
    }

    /// What must be equal in all parts.
    fn common(&self) -> Manifest {
        let mut manifest = self.store.manifest().clone();
        let provenance = Provenance { part: None, ..manifest.provenance() };
        manifest.settings = provenance.into();
        manifest.batches = Vec::new();
        manifest.rows = 0;
        manifest.tokens = None;
        // Of the ids of its own rows.
        manifest.token_texts = manifest.token_texts.map(|_| String::new());
        manifest
    }

    fn map(&self) -> Result<Maps> {
        let manifest = self.store.manifest();
        let sides = manifest.kind.sides();
        let columns = manifest.columns.iter().map(|column| {
            let of_side = |&side: &SideOf| {
                if column.is_ragged() {
                    let reader = self.store.token_column(&column.name())?;
                    Ok((side, reader.map(side)?, reader.offsets(side)?))
                } else {
                    let reader = self.store.column(&column.name())?;
                    let len = reader.row_len();
                    Ok((side, reader.map(side)?, (0..=manifest.rows).map(|row| row * len).collect()))
                }
            };
            sides.iter().map(of_side).collect::<Result<Vec<_>>>()
        });
        let mut columns = columns.collect::<Result<Vec<_>>>()?;
        for (column, own) in manifest.columns.iter().zip(&mut columns).filter(|(c, _)| c.is_ragged()) {
            let len = column.row_len();
            own.iter_mut().flat_map(|(.., starts)| starts).for_each(|start| *start *= len);
        }
        Ok(Maps { kind: manifest.kind, columns })
    }

    /// The ids of its rows' tokens, row after row, each side of a row after the other.
    fn ids(&self) -> Result<Option<Vec<Vec<Vec<u32>>>>> {
        let manifest = self.store.manifest();
        let Some(column) = manifest.columns.iter().find(|column| column.is_ragged()) else { return Ok(None) };
        let reader = self.store.token_column(&column.name())?;
        let mut rows = vec![Vec::new(); manifest.rows];
        for &side in manifest.kind.sides() {
            let (offsets, ids) = (reader.offsets(side)?, reader.ids(side)?);
            for (row, bounds) in rows.iter_mut().zip(offsets.windows(2)) {
                row.push(ids.get(bounds[0]..bounds[1]).unwrap_or_default().to_vec());
            }
        }
        Ok(Some(rows))
    }
}

/// A part's arrays: of every column each side, and where each row's numbers begin in it.
struct Maps {
    kind: crate::RowKind,
    columns: Vec<Vec<(SideOf, Mapped, Vec<usize>)>>,
}

impl Maps {
    /// The states of some rows.
    fn states(&self, rows: &[usize]) -> Result<BatchStates> {
        let column = |sides: &Vec<(SideOf, Mapped, Vec<usize>)>| {
            ColumnStates::try_each(self.kind, |side| {
                let mut states = Vec::new();
                for (_, array, starts) in sides.iter().filter(|(own, ..)| *own == side) {
                    for &row in rows {
                        let range = starts[row]..starts[row + 1];
                        if let Some(numbers) = array.as_f32() {
                            states.extend_from_slice(&numbers[range]);
                        } else if let Some(numbers) = array.as_f16() {
                            states.extend(numbers[range].iter().map(|number| number.to_f32()));
                        }
                    }
                }
                Ok::<_, Error>(states)
            })
        };
        Ok(BatchStates { columns: self.columns.iter().map(column).collect::<Result<_>>()? })
    }
}

/// The plan that all the parts are of.
fn whole(parts: &[PartStore]) -> Result<Whole> {
    let Some(first) = parts.first() else {
        return Err(Error::Parts { dir: PathBuf::new(), what: "there are none".to_owned() });
    };
    check_alike(first, parts)?;
    let total = |of: fn(&Part) -> usize| parts.iter().map(|part| of(&part.part)).sum();
    let mut batches: Vec<Option<Vec<usize>>> = vec![None; total(|part| part.batches.len())];
    let mut places = vec![(0, 0); batches.len()];
    let mut rows: Vec<Option<Row>> = vec![None; total(|part| part.rows.len())];
    let mut ids: Vec<Option<Vec<Vec<u32>>>> = vec![None; rows.len()];
    let mut texts = Some(BTreeMap::new());
    for (number, PartStore { dir, store, part }) in parts.iter().enumerate() {
        let twice = |what: &str| wrong(dir, &format!("its {what} are not those of a part of one plan"));
        for (own, (&batch, own_rows)) in part.batches.iter().zip(&store.manifest().batches).enumerate() {
            let numbers = own_rows.iter().map(|&row| part.rows.get(row).copied()).collect::<Option<_>>();
            let place = batches.get_mut(batch).filter(|place| place.is_none());
            *place.ok_or_else(|| twice("batches"))? = Some(numbers.ok_or_else(|| twice("rows"))?);
            places[batch] = (number, own);
        }
        for (&row, own) in part.rows.iter().zip(store.rows()?) {
            *rows.get_mut(row).filter(|place| place.is_none()).ok_or_else(|| twice("rows"))? = Some(own);
        }
        for (&row, own) in part.rows.iter().zip(parts[number].ids()?.into_iter().flatten()) {
            ids[row] = Some(own);
        }
        match (store.token_texts()?, &mut texts) {
            (Some(own), Some(texts)) => texts.extend(own),
            _ => texts = None,
        }
    }
    let missing = || wrong(&first.dir, "with the others, it does not make up a whole plan");
    let rows = rows.into_iter().collect::<Option<Vec<_>>>().ok_or_else(missing)?;
    let common = first.common();
    let batches = batches.into_iter().collect::<Option<Vec<_>>>().ok_or_else(missing)?;
    let mut manifest = Manifest::new(common.dtype, common.columns, batches, common.settings).of(common.kind);
    let ids = match ids.into_iter().collect::<Option<Vec<_>>>() {
        Some(rows) if !rows.is_empty() && manifest.is_ragged() => {
            let mut all = TokenIds::new(manifest.kind);
            for row in &rows {
                all.push(&row.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
            }
            Some(match &texts {
                Some(texts) => all.with_texts(|id| texts.get(&id).map_or("", String::as_str)),
                None => all,
            })
        }
        _ => None,
    };
    if let Some(ids) = &ids {
        manifest = manifest.with_tokens(ids)?;
    }
    Ok(Whole { manifest, rows, ids, places })
}

/// All parts of one plan, each once, made in the same way.
fn check_alike(first: &PartStore, parts: &[PartStore]) -> Result<()> {
    let of = first.part.of;
    for (number, PartStore { dir, part, .. }) in parts.iter().enumerate() {
        let differences = first.common().differences(&parts[number].common())?;
        if part.of != of || !differences.is_empty() {
            let what = format!("it differs from {}:\n{differences}", first.dir.display());
            return Err(wrong(dir, &what));
        }
        if let Some(same) = parts[..number].iter().find(|other| other.part.number == part.number) {
            return Err(wrong(dir, &format!("it is part {} as {} is", part.number, same.dir.display())));
        }
    }
    let absent: Vec<String> = (1..=of)
        .filter(|number| parts.iter().all(|part| part.part.number != *number))
        .map(|number| number.to_string())
        .collect();
    if absent.is_empty() {
        return Ok(());
    }
    Err(wrong(&first.dir, &format!("of its {of} parts, {} were not given", absent.join(", "))))
}

fn wrong(dir: &Path, what: &str) -> Error {
    Error::Parts { dir: dir.to_owned(), what: what.to_owned() }
}
