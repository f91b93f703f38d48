//! The loss's slopes in the logits, a register at a time.

use std::arch::x86_64::{
    __m512, _CMP_GT_OQ, _CMP_LT_OQ, _mm512_add_epi32, _mm512_add_ps, _mm512_castsi512_ps, _mm512_cmp_ps_mask,
    _mm512_cvtps_epi32, _mm512_div_ps, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_mask_mov_ps,
    _mm512_mask_storeu_ps, _mm512_mask_sub_ps, _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_min_ps,
    _mm512_mul_ps, _mm512_roundscale_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_slli_epi32, _mm512_sub_ps,
};

use super::{LANES, Terms};

/// Slopes are kept to about this.
const SMALLEST: f32 = 1e-20;

/// Logits of plus and minus sides, `count` each, become the loss's slopes in them.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn take_slopes(z: *mut f32, count: usize, terms: Terms) {
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
    let r = _mm512_fnmadd_ps(k, _mm512_set1_ps(355.0 / 512.0), x);
    let r = _mm512_fnmadd_ps(k, _mm512_set1_ps(-2.121_944_4e-4), r);
    // Taylor's series: the next term is below 2⁻²⁵ of the sum.
    let mut sum = _mm512_set1_ps(1.0 / 5040.0);
    for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = _mm512_fmadd_ps(sum, r, _mm512_set1_ps(term));
    }
    let exponent = _mm512_slli_epi32::<23>(_mm512_add_epi32(_mm512_cvtps_epi32(k), _mm512_set1_epi32(127)));
    _mm512_mul_ps(sum, _mm512_castsi512_ps(exponent))
}
