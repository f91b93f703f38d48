//! The same gradient for short states, with rows side by side in registers instead of probes.
//!
//! Probes fill ten of sixteen lanes; rows fill all of them. So states are laid out once a fit, column after column, in
//! blocks of rows; an epoch multiplies and adds nothing that is not asked for, and fetches the next block from memory while
//! it computes. Sums over rows are taken in sixteen parts, which are put together at the end of an epoch.

use std::arch::x86_64::{
    __m512, _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_fmadd_ps, _mm512_load_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_store_ps,
};

use super::slopes::take_slopes;
use super::{GROUP, LANES, LONG, MOST, Sides, Terms, is_available};

/// Pairs of a block: both sides' rows of up to 191 columns are less than half of a core's own cache.
const PAIRS: usize = 256;
/// Columns of a tile of the gradient.
const WIDTH: usize = 4;

/// A register's numbers where it is loaded at once.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Register([f32; LANES]);

const ZERO: Register = Register([0.0; LANES]);

/// Normalized states: of every block of pairs the plus side \[D, B\], then the minus side. The last block's B is its rows
/// and as many zeros as fill a register.
#[derive(Debug)]
pub(in super::super) struct Tiles {
    states: Vec<Register>,
    pairs: usize,
    dim: usize,
    /// Logits, then slopes, of a block, plus and minus. \[2, groups · 5, B\]
    slopes: Vec<Register>,
    /// The gradient by weights and biases, sixteen parts of every number. \[groups · 5, D\] and \[groups · 5\]
    sums: [Vec<Register>; 2],
}

/// The registers that hold so many rows.
fn registers(rows: usize) -> usize {
    rows.div_ceil(LANES)
}

impl Tiles {
    /// Lays out states; none where they are too long for this, or the processor cannot.
    pub(in super::super) fn of(sides: Sides<'_>) -> Option<Self> {
        let dim = sides.dim;
        if !(sides.fit() && dim < LONG.start && is_available()) {
            return None;
        }
        let pairs = sides.plus.len() / dim;
        let in_full = 2 * dim * registers(PAIRS) * (pairs / PAIRS);
        let mut states = Vec::with_capacity(in_full + 2 * dim * registers(pairs % PAIRS));
        for (plus, minus) in sides.plus.chunks(PAIRS * dim).zip(sides.minus.chunks(PAIRS * dim)) {
            for side in [plus, minus] {
                for column in 0..dim {
                    let mut values = side.iter().skip(column).step_by(dim);
                    for _ in 0..registers(side.len() / dim) {
                        let mut register = ZERO;
                        register.0.iter_mut().zip(&mut values).for_each(|(to, &from)| *to = from);
                        states.push(register);
                    }
                }
            }
        }
        Some(Self { states, pairs, dim, slopes: Vec::new(), sums: [Vec::new(), Vec::new()] })
    }

