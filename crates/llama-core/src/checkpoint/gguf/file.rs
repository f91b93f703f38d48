//! A GGUF file's header: metadata and where its tensors are, read strictly from a mapping.
//!
//! The format (ggml's docs/gguf.md), little-endian: `GGUF`, version u32, tensor count u64, metadata count u64; per
//! metadatum a key, a type u32 and a value; per tensor a name, its number of axes u32, their lengths u64 (innermost
//! first), a type u32 and an offset u64 into the data, which begins at the next multiple of `general.alignment`. Strings
//! and arrays carry their length before them.
//!
//! (candle-core reads this header too. It takes what is there: two tensors of one name or on one another's bytes, an
//! alignment of 0, which ends the process. What a file must not say is refused here, before a weight is read.)

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use candle_core::quantized::GgmlDType;

use super::types;

/// Elements that all metadata arrays may have together: the largest vocabularies have under 2^19 tokens and as many merges.
const MAX_ELEMENTS: u64 = 1 << 23;
/// Bytes of a name; ggml's own limit is 64.
const MAX_NAME: u64 = 1 << 16;
/// Bytes of a text; chat templates, the longest, have under 100 KB.
const MAX_TEXT: u64 = 16 << 20;
/// Metadata and tensors; the largest models have a few thousand.
const MAX_ENTRIES: u64 = 1 << 20;
const DEFAULT_ALIGNMENT: u64 = 32;

/// Metadata, as far as anything here reads it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    Text(String),
    Array(Vec<Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned(n) => write!(f, "{n}"),
            Self::Signed(n) => write!(f, "{n}"),
            Self::F32(n) => write!(f, "{n}"),
            Self::F64(n) => write!(f, "{n}"),
            Self::Bool(b) => write!(f, "{b}"),
            Self::Text(_) => f.write_str("text"),
            Self::Array(elements) => write!(f, "an array of {}", elements.len()),
        }
    }
}

/// A tensor's type, shape `[out, in]` and bytes in the file.
#[derive(Debug)]
pub(super) struct TensorEntry {
    pub(super) dtype: GgmlDType,
    pub(super) shape: Vec<i64>,
    pub(super) bytes: Range<usize>,
}

/// A header, read and checked.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) metadata: HashMap<String, Value>,
    pub(super) tensors: HashMap<String, TensorEntry>,
}

impl Header {
    /// Reads a file from its beginning.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut reader = Reader { bytes, at: 0, elements: 0 };
        if reader.take(4)? != b"GGUF" {
            return Err("it does not begin with GGUF".to_owned());
        }
        let version = reader.u32()?;
        if ![2, 3].contains(&version) {
            let swapped = version.swap_bytes() <= 3;
            let why = if swapped { " (a big-endian file)" } else { "" };
            return Err(format!("its version is {version}{why}; versions 2 and 3 are read"));
        }
        let (tensors, entries) = (reader.u64()?, reader.u64()?);
        if tensors.max(entries) > MAX_ENTRIES {
            return Err(format!(
                "it is said to hold {tensors} tensors and {entries} metadata; up to {MAX_ENTRIES} are read"
            ));
        }
        let mut metadata = HashMap::new();
        for _ in 0..entries {
            let key = reader.name()?;
            let kind = reader.u32()?;
            let value = reader.value(kind, 0).map_err(|e| format!("metadata `{key}`: {e}"))?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(format!("metadata `{key}` is there twice"));
            }
        }
        let described = (0..tensors).map(|_| reader.tensor()).collect::<Result<Vec<_>, _>>()?;
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Unsigned(n)) if n.is_power_of_two() && *n <= 1 << 20 => *n,
            Some(other) => {
                return Err(format!("`general.alignment` is {other}, and a power of two is needed"));
            }
        };
        let start = (reader.at as u64).next_multiple_of(alignment);
        let tensors = byte_ranges(described, start, alignment, bytes.len() as u64)?;
        Ok(Self { version, metadata, tensors })
    }
}

/// A tensor as the header describes it.
struct Described {
    name: String,
    dtype: GgmlDType,
    shape: Vec<i64>,
    offset: u64,
    size: u64,
}

