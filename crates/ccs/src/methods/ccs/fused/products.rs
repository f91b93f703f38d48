//! States times weights, and slopes times states, for some rows in the core's own cache.

use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
    _mm512_reduce_add_ps, _mm512_set1_ps, _mm512_setzero_ps,
};

use super::{GROUP, LANES};

/// Columns of long states at once: a group's weights stay in the core's first cache.
const PART: usize = 1024;
/// Rows of a tile of logits.
const TILE: usize = 8;
/// Columns of it at once.
const AT_ONCE: usize = 8;
/// Registers of columns of a tile of the gradient; rows of a tile of long states.
const WIDTH: usize = 4;

/// The logits of some rows by a group of probes, for states so long that adding up a register's numbers at the end costs
/// less than registers that are not full.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn long_logits(
    x: *const f32,
    rows: usize,
    dim: usize,
    weight: *const f32,
    bias: &[f32],
    to: *mut f32,
    columns: usize,
) {
    // SAFETY: as the caller says.
    unsafe {
        for row in 0..rows {
            std::slice::from_raw_parts_mut(to.add(row * columns), GROUP).copy_from_slice(&bias[..GROUP]);
        }
        for from in (0..dim).step_by(PART) {
            let part = from..dim.min(from + PART);
            let mut row = 0;
            while row + WIDTH <= rows {
                add_long::<WIDTH>(
                    x.add(row * dim),
                    dim,
                    part.clone(),
                    weight,
                    to.add(row * columns),
                    columns,
                );
                row += WIDTH;
            }
            while row < rows {
                add_long::<1>(x.add(row * dim), dim, part.clone(), weight, to.add(row * columns), columns);
                row += 1;
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn add_long<const N: usize>(
    x: *const f32,
    dim: usize,
    part: std::ops::Range<usize>,
    weight: *const f32,
    to: *mut f32,
    columns: usize,
) {
    let mut sums = [[_mm512_setzero_ps(); GROUP]; N];
    let mut k = part.start;
    // SAFETY: as the caller says; the mask ends with the part.
    unsafe {
        while k + LANES <= part.end {
            let values: [__m512; N] = std::array::from_fn(|row| _mm512_loadu_ps(x.add(row * dim + k)));
            for probe in 0..GROUP {
                let w = _mm512_loadu_ps(weight.add(probe * dim + k));
                for (value, sums) in values.into_iter().zip(&mut sums) {
                    sums[probe] = _mm512_fmadd_ps(value, w, sums[probe]);
                }
            }
            k += LANES;
        }
        let mask = (1u16 << (part.end - k)) - 1;
        for probe in 0..GROUP {
            let w = _mm512_maskz_loadu_ps(mask, weight.wrapping_add(probe * dim + k));
            for (row, sums) in sums.iter_mut().enumerate() {
                let value = _mm512_maskz_loadu_ps(mask, x.wrapping_add(row * dim + k));
                sums[probe] = _mm512_fmadd_ps(value, w, sums[probe]);
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            for (probe, sum) in sums.into_iter().enumerate() {
                *to.add(row * columns + probe) += _mm512_reduce_add_ps(sum);
            }
        }
    }
}

/// The logits of some rows: probes side by side, `columns` of them written.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn logits(
    x: *const f32,
    rows: usize,
    dim: usize,
    weight: *const f32,
    bias: &[f32; LANES],
    to: *mut f32,
    columns: usize,
) {
    let mut row = 0;
    // SAFETY: as the caller says; a row's register reaches beyond its columns into the next row, which is written later.
    unsafe {
        while row + TILE <= rows {
            logits_of::<TILE>(x.add(row * dim), dim, weight, bias, to.add(row * columns), columns);
            row += TILE;
        }
        while row < rows {
            logits_of::<1>(x.add(row * dim), dim, weight, bias, to.add(row * columns), columns);
            row += 1;
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn logits_of<const N: usize>(
    x: *const f32,
    dim: usize,
    weight: *const f32,
    bias: &[f32; LANES],
    to: *mut f32,
    columns: usize,
) {
    // SAFETY: as the caller says.
    unsafe {
        let mut sums = [_mm512_loadu_ps(bias.as_ptr()); N];
        let mut k = 0;
        while k + AT_ONCE <= dim {
            let (x, weight) = (x.add(k), weight.add(k * LANES));
            let weights: [__m512; AT_ONCE] = std::array::from_fn(|j| _mm512_loadu_ps(weight.add(j * LANES)));
            for (row, sum) in sums.iter_mut().enumerate() {
                let x = x.add(row * dim);
                for (j, w) in weights.into_iter().enumerate() {
                    *sum = _mm512_fmadd_ps(_mm512_set1_ps(*x.add(j)), w, *sum);
                }
            }
            k += AT_ONCE;
        }
        while k < dim {
            let w = _mm512_loadu_ps(weight.add(k * LANES));
            for (row, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_fmadd_ps(_mm512_set1_ps(*x.add(row * dim + k)), w, *sum);
            }
            k += 1;
        }
        let mask = (1u32 << columns) - 1;
        for (row, sum) in sums.into_iter().enumerate() {
            _mm512_mask_storeu_ps(to.add(row * columns), mask as u16, sum);
        }
    }
}

/// Adds slopesᵀ·X of a group of probes to their gradients.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn products(
    x: *const f32,
    rows: usize,
    dim: usize,
    slopes: *const f32,
    columns: usize,
    to: *mut f32,
    probes: usize,
) {
    let mut at = 0;
    while at < dim {
        let mut masks = [0u16; WIDTH];
        for (register, mask) in masks.iter_mut().enumerate() {
            let left = dim.saturating_sub(at + register * LANES);
            *mask = if left >= LANES { u16::MAX } else { (1u16 << left) - 1 };
        }
        let mut sums = [[_mm512_setzero_ps(); WIDTH]; GROUP];
        // SAFETY: as the caller says; masks end at `dim`, and a row's slopes hold whole groups.
        unsafe {
            if masks == [u16::MAX; WIDTH] {
                for row in 0..rows {
                    let x = x.add(row * dim + at);
                    let values: [__m512; WIDTH] = std::array::from_fn(|i| _mm512_loadu_ps(x.add(i * LANES)));
                    for (probe, sums) in sums.iter_mut().enumerate() {
                        let slope = _mm512_set1_ps(*slopes.add(row * columns + probe));
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = _mm512_fmadd_ps(slope, value, *sum);
                        }
                    }
                }
            } else {
                for row in 0..rows {
                    let x = x.add(row * dim + at);
                    let values: [__m512; WIDTH] =
                        std::array::from_fn(|i| _mm512_maskz_loadu_ps(masks[i], x.wrapping_add(i * LANES)));
                    for (probe, sums) in sums.iter_mut().enumerate() {
                        let slope = _mm512_set1_ps(*slopes.add(row * columns + probe));
                        for (sum, value) in sums.iter_mut().zip(values) {
                            *sum = _mm512_fmadd_ps(slope, value, *sum);
                        }
                    }
                }
            }
            for (probe, sums) in sums.into_iter().enumerate().take(probes) {
                let to = to.add(probe * dim);
                for (register, sum) in sums.into_iter().enumerate() {
                    let to = to.wrapping_add(at + register * LANES);
                    let before = _mm512_maskz_loadu_ps(masks[register], to);
                    _mm512_mask_storeu_ps(to, masks[register], _mm512_add_ps(before, sum));
                }
            }
        }
        at += WIDTH * LANES;
    }
}
