//! Plain Rust: what the others are held to.

use super::{IntegerSimd, IntegerWork};
use crate::cpu::simd::{FusedScalar, Plain};

/// Needs no proof: it runs everywhere.
#[derive(Clone, Copy)]
pub(in crate::cpu::int8) struct ScalarIntegers;

/// The byte nearest to a value.
#[inline(always)]
fn rounded(value: f32) -> u8 {
    value.round_ties_even() as u8 // held in 0..=255 by Rust
}

impl IntegerSimd for ScalarIntegers {
    type Sums = [i32; 4];
    type Floats = [f32; 4];
    type Bytes = [u8; 16];
    type Shorts = [i16; 8];
    type Float = FusedScalar;
    type Narrow = Self;
    const LANES: usize = 4;
    const TILE_ROWS: [usize; 3] = [4, 0, 0];
    const BLOCK: usize = 1;

    fn detect() -> Option<Self> {
        Some(Self)
    }

    #[inline(always)]
    fn float(self) -> FusedScalar {
        Plain
    }

    #[inline(always)]
    fn narrow(self) -> Self {
        self
    }

    #[inline(always)]
    fn vectorize(self, work: impl IntegerWork) {
        work.run(self);
    }

    #[inline(always)]
    unsafe fn load(self, from: *const i32) -> [i32; 4] {
        // SAFETY: the caller vouches for the sums; reading unaligned asks for no more.
        unsafe { from.cast::<[i32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_weights(self, from: *const i8) -> [i32; 4] {
        // SAFETY: the caller vouches for four quads.
        unsafe { from.cast::<[i32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_floats(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller vouches for four floats.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> [u8; 16] {
        // SAFETY: the caller vouches for sixteen bytes.
        unsafe { from.cast::<[u8; 16]>().read() }
    }

    #[inline(always)]
    unsafe fn splat_quad(self, from: *const u8) -> [i32; 4] {
        // SAFETY: the caller vouches for four bytes.
        [unsafe { from.cast::<i32>().read_unaligned() }; 4]
    }

    #[inline(always)]
    unsafe fn widen(self, from: *const u8) -> [i32; 4] {
        // SAFETY: the caller vouches for four bytes.
        unsafe { from.cast::<[u8; 4]>().read() }.map(i32::from)
    }

    #[inline(always)]
    fn dot(self, sums: [i32; 4], bytes: [i32; 4], weights: [i32; 4]) -> [i32; 4] {
        std::array::from_fn(|lane| {
            let (bytes, weights) = (bytes[lane].to_ne_bytes(), weights[lane].to_ne_bytes());
            let products = bytes.iter().zip(weights).map(|(b, w)| i32::from(*b) * i32::from(w.cast_signed()));
            products.fold(sums[lane], i32::wrapping_add)
        })
    }

    #[inline(always)]
    fn scale(self, sums: [i32; 4], factor: [f32; 4], offset: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| (sums[i] as f32).mul_add(factor[i], offset[i]))
    }

    #[inline(always)]
    fn fuse(self, floats: [f32; 4], factor: f32, offset: f32) -> [f32; 4] {
        floats.map(|value| value.mul_add(factor, offset))
    }

    #[inline(always)]
    unsafe fn store_rounded(self, to: *mut u8, floats: [f32; 4]) {
        // SAFETY: the caller vouches for four bytes.
        unsafe { to.cast::<[u8; 4]>().write(floats.map(rounded)) };
    }

    #[inline(always)]
    unsafe fn store_row<const N: usize>(self, to: *mut u8, floats: [[f32; 4]; N]) {
        for (v, floats) in floats.into_iter().enumerate() {
            // SAFETY: the caller vouches for four bytes a vector.
            unsafe { self.store_rounded(to.add(v * Self::LANES), floats) };
        }
    }

    #[inline(always)]
    unsafe fn store_floats(self, to: *mut f32, floats: [f32; 4]) {
        // SAFETY: the caller vouches for four floats.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(floats) };
    }

    #[inline(always)]
    fn interleave(self, rows: [[u8; 16]; 4], half: usize) -> [[i32; 4]; 2] {
        std::array::from_fn(|part| {
            std::array::from_fn(|lane| {
                let channel = super::channel(half * 2 + part, lane);
                i32::from_ne_bytes(rows.map(|row| row[channel]))
            })
        })
    }

    #[inline(always)]
    fn spread(self, row: [u8; 16], half: usize) -> [[i32; 4]; 2] {
        std::array::from_fn(|part| {
            std::array::from_fn(|lane| i32::from(row[super::channel(half * 2 + part, lane)]))
        })
    }

    #[inline(always)]
    fn shorten(self, parts: [[f32; 4]; 2]) -> [i16; 8] {
        // With four lanes the parts follow one another.
        std::array::from_fn(|i| parts[i / 4][i % 4].round_ties_even() as i16)
    }

    #[inline(always)]
    fn gather(self, halves: [[i16; 8]; 2]) -> [u8; 16] {
        std::array::from_fn(|i| halves[i / 8][i % 8].clamp(0, 255) as u8)
    }

    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, bytes: [u8; 16]) {
        // SAFETY: the caller vouches for sixteen bytes.
        unsafe { to.cast::<[u8; 16]>().write(bytes) };
    }
}
