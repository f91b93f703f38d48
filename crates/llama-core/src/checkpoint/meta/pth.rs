//! One `.pth` file: a zip archive of stored entries, `data.pkl` naming tensors and `data/N` holding their elements.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use tch::{Kind, Tensor};

use super::super::mapped::{self, Elements};
use super::super::weight::Order;
use super::pickle::{self, TensorInfo};
use crate::error::{Error, Result};

/// A memory-mapped `.pth` file, its tensors described and bounds-checked, none of them read yet.
#[derive(Debug)]
pub(crate) struct Pth {
    path: PathBuf,
    map: Mmap,
    tensors: HashMap<String, Arc<TensorInfo>>,
    /// The entries that hold tensors' elements.
    storages: HashMap<String, Entry>,
    /// What tells this file from another without reading it all.
    fingerprint: blake3::Hash,
}

impl Pth {
    /// Maps `path` and reads its description.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let map = mapped::map(path)?;
        let Archive { entries, pickle, prefix, fingerprint } = Archive::read(path, &map)?;
        let described = pickle::state_dict(&map[pickle]).map_err(|refused| Error::Pickle {
            path: path.to_owned(),
            offset: refused.offset,
            reason: refused.reason,
        })?;
        let storages = entries
            .into_iter()
            .filter_map(|(name, entry)| {
                Some((name.strip_prefix(&prefix)?.strip_prefix("data/")?.to_owned(), entry))
            })
            .collect();
        let pth = Self {
            path: path.to_owned(),
            map,
            tensors: described.into_iter().collect(),
            storages,
            fingerprint,
        };
        for (name, info) in &pth.tensors {
            pth.window(name, info)?;
        }
        Ok(pth)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What tells this file from another without reading it all: its entries' names, sizes and checksums, its
    /// description of tensors, and samples of every storage (not every writer fills in checksums).
    pub(crate) fn fingerprint(&self) -> &blake3::Hash {
        &self.fingerprint
    }

    /// The tensors' names, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor's shape.
    pub(crate) fn shape(&self, name: &str) -> Result<&[i64]> {
        Ok(&self.info(name)?.shape)
    }

    /// A tensor's element type.
    pub(crate) fn kind(&self, name: &str) -> Result<Kind> {
        Ok(self.info(name)?.kind)
    }

    /// Copies a tensor from the mapping to where it belongs, after comparing its checksum.
    ///
    /// # Shapes
    /// `into` the tensor's own; it may be a view.
    pub(crate) fn copy(&self, name: &str, into: &Tensor, order: Order) -> Result<()> {
        let info = self.info(name)?;
        if !matches!(info.kind, Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double) {
            return Err(Error::WeightFile {
                path: self.path.clone(),
                reason: format!(
                    "tensor `{name}` holds {:?}, and weights are floating-point numbers",
                    info.kind
                ),
                hint: "the file belongs to another kind of model".to_owned(),
            });
        }
        let bytes = self.window(name, info)?;
        self.check_sum(name, info)?;
        let (path, map) = (self.path.as_path(), &self.map);
        let stride = Some(info.stride.as_slice());
        Elements { path, name, map, bytes, kind: info.kind, shape: &info.shape, stride }.copy(into, order)
    }

    /// Compares the checksum of a tensor's storage.
    fn check_sum(&self, name: &str, info: &TensorInfo) -> Result<()> {
        let Some(entry) = self.storages.get(&*info.storage) else { return Ok(()) };
        if sum_holds(&self.map[entry.range.clone()], entry.sum) {
            return Ok(());
        }
        Err(Error::WeightFile {
            path: self.path.clone(),
            reason: format!(
                "tensor `{name}`: the checksum of its storage `data/{}` does not hold",
                info.storage
            ),
            hint: DAMAGED.to_owned(),
        })
    }

    fn info(&self, name: &str) -> Result<&Arc<TensorInfo>> {
        self.tensors
            .get(name)
            .ok_or_else(|| Error::MissingTensor { path: self.path.clone(), name: name.to_owned() })
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
    fingerprint: blake3::Hash,
}

impl Archive {
    fn read(path: &Path, map: &[u8]) -> Result<Self> {
        let refuse = |reason: String, hint: &str| Error::WeightFile {
            path: path.to_owned(),
            reason,
            hint: hint.to_owned(),
        };
        let mut archive = zip::ZipArchive::new(Cursor::new(map)).map_err(|e| {
            let old = map.starts_with(&[0x80, 0x02]);
            let hint = if old {
                "it is in the format from before PyTorch 1.6; load and save it again with torch.save"
            } else {
                "the file is damaged, was cut short, or is no PyTorch file; copy it again and compare its checksum"
            };
            refuse(format!("not a zip archive as torch.save writes it ({e})"), hint)
        })?;
        let (mut entries, mut pickle, mut fingerprint) = (HashMap::new(), None, blake3::Hasher::new());
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
            fingerprint
                .update(name.as_bytes())
                .update(&entry.size().to_le_bytes())
                .update(&entry.crc32().to_le_bytes());
            mapped::sample(&mut fingerprint, content);
            if let Some(prefix) = name.strip_suffix("data.pkl").filter(|p| p.is_empty() || p.ends_with('/')) {
                if !sum_holds(content, entry.crc32()) {
                    return Err(refuse(format!("the checksum of `{name}` does not hold"), DAMAGED));
                }
                fingerprint.update(content);
                pickle = Some((range.clone(), prefix.to_owned()));
            }
            let sum = entry.crc32();
            entries.insert(name, Entry { range, sum });
        }
        let hint = "it is a zip archive, but no PyTorch file";
        let (pickle, prefix) = pickle.ok_or_else(|| refuse("it holds no data.pkl".to_owned(), hint))?;
        Ok(Self { entries, pickle, prefix, fingerprint: fingerprint.finalize() })
    }
}

/// Whether a CRC-32 is that of the bytes; 0 is what writers that compute none put there.
fn sum_holds(bytes: &[u8], sum: u32) -> bool {
    sum == 0 || crc32fast::hash(bytes) == sum
}

const DAMAGED: &str = "the file is damaged or was cut short; copy it again";
