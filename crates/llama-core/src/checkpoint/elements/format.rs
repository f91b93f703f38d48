//! How a file holds numbers, and how they become numbers of the type that a model computes in.
//!
//! The results are those of LibTorch's conversions, bit for bit: what is stored, exactly or rounded to f32, then rounded to
//! the nearest number of the other type, to the even one of two. LibTorch itself converts between two 16-bit types one
//! number after the other, and on one thread inside each of ours.

use tch::Kind;

/// How a file holds numbers.
#[derive(Clone, Copy, Debug)]
pub(in crate::checkpoint) enum Format {
    /// Numbers of one of LibTorch's types: f16, bf16, f32, f64.
    Plain(Kind),
    /// Numbers that are quantized in blocks.
    #[cfg(feature = "gguf")]
    Blocks(Blocks),
}

/// A quantization: so many numbers in so many bytes.
#[cfg(feature = "gguf")]
#[derive(Clone, Copy, Debug)]
pub(in crate::checkpoint) struct Blocks {
    pub(in crate::checkpoint) numbers: usize,
    pub(in crate::checkpoint) bytes: usize,
    /// Whole blocks' numbers.
    pub(in crate::checkpoint) read: fn(&[u8], &mut [f32]),
}

/// Numbers that are converted at a time: their f32 stay in the nearest cache. A multiple of every block's.
const STRETCH: usize = 2048;

/// Room for the f32 of a stretch.
pub(super) type Room = [f32; STRETCH];
pub(super) const ROOM: Room = [0.0; STRETCH];

impl Format {
    /// The numbers of a block and their bytes.
    pub(super) fn block(self) -> (usize, usize) {
        match self {
            Self::Plain(kind) => (1, kind.elt_size_in_bytes()),
            #[cfg(feature = "gguf")]
            Self::Blocks(blocks) => (blocks.numbers, blocks.bytes),
        }
    }

    /// The bytes of a row; `None` if that is not a whole number of blocks.
    pub(super) fn bytes(self, columns: usize) -> Option<usize> {
        match self {
            Self::Plain(kind) => columns.checked_mul(kind.elt_size_in_bytes()),
            #[cfg(feature = "gguf")]
            Self::Blocks(blocks) => {
                let whole = columns.is_multiple_of(blocks.numbers);
                (columns / blocks.numbers).checked_mul(blocks.bytes).filter(|_| whole)
            }
        }
    }

    /// Whether numbers can be converted into this type.
    pub(super) fn converts_to(self, kind: Kind) -> bool {
        match (self, kind) {
            (_, Kind::Float | Kind::BFloat16) => true,
            (Self::Plain(own), _) => own == kind || (kind == Kind::Double && own != Kind::Double),
            #[cfg(feature = "gguf")]
            (Self::Blocks(_), kind) => kind == Kind::Double,
        }
    }

    /// Converts a row; says whether every number of it is finite.
    pub(super) fn convert(self, source: &[u8], kind: Kind, into: &mut [u8], room: &mut Room) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
                #[allow(unsafe_code)]
                // SAFETY: the CPU has these instructions.
                return unsafe { self.convert_avx512(source, kind, into, room) };
            }
            if has!("avx2") {
                #[allow(unsafe_code)]
                // SAFETY: the CPU has these instructions.
                return unsafe { self.convert_avx2(source, kind, into, room) };
            }
        }
        self.convert_inlined(source, kind, into, room)
    }

    /// The same in wide vectors.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn convert_avx2(self, source: &[u8], kind: Kind, into: &mut [u8], room: &mut Room) -> bool {
        self.convert_inlined(source, kind, into, room)
    }

    /// The same in wider ones.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    fn convert_avx512(self, source: &[u8], kind: Kind, into: &mut [u8], room: &mut Room) -> bool {
        self.convert_inlined(source, kind, into, room)
    }

    #[inline(always)]
    #[allow(clippy::inline_always)] // into each of its callers, for the instructions that it may use there
    fn convert_inlined(self, source: &[u8], kind: Kind, into: &mut [u8], room: &mut Room) -> bool {
        let (own, width) = (self.bytes(STRETCH).unwrap_or(1), STRETCH * kind.elt_size_in_bytes());
        let mut finite = true;
        for (source, into) in source.chunks(own).zip(into.chunks_mut(width)) {
            let numbers = &mut room[..into.len() / kind.elt_size_in_bytes()];
            match self {
                Self::Plain(plain) => {
                    finite &= all_finite(source, plain);
                    if plain == kind {
                        into.copy_from_slice(source);
                        continue;
                    }
                    widen(source, plain, numbers);
                }
                #[cfg(feature = "gguf")]
                Self::Blocks(blocks) => {
                    (blocks.read)(source, numbers);
                    finite &= !numbers.iter().fold(false, |bad, number| bad | !number.is_finite());
                }
            }
            narrow(numbers, kind, into);
        }
        finite
    }
}

/// Whether no number is an infinity or NaN, which are those whose exponent has every bit set.
#[inline(always)]
#[allow(clippy::inline_always)]
fn all_finite(bytes: &[u8], kind: Kind) -> bool {
    macro_rules! exponents {
        ($type:ty, $mask:expr) => {{
            // To the end: a loop that may end at any element cannot be made of vector instructions.
            let numbers = bytes.as_chunks::<{ size_of::<$type>() }>().0.iter();
            !numbers.fold(false, |bad, b| bad | (<$type>::from_le_bytes(*b) & $mask == $mask))
        }};
    }
    match kind {
        Kind::Half => exponents!(u16, 0x7c00),
        Kind::BFloat16 => exponents!(u16, 0x7f80),
        Kind::Float => exponents!(u32, 0x7f80_0000),
        _ => exponents!(u64, 0x7ff0_0000_0000_0000),
    }
}