    /// As [`super::add_gradient`].
    pub(in super::super) fn add_gradient(
        &mut self,
        terms: Terms,
        of: (&[f32], &[f32]),
        to: (&mut [f32], &mut [f32]),
    ) {
        let probes = of.1.len();
        let fits = of.0.len() == probes * self.dim && to.0.len() == of.0.len() && to.1.len() == probes;
        if !(fits && (1..=MOST).contains(&probes) && is_available()) {
            return;
        }
        // SAFETY: the processor has AVX-512F, and the groups hold all probes.
        unsafe {
            match probes.div_ceil(GROUP) {
                1 => self.epoch::<GROUP, 4>(terms, of),
                2 => self.epoch::<{ 2 * GROUP }, 2>(terms, of),
                _ => self.epoch::<MOST, 1>(terms, of),
            }
        }
        let [by_weight, by_bias] = &self.sums;
        for (to, sums) in [(to.0, by_weight), (to.1, by_bias)] {
            to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum.0.iter().sum::<f32>());
        }
    }

    /// Sums of the gradient of P probes, with V registers of rows at once.
    #[target_feature(enable = "avx512f")]
    unsafe fn epoch<const P: usize, const V: usize>(
        &mut self,
        terms: Terms,
        (weight, bias): (&[f32], &[f32]),
    ) {
        let dim = self.dim;
        let mut weights = vec![0.0; dim * P]; // [D, P]
        for (probe, row) in weight.chunks_exact(dim).enumerate() {
            weights.iter_mut().skip(probe).step_by(P).zip(row).for_each(|(to, &from)| *to = from);
        }
        let mut biases = [0.0; P];
        biases.iter_mut().zip(bias).for_each(|(to, &from)| *to = from);
        for (sums, length) in self.sums.iter_mut().zip([P * dim, P]) {
            sums.clear();
            sums.resize(length, ZERO);
        }
        let mut rest = self.states.as_slice();
        for first in (0..self.pairs).step_by(PAIRS) {
            let rows = PAIRS.min(self.pairs - first);
            let length = registers(rows);
            let Some((block, next)) = rest.split_at_checked(2 * dim * length) else { return };
            rest = next;
            self.slopes.resize(2 * P * length, ZERO);
            let (plus, minus) = block.split_at(dim * length);
            let (of_plus, of_minus) = self.slopes.split_at_mut(P * length);
            for (x, z) in [(plus, of_plus), (minus, of_minus)] {
                // SAFETY: `x` holds `dim` · `length` registers, `z` P · `length`, and the weights `dim` · P numbers.
                unsafe { logits::<P, V>(x, length, &weights, &biases, z) };
            }
            // SAFETY: a half are P · `length` registers.
            unsafe { take_slopes(self.slopes.as_mut_ptr().cast(), P * length * LANES, terms) };
            for row in self.slopes.chunks_exact_mut(length) {
                if let Some(last) = row.last_mut() {
                    last.0.iter_mut().skip(rows - (length - 1) * LANES).for_each(|none| *none = 0.0);
                }
            }
            // SAFETY: as above; the sums hold P · `dim` and P registers.
            unsafe { add_products::<P>([plus, minus], length, &self.slopes, &mut self.sums, next) };
        }
    }
}

/// Xw + b of P probes. `x`: \[D, `length`\] registers; `weights`: \[D, P\]; `z`: \[P, `length`\] registers.
#[target_feature(enable = "avx512f")]
unsafe fn logits<const P: usize, const V: usize>(
    x: &[Register],
    length: usize,
    weights: &[f32],
    bias: &[f32; P],
    z: &mut [Register],
) {
    let mut at = 0;
    // SAFETY: as the caller says.
    unsafe {
        while at + V <= length {
            logits_of::<P, V>(x.as_ptr().add(at), length, weights, bias, z.as_mut_ptr().add(at));
            at += V;
        }
        while at < length {
            logits_of::<P, 1>(x.as_ptr().add(at), length, weights, bias, z.as_mut_ptr().add(at));
            at += 1;
        }
    }
}

#[target_feature(enable = "avx512f")]
unsafe fn logits_of<const P: usize, const V: usize>(
    x: *const Register,
    length: usize,
    weights: &[f32],
    bias: &[f32; P],
    z: *mut Register,
) {
    let mut sums: [[__m512; V]; P] = bias.map(|bias| [_mm512_set1_ps(bias); V]);
    for (k, weights) in weights.chunks_exact(P).enumerate() {
        // SAFETY: as the caller says.
        let values: [__m512; V] =
            std::array::from_fn(|v| unsafe { _mm512_load_ps(x.add(k * length + v).cast()) });
        for (sums, &weight) in sums.iter_mut().zip(weights) {
            let weight = _mm512_set1_ps(weight);
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum = _mm512_fmadd_ps(weight, value, *sum);
            }
        }
    }
    for (probe, sums) in sums.into_iter().enumerate() {
        for (v, sum) in sums.into_iter().enumerate() {
            // SAFETY: as the caller says.
            unsafe { _mm512_store_ps(z.add(probe * length + v).cast(), sum) };
        }
    }
}

