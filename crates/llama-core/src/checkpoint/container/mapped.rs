//! A memory-mapped file, and tensors copied out of it.

use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;
use tch::{Device, Kind, Tensor};

use crate::checkpoint::files;
use crate::checkpoint::identity::Stamp;
use crate::checkpoint::weight::Order;
use crate::error::{Error, Result};

/// A mapped file, and what the file system said of it then.
#[derive(Debug)]
pub(in crate::checkpoint) struct Mapped {
    map: Mmap,
    stamp: Stamp,
}

impl Mapped {
    /// What the file system said of the file when it was mapped.
    pub(in crate::checkpoint) fn stamp(&self) -> &Stamp {
        &self.stamp
    }
}

impl std::ops::Deref for Mapped {
    type Target = Mmap;

    fn deref(&self) -> &Mmap {
        &self.map
    }
}

/// Maps a file for reading, if it is one.
///
/// # Errors
/// What is no file, and what stands in a file's place: a Git LFS pointer, a web page.
pub(in crate::checkpoint) fn map(path: &Path) -> Result<Mapped> {
    files::check_regular(path)?;
    let file = fs_err::File::open(path)?;
    let stamp = Stamp::from(&file.metadata()?);
    #[allow(unsafe_code)]
    // SAFETY: a read-only mapping. A file that is changed while it is mapped gives wrong numbers, as it would when
    // read; one that is cut short ends the process, as documented on `Checkpoint::open`.
    let map = unsafe { Mmap::map(file.file()) };
    let map =
        map.map_err(|e| std::io::Error::new(e.kind(), format!("could not map {}: {e}", path.display())))?;
    match files::instead(&map[..map.len().min(64)]) {
        None => Ok(Mapped { map, stamp }),
        Some((reason, hint)) => {
            Err(Error::WeightFile { path: path.to_owned(), reason: reason.to_owned(), hint: hint.to_owned() })
        }
    }
}

/// Tells the system that these bytes are not needed soon, so that a model that was read does not stay in this process'
/// memory a second time.
pub(in crate::checkpoint) fn release(map: &Mmap, bytes: &Range<usize>) {
    #[cfg(unix)]
    {
        #[allow(unsafe_code)]
        // SAFETY: the mapping is read-only and of a file, so pages that are dropped are read from the file again.
        let advised = unsafe {
            map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, bytes.start, bytes.len())
        };
        if let Err(error) = advised {
            tracing::debug!("pages were not released: {error}"); // costs memory, nothing else
        }
    }
    #[cfg(not(unix))]
    let _ = (map, bytes);
}

/// Where a mapped file holds a tensor's elements, checked to lie inside it.
pub(in crate::checkpoint) struct Elements<'m> {
    pub(in crate::checkpoint) path: &'m Path,
    pub(in crate::checkpoint) name: &'m str,
    pub(in crate::checkpoint) map: &'m Mmap,
    pub(in crate::checkpoint) bytes: Range<usize>,
    pub(in crate::checkpoint) kind: Kind,
    pub(in crate::checkpoint) shape: &'m [i64],
    /// In elements; `None` if they lie one after the other.
    pub(in crate::checkpoint) stride: Option<&'m [i64]>,
}

impl Elements<'_> {
    /// Copies the elements from the mapping to where they belong, converting on the way: no tensor is made in between.
    ///
    /// # Errors
    /// Elements that are not finite.
    pub(in crate::checkpoint) fn copy(self, into: &Tensor, order: Order) -> Result<()> {
        let contiguous = contiguous(self.shape);
        let stride = self.stride.unwrap_or(&contiguous);
        let bytes = &self.map[self.bytes.clone()];
        let aligned = bytes.as_ptr().align_offset(self.kind.elt_size_in_bytes()) == 0;
        let source = if aligned {
            #[allow(unsafe_code)]
            // SAFETY: the caller has checked that shape and strides stay inside `bytes`. The tensor is read only, and
            // gone at the end of this function, before the mapping.
            unsafe {
                Tensor::f_from_blob(bytes.as_ptr(), self.shape, stride, self.kind, Device::Cpu)?
            }
        } else {
            let count = bytes.len() / self.kind.elt_size_in_bytes();
            let flat = Tensor::f_from_data_size(bytes, &[count as i64], self.kind)?;
            flat.f_as_strided(self.shape, stride, 0)?
        };
        let finite = if stride == contiguous {
            all_finite(bytes, self.kind)
        } else {
            source.f_isfinite()?.f_all()?.f_int64_value(&[])? != 0
        };
        if !finite {
            return Err(Error::NonFiniteWeight { path: self.path.to_owned(), name: self.name.to_owned() });
        }
        order.copy(&source, into)?;
        drop(source);
        release(self.map, &self.bytes);
        Ok(())
    }
}

/// Strides, in elements, of a tensor whose elements lie one after the other.
pub(in crate::checkpoint) fn contiguous(shape: &[i64]) -> Vec<i64> {
    let mut stride = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        stride[axis - 1] = stride[axis] * shape[axis].max(1);
    }
    stride
}

/// Whether no number is an infinity or NaN, which are those whose exponent has every bit set.
fn all_finite(bytes: &[u8], kind: Kind) -> bool {
    macro_rules! exponents {
        ($type:ty, $mask:expr) => {
            // Chunk by chunk: a loop that may end at any element cannot be made of vector instructions.
            bytes.chunks(1 << 16).all(|chunk| {
                let numbers = chunk.as_chunks::<{ size_of::<$type>() }>().0.iter();
                !numbers.fold(false, |bad, b| bad | (<$type>::from_le_bytes(*b) & $mask == $mask))
            })
        };
    }
    match kind {
        Kind::Half => exponents!(u16, 0x7c00),
        Kind::BFloat16 => exponents!(u16, 0x7f80),
        Kind::Float => exponents!(u32, 0x7f80_0000),
        _ => exponents!(u64, 0x7ff0_0000_0000_0000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_found_wherever_it_is() {
        for kind in [Kind::Half, Kind::BFloat16, Kind::Float, Kind::Double] {
            for (at, bad) in [(0, f64::NAN), (40_000, f64::INFINITY), (69_999, f64::NEG_INFINITY)] {
                let numbers = Tensor::arange(70_000, (Kind::Double, Device::Cpu)) / 2.0 - 17_000.0;
                for value in [bad, 65_000.0] {
                    let numbers = numbers.copy();
                    let _ = numbers.get(at).fill_(value);
                    let numbers = numbers.to_kind(kind);
                    let mut bytes = vec![0u8; 70_000 * kind.elt_size_in_bytes()];
                    numbers.copy_data_u8(&mut bytes, 70_000);
                    assert_eq!(all_finite(&bytes, kind), value.is_finite(), "{kind:?} {at} {value}");
                }
            }
        }
    }
}
