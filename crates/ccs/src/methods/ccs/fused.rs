//! The CCS loss's gradient for some linear probes in one pass over the states, where the processor has AVX-512.
//!
//! The general way ([`super::objective`]) takes two products and some twenty element-wise operations. Here a block of pairs
//! is read into the core's own cache, its logits come from registers that hold all probes of a row side by side, their
//! slopes are taken while they are there, and the gradient from the block before it leaves the cache. States are read from
//! memory once an epoch, and nothing else is written to it.

#![allow(unsafe_code)] // vector instructions

use std::arch::x86_64::{
    __m512, _CMP_GT_OQ, _CMP_LT_OQ, _mm512_add_epi32, _mm512_add_ps, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
    _mm512_cvtps_epi32, _mm512_div_ps, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_loadu_ps,
    _mm512_mask_mov_ps, _mm512_mask_storeu_ps, _mm512_mask_sub_ps, _mm512_maskz_loadu_ps, _mm512_max_ps,
    _mm512_min_ps, _mm512_mul_ps, _mm512_reduce_add_ps, _mm512_roundscale_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32, _mm512_sub_ps,
};

use tch::{Device, Kind, Tensor};

/// Numbers in a register.
const LANES: usize = 16;
/// Probes of a group in the products with slopes; as many as leave registers for [`WIDTH`] columns.
const GROUP: usize = 5;
/// Probes at once: whole groups of them in one register.
pub(super) const MOST: usize = LANES / GROUP * GROUP;
/// Columns at which [`long_logits`] is the faster; of more, waiting for memory is better spread over its other.
const LONG: std::ops::Range<usize> = 192..2048;
/// Columns of long states at once: a group's weights stay in the core's first cache.
const PART: usize = 1024;
/// Rows of a tile of logits.
const TILE: usize = 8;
/// Columns of it at once.
const AT_ONCE: usize = 8;
/// Registers of columns of a tile of the gradient.
const WIDTH: usize = 4;
/// Numbers of states in a block: half of a core's own cache.
const BLOCK: usize = 1 << 18;
/// Pairs in a block, at most and at least.
const PAIRS: [usize; 2] = [16, 256];
/// Slopes are kept to about this.
const SMALLEST: f32 = 1e-20;

/// Whether this processor can.
fn is_available() -> bool {
    std::is_x86_feature_detected!("avx512f")
}

/// Whether it is the faster way: in a build without optimization every vector instruction is a call.
pub(super) fn is_fast() -> bool {
    is_available() && !cfg!(debug_assertions)
}

/// The numbers of a tensor; none where they are not f32 in this machine's memory, one after the other.
pub(super) fn numbers(tensor: &Tensor) -> &[f32] {
    if !is_plain(tensor) {
        return &[];
    }
    // SAFETY: a contiguous f32 tensor has this many numbers from there on, as long as it lives.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), tensor.numel()) }
}

/// The same to be changed.
pub(super) fn numbers_mut(tensor: &mut Tensor) -> &mut [f32] {
    if !is_plain(tensor) {
        return &mut [];
    }
    // SAFETY: as for `numbers`; views of the tensor are not used meanwhile.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}

fn is_plain(tensor: &Tensor) -> bool {
    let on_cpu = (tensor.kind(), tensor.device()) == (Kind::Float, Device::Cpu);
    on_cpu && tensor.is_contiguous() && tensor.numel() > 0
}

/// Normalized states, both sides \[N, D\], row after row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) plus: &'a [f32],
    pub(super) minus: &'a [f32],
    pub(super) dim: usize,
}

/// What an epoch needs besides: buffers.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Weights, probes side by side \[D, 16\], or of long states one below the other \[15, D\].
    weight: Vec<f32>,
    /// Logits, then slopes, of a block's rows, and one register more. \[2n, groups · 5\]
    slopes: Vec<f32>,
}

/// Weights of the loss's two terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) consistency: f32,
    pub(super) confidence: f32,
}

