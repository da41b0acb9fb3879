//! Vectors of bytes and of the sums of their products, one file an instruction set, behind one trait.
//!
//! All of them give the same bits: sums are exact in integers ([`crate::quantised`] says why nothing is held
//! wrongly), and the float arithmetic behind them is one fused multiply-add and one rounding to even, the same
//! everywhere.

#![expect(unsafe_code, reason = "vectors are loaded from pointers")]

use crate::cpu::simd::{InstructionSet, Simd};

#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod ymm;

/// Lanes of the widest vector.
pub(super) const MOST_LANES: usize = 16;

/// Bytes that a sum takes in at a time: four of the input with four weights.
pub(crate) const QUAD: usize = 4;

/// An instruction set that the processor has.
///
/// A vector of [`Bytes`](IntegerSimd::Bytes) is four vectors of sums wide. Its bytes are spread over them as
/// [`channel`] says, which is what the instructions that interleave do.
pub(super) trait IntegerSimd: Copy + Send + Sync + 'static {
    /// [`IntegerSimd::LANES`] sums; or as many quads of bytes, or of weights.
    type Sums: Copy;
    /// As many floats.
    type Floats: Copy;
    /// Four times as many bytes.
    type Bytes: Copy;
    /// Half of those, 16 bits each.
    type Shorts: Copy;
    /// The float instructions that go with them.
    type Float: Simd;
    /// What a depthwise runs on: vectors no wider than is good for few channels.
    type Narrow: IntegerSimd;
    /// Sums in a vector.
    const LANES: usize;
    /// Rows of a 1×1's tile of one, two and three vectors: as many as the registers hold.
    const TILE_ROWS: [usize; 3];
    /// Columns of a depthwise's block of two rows.
    const BLOCK: usize;

    /// Bytes in a vector.
    const BYTES: usize = Self::LANES * QUAD;

    /// Vectors in the widest tile.
    #[inline(always)]
    fn widest() -> usize {
        Self::TILE_ROWS.iter().filter(|rows| **rows > 0).count()
    }

    /// The proof, where the processor has the instructions.
    fn detect() -> Option<Self>;
    /// The proof for float.
    fn float(self) -> Self::Float;
    /// The proof for narrow vectors.
    fn narrow(self) -> Self::Narrow;
    /// Runs `work` compiled for these instructions; see [`Simd::vectorize`].
    fn vectorize(self, work: impl IntegerWork);

    /// The sums at `from`.
    ///
    /// # Safety
    /// [`IntegerSimd::LANES`] sums must be readable there.
    unsafe fn load(self, from: *const i32) -> Self::Sums;
    /// The quads of weights at `from`.
    ///
    /// # Safety
    /// So many quads must be readable there.
    unsafe fn load_weights(self, from: *const i8) -> Self::Sums;
    /// The floats at `from`.
    ///
    /// # Safety
    /// So many must be readable there.
    unsafe fn load_floats(self, from: *const f32) -> Self::Floats;
    /// The bytes at `from`.
    ///
    /// # Safety
    /// [`IntegerSimd::BYTES`] must be readable there.
    unsafe fn load_bytes(self, from: *const u8) -> Self::Bytes;
    /// The four bytes at `from` in every lane.
    ///
    /// # Safety
    /// Four bytes must be readable there.
    unsafe fn splat_quad(self, from: *const u8) -> Self::Sums;
    /// The bytes at `from` as sums, one a lane.
    ///
    /// # Safety
    /// [`IntegerSimd::LANES`] bytes must be readable there.
    unsafe fn widen(self, from: *const u8) -> Self::Sums;
    /// The first `count` bytes at `from` as sums, 0 in the other lanes.
    ///
    /// # Safety
    /// So many bytes must be readable there.
    #[inline(always)]
    unsafe fn widen_first(self, from: *const u8, count: usize) -> Self::Sums {
        let mut bytes = [0; MOST_LANES];
        // SAFETY: as the caller vouches.
        unsafe {
            if count == Self::LANES {
                return self.widen(from);
            }
            bytes.as_mut_ptr().copy_from_nonoverlapping(from, count);
            self.widen(bytes.as_ptr())
        }
    }
    /// `sums + Σ bytes × weights` over each lane's quad.
    fn dot(self, sums: Self::Sums, bytes: Self::Sums, weights: Self::Sums) -> Self::Sums;
    /// `sums × factor + offset`, rounded once.
    fn scale(self, sums: Self::Sums, factor: Self::Floats, offset: Self::Floats) -> Self::Floats;
    /// `floats × factor + offset`, rounded once.
    fn fuse(self, floats: Self::Floats, factor: f32, offset: f32) -> Self::Floats;
    /// Rounds to even, holds in 0..=255, writes one byte a lane.
    ///
    /// # Safety
    /// [`IntegerSimd::LANES`] bytes must be writable at `to`.
    unsafe fn store_rounded(self, to: *mut u8, floats: Self::Floats);
    /// As [`IntegerSimd::store_rounded`] for the first `count` lanes.
    ///
    /// # Safety
    /// So many bytes must be writable at `to`.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut u8, floats: Self::Floats, count: usize) {
        let mut bytes = [0; MOST_LANES];
        // SAFETY: as the caller vouches.
        unsafe {
            if count == Self::LANES {
                return self.store_rounded(to, floats);
            }
            self.store_rounded(bytes.as_mut_ptr(), floats);
            to.copy_from_nonoverlapping(bytes.as_ptr(), count);
        }
    }
    /// As [`IntegerSimd::store_rounded`] for one to three vectors that follow each other.
    ///
    /// # Safety
    /// So many bytes must be writable at `to`.
    unsafe fn store_row<const N: usize>(self, to: *mut u8, floats: [Self::Floats; N]);
    /// Writes floats as they are.
    ///
    /// # Safety
    /// So many must be writable at `to`.
    unsafe fn store_floats(self, to: *mut f32, floats: Self::Floats);
    /// Of four rows of bytes two of the four vectors of quads, those of `half`: a quad has a channel's byte of each row.
    fn interleave(self, rows: [Self::Bytes; 4], half: usize) -> [Self::Sums; 2];
    /// The bytes of one row, two of the four vectors of them, one a lane.
    fn spread(self, row: Self::Bytes, half: usize) -> [Self::Sums; 2];
    /// Rounds to even, holds in 16 bits, gathers what [`IntegerSimd::interleave`] spread for one half.
    fn shorten(self, parts: [Self::Floats; 2]) -> Self::Shorts;
    /// Holds in 0..=255, puts the halves together.
    fn gather(self, halves: [Self::Shorts; 2]) -> Self::Bytes;
    /// Writes bytes.
    ///
    /// # Safety
    /// [`IntegerSimd::BYTES`] must be writable at `to`.
    unsafe fn store_bytes(self, to: *mut u8, bytes: Self::Bytes);
}

