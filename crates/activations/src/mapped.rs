//! Arrays mapped into memory.

use std::marker::PhantomData;
use std::ops::Deref;

use bytemuck::Pod;
use fs_err::File;
use half::f16;
use memmap2::Mmap;

use crate::error::{Error, Result};

/// Maps a file whose header and length were checked.
#[allow(unsafe_code, reason = "memory maps are unsafe because another process may change the file")]
pub(crate) fn map_file(file: &File) -> Result<Mmap> {
    // SAFETY: the arrays of a finished store are never written again by this crate, and any bits are a valid
    // number. Whoever cuts a file short under a running reader gets SIGBUS, as with NumPy's mmap_mode.
    unsafe { Mmap::map(file.file()) }.map_err(|error| Error::at(file.path(), &error))
}

/// An array mapped into memory, in the type it is kept in.
#[derive(Debug)]
pub enum Mapped {
    /// An array of f32.
    F32(MappedSlice<f32>),
    /// An array of f16.
    F16(MappedSlice<f16>),
}

impl Mapped {
    /// The values, where they are f32.
    ///
    /// # Shapes
    /// [N, D] in C order.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match self {
            Self::F32(values) => Some(values),
            Self::F16(_) => None,
        }
    }

    /// The values, where they are f16.
    ///
    /// # Shapes
    /// [N, D] in C order.
    pub fn as_f16(&self) -> Option<&[f16]> {
        match self {
            Self::F32(_) => None,
            Self::F16(values) => Some(values),
        }
    }
}

/// A mapped array; dereferences to its values, [N, D] in C order.
#[derive(Debug)]
pub struct MappedSlice<T> {
    pub(crate) map: Mmap,
    /// The header's length.
    pub(crate) start: usize,
    pub(crate) kind: PhantomData<T>,
}

impl<T: Pod> Deref for MappedSlice<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // The header is a multiple of 64 bytes and maps begin at a page, so this always fits.
        bytemuck::try_cast_slice(self.map.get(self.start..).unwrap_or_default()).unwrap_or_default()
    }
}
