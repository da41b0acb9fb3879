//! Vectors of 256 bits: AVX2, AVX-VNNI, and the narrow half of AVX-512 VNNI. They differ in how four
//! products become a sum.

use std::arch::x86_64::{
    __m256, __m256i, _mm_loadl_epi64, _mm_packus_epi16, _mm_storel_epi64, _mm_storeu_si128, _mm256_add_epi32,
    _mm256_castsi256_si128, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_cvtps_epi32,
    _mm256_dpbusd_avx_epi32, _mm256_dpbusd_epi32, _mm256_extracti128_si256, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_packs_epi32, _mm256_packus_epi16,
    _mm256_permute4x64_epi64, _mm256_permutevar8x32_epi32, _mm256_set1_epi16, _mm256_set1_epi32,
    _mm256_set1_ps, _mm256_setr_epi32, _mm256_setzero_si256, _mm256_storeu_ps, _mm256_storeu_si256,
    _mm256_unpackhi_epi8, _mm256_unpackhi_epi16, _mm256_unpacklo_epi8, _mm256_unpacklo_epi16,
};

use super::{IntegerSimd, IntegerWork};
use crate::cpu::simd::{Avx2 as FloatAvx2, Simd};

/// Proof that the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(in crate::cpu::int8) struct Avx2(FloatAvx2);

/// Proof that it has AVX-VNNI, too.
#[derive(Clone, Copy)]
pub(in crate::cpu::int8) struct AvxVnni(FloatAvx2);

/// Proof that it has AVX-512 VNNI for vectors of 256 bits.
#[derive(Clone, Copy)]
pub(in crate::cpu::int8) struct NarrowVnni(FloatAvx2);

impl NarrowVnni {
    pub(super) fn detect_all() -> Option<Self> {
        let has = std::arch::is_x86_feature_detected!("avx512vnni")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512bw");
        FloatAvx2::detect().filter(|_| has).map(Self)
    }
}

