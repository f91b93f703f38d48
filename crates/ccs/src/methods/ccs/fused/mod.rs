//! The CCS loss's gradient for some linear probes in one pass over the states, where the processor has AVX-512.
//!
//! The general way ([`super::objective`]) takes two products and some twenty element-wise operations. Here a block of pairs
//! is read into the core's own cache, its logits come from registers that hold all probes of a row side by side, their
//! slopes are taken while they are there, and the gradient from the block before it leaves the cache. States are read from
//! memory once an epoch, and nothing else is written to it.

#![allow(unsafe_code)] // vector instructions

mod products;
mod slopes;
mod tiles;

use tch::{Device, Kind, Tensor};

use products::{logits, long_logits, products};
use slopes::take_slopes;
pub(super) use tiles::Tiles;

/// Numbers in a register.
const LANES: usize = 16;
/// Probes of a group in products: with four registers of columns or rows they leave some registers free.
const GROUP: usize = 5;
/// Probes at once: whole groups of them in one register.
pub(super) const MOST: usize = LANES / GROUP * GROUP;
/// Columns at which [`long_logits`] is the faster; of more, waiting for memory is better spread over its other, and of fewer
/// there are [`Tiles`].
const LONG: std::ops::Range<usize> = 192..2048;
/// Numbers of states in a block: half of a core's own cache.
const BLOCK: usize = 1 << 18;
/// Pairs in a block, at most and at least.
const PAIRS: [usize; 2] = [16, 256];

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

impl Sides<'_> {
    fn fit(&self) -> bool {
        self.dim > 0 && self.plus.len().is_multiple_of(self.dim) && self.minus.len() == self.plus.len()
    }
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
    let fits = weight.len() == probes * dim && by_weight.len() == weight.len() && bias.len() == probes;
    if !(fits && sides.fit() && (1..=MOST).contains(&probes) && is_available()) {
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
                if LONG.contains(&dim) {
                    for first in (0..columns).step_by(GROUP) {
                        let w = scratch.weight.as_ptr().add(first * dim);
                        long_logits(x, rows, dim, w, &biases[first..], to.add(first), columns);
                    }
                } else {
                    logits(x, rows, dim, scratch.weight.as_ptr(), &biases, to, columns);
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