/// Puts tensors at their bytes: one after another with nothing between them but alignment, as the format asks, up to
/// the file's end. (So a damaged type or shape, which moves a tensor's end, is seen.)
fn byte_ranges(
    mut described: Vec<Described>,
    start: u64,
    alignment: u64,
    file: u64,
) -> Result<HashMap<String, TensorEntry>, String> {
    described.sort_by_key(|d| (d.offset, d.size));
    let (mut tensors, mut end) = (HashMap::new(), 0u64);
    for Described { name, dtype, shape, offset, size } in described {
        let expected = end.next_multiple_of(alignment);
        if offset != expected {
            let what = if offset < end { "it overlaps the one before" } else { "there is a gap" };
            return Err(format!("tensor `{name}` begins at {offset} and should at {expected}: {what}"));
        }
        end = offset.checked_add(size).ok_or_else(|| format!("tensor `{name}` is too large"))?;
        let last = start.checked_add(end).filter(|&last| last <= file);
        let last = last.ok_or_else(|| {
            format!("tensor `{name}` ends at byte {}, and the file has {file}", start.saturating_add(end))
        })?;
        let entry = TensorEntry { dtype, shape, bytes: (start + offset) as usize..last as usize };
        if tensors.insert(name.clone(), entry).is_some() {
            return Err(format!("tensor `{name}` is there twice"));
        }
    }
    let rest = file.saturating_sub(start + end);
    if rest >= alignment {
        return Err(format!("{rest} bytes follow its last tensor"));
    }
    Ok(tensors)
}

/// Reads the header's parts one after another, never past the file's end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Of arrays, so far.
    elements: u64,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count));
        let taken = end
            .and_then(|end| self.bytes.get(self.at..end))
            .ok_or_else(|| format!("it ends at byte {}, in the middle of its header", self.bytes.len()))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<String, String> {
        let length = self.u64()?;
        if length > MAX_TEXT {
            return Err(format!("a text of {length} bytes; up to {} MiB are read", MAX_TEXT >> 20));
        }
        // Some writers' vocabularies are not UTF-8 throughout.
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn name(&mut self) -> Result<String, String> {
        let name = self.text()?;
        if name.len() as u64 > MAX_NAME {
            Err("it has a name of more than 64 KiB".to_owned())
        } else {
            Ok(name)
        }
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<Value, String> {
        Ok(match kind {
            0 => Value::Unsigned(u64::from(self.array::<1>()?[0])),
            1 => Value::Signed(i64::from(i8::from_le_bytes(self.array()?))),
            2 => Value::Unsigned(u64::from(u16::from_le_bytes(self.array()?))),
            3 => Value::Signed(i64::from(i16::from_le_bytes(self.array()?))),
            4 => Value::Unsigned(u64::from(self.u32()?)),
            5 => Value::Signed(i64::from(i32::from_le_bytes(self.array()?))),
            6 => Value::F32(f32::from_le_bytes(self.array()?)),
            7 => match self.array::<1>()?[0] {
                byte @ (0 | 1) => Value::Bool(byte == 1),
                other => return Err(format!("{other} is no truth value")),
            },
            8 => Value::Text(self.text()?),
            9 => {
                let (kind, length) = (self.u32()?, self.u64()?);
                // Every element takes at least a byte, so a length beyond the file's end is no length.
                self.elements = self.elements.saturating_add(length);
                let rest = (self.bytes.len() - self.at) as u64;
                if self.elements > MAX_ELEMENTS || length > rest || depth > 3 {
                    return Err(format!(
                        "an array of {length} elements; up to {MAX_ELEMENTS} are read in all, and no more than the file holds"
                    ));
                }
                Value::Array((0..length).map(|_| self.value(kind, depth + 1)).collect::<Result<_, _>>()?)
            }
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.array()?)),
            12 => Value::F64(f64::from_le_bytes(self.array()?)),
            other => return Err(format!("its type is {other}, which GGUF does not have")),
        })
    }

    fn tensor(&mut self) -> Result<Described, String> {
        let name = self.name()?;
        let axes = self.u32()?;
        if !(1..=4).contains(&axes) {
            return Err(format!("tensor `{name}` has {axes} axes"));
        }
        let mut shape = (0..axes).map(|_| self.u64()).collect::<Result<Vec<_>, _>>()?;
        shape.reverse(); // innermost first in the file
        let code = self.u32()?;
        let offset = self.u64()?;
        let dtype = types::read(code).ok_or_else(|| {
            let kind = types::name(code).map_or_else(|| format!("type {code}"), |name| format!("type {name}"));
            format!("tensor `{name}` is of {kind}, which is not read (F32, F16, BF16, Q4_0 to Q8_0 and Q2_K to Q6_K are)")
        })?;
        let (block, block_bytes) = (dtype.block_size() as u64, dtype.type_size() as u64);
        let elements = shape.iter().try_fold(1u64, |n, &length| n.checked_mul(length));
        let whole_rows = shape.last().is_some_and(|row| row % block == 0);
        let size = elements
            .filter(|&n| n > 0 && i64::try_from(n).is_ok() && whole_rows)
            .and_then(|n| (n / block).checked_mul(block_bytes))
            .ok_or_else(|| format!("tensor `{name}` of type {dtype:?} has the shape {shape:?}"))?;
        Ok(Described { name, dtype, shape: shape.into_iter().map(|n| n as i64).collect(), offset, size })
    }
}
