//! What quantized blocks mean, by candle-core's own types of them, into memory that is there.

use candle_core::quantized::k_quants::{
    BlockQ2K, BlockQ3K, BlockQ4_0, BlockQ4_1, BlockQ4K, BlockQ5_0, BlockQ5_1, BlockQ5K, BlockQ6K, BlockQ8_0,
};
use candle_core::quantized::{GgmlDType, GgmlType};
use tch::Kind;

use crate::checkpoint::elements::{Blocks, Format};

/// How a file holds the numbers of a tensor of this type; the types are those that [`super::types`] reads.
pub(super) fn format(dtype: GgmlDType) -> Format {
    let read = match dtype {
        GgmlDType::F16 => return Format::Plain(Kind::Half),
        GgmlDType::BF16 => return Format::Plain(Kind::BFloat16),
        GgmlDType::Q4_0 => read::<BlockQ4_0>,
        GgmlDType::Q4_1 => read::<BlockQ4_1>,
        GgmlDType::Q5_0 => read::<BlockQ5_0>,
        GgmlDType::Q5_1 => read::<BlockQ5_1>,
        GgmlDType::Q8_0 => read::<BlockQ8_0>,
        GgmlDType::Q2K => read::<BlockQ2K>,
        GgmlDType::Q3K => read::<BlockQ3K>,
        GgmlDType::Q4K => read::<BlockQ4K>,
        GgmlDType::Q5K => read::<BlockQ5K>,
        GgmlDType::Q6K => read::<BlockQ6K>,
        _ => return Format::Plain(Kind::Float),
    };
    Format::Blocks(Blocks { numbers: dtype.block_size(), bytes: dtype.type_size(), read })
}

/// Whole blocks' numbers.
fn read<B: GgmlType>(source: &[u8], numbers: &mut [f32]) {
    if !whole::<B>(source, numbers) {
        // A file's tensor may begin at any byte: the blocks once more, where words begin.
        let mut words = vec![0u64; source.len().div_ceil(8)];
        let aligned = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..source.len()];
        aligned.copy_from_slice(source);
        whole::<B>(aligned, numbers);
    }
}

/// The same, if the bytes lie where blocks may.
fn whole<B: GgmlType>(source: &[u8], numbers: &mut [f32]) -> bool {
    #[allow(unsafe_code)]
    // SAFETY: candle's blocks are structs of f16 and of bytes in C's order, which any bits make.
    let (before, blocks, after) = unsafe { source.align_to::<B>() };
    let aligned = before.is_empty() && after.is_empty();
    if aligned {
        B::to_float(blocks, numbers);
    }
    aligned
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::ggml_file::qtensor_from_ggml;
    use rand::{RngExt as _, SeedableRng};

    use super::*;

    #[test]
    fn blocks_mean_what_candle_makes_of_the_tensor_wherever_they_lie() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        for code in 0..16 {
            let Some(dtype) = super::super::types::read(code) else { continue };
            let Format::Blocks(blocks) = format(dtype) else { continue };
            let (count, length) = (3 * blocks.numbers, 3 * blocks.bytes);
            let mut bytes = vec![0u8; length + 1];
            rng.fill(&mut bytes[..]);
            for start in [0, 1] {
                let source = &bytes[start..start + length];
                let mut words = vec![0u64; length.div_ceil(8)];
                let aligned = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..length];
                aligned.copy_from_slice(source);
                let cpu = candle_core::Device::Cpu;
                let whole = qtensor_from_ggml(dtype, aligned, vec![count], &cpu).expect("a tensor");
                let expected: Vec<f32> =
                    whole.dequantize(&cpu).and_then(|t| t.to_vec1()).expect("its numbers");
                let mut found = vec![0f32; count];
                (blocks.read)(source, &mut found);
                let bits = |numbers: &[f32]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&found), bits(&expected), "{dtype:?}, {start} bytes behind a word");
            }
        }
    }
}