/// Which byte of a vector is in lane `lane` of its part `part`, 0 to 3.
pub(super) fn channel(part: usize, lane: usize) -> usize {
    lane / 4 * 16 + part * 4 + lane % 4
}

/// Something to run with whatever instruction set is chosen.
pub(super) trait IntegerWork {
    /// Runs it.
    fn run<S: IntegerSimd>(self, simd: S);
}

/// The code there is for integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntegerSet {
    Scalar,
    Avx2,
    AvxVnni,
    Avx512Vnni,
}

impl IntegerSet {
    /// The best for an instruction set; processors differ in what they have for integers.
    pub(crate) fn of(instructions: InstructionSet) -> Self {
        let best = match instructions {
            InstructionSet::Scalar => &[][..],
            InstructionSet::Avx2 => &[Self::AvxVnni, Self::Avx2],
            InstructionSet::Avx512 | InstructionSet::Amx => &[Self::Avx512Vnni, Self::AvxVnni, Self::Avx2],
        };
        best.iter().copied().find(|set| set.is_available()).unwrap_or(Self::Scalar)
    }

    fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => ymm::Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => ymm::AvxVnni::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => avx512::Avx512Vnni::detect().is_some(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::AvxVnni | Self::Avx512Vnni => false,
        }
    }

    /// Sums in a vector, and vectors in the widest tile of a product; bytes in a depthwise's vector.
    pub(super) fn layout(self) -> Layout {
        struct Ask<'a>(&'a mut Layout);
        impl IntegerWork for Ask<'_> {
            fn run<S: IntegerSimd>(self, _: S) {
                *self.0 = Layout { lanes: S::LANES, widest: S::widest(), bytes: S::Narrow::BYTES };
            }
        }
        let mut layout = Layout { lanes: 1, widest: 1, bytes: QUAD };
        self.run(Ask(&mut layout));
        layout
    }

    /// Runs `work`, compiled for these instructions.
    pub(super) fn run(self, work: impl IntegerWork) {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Avx512Vnni => {
                if let Some(simd) = avx512::Avx512Vnni::detect() {
                    return simd.vectorize(work);
                }
            }
            Self::AvxVnni => {
                if let Some(simd) = ymm::AvxVnni::detect() {
                    return simd.vectorize(work);
                }
            }
            Self::Avx2 => {
                if let Some(simd) = ymm::Avx2::detect() {
                    return simd.vectorize(work);
                }
            }
            Self::Scalar => {}
        }
        scalar::ScalarIntegers.vectorize(work);
    }
}

/// How weights are packed for an instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Sums in a vector of a product.
    pub(super) lanes: usize,
    /// Vectors in its widest tile.
    pub(super) widest: usize,
    /// Bytes in a vector of a depthwise.
    pub(super) bytes: usize,
}

impl std::fmt::Display for IntegerSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "AVX2",
            Self::AvxVnni => "AVX-VNNI",
            Self::Avx512Vnni => "AVX-512 VNNI",
        })
    }
}
