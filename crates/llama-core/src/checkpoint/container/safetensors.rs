//! A safetensors file: a header of JSON, then the tensors' bytes without a gap.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use tch::Kind;

use super::mapped::Mapped;
use super::{Stored, kind_name};
use crate::checkpoint::json;
use crate::error::{Error, Result};

/// Bytes of a header; a model of 100,000 tensors would need 15 MB.
const MAX_HEADER: u64 = 16 << 20;

/// A safetensors file, mapped and checked.
#[derive(Debug)]
pub(in crate::checkpoint) struct Safetensors {
    path: PathBuf,
    map: Mapped,
    tensors: HashMap<String, TensorEntry>,
}

#[derive(Debug)]
struct TensorEntry {
    dtype: Dtype,
    shape: Vec<i64>,
    bytes: Range<usize>,
}

impl Safetensors {
    pub(super) fn read(path: &Path, map: Mapped) -> Result<Self> {
        let refuse = |reason: String, hint: &str| Error::WeightFile {
            path: path.to_owned(),
            reason,
            hint: hint.to_owned(),
        };
        let damaged = "the file is damaged, was cut short, or is no safetensors file; copy it again";
        let length = map.first_chunk().map(|length| u64::from_le_bytes(*length));
        if let Some(length) = length.filter(|&length| length > MAX_HEADER) {
            let reason =
                format!("its header is said to have {length} bytes; up to {} MiB are read", MAX_HEADER >> 20);
            return Err(refuse(reason, damaged));
        }
        let header = length.and_then(|length| map.get(8..8 + length as usize)).unwrap_or_default();
        // The library below keeps one of two tensors of a name.
        if !header.is_empty() {
            let hint =
                "the file was not written by the safetensors library, or is damaged; save the model again";
            json::names(header).map_err(|e| refuse(format!("its header: {e}"), hint))?;
        }
        let (header, metadata) =
            SafeTensors::read_metadata(&map).map_err(|e| refuse(e.to_string(), damaged))?;
        let start = header + 8; // behind the header's length
        let entry = |info: &safetensors::tensor::TensorInfo| TensorEntry {
            dtype: info.dtype,
            shape: info.shape.iter().map(|&n| n as i64).collect(),
            bytes: start + info.data_offsets.0..start + info.data_offsets.1,
        };
        let tensors = metadata.tensors().into_iter().map(|(name, info)| (name, entry(info))).collect();
        Ok(Self { path: path.to_owned(), map, tensors })
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

    pub(super) fn stored(&self, name: &str) -> Option<Stored<'_>> {
        let TensorEntry { dtype, shape, bytes } = self.tensors.get(name)?;
        let kind = match dtype {
            Dtype::F16 => Some(Kind::Half),
            Dtype::BF16 => Some(Kind::BFloat16),
            Dtype::F32 => Some(Kind::Float),
            Dtype::F64 => Some(Kind::Double),
            _ => None,
        };
        let kind_name = kind.map_or_else(|| format!("{dtype:?}"), |kind| kind_name(kind).to_owned());
        Some(Stored { kind, kind_name, shape, bytes: bytes.clone(), stride: None })
    }
}
