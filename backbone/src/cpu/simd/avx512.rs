//! AVX-512F: 16 values a vector, 32 registers.

use std::arch::x86_64::{
    __m512, _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_mask_storeu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_set1_ps, _mm512_storeu_ps,
};

use super::{Simd, Work};
use crate::cpu::tiles::{put, put_narrow};

/// Proof that the processor has AVX-512F.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Avx512(());

impl Simd for Avx512 {
    type Vector = __m512;
    const LANES: usize = 16;
    // A few less than fit (14, 9): on a Zen 5 the sums of a fuller tile are stored more slowly than the next one's are begun.
    const TILE_ROWS: [usize; 3] = [14, 10, 8];
    const SUMS: usize = 10;

    fn detect() -> Option<Self> {
        (std::arch::is_x86_feature_detected!("avx512f")).then_some(Self(()))
    }

    #[inline(always)]
    fn vectorize(self, work: impl Work) {
        #[inline(never)]
        #[target_feature(enable = "avx512f")]
        fn compiled(simd: Avx512, work: impl Work) {
            work.run(simd);
        }
        // SAFETY: `self` exists, so the processor has the features.
        unsafe { compiled(self, work) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for the values at `from`, `self` for the instruction.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a hint, which may be given for any address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, vector: __m512) {
        // SAFETY: the caller vouches for the values at `to`, `self` for the instruction.
        unsafe { _mm512_storeu_ps(to, vector) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, vector: __m512, count: usize) {
        let mask = if count < Self::LANES { (1_u16 << count) - 1 } else { u16::MAX };
        // SAFETY: the caller vouches for the values that the mask lets through, `self` for the instruction.
        unsafe { _mm512_mask_storeu_ps(to, mask, vector) }
    }

    const SPLITS: bool = true;

    #[inline(always)]
    unsafe fn store_split(self, row: *mut f32, first: __m512, second: __m512) {
        // SAFETY: as the caller vouches; `self` exists, so the processor has the instructions.
        unsafe { put(row, first, second) }
    }

    #[inline(always)]
    unsafe fn store_narrow(self, row: *mut f32, vector: __m512) {
        // SAFETY: as above.
        unsafe { put_narrow(row, vector) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `self` exists, so the processor has the instruction.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has the instruction.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has the instruction.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn clamp(self, a: __m512, low: __m512, high: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has the instructions.
        unsafe { _mm512_min_ps(_mm512_max_ps(a, low), high) }
    }
}
