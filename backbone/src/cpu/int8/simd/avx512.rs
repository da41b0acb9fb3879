//! AVX-512 VNNI: 64 products an instruction, 32 registers.

use std::arch::x86_64::{
    __m512, __m512i, _mm_loadu_si128, _mm_mask_storeu_epi8, _mm_maskz_loadu_epi8, _mm_storeu_si128,
    _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_cvtps_epi32, _mm512_cvtusepi32_epi8,
    _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_storeu_epi32,
    _mm512_max_epi32, _mm512_packs_epi32, _mm512_packus_epi16, _mm512_permutexvar_epi32, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setr_epi32, _mm512_setzero_si512, _mm512_storeu_ps, _mm512_storeu_si512,
    _mm512_unpackhi_epi8, _mm512_unpackhi_epi16, _mm512_unpacklo_epi8, _mm512_unpacklo_epi16,
};

use super::ymm::NarrowVnni;
use super::{IntegerSimd, IntegerWork};
use crate::cpu::simd::{Avx512, Simd};

/// Proof that the processor has AVX-512 F, BW, VL and VNNI.
#[derive(Clone, Copy)]
pub(in crate::cpu::int8) struct Avx512Vnni(Avx512, NarrowVnni);

/// The mask of the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> u16 {
    if count < Avx512Vnni::LANES { (1 << count) - 1 } else { u16::MAX }
}

impl IntegerSimd for Avx512Vnni {
    type Sums = __m512i;
    type Floats = __m512;
    type Bytes = __m512i;
    type Shorts = __m512i;
    type Float = Avx512;
    type Narrow = NarrowVnni;
    const LANES: usize = 16;
    const TILE_ROWS: [usize; 3] = [14, 12, 8];
    const BLOCK: usize = 4;

    fn detect() -> Option<Self> {
        Some(Self(Avx512::detect()?, NarrowVnni::detect()?))
    }

    #[inline(always)]
    fn float(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    fn narrow(self) -> NarrowVnni {
        self.1
    }

    #[inline(always)]
    fn vectorize(self, work: impl IntegerWork) {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni")]
        fn compiled(simd: Avx512Vnni, work: impl IntegerWork) {
            work.run(simd);
        }
        // SAFETY: `self` exists, so the processor has the features.
        unsafe { compiled(self, work) }
    }

    #[inline(always)]
    unsafe fn load(self, from: *const i32) -> __m512i {
        // SAFETY: the caller vouches for the values, `self` for the instruction.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_weights(self, from: *const i8) -> __m512i {
        // SAFETY: the caller vouches for the values, `self` for the instruction.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn load_floats(self, from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for the values, `self` for the instruction.
        unsafe { _mm512_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m512i {
        // SAFETY: the caller vouches for the values, `self` for the instruction.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn splat_quad(self, from: *const u8) -> __m512i {
        // SAFETY: the caller vouches for four bytes, `self` for the instruction.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn widen(self, from: *const u8) -> __m512i {
        // SAFETY: the caller vouches for sixteen bytes, `self` for the instructions.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn widen_first(self, from: *const u8, count: usize) -> __m512i {
        // SAFETY: the caller vouches for the bytes that the mask lets through, `self` for the instructions.
        unsafe { _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(first(count), from.cast())) }
    }

    #[inline(always)]
    fn dot(self, sums: __m512i, bytes: __m512i, weights: __m512i) -> __m512i {
        // SAFETY: `self` exists, so the processor has the instruction.
        unsafe { _mm512_dpbusd_epi32(sums, bytes, weights) }
    }

    #[inline(always)]
    fn scale(self, sums: __m512i, factor: __m512, offset: __m512) -> __m512 {
        // SAFETY: `self` exists, so the processor has the instructions.
        unsafe { _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), factor, offset) }
    }

    #[inline(always)]
    fn fuse(self, floats: __m512, factor: f32, offset: f32) -> __m512 {
        // SAFETY: `self` exists, so the processor has the instructions.
        unsafe { _mm512_fmadd_ps(floats, _mm512_set1_ps(factor), _mm512_set1_ps(offset)) }
    }

    #[inline(always)]
    unsafe fn store_rounded(self, to: *mut u8, floats: __m512) {
        // SAFETY: the caller vouches for sixteen bytes, `self` for the instructions.
        unsafe {
            let whole = _mm512_max_epi32(_mm512_cvtps_epi32(floats), _mm512_setzero_si512());
            _mm_storeu_si128(to.cast(), _mm512_cvtusepi32_epi8(whole));
        }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut u8, floats: __m512, count: usize) {
        // SAFETY: the caller vouches for the bytes that the mask lets through, `self` for the instructions.
        unsafe {
            let whole = _mm512_max_epi32(_mm512_cvtps_epi32(floats), _mm512_setzero_si512());
            _mm_mask_storeu_epi8(to.cast(), first(count), _mm512_cvtusepi32_epi8(whole));
        }
    }

    #[inline(always)]
    unsafe fn store_row<const N: usize>(self, to: *mut u8, floats: [__m512; N]) {
        if N == 1 {
            // SAFETY: as the caller vouches.
            return unsafe { self.store_rounded(to, floats[0]) };
        }
        // SAFETY: the caller vouches for 16 bytes a vector, `self` for the instructions.
        unsafe {
            let (first, last) = (_mm512_cvtps_epi32(floats[0]), _mm512_cvtps_epi32(floats[N - 1]));
            let second = if N > 2 { _mm512_cvtps_epi32(floats[1]) } else { last };
            // In each 128 bits four bytes of the first vector, four of the second, four of the last.
            let bytes =
                _mm512_packus_epi16(_mm512_packs_epi32(first, second), _mm512_packs_epi32(last, last));
            let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let bytes = _mm512_permutexvar_epi32(order, bytes);
            _mm512_mask_storeu_epi32(to.cast(), if N > 2 { 0xfff } else { 0xff }, bytes);
        }
    }

    #[inline(always)]
    unsafe fn store_floats(self, to: *mut f32, floats: __m512) {
        // SAFETY: the caller vouches for the values, `self` for the instruction.
        unsafe { _mm512_storeu_ps(to, floats) }
    }

    #[inline(always)]
    fn interleave(self, rows: [__m512i; 4], half: usize) -> [__m512i; 2] {
        let [a, b, c, d] = rows;
        // SAFETY: `self` exists, so the processor has the instructions.
        unsafe {
            let (ab, cd) = match half {
                0 => (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d)),
                _ => (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d)),
            };
            [_mm512_unpacklo_epi16(ab, cd), _mm512_unpackhi_epi16(ab, cd)]
        }
    }

    #[inline(always)]
    fn spread(self, row: __m512i, half: usize) -> [__m512i; 2] {
        // SAFETY: `self` exists, so the processor has the instruction.
        let zero = unsafe { _mm512_setzero_si512() };
        self.interleave([row, zero, zero, zero], half)
    }

    #[inline(always)]
    fn shorten(self, [a, b]: [__m512; 2]) -> __m512i {
        // SAFETY: `self` exists, so the processor has the instructions.
        unsafe { _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b)) }
    }

    #[inline(always)]
    fn gather(self, [low, high]: [__m512i; 2]) -> __m512i {
        // SAFETY: `self` exists, so the processor has the instruction.
        unsafe { _mm512_packus_epi16(low, high) }
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, bytes: __m512i) {
        // SAFETY: the caller vouches for the bytes, `self` for the instruction.
        unsafe { _mm512_storeu_si512(to.cast(), bytes) }
    }
}
