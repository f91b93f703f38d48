//! One `.pth` file: a zip archive of stored entries, `data.pkl` naming tensors and `data/N` holding their elements.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::Kind;

use super::mapped::Mapped;
use super::pickle::{self, TensorInfo};
use super::{Stored, archive, kind_name};
use crate::error::{Error, Result};

/// A memory-mapped file of `torch.save`'s, its tensors described and bounds-checked, none of them read yet.
#[derive(Debug)]
pub(in crate::checkpoint) struct Pth {
    path: PathBuf,
    map: Mapped,
    tensors: HashMap<String, Arc<TensorInfo>>,
    /// The entries that hold tensors' elements.
    storages: HashMap<String, Entry>,
}

impl Pth {
    /// Reads a mapped file's description.
    pub(super) fn read(path: &Path, map: Mapped) -> Result<Self> {
        let Archive { entries, pickle, prefix } = Archive::read(path, &map)?;
        let refused = |refused: pickle::Refused| Error::Pickle {
            path: path.to_owned(),
            offset: refused.offset,
            reason: refused.reason,
        };
        let described = pickle::state_dict(&map[pickle]).map_err(refused)?;
        let storages = entries
            .into_iter()
            .filter_map(|(name, entry)| {
                Some((name.strip_prefix(&prefix)?.strip_prefix("data/")?.to_owned(), entry))
            })
            .collect();
        let pth = Self { path: path.to_owned(), map, tensors: described, storages };
        for (name, info) in &pth.tensors {
            pth.window(name, info)?;
        }
        Ok(pth)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn map(&self) -> &Mapped {
        &self.map
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(super) fn stored(&self, name: &str) -> Result<Option<Stored<'_>>> {
        let Some(info) = self.tensors.get(name) else { return Ok(None) };
        let weights = matches!(info.kind, Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double);
        Ok(Some(Stored {
            kind: Some(info.kind).filter(|_| weights),
            kind_name: kind_name(info.kind).to_owned(),
            shape: &info.shape,
            bytes: self.window(name, info)?,
            stride: Some(&info.stride),
        }))
    }

    /// The bytes of a tensor's storage and their CRC-32, where the archive has one: writers that compute none put 0 there.
    pub(super) fn sum(&self, name: &str) -> Option<(Range<usize>, u32)> {
        let entry = self.storages.get(&*self.tensors.get(name)?.storage)?;
        (entry.sum != 0).then(|| (entry.range.clone(), entry.sum))
    }

    /// The checksum of a tensor's storage does not hold.
    pub(super) fn damaged(&self, name: &str) -> Error {
        let storage = self.tensors.get(name).map_or("", |info| &info.storage);
        Error::WeightFile {
            path: self.path.clone(),
            reason: format!("tensor `{name}`: the checksum of its storage `data/{storage}` does not hold"),
            hint: DAMAGED.to_owned(),
        }
    }

    /// The bytes of the file from a tensor's first to its last element, checked against its storage.
    fn window(&self, name: &str, info: &TensorInfo) -> Result<Range<usize>> {
        let damaged = |reason: String| Error::WeightFile {
            path: self.path.clone(),
            reason: format!("tensor `{name}`: {reason}"),
            hint: "the file is damaged or was cut short; copy it again".to_owned(),
        };
        let storage =
            self.storages.get(&*info.storage).map(|entry| &entry.range).ok_or_else(|| {
                damaged(format!("its storage `data/{}` is not in the archive", info.storage))
            })?;
        if info.shape.len() != info.stride.len() {
            return Err(damaged("as many strides as sizes are needed".to_owned()));
        }
        // Last element = offset + Σ (size − 1)·stride, in elements; all terms are non-negative.
        let mut last = Some(info.offset).filter(|&o| o >= 0);
        for (&size, &stride) in info.shape.iter().zip(&info.stride) {
            last = last.and_then(|l| l.checked_add((size - 1).max(0).checked_mul(stride)?));
        }
        let empty = info.shape.contains(&0);
        let width = info.kind.elt_size_in_bytes();
        // Strides of 0 would let a small file ask for any amount of memory.
        let elements = info.shape.iter().try_fold(1i64, |n, &size| n.checked_mul(size));
        let bytes = elements.and_then(|n| usize::try_from(n).ok()?.checked_mul(width));
        if bytes.is_none_or(|b| b > storage.len()) {
            return Err(damaged(format!("its shape {:?} needs more than its storage holds", info.shape)));
        }
        let end = last.and_then(|l| usize::try_from(l).ok()?.checked_add(1)?.checked_mul(width));
        let end = end
            .filter(|&e| empty || e <= storage.len())
            .ok_or_else(|| damaged(format!("it reaches past its storage of {} bytes", storage.len())))?;
        if empty {
            return Ok(storage.start..storage.start);
        }
        Ok(storage.start + info.offset as usize * width..storage.start + end)
    }
}

/// One entry's bytes and their CRC-32.
#[derive(Debug)]
struct Entry {
    range: Range<usize>,
    sum: u32,
}

/// What an archive holds.
struct Archive {
    entries: HashMap<String, Entry>,
    /// The range of `…/data.pkl`, and the `…/`.
    pickle: Range<usize>,
    prefix: String,
}

impl Archive {
    fn read(path: &Path, map: &[u8]) -> Result<Self> {
        let refuse = |reason: String, hint: &str| Error::WeightFile {
            path: path.to_owned(),
            reason,
            hint: hint.to_owned(),
        };
        if let Some((reason, hint)) = other_format(map) {
            return Err(refuse(reason.to_owned(), hint));
        }
        let count = archive::check(map)
            .map_err(|e| refuse(format!("not a zip archive as torch.save writes it: {e}"), NO_ARCHIVE))?;
        let mut archive = zip::ZipArchive::new(Cursor::new(map))
            .map_err(|e| refuse(format!("not a zip archive as torch.save writes it ({e})"), NO_ARCHIVE))?;
        if archive.len() != count {
            return Err(refuse(
                format!("it holds {count} files, of which {} are found", archive.len()),
                DAMAGED,
            ));
        }
        let (mut entries, mut pickle) = (HashMap::new(), None);
        for index in 0..archive.len() {
            let entry =
                archive.by_index_raw(index).map_err(|e| refuse(format!("entry {index}: {e}"), DAMAGED))?;
            let name = entry.name().map_err(|e| refuse(format!("entry {index}: {e}"), DAMAGED))?.into_owned();
            if entry.compression() != zip::CompressionMethod::Stored {
                let hint = "unzip it and save it again with torch.save";
                return Err(refuse(format!("entry `{name}` is compressed"), hint));
            }
            let start = entry.data_start().and_then(|s| usize::try_from(s).ok());
            let range = start
                .and_then(|s| Some(s..s.checked_add(usize::try_from(entry.size()).ok()?)?))
                .filter(|r| r.end <= map.len())
                .ok_or_else(|| refuse(format!("entry `{name}` reaches past the end of the file"), DAMAGED))?;
            let content = &map[range.clone()];
            if name.ends_with("byteorder") && content != b"little" {
                let hint = "save it again on another machine";
                return Err(refuse("it was written on a big-endian machine".to_owned(), hint));
            }
            if let Some(prefix) = name.strip_suffix("data.pkl").filter(|p| p.is_empty() || p.ends_with('/')) {
                if !sum_holds(content, entry.crc32()) {
                    return Err(refuse(format!("the checksum of `{name}` does not hold"), DAMAGED));
                }
                if let Some((_, other)) = &pickle {
                    return Err(refuse(format!("it holds `{name}` and `{other}data.pkl`"), NO_PYTORCH));
                }
                pickle = Some((range.clone(), prefix.to_owned()));
            }
            let sum = entry.crc32();
            entries.insert(name, Entry { range, sum });
        }
        apart(&entries).map_err(|reason| refuse(reason, DAMAGED))?;
        let (pickle, prefix) = pickle.ok_or_else(|| refuse("it holds no data.pkl".to_owned(), NO_PYTORCH))?;
        Ok(Self { entries, pickle, prefix })
    }
}

/// No two entries share bytes.
fn apart(entries: &HashMap<String, Entry>) -> std::result::Result<(), String> {
    let mut ranges: Vec<_> = entries.iter().map(|(name, entry)| (&entry.range, name)).collect();
    ranges.retain(|(range, _)| !range.is_empty());
    ranges.sort_by_key(|(range, _)| range.start);
    match ranges.windows(2).find(|two| two[0].0.end > two[1].0.start) {
        Some(two) => Err(format!("entries `{}` and `{}` share bytes", two[0].1, two[1].1)),
        None => Ok(()),
    }
}

/// A format that has the same names for its files, and what to do about it.
fn other_format(map: &[u8]) -> Option<(&'static str, &'static str)> {
    // A pickle begins with its protocol; the first thing in a legacy file is a magic number as a LONG1 of 10 bytes.
    if map.starts_with(&[0x80, 0x02, 0x8a, 0x0a]) || (map.len() > 2 && map[0] == 0x80 && map[1] < 6) {
        return Some((
            "it is a bare pickle, the format of torch.save before PyTorch 1.6",
            "load it and save it again: torch.save(torch.load(path, weights_only=True), path)",
        ));
    }
    // The header of safetensors begins with its length and a brace.
    if map.get(8) == Some(&b'{') {
        return Some(("it is a safetensors file", "name it model.safetensors"));
    }
    if map.starts_with(b"GGUF") {
        return Some(("it is a GGUF file", "give the file itself as the model"));
    }
    // A tar archive says so at byte 257; torch.save wrote those before 0.1.10.
    if map.get(257..262) == Some(b"ustar") {
        return Some(("it is a tar archive", "load it and save it again with torch.save"));
    }
    None
}

/// Whether a CRC-32 is that of the bytes; 0 is what writers that compute none put there.
pub(super) fn sum_holds(bytes: &[u8], sum: u32) -> bool {
    sum == 0 || crc32fast::hash(bytes) == sum
}

const DAMAGED: &str = "the file is damaged or was cut short; copy it again";
const NO_ARCHIVE: &str =
    "the file is damaged, was cut short, or is no PyTorch file; copy it again and compare its checksum";
const NO_PYTORCH: &str = "it is a zip archive, but no PyTorch file";