/// Adds the gradient of N times the loss, by weights \[R, D\] and biases \[R\], to `by_weight` and `by_bias`; R is at most
/// [`MOST`]. Does nothing where [`is_available`] says no, or slices do not fit each other.
pub(super) fn add_gradient(
    sides: Sides<'_>,
    terms: Terms,
    (weight, bias): (&[f32], &[f32]),
    (by_weight, by_bias): (&mut [f32], &mut [f32]),
    scratch: &mut Scratch,
) {
    let (dim, probes) = (sides.dim, by_bias.len());
    let fits = dim > 0
        && sides.plus.len().is_multiple_of(dim)
        && sides.minus.len() == sides.plus.len()
        && weight.len() == probes * dim
        && by_weight.len() == weight.len()
        && bias.len() == probes
        && (1..=MOST).contains(&probes);
    if !(fits && is_available()) {
        return;
    }
    scratch.lay_out(weight, dim);
    let mut biases = [0.0; LANES];
    biases.iter_mut().zip(bias).for_each(|(to, &from)| *to = from);
    let block = (BLOCK / (2 * dim)).clamp(PAIRS[0], PAIRS[1]);
    let columns = probes.div_ceil(GROUP) * GROUP;
    scratch.slopes.resize(2 * block * columns + LANES, 0.0);
    for (plus, minus) in sides.plus.chunks(block * dim).zip(sides.minus.chunks(block * dim)) {
        let rows = plus.len() / dim;
        let half = rows * columns;
        // SAFETY: the processor has AVX-512F. Both sides hold `rows` · `dim` numbers, the weights `dim` · 16, the buffer
        // 2 · `rows` · `columns` and a register more; `by_weight` holds `probes` · `dim`.
        unsafe {
            let slopes = scratch.slopes.as_mut_ptr();
            for (x, to) in [(plus, 0), (minus, half)] {
                let (x, to) = (x.as_ptr(), slopes.add(to));
                if !LONG.contains(&dim) {
                    logits(x, rows, dim, scratch.weight.as_ptr(), &biases, to, columns);
                } else {
                    for first in (0..columns).step_by(GROUP) {
                        let w = scratch.weight.as_ptr().add(first * dim);
                        long_logits(x, rows, dim, w, &biases[first..], to.add(first), columns);
                    }
                }
            }
            take_slopes(slopes, half, terms);
            for (x, from) in [(plus, 0), (minus, half)] {
                let slopes = slopes.add(from);
                for first in (0..probes).step_by(GROUP) {
                    let count = GROUP.min(probes - first);
                    let to = by_weight.as_mut_ptr().add(first * dim);
                    products(x.as_ptr(), rows, dim, slopes.add(first), columns, to, count);
                }
            }
        }
        for row in scratch.slopes[..2 * half].chunks_exact(columns) {
            by_bias.iter_mut().zip(row).for_each(|(sum, slope)| *sum += slope);
        }
    }
}

impl Scratch {
    fn lay_out(&mut self, weight: &[f32], dim: usize) {
        self.weight.clear();
        if LONG.contains(&dim) {
            self.weight.extend_from_slice(weight);
            self.weight.resize(MOST * dim, 0.0);
            return;
        }
        self.weight.resize(dim * LANES, 0.0);
        for (probe, row) in weight.chunks_exact(dim).enumerate() {
            for (to, &from) in self.weight.iter_mut().skip(probe).step_by(LANES).zip(row) {
                *to = from;
            }
        }
    }
}

