//! Files of named tensors, mapped and described, none of them read yet: safetensors, and what `torch.save` writes.

use std::path::Path;

use tch::{Kind, Tensor};

use super::elements::{self, Elements, Format, Found};
use super::part::Part;
use super::weight::Order;
use crate::error::{Error, Result};

mod archive;
pub(super) mod mapped;
mod pickle;
mod pth;
mod safetensors;

use self::safetensors::Safetensors;
use mapped::Mapped;
use pth::Pth;

/// A file of named tensors.
#[derive(Debug)]
pub(super) enum TensorFile {
    /// safetensors.
    Safetensors(Safetensors),
    /// `torch.save`'s zip archive.
    Torch(Pth),
}

impl TensorFile {
    /// Opens a file and checks its description of tensors; which of the two it is, its first bytes say.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let map = mapped::map(path)?;
        let torch =
            map.starts_with(b"PK\x03\x04") || path.extension().is_some_and(|e| e == "pth" || e == "bin");
        Ok(if torch {
            Self::Torch(Pth::read(path, map)?)
        } else {
            Self::Safetensors(Safetensors::read(path, map)?)
        })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Safetensors(file) => file.path(),
            Self::Torch(file) => file.path(),
        }
    }

    /// The file's bytes.
    pub(super) fn map(&self) -> &Mapped {
        match self {
            Self::Safetensors(file) => file.map(),
            Self::Torch(file) => file.map(),
        }
    }

    /// The tensors' names, sorted.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = match self {
            Self::Safetensors(file) => file.names().collect(),
            Self::Torch(file) => file.names().collect(),
        };
        names.sort_unstable();
        names
    }

    /// A tensor's place in the file.
    ///
    /// # Errors
    /// No tensor of this name.
    pub(super) fn stored(&self, name: &str) -> Result<Stored<'_>> {
        let stored = match self {
            Self::Safetensors(file) => file.stored(name),
            Self::Torch(file) => file.stored(name)?,
        };
        stored.ok_or_else(|| Error::MissingTensor { path: self.path().to_owned(), name: name.to_owned() })
    }

    /// A tensor's element type.
    ///
    /// # Errors
    /// No tensor of this name, or one of a type that weights are not read in.
    pub(super) fn kind(&self, name: &str) -> Result<Kind> {
        let stored = self.stored(name)?;
        stored.kind.ok_or_else(|| Error::WeightFile {
            path: self.path().to_owned(),
            reason: format!("tensor `{name}` is of type {}", stored.kind_name),
            hint: "weights of type f16, bf16, f32 and f64 are read; take the model's own files, or convert it with \
                   transformers"
                .to_owned(),
        })
    }

    /// Copies a tensor, or a part of it, from the mapping to where it belongs, and compares its checksum where the file has
    /// one.
    ///
    /// # Shapes
    /// `into` the tensor's own, or its part's; it may be a view.
    ///
    /// # Errors
    /// Another checksum; elements that are not finite.
    pub(super) fn copy(&self, name: &str, part: Option<Part>, into: &Tensor, order: Order) -> Result<()> {
        let (kind, stored) = (self.kind(name)?, self.stored(name)?);
        let Stored { bytes, shape, stride, .. } = stored;
        let (path, map, format) = (self.path(), self.map(), Format::Plain(kind));
        let elements = |sum| Elements {
            path,
            name,
            map,
            bytes: bytes.clone(),
            format,
            shape,
            stride,
            columns: None,
            sum,
        };
        match (part, stride, self) {
            (None, ..) => {}
            // That part is all that is read.
            (Some(part), None, Self::Safetensors(_)) => {
                return elements(None).part(part, |own| own.copy(into, order)).map(drop);
            }
            // A part of what torch.save wrote: all of it is read, for its checksum.
            (Some(Part { axis, from, count }), ..) => {
                let whole = Tensor::f_empty(shape, (into.f_kind()?, tch::Device::Cpu))?;
                self.copy(name, None, &whole, order)?;
                into.f_alias()?.f_copy_(&whole.f_narrow(axis as i64, from, count)?)?;
                return Ok(());
            }
        }
        let mut sum = None;
        if let Self::Torch(file) = self
            && let Some((storage, expected)) = file.sum(name)
        {
            if storage == bytes {
                sum = Some(expected);
            } else if !pth::sum_holds(&file.map()[storage], expected) {
                return Err(file.damaged(name));
            }
        }
        match (elements(sum).copy(into, order)?, self) {
            (Found::Damaged, Self::Torch(file)) => Err(file.damaged(name)),
            _ => Ok(()),
        }
    }

    /// What every tensor of the file is hashed by; `rank` tells model-parallel parts of one name apart.
    ///
    /// # Errors
    /// None after the file was opened.
    pub(super) fn hashed(&self, rank: Option<usize>) -> Result<Vec<super::identity::Hashed<'_>>> {
        let own = |name: &str| {
            let Stored { kind_name, shape, bytes, stride, .. } = self.stored(name)?;
            let stride = stride.filter(|stride| **stride != *elements::contiguous(shape));
            Ok(super::identity::Hashed {
                name: rank.map_or_else(|| name.to_owned(), |rank| format!("{name}#{rank}")),
                kind: stride.map_or(kind_name.clone(), |stride| format!("{kind_name} {stride:?}")),
                shape: shape.to_vec(),
                path: self.path(),
                map: self.map(),
                bytes,
            })
        };
        self.names().into_iter().map(own).collect()
    }
}

/// Where a file holds a tensor.
pub(super) struct Stored<'f> {
    /// LibTorch's name of the element type; `None` for one that weights are not read in.
    pub(super) kind: Option<Kind>,
    /// The type as people write it: `bf16`, `F8_E4M3`.
    pub(super) kind_name: String,
    pub(super) shape: &'f [i64],
    pub(super) bytes: std::ops::Range<usize>,
    /// In elements; `None` if they lie one after the other.
    pub(super) stride: Option<&'f [i64]>,
}

/// A type as people write it.
fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Half => "f16",
        Kind::BFloat16 => "bf16",
        Kind::Float => "f32",
        Kind::Double => "f64",
        Kind::Int64 => "i64",
        Kind::Int => "i32",
        Kind::Int16 => "i16",
        Kind::Int8 => "i8",
        Kind::Uint8 => "u8",
        Kind::Bool => "bool",
        _ => "another type",
    }
}
