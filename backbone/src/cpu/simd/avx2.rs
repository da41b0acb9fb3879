//! AVX2 with FMA: 8 values a vector, 16 registers.

use std::arch::x86_64::{
    __m256, _MM_HINT_T1, _mm_prefetch, _mm256_add_ps, _mm256_cmpgt_epi32, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_maskstore_ps, _mm256_max_ps, _mm256_min_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32,
    _mm256_storeu_ps,
};

use super::{Simd, Work};

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Avx2(());

impl Simd for Avx2 {
    type Vector = __m256;
    const LANES: usize = 8;
    const TILE_ROWS: [usize; 3] = [10, 6, 0];
    const SUMS: usize = 8;

    fn detect() -> Option<Self> {
        (std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma"))
            .then_some(Self(()))
    }

    #[inline(always)]
    fn vectorize(self, work: impl Work) {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma")]
        fn compiled(simd: Avx2, work: impl Work) {
            work.run(simd);
        }
        // SAFETY: `self` exists, so the processor has the features.
        unsafe { compiled(self, work) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller vouches for the values at `from`, `self` for the instruction.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a hint, which may be given for any address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, vector: __m256) {
        // SAFETY: the caller vouches for the values at `to`, `self` for the instruction.
        unsafe { _mm256_storeu_ps(to, vector) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, vector: __m256, count: usize) {
        // SAFETY: the caller vouches for the values that the mask lets through, `self` for the instructions.
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes);
            _mm256_maskstore_ps(to, mask, vector);
        }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: `self` exists, so the processor has the instruction.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` exists, so the processor has the instruction.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` exists, so the processor has the instruction.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn clamp(self, a: __m256, low: __m256, high: __m256) -> __m256 {
        // SAFETY: `self` exists, so the processor has the instructions.
        unsafe { _mm256_min_ps(_mm256_max_ps(a, low), high) }
    }
}