macro_rules! ymm {
    ($name:ident, $features:literal, $rows:expr, $block:literal, $detect:expr, $dot:expr) => {
        impl IntegerSimd for $name {
            type Sums = __m256i;
            type Floats = __m256;
            type Bytes = __m256i;
            type Shorts = __m256i;
            type Float = FloatAvx2;
            type Narrow = Self;
            const LANES: usize = 8;
            const TILE_ROWS: [usize; 3] = $rows;
            const BLOCK: usize = $block;

            fn detect() -> Option<Self> {
                $detect
            }

            #[inline(always)]
            fn float(self) -> FloatAvx2 {
                self.0
            }

            #[inline(always)]
            fn narrow(self) -> Self {
                self
            }

            #[inline(always)]
            fn vectorize(self, work: impl IntegerWork) {
                #[inline(never)]
                #[target_feature(enable = $features)]
                fn compiled(simd: $name, work: impl IntegerWork) {
                    work.run(simd);
                }
                // SAFETY: `self` exists, so the processor has the features.
                unsafe { compiled(self, work) }
            }

            #[inline(always)]
            unsafe fn load(self, from: *const i32) -> __m256i {
                // SAFETY: the caller vouches for the values, `self` for the instruction.
                unsafe { _mm256_loadu_si256(from.cast()) }
            }

            #[inline(always)]
            unsafe fn load_weights(self, from: *const i8) -> __m256i {
                // SAFETY: the caller vouches for the values, `self` for the instruction.
                unsafe { _mm256_loadu_si256(from.cast()) }
            }

            #[inline(always)]
            unsafe fn load_floats(self, from: *const f32) -> __m256 {
                // SAFETY: the caller vouches for the values, `self` for the instruction.
                unsafe { _mm256_loadu_ps(from) }
            }

            #[inline(always)]
            unsafe fn load_bytes(self, from: *const u8) -> __m256i {
                // SAFETY: the caller vouches for the values, `self` for the instruction.
                unsafe { _mm256_loadu_si256(from.cast()) }
            }

            #[inline(always)]
            unsafe fn splat_quad(self, from: *const u8) -> __m256i {
                // SAFETY: the caller vouches for four bytes, `self` for the instruction.
                unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
            }

            #[inline(always)]
            unsafe fn widen(self, from: *const u8) -> __m256i {
                // SAFETY: the caller vouches for eight bytes, `self` for the instructions.
                unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())) }
            }

            #[inline(always)]
            fn dot(self, sums: __m256i, bytes: __m256i, weights: __m256i) -> __m256i {
                // SAFETY: `self` exists, so the processor has the instructions.
                unsafe { $dot(sums, bytes, weights) }
            }

            #[inline(always)]
            fn scale(self, sums: __m256i, factor: __m256, offset: __m256) -> __m256 {
                // SAFETY: `self` exists, so the processor has the instructions.
                unsafe { _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), factor, offset) }
            }

            #[inline(always)]
            fn fuse(self, floats: __m256, factor: f32, offset: f32) -> __m256 {
                // SAFETY: `self` exists, so the processor has the instructions.
                unsafe { _mm256_fmadd_ps(floats, _mm256_set1_ps(factor), _mm256_set1_ps(offset)) }
            }

            #[inline(always)]
            unsafe fn store_rounded(self, to: *mut u8, floats: __m256) {
                // SAFETY: the caller vouches for eight bytes, `self` for the instructions.
                unsafe {
                    let whole = _mm256_cvtps_epi32(floats);
                    let short = _mm256_permute4x64_epi64::<0b1000>(_mm256_packs_epi32(whole, whole));
                    let short = _mm256_castsi256_si128(short);
                    _mm_storel_epi64(to.cast(), _mm_packus_epi16(short, short));
                }
            }

            #[inline(always)]
            unsafe fn store_row<const N: usize>(self, to: *mut u8, floats: [__m256; N]) {
                if N == 1 {
                    // SAFETY: as the caller vouches.
                    return unsafe { self.store_rounded(to, floats[0]) };
                }
                // SAFETY: the caller vouches for 8 bytes a vector, `self` for the instructions.
                unsafe {
                    let (first, last) = (_mm256_cvtps_epi32(floats[0]), _mm256_cvtps_epi32(floats[N - 1]));
                    let second = if N > 2 { _mm256_cvtps_epi32(floats[1]) } else { last };
                    // In each 128 bits four bytes of the first vector, four of the second, four of the last.
                    let bytes = _mm256_packus_epi16(
                        _mm256_packs_epi32(first, second),
                        _mm256_packs_epi32(last, last),
                    );
                    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
                    let bytes = _mm256_permutevar8x32_epi32(bytes, order);
                    _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(bytes));
                    if N > 2 {
                        _mm_storel_epi64(to.add(16).cast(), _mm256_extracti128_si256::<1>(bytes));
                    }
                }
            }

            #[inline(always)]
            unsafe fn store_floats(self, to: *mut f32, floats: __m256) {
                // SAFETY: the caller vouches for the values, `self` for the instruction.
                unsafe { _mm256_storeu_ps(to, floats) }
            }

            #[inline(always)]
            fn interleave(self, rows: [__m256i; 4], half: usize) -> [__m256i; 2] {
                let [a, b, c, d] = rows;
                // SAFETY: `self` exists, so the processor has the instructions.
                unsafe {
                    let (ab, cd) = match half {
                        0 => (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d)),
                        _ => (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d)),
                    };
                    [_mm256_unpacklo_epi16(ab, cd), _mm256_unpackhi_epi16(ab, cd)]
                }
            }

            #[inline(always)]
            fn spread(self, row: __m256i, half: usize) -> [__m256i; 2] {
                // SAFETY: `self` exists, so the processor has the instruction.
                let zero = unsafe { _mm256_setzero_si256() };
                self.interleave([row, zero, zero, zero], half)
            }

            #[inline(always)]
            fn shorten(self, [a, b]: [__m256; 2]) -> __m256i {
                // SAFETY: `self` exists, so the processor has the instructions.
                unsafe { _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b)) }
            }

            #[inline(always)]
            fn gather(self, [low, high]: [__m256i; 2]) -> __m256i {
                // SAFETY: `self` exists, so the processor has the instruction.
                unsafe { _mm256_packus_epi16(low, high) }
            }

            #[inline(always)]
            unsafe fn store_bytes(self, to: *mut u8, bytes: __m256i) {
                // SAFETY: the caller vouches for the bytes, `self` for the instruction.
                unsafe { _mm256_storeu_si256(to.cast(), bytes) }
            }
        }
    };
}

ymm!(Avx2, "avx2,fma", [8, 5, 3], 2, FloatAvx2::detect().map(Self), |sums, bytes, weights| {
    // Two pairs of 16 bits, which hold every sum of a pair, then their sum.
    let pairs = _mm256_maddubs_epi16(bytes, weights);
    _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
});
ymm!(
    AvxVnni,
    "avx2,fma,avxvnni",
    [12, 6, 4],
    2,
    FloatAvx2::detect().filter(|_| std::arch::is_x86_feature_detected!("avxvnni")).map(Self),
    |sums, bytes, weights| _mm256_dpbusd_avx_epi32(sums, bytes, weights)
);
ymm!(
    NarrowVnni,
    "avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni",
    [14, 14, 9],
    4,
    Self::detect_all(),
    |sums, bytes, weights| _mm256_dpbusd_epi32(sums, bytes, weights)
);
