//! Plain Rust: four values at a time, which every compiler turns into whatever the target has.

use super::{Simd, Work};

/// Needs no proof: it runs everywhere. `FUSED`: multiply-adds round once, as the instructions of the others do, so
/// that all give the same bits; slow where the processor has no such instruction.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Plain<const FUSED: bool>;

/// The plain code.
pub(in crate::cpu) type Scalar = Plain<false>;
/// The plain code to the last bit as vectors give it.
pub(in crate::cpu) type FusedScalar = Plain<true>;

impl<const FUSED: bool> Simd for Plain<FUSED> {
    type Vector = [f32; 4];
    const LANES: usize = 4;
    const TILE_ROWS: [usize; 3] = [8, 4, 0];
    const SUMS: usize = 2;

    fn detect() -> Option<Self> {
        Some(Self)
    }

    #[inline(always)]
    fn vectorize(self, work: impl Work) {
        work.run(self);
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; 4] {
        // SAFETY: the caller vouches for four values at `from`; an array of f32 is aligned as one.
        unsafe { from.cast::<[f32; 4]>().read() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, vector: [f32; 4]) {
        // SAFETY: the caller vouches for four values at `to`; an array of f32 is aligned as one.
        unsafe { to.cast::<[f32; 4]>().write(vector) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, vector: [f32; 4], count: usize) {
        for (i, value) in vector.into_iter().enumerate().take(count) {
            // SAFETY: the caller vouches for so many values at `to`.
            unsafe { to.add(i).write(value) };
        }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> [f32; 4] {
        [value; 4]
    }

    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| if FUSED { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] })
    }

    #[inline(always)]
    fn clamp(self, a: [f32; 4], low: [f32; 4], high: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|i| a[i].max(low[i]).min(high[i]))
    }
}