/// The logits of some rows by a group of probes, for states so long that adding up a register's numbers at the end costs
/// less than registers that are not full.
#[target_feature(enable = "avx512f")]
unsafe fn long_logits(
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
unsafe fn logits(
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

/// Logits of plus and minus sides, `count` each, become the loss's slopes in them.
#[target_feature(enable = "avx512f")]
unsafe fn take_slopes(z: *mut f32, count: usize, terms: Terms) {
    let (twice, confidence) = (_mm512_set1_ps(2.0 * terms.consistency), _mm512_set1_ps(terms.confidence));
    let (one, smallest) = (_mm512_set1_ps(1.0), _mm512_set1_ps(SMALLEST));
    let mut at = 0;
    while at < count {
        let mask = if count - at >= LANES { u16::MAX } else { (1u16 << (count - at)) - 1 };
        // SAFETY: `z` holds 2 · `count` numbers.
        unsafe {
            let (p, not_p) = logistic(_mm512_maskz_loadu_ps(mask, z.add(at)));
            let (q, not_q) = logistic(_mm512_maskz_loadu_ps(mask, z.add(count + at)));
            // With r = p + q − 1, m = min(p, q), s = sign(q − p) and weights a and c:
            // ∂L/∂p = 2a·r + c·(1 + s)·m and ∂L/∂q = 2a·r + c·(1 − s)·m.
            let least = _mm512_mul_ps(_mm512_min_ps(p, q), confidence);
            let base = _mm512_fmadd_ps(_mm512_sub_ps(_mm512_add_ps(p, q), one), twice, least);
            let zero = _mm512_setzero_ps();
            let falling = _mm512_mask_sub_ps(zero, _mm512_cmp_ps_mask::<_CMP_GT_OQ>(p, q), zero, least);
            let signed = _mm512_mask_mov_ps(falling, _mm512_cmp_ps_mask::<_CMP_LT_OQ>(p, q), least); // s·c·m
            // Through the logistic function, ∂p/∂z = p(1 − p).
            let by_p = _mm512_mul_ps(_mm512_add_ps(base, signed), _mm512_mul_ps(p, not_p));
            let by_q = _mm512_mul_ps(_mm512_sub_ps(base, signed), _mm512_mul_ps(q, not_q));
            // Of rows that a probe has long been sure of, slopes shrink into denormal numbers, for which processors leave
            // their fast path.
            let keep = |s: __m512| _mm512_sub_ps(_mm512_add_ps(s, smallest), smallest);
            _mm512_mask_storeu_ps(z.add(at), mask, keep(by_p));
            _mm512_mask_storeu_ps(z.add(count + at), mask, keep(by_q));
        }
        at += LANES;
    }
}

/// σ(z) and σ(−z).
#[target_feature(enable = "avx512f")]
#[inline]
fn logistic(z: __m512) -> (__m512, __m512) {
    let one = _mm512_set1_ps(1.0);
    // e = exp(−z), of sizes whose square is a number still.
    let e = exp(_mm512_sub_ps(_mm512_setzero_ps(), z));
    let p = _mm512_div_ps(one, _mm512_add_ps(one, e));
    (p, _mm512_sub_ps(one, p))
}

/// eˣ for |x| up to 87; beyond, as there.
#[target_feature(enable = "avx512f")]
#[inline]
fn exp(x: __m512) -> __m512 {
    let x = _mm512_max_ps(_mm512_min_ps(x, _mm512_set1_ps(87.0)), _mm512_set1_ps(-87.0));
    // x = k·ln 2 + r with |r| at most ½ ln 2; ln 2 in two parts, the first with few digits.
    let k = _mm512_roundscale_ps::<0>(_mm512_mul_ps(x, _mm512_set1_ps(std::f32::consts::LOG2_E)));
    let r = _mm512_fnmadd_ps(k, _mm512_set1_ps(0.693_359_375), x);
    let r = _mm512_fnmadd_ps(k, _mm512_set1_ps(-2.121_944_4e-4), r);
    // Taylor's series: the next term is below 2⁻²⁵ of the sum.
    let mut sum = _mm512_set1_ps(1.0 / 5040.0);
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(term));
    }
    let exponent = _mm512_slli_epi32::<23>(_mm512_add_epi32(_mm512_cvtps_epi32(k), _mm512_set1_epi32(127)));
    _mm512_mul_ps(sum, _mm512_castsi512_ps(exponent))
}

/// Adds slopesᵀ·X of a group of probes to their gradients.
#[target_feature(enable = "avx512f")]
unsafe fn products(
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