/// Adds slopesᵀ·X and the slopes of a block's rows to the sums, and fetches the next block meanwhile.
#[target_feature(enable = "avx512f")]
unsafe fn add_products<const P: usize>(
    sides: [&[Register]; 2],
    length: usize,
    slopes: &[Register],
    [by_weight, by_bias]: &mut [Vec<Register>; 2],
    next: &[Register],
) {
    let dim = by_weight.len() / P;
    let fetched = (WIDTH * GROUP).div_ceil(P);
    let mut fetch = next.as_ptr();
    let halves = [&slopes[..P * length], &slopes[P * length..]];
    // SAFETY: as the caller says; what is fetched too far is not touched.
    unsafe {
        let mut column = 0;
        while column < dim {
            for first in (0..P).step_by(GROUP) {
                for (x, slopes) in sides.into_iter().zip(halves) {
                    let x = x.as_ptr().add(column * length);
                    let slopes = slopes.as_ptr().add(first * length);
                    let to = by_weight.as_mut_ptr().add(first * dim + column);
                    if column + WIDTH <= dim {
                        products::<WIDTH>(x, slopes, length, to, dim, (fetch, fetched));
                    } else {
                        products::<1>(x, slopes, length, to, dim, (fetch, 1));
                    }
                    fetch = fetch.wrapping_add(fetched * length);
                }
            }
            column += if column + WIDTH <= dim { WIDTH } else { 1 };
        }
        for slopes in halves {
            for (sum, slopes) in by_bias.iter_mut().zip(slopes.chunks_exact(length)) {
                let mut all = _mm512_load_ps(sum.0.as_ptr());
                for slope in slopes {
                    all = _mm512_add_ps(all, _mm512_load_ps(slope.0.as_ptr()));
                }
                _mm512_store_ps(sum.0.as_mut_ptr(), all);
            }
        }
    }
}

/// Adds slopesᵀ·X of a group of probes and W columns.
#[target_feature(enable = "avx512f")]
unsafe fn products<const W: usize>(
    x: *const Register,
    slopes: *const Register,
    length: usize,
    to: *mut Register,
    dim: usize,
    (mut fetch, fetched): (*const Register, usize),
) {
    let mut sums = [[_mm512_setzero_ps(); W]; GROUP];
    // SAFETY: as the caller says.
    unsafe {
        for (probe, sums) in sums.iter_mut().enumerate() {
            for (k, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_load_ps(to.add(probe * dim + k).cast());
            }
        }
        for row in 0..length {
            for _ in 0..fetched {
                _mm_prefetch::<_MM_HINT_T1>(fetch.cast());
                fetch = fetch.wrapping_add(1);
            }
            let values: [__m512; W] = std::array::from_fn(|k| _mm512_load_ps(x.add(k * length + row).cast()));
            for (probe, sums) in sums.iter_mut().enumerate() {
                let slope = _mm512_load_ps(slopes.add(probe * length + row).cast());
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = _mm512_fmadd_ps(slope, value, *sum);
                }
            }
        }
        for (probe, sums) in sums.into_iter().enumerate() {
            for (k, sum) in sums.into_iter().enumerate() {
                _mm512_store_ps(to.add(probe * dim + k).cast(), sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the blocks hold, number by number: a row too many would be seen in biases alone.
    #[test]
    fn blocks_hold_every_state_once_and_zeros() {
        if !is_available() {
            return;
        }
        let (pairs, dim) = (PAIRS + 17, 3);
        let plus: Vec<f32> = (1..=pairs * dim).map(|i| i as f32).collect();
        let minus: Vec<f32> = plus.iter().map(|x| -x).collect();
        let tiles = Tiles::of(Sides { plus: &plus, minus: &minus, dim }).unwrap();
        let found: Vec<f32> = tiles.states.iter().flat_map(|register| register.0).collect();
        let mut at = 0;
        for (first, rows, padded) in [(0, PAIRS, PAIRS), (PAIRS, 17, 32)] {
            for sign in [1.0, -1.0] {
                for column in 0..dim {
                    for row in 0..padded {
                        let number = ((first + row) * dim + column + 1) as f32;
                        let want = if row < rows { sign * number } else { 0.0 };
                        assert!((found[at] - want).abs() < 0.5, "row {row} of {first}, column {column}");
                        at += 1;
                    }
                }
            }
        }
        assert_eq!(at, found.len());
        let states = vec![0.0; LONG.start];
        let long = Sides { plus: &states, minus: &states, dim: LONG.start };
        assert!(Tiles::of(long).is_none(), "long states are left to the other layout");
    }
}
