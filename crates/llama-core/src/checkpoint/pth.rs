//! One `.pth` file: a zip archive of stored entries, `data.pkl` naming tensors and `data/N` holding their elements.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use memmap2::Mmap;
use tch::{Kind, Tensor};

use super::pickle::{self, TensorInfo};
use crate::error::{Error, Result};

/// A memory-mapped `.pth` file, its tensors described and bounds-checked, none of them read yet.
#[derive(Debug)]
pub(crate) struct Pth {
    path: PathBuf,
    map: Mmap,
    tensors: HashMap<String, Rc<TensorInfo>>,
    /// Byte ranges of the storages in the file.
    storages: HashMap<String, Range<usize>>,
    /// Where the description of the tensors lies: what identifies the file without reading its weights.
    pickle: Range<usize>,
}

impl Pth {
    /// Maps `path` and reads its description.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = fs_err::File::open(path)?;
        #[allow(unsafe_code)]
        // SAFETY: a read-only mapping. A file that is changed while it is mapped gives wrong numbers, as it would
        // when read; one that is cut short ends the process, as documented on `Checkpoint::open`.
        let map = unsafe { Mmap::map(file.file()) }?;
        let (entries, pickle_name) = entries(path, &map)?;
        let pickle = entries[&pickle_name].clone();
        let prefix = pickle_name.trim_end_matches("data.pkl").to_owned();
        let described = pickle::state_dict(&map[pickle.clone()]).map_err(|refused| Error::Pickle {
            path: path.to_owned(),
            offset: refused.offset,
            reason: refused.reason,
        })?;
        let storages = entries
            .into_iter()
            .filter_map(|(name, range)| {
                Some((name.strip_prefix(&prefix)?.strip_prefix("data/")?.to_owned(), range))
            })
            .collect();
        let pth =
            Self { path: path.to_owned(), map, tensors: described.into_iter().collect(), storages, pickle };
        for (name, info) in &pth.tensors {
            pth.window(name, info)?;
        }
        Ok(pth)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the file in bytes.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// The bytes that describe the tensors.
    pub(crate) fn header(&self) -> &[u8] {
        &self.map[self.pickle.clone()]
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

    /// Copies a tensor out of the mapping, in the type it is stored in.
    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor> {
        let info = self.info(name)?;
        let bytes = self.window(name, info)?;
        let count = bytes.len() / info.kind.elt_size_in_bytes();
        let flat = Tensor::f_from_data_size(&self.map[bytes], &[count as i64], info.kind)?;
        Ok(flat.f_as_strided(&info.shape, &info.stride, 0)?.f_contiguous()?)
    }

    fn info(&self, name: &str) -> Result<&Rc<TensorInfo>> {
        self.tensors
            .get(name)
            .ok_or_else(|| Error::MissingTensor { path: self.path.clone(), name: name.to_owned() })
    }

    /// The bytes of the file from a tensor's first to its last element, checked against its storage.
    fn window(&self, name: &str, info: &TensorInfo) -> Result<Range<usize>> {
        let damaged = |reason: String| Error::Archive {
            path: self.path.clone(),
            reason: format!("tensor `{name}`: {reason}"),
            hint: "the file is damaged or was cut short; copy it again".to_owned(),
        };
        let storage = self
            .storages
            .get(&*info.storage)
            .ok_or_else(|| damaged(format!("its storage `data/{}` is not in the archive", info.storage)))?;
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

/// The byte range of every entry, and the name of the one that is `…/data.pkl`.
fn entries(path: &Path, map: &[u8]) -> Result<(HashMap<String, Range<usize>>, String)> {
    let refuse =
        |reason: String, hint: &str| Error::Archive { path: path.to_owned(), reason, hint: hint.to_owned() };
    let mut archive = zip::ZipArchive::new(Cursor::new(map)).map_err(|e| {
        let old = map.starts_with(&[0x80, 0x02]);
        let hint = if old {
            "it is in the format from before PyTorch 1.6; load and save it again with torch.save"
        } else {
            "the file is damaged, was cut short, or is no PyTorch file; copy it again and compare its checksum"
        };
        refuse(format!("not a zip archive as torch.save writes it ({e})"), hint)
    })?;
    let mut entries = HashMap::new();
    let mut pickle = None;
    for index in 0..archive.len() {
        let entry =
            archive.by_index_raw(index).map_err(|e| refuse(format!("entry {index}: {e}"), DAMAGED))?;
        let name = entry.name().map_err(|e| refuse(format!("entry {index}: {e}"), DAMAGED))?.into_owned();
        if entry.compression() != zip::CompressionMethod::Stored {
            return Err(refuse(
                format!("entry `{name}` is compressed"),
                "unzip it and save it again with torch.save",
            ));
        }
        let start = entry.data_start().and_then(|s| usize::try_from(s).ok());
        let range = start
            .and_then(|s| Some(s..s.checked_add(usize::try_from(entry.size()).ok()?)?))
            .filter(|r| r.end <= map.len())
            .ok_or_else(|| refuse(format!("entry `{name}` reaches past the end of the file"), DAMAGED))?;
        if name.ends_with("byteorder") && map[range.clone()] != *b"little" {
            return Err(refuse(
                "it was written on a big-endian machine".to_owned(),
                "save it again on another machine",
            ));
        }
        if name == "data.pkl" || name.ends_with("/data.pkl") {
            pickle = Some(name.clone());
        }
        entries.insert(name, range);
    }
    let pickle = pickle.ok_or_else(|| {
        refuse("it holds no data.pkl".to_owned(), "it is a zip archive, but no PyTorch file")
    })?;
    Ok((entries, pickle))
}

const DAMAGED: &str = "the file is damaged or was cut short; copy it again";