/// Finite numbers in f32: exactly, and those of f64 rounded.
#[inline(always)]
#[allow(clippy::inline_always)]
fn widen(bytes: &[u8], kind: Kind, numbers: &mut [f32]) {
    macro_rules! each {
        ($type:ty, $number:expr) => {
            for (number, bytes) in numbers.iter_mut().zip(bytes.as_chunks::<{ size_of::<$type>() }>().0) {
                *number = $number(<$type>::from_le_bytes(*bytes));
            }
        };
    }
    match kind {
        Kind::Half => each!(u16, half),
        Kind::BFloat16 => each!(u16, |bits: u16| f32::from_bits(u32::from(bits) << 16)),
        Kind::Float => each!(f32, |number: f32| number),
        _ => each!(f64, |number: f64| number as f32),
    }
}

/// A finite f16: exponent and fraction moved to where f32 has them, and 2^(127 − 15) for what an exponent counts from. The
/// product is exact for f16's subnormal numbers too.
#[inline(always)]
#[allow(clippy::inline_always)]
fn half(bits: u16) -> f32 {
    const FROM: f32 = f32::from_bits((127 + 127 - 15) << 23);
    let (sign, rest) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff) << 13);
    f32::from_bits((f32::from_bits(rest) * FROM).to_bits() | sign)
}

/// Numbers that are not NaN in the model's type.
#[inline(always)]
#[allow(clippy::inline_always)]
fn narrow(numbers: &[f32], kind: Kind, into: &mut [u8]) {
    macro_rules! each {
        ($type:ty, $number:expr) => {
            for (bytes, &number) in into.as_chunks_mut::<{ size_of::<$type>() }>().0.iter_mut().zip(numbers) {
                *bytes = <$type>::to_ne_bytes($number(number));
            }
        };
    }
    match kind {
        Kind::BFloat16 => each!(u16, |number: f32| {
            // Half of the last place is added, and less by one bit where that makes the even one of two.
            let bits = number.to_bits();
            ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
        }),
        Kind::Double => each!(f64, f64::from),
        _ => each!(f32, |number: f32| number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Tensor};

    const KINDS: [Kind; 4] = [Kind::Half, Kind::BFloat16, Kind::Float, Kind::Double];

    fn bytes(numbers: &Tensor) -> Vec<u8> {
        let mut bytes = vec![0u8; numbers.numel() * numbers.kind().elt_size_in_bytes()];
        numbers.copy_data_u8(&mut bytes, numbers.numel());
        bytes
    }

    /// LibTorch's conversions of the same numbers.
    fn assert_as_libtorch(numbers: &Tensor, from: Kind) {
        for kind in KINDS.into_iter().filter(|&kind| Format::Plain(from).converts_to(kind)) {
            let expected = bytes(&numbers.to_kind(kind));
            let source = bytes(numbers);
            let mut wide = vec![0u8; expected.len()];
            assert!(
                Format::Plain(from).convert(&source, kind, &mut wide, &mut ROOM.clone()),
                "{from:?} is finite"
            );
            assert!(wide == expected, "{from:?} as {kind:?}");
            let mut plain = vec![0u8; expected.len()];
            Format::Plain(from).convert_inlined(&source, kind, &mut plain, &mut ROOM.clone());
            assert!(plain == expected, "{from:?} as {kind:?} without wide vectors");
        }
    }

    #[test]
    fn conversions_are_those_of_libtorch() {
        // Every finite number of the 16-bit types.
        let all = Tensor::arange(1 << 16, (Kind::Int64, Device::Cpu)).to_kind(Kind::Int16);
        for kind in [Kind::Half, Kind::BFloat16] {
            let numbers = all.view_dtype(kind);
            assert_as_libtorch(&numbers.masked_select(&numbers.isfinite()), kind);
        }
        // Of the others every exponent and sign, with fractions around the middle between two numbers of bf16.
        let fractions = [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x1_7fff, 0x1_8000, 0x1_8001, 0x7f_ffff];
        let bits = (0..512u32).flat_map(|top| fractions.map(|fraction| top << 23 | fraction));
        let numbers: Vec<f32> = bits.map(f32::from_bits).filter(|number| number.is_finite()).collect();
        let numbers = Tensor::from_slice(&numbers);
        assert_as_libtorch(&numbers, Kind::Float);
        assert_as_libtorch(&numbers.to_kind(Kind::Double), Kind::Double);
        assert_as_libtorch(&(numbers.to_kind(Kind::Double) * 1.000_000_1), Kind::Double);
    }

    #[test]
    fn what_is_not_finite_is_found_wherever_it_is() {
        for kind in KINDS {
            for (at, bad) in [(0, f64::NAN), (4_000, f64::INFINITY), (6_999, f64::NEG_INFINITY)] {
                let numbers = Tensor::arange(7_000, (Kind::Double, Device::Cpu)) / 2.0 - 1_700.0;
                for value in [bad, 65_000.0] {
                    let numbers = numbers.copy();
                    let _ = numbers.get(at).fill_(value);
                    let source = bytes(&numbers.to_kind(kind));
                    for into in [kind, Kind::Float, Kind::BFloat16] {
                        let mut converted = vec![0u8; 7_000 * into.elt_size_in_bytes()];
                        let finite =
                            Format::Plain(kind).convert(&source, into, &mut converted, &mut ROOM.clone());
                        assert_eq!(finite, value.is_finite(), "{kind:?} as {into:?} {at} {value}");
                    }
                }
            }
        }
    }
}
