//! The tensors that edits use: held as bytes, so that edits are data, and referred to in files by name and hash.

use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// A tensor that an edit uses: numbers in memory, or in a file a reference to them.
///
/// As JSON: `{"file": "steer.safetensors", "tensor": "truth"}`, the path relative to the file that says so; `dtype`,
/// `shape` and `blake3`, the hash of the tensor's bytes, are checked where they are given and always written.
///
/// Two are equal if their numbers are, wherever they are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Values {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tensor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dtype: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shape: Option<Vec<i64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
    #[serde(skip)]
    bytes: Option<Arc<[u8]>>,
}

/// The types of numbers that edits take, under safetensors' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Number {
    F64,
    F32,
    F16,
    BF16,
}

impl Number {
    const ALL: [(Self, Kind, Dtype); 4] = [
        (Self::F64, Kind::Double, Dtype::F64),
        (Self::F32, Kind::Float, Dtype::F32),
        (Self::F16, Kind::Half, Dtype::F16),
        (Self::BF16, Kind::BFloat16, Dtype::BF16),
    ];

    fn row(self) -> (Self, Kind, Dtype) {
        Self::ALL.into_iter().find(|(number, ..)| *number == self).unwrap_or(Self::ALL[0])
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        let content = |v: &Self| (v.dtype, v.shape.clone(), v.blake3.clone());
        let same_place = || (&self.file, &self.tensor) == (&other.file, &other.tensor);
        content(self) == content(other) && (self.blake3.is_some() || same_place())
    }
}

impl Values {
    /// The numbers of a tensor, copied.
    ///
    /// # Errors
    /// A type other than f64, f32, f16 and bf16; what LibTorch refuses.
    pub fn new(tensor: &Tensor) -> Result<Self> {
        let kind = tensor.f_kind()?;
        let Some((number, ..)) = Number::ALL.into_iter().find(|(_, k, _)| *k == kind) else {
            return Err(Error::EditKind { kind });
        };
        let tensor = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?;
        let mut bytes = vec![0u8; tensor.numel() * kind.elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut bytes, tensor.numel())?;
        Ok(Self {
            file: None,
            tensor: None,
            dtype: Some(number),
            shape: Some(tensor.size()),
            blake3: Some(hash(&bytes)),
            bytes: Some(bytes.into()),
        })
    }

    /// The shape, if the numbers are here or the reference states it.
    pub fn shape(&self) -> Option<&[i64]> {
        self.shape.as_deref()
    }

    /// The hash of the numbers' bytes, if they are here or the reference states it.
    pub fn blake3(&self) -> Option<&str> {
        self.blake3.as_deref()
    }

    /// The tensor in its own type; `None` if this is a reference that has not been read.
    ///
    /// # Errors
    /// What LibTorch refuses.
    pub fn tensor(&self, device: Device) -> Result<Option<Tensor>> {
        let (Some(bytes), Some(shape), Some(dtype)) = (&self.bytes, &self.shape, self.dtype) else {
            return Ok(None);
        };
        Ok(Some(Tensor::f_from_data_size(bytes, shape, dtype.row().1)?.f_to_device(device)?))
    }

    /// Whether the numbers are here.
    pub(super) fn is_read(&self) -> bool {
        self.bytes.is_some()
    }

    /// The same without where it is kept.
    pub(super) fn nowhere(&self) -> Self {
        Self { file: None, tensor: None, ..self.clone() }
    }

    /// The same, kept in `file` as `tensor`.
    pub(super) fn kept(&self, file: &str, tensor: &str) -> Self {
        Self { file: Some(file.to_owned()), tensor: Some(tensor.to_owned()), ..self.clone() }
    }

    /// The numbers as safetensors writes them; `None` if they are not here.
    pub(super) fn view(&self) -> Option<Result<TensorView<'_>, safetensors::SafeTensorError>> {
        let shape = self.shape.as_ref()?.iter().map(|&n| n as usize).collect();
        Some(TensorView::new(self.dtype?.row().2, shape, self.bytes.as_ref()?))
    }

    /// Reads the numbers, from a file relative to `folder`, unless they are here.
    pub(super) fn read(&mut self, folder: &Path) -> Result<()> {
        if self.is_read() {
            return Ok(());
        }
        let (Some(file), Some(name)) = (&self.file, &self.tensor) else {
            let reason = "a tensor without `file` and `tensor`".to_owned();
            let hint = "say where it is: {\"file\": \"steer.safetensors\", \"tensor\": \"truth\"}";
            return Err(Error::EditFile { path: folder.to_owned(), reason, hint });
        };
        let path = folder.join(file);
        let data = host::files::read(&path, LARGEST)?;
        let refuse = |reason: String, hint| Error::EditFile { path: path.clone(), reason, hint };
        let not_it = "edits refer to tensors in safetensors files";
        let tensors = SafeTensors::deserialize(&data)
            .map_err(|e| refuse(format!("not a safetensors file ({e})"), not_it))?;
        let Ok(view) = tensors.tensor(name) else {
            let mut names = tensors.names();
            names.sort_unstable();
            let names = names.join(", ");
            return Err(refuse(format!("no tensor `{name}`; there are: {names}"), "give one of these names"));
        };
        let Some((number, ..)) = Number::ALL.into_iter().find(|(.., d)| *d == view.dtype()) else {
            let reason = format!("tensor `{name}` is {:?}", view.dtype());
            return Err(refuse(reason, "edits take F64, F32, F16 and BF16"));
        };
        let found = Self {
            dtype: Some(number),
            shape: Some(view.shape().iter().map(|&n| n as i64).collect()),
            blake3: Some(hash(view.data())),
            bytes: Some(view.data().into()),
            ..self.clone()
        };
        for (what, differs) in [
            ("dtype", self.dtype.is_some() && self.dtype != found.dtype),
            ("shape", self.shape.is_some() && self.shape != found.shape),
            ("blake3", self.blake3.is_some() && self.blake3 != found.blake3),
        ] {
            if differs {
                let hint = "the file was changed after the edit was written; take `blake3` out to accept it as it is";
                return Err(refuse(format!("tensor `{name}` has another {what} than the edit states"), hint));
            }
        }
        *self = found;
        Ok(())
    }
}

/// The most bytes of a file with an edit's tensors.
const LARGEST: u64 = 8 << 30;

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
