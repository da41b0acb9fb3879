//! Vectors of f32, one file an instruction set, behind one trait. A value of a [`Simd`] type proves that
//! the processor has the instructions: it is made by `detect` alone.

#![expect(unsafe_code, reason = "vectors are loaded from pointers")]

use std::fmt;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

pub(super) use scalar::{FusedScalar, Plain};
#[cfg(target_arch = "x86_64")]
pub(super) use {avx2::Avx2, avx512::Avx512};

/// An instruction set that the processor has.
pub(super) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`Simd::LANES`] values.
    type Vector: Copy;
    /// Values in a vector.
    const LANES: usize;
    /// Rows of a pointwise tile of one, two and three vectors: no more than the registers hold, and enough to keep the
    /// multiply-add units busy. None where tiles of so many vectors are not used.
    const TILE_ROWS: [usize; 3];
    /// Sums of a depthwise block: enough to keep the multiply-add units busy, and no more than the registers hold
    /// beside the weights of two rows. Two at least.
    const SUMS: usize;

    /// Vectors in the widest tile.
    #[inline(always)]
    fn widest() -> usize {
        Self::TILE_ROWS.iter().filter(|rows| **rows > 0).count()
    }

    /// The proof, where the processor has the instructions.
    fn detect() -> Option<Self>;

    /// Runs `work` compiled for these instructions. What it calls must be inlined all the way
    /// (`#[inline(always)]`): a function of its own would be compiled without them.
    fn vectorize(self, work: impl Work);

    /// The vector at `from`.
    ///
    /// # Safety
    /// [`Simd::LANES`] values must be readable at `from`.
    unsafe fn load(self, from: *const f32) -> Self::Vector;

    /// Asks for the cache line at that address to be brought to L2; nothing happens where there is no memory.
    /// Without instructions for it, nothing happens at all.
    #[inline(always)]
    fn prefetch(self, _at: *const f32) {}

    /// Writes a vector to `to`.
    ///
    /// # Safety
    /// [`Simd::LANES`] values must be writable at `to`.
    unsafe fn store(self, to: *mut f32, vector: Self::Vector);

    /// Writes the first `count` values of a vector to `to`.
    ///
    /// # Safety
    /// So many values must be writable at `to`.
    unsafe fn store_first(self, to: *mut f32, vector: Self::Vector, count: usize);

    /// Whether [`Simd::store_split`] and [`Simd::store_narrow`] do something.
    const SPLITS: bool = false;

    /// Writes two vectors as the matrix unit takes them, high and low parts apart: to a row of a tile, see [`super::tiles`].
    ///
    /// # Safety
    /// The row and that of the tile behind it must be writable.
    #[inline(always)]
    unsafe fn store_split(self, _row: *mut f32, _first: Self::Vector, _second: Self::Vector) {}

    /// Writes a vector, all the channels of a pixel, in the same way: high and low parts together.
    ///
    /// # Safety
    /// The row must be writable.
    #[inline(always)]
    unsafe fn store_narrow(self, _row: *mut f32, _vector: Self::Vector) {}

    /// The same value in all lanes.
    fn splat(self, value: f32) -> Self::Vector;

    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;

    /// `a × b + c`, rounded once where the instructions can.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// `min(max(a, low), high)` in each lane.
    fn clamp(self, a: Self::Vector, low: Self::Vector, high: Self::Vector) -> Self::Vector;
}

/// Something to run with whatever instruction set is chosen.
pub(super) trait Work {
    /// Runs it.
    fn run<S: Simd>(self, simd: S);
}

/// The instruction sets there is code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// Plain Rust.
    Scalar,
    /// AVX2 with FMA, 8 values a vector.
    Avx2,
    /// AVX-512F, 16 values a vector.
    Avx512,
    /// AVX-512, and 1×1 convolutions on the matrix unit of server processors since Sapphire Rapids, on Linux: a product is three of
    /// bf16, together exact to some 2⁻¹⁶. Results differ by 1e-5 of the outputs' range from those of the other sets.
    /// Asking whether it is available asks the system for the unit, after which threads of this process need signal stacks with
    /// room for its registers (`AT_MINSIGSTKSZ`).
    Amx,
}

impl InstructionSet {
    /// All, the slowest first.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Amx];

    /// The fastest that this processor has.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.into_iter().rfind(|set| set.is_available()).unwrap_or(Self::Scalar)
    }

    /// Whether this processor has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => avx512::Avx512::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Amx => super::tiles::available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 | Self::Amx => false,
        }
    }

    /// Values in a vector.
    pub(super) fn lanes(self) -> usize {
        match self {
            Self::Scalar => scalar::Scalar::LANES,
            Self::Avx2 => 8,
            Self::Avx512 | Self::Amx => 16,
        }
    }

    /// Vectors in the widest tile of a product.
    pub(super) fn widest(self) -> usize {
        match self {
            Self::Scalar => scalar::Scalar::widest(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => avx2::Avx2::widest(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Amx => avx512::Avx512::widest(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 | Self::Amx => scalar::Scalar::widest(),
        }
    }

    /// Runs `work`, compiled for these instructions, or with plain Rust where the processor lacks them.
    pub(super) fn run(self, work: impl Work) {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Avx512 | Self::Amx => {
                if let Some(simd) = avx512::Avx512::detect() {
                    return simd.vectorize(work);
                }
            }
            Self::Avx2 => {
                if let Some(simd) = avx2::Avx2::detect() {
                    return simd.vectorize(work);
                }
            }
            Self::Scalar => {}
        }
        scalar::Plain::<false>.vectorize(work);
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
            Self::Amx => "AMX",
        })
    }
}
