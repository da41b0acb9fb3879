//! Depthwise 3×3 convolution of bytes, padded by one pixel of zero points.
//!
//! ```text
//! for each pair of output rows (one row at stride 2)
//!   for each block of four pixels (then two, one)
//!     for each vector of channels, half of it at a time
//!       sums in registers = bias
//!       for each input column under the block
//!         of four rows the bytes of a channel are put side by side: a quad
//!         for each sum that the column belongs to: sum += quad · weights
//!       scale, add the shortcut, round to bytes
//!     store
//! ```
//!
//! 1. Four rows of input make two rows of output: the even one's weights are (w0, w1, w2, 0), the odd one's (0, w0,
//!    w1, w2), so that both use the same quads. Putting bytes side by side takes 8 instructions for a vector of a
//!    column, which serve all sums of six pixels.
//! 2. The bytes come out in another order, that of [`super::simd::channel`]; weights and scales are packed in it,
//!    and rounding puts them back.
//! 3. Rows and columns outside of the picture are a pixel of zero points.

#![expect(unsafe_code, reason = "the inner loop reads without checking each index")]
#![expect(clippy::needless_range_loop, reason = "an index over constants names a register of the tile")]

use std::ops::Range;

use super::pack::Conv;
use super::simd::IntegerSimd;
use crate::cpu::memory::Rows;

/// Bytes of the widest vector.
const MOST_BYTES: usize = 64;

/// One to four rows of input, and what is made of them.
#[derive(Clone, Copy)]
struct Block<'a> {
    conv: &'a Conv,
    /// The first pixel of each row of input; a pixel of zero points where it is outside.
    input: [*const u8; 4],
    /// Distance of a row's pixels: 0 where it is outside.
    step: [usize; 4],
    output: [*mut u8; 2],
    /// The shortcut's rows, and the distance of its pixels; null where none is added.
    shared: [*const u8; 2],
    shared_step: usize,
    /// The first pixel of output.
    x: usize,
}

/// Computes some rows of a map.
///
/// # Safety
/// The rows of `output`, those of `input` that they need and those of `shortcut`, where the step has one,
/// must be in memory, and nobody else may write to them.
#[inline(always)]
pub(super) unsafe fn run<S: IntegerSimd>(
    simd: S,
    conv: &Conv,
    stride: usize,
    input: Rows<u8>,
    output: Rows<u8>,
    shortcut: Option<Rows<u8>>,
    rows: Range<usize>,
) {
    let shape = conv.step.input_shape;
    debug_assert!(input.pixel == shape.channels && output.pixel == shape.channels);
    let mut y = rows.start;
    while y < rows.end {
        let count = if stride == 1 && y + 1 < rows.end { 2 } else { 1 };
        // The rows of input, of which a single row of output takes three.
        let row = |k: usize| {
            let row = (y * stride + k.min(count + 1)).wrapping_sub(1);
            if row < shape.height {
                (input.row(row).cast_const(), shape.channels)
            } else {
                (conv.padding.as_ptr(), 0)
            }
        };
        let last = count - 1;
        let block = Block {
            conv,
            input: std::array::from_fn(|k| row(k).0),
            step: std::array::from_fn(|k| row(k).1),
            output: [output.row(y), output.row(y + last)],
            shared: match shortcut {
                Some(rows) => [rows.row(y).cast_const(), rows.row(y + last).cast_const()],
                None => [std::ptr::null(); 2],
            },
            shared_step: shortcut.map_or(0, |other| other.pixel),
            x: 0,
        };
        // SAFETY: as the caller vouches.
        unsafe {
            match (stride, count) {
                (1, 2) => block.row::<S, 1, 2>(simd),
                (1, _) => block.row::<S, 1, 1>(simd),
                _ => block.row::<S, 2, 1>(simd),
            }
        }
        y += count;
    }
}

impl Block<'_> {
    /// All pixels of the rows.
    #[inline(always)]
    unsafe fn row<S: IntegerSimd, const STRIDE: usize, const ROWS: usize>(mut self, simd: S) {
        let shape = self.conv.step.output_shape;
        // SAFETY: the block's pixels are inside the rows.
        unsafe {
            while self.x < shape.width {
                self.x += match (shape.width - self.x, S::BLOCK) {
                    _ if shape.channels < S::BYTES => {
                        self.pixels::<S, STRIDE, ROWS, 1, true, false>(simd);
                        1
                    }
                    (4.., 4) => self.edges::<S, STRIDE, ROWS, 4>(simd),
                    (2.., 2..) => self.edges::<S, STRIDE, ROWS, 2>(simd),
                    _ => self.edges::<S, STRIDE, ROWS, 1>(simd),
                };
            }
        }
    }

    /// `COUNT` pixels. Says how many.
    #[inline(always)]
    unsafe fn edges<S: IntegerSimd, const STRIDE: usize, const ROWS: usize, const COUNT: usize>(
        self,
        simd: S,
    ) -> usize {
        let last = (self.x + COUNT - 1) * STRIDE + 2 > self.conv.step.input_shape.width;
        // SAFETY: as the caller vouches.
        unsafe {
            if self.x == 0 || last {
                self.pixels::<S, STRIDE, ROWS, COUNT, true, true>(simd);
            } else {
                self.pixels::<S, STRIDE, ROWS, COUNT, false, true>(simd);
            }
        }
        COUNT
    }

    /// `COUNT` pixels of each row. With `EDGE` columns may be outside; without `FULL` there are fewer channels
    /// than a vector has bytes.
    #[inline(always)]
    unsafe fn pixels<
        S: IntegerSimd,
        const STRIDE: usize,
        const ROWS: usize,
        const COUNT: usize,
        const EDGE: bool,
        const FULL: bool,
    >(
        self,
        simd: S,
    ) {
        let channels = self.conv.step.output_shape.channels;
        for (v, (first, count)) in self.conv.vectors(S::BYTES).enumerate() {
            let at = Channels { vector: v, first, count };
            // SAFETY: as the caller vouches.
            unsafe {
                let low = self.half::<S, STRIDE, ROWS, COUNT, EDGE, FULL>(simd, at, 0);
                let high = self.half::<S, STRIDE, ROWS, COUNT, EDGE, FULL>(simd, at, 1);
                for n in 0..ROWS {
                    for i in 0..COUNT {
                        let to = self.output[n].wrapping_add((self.x + i) * channels + first);
                        let bytes = simd.gather([low[n][i], high[n][i]]);
                        if FULL {
                            simd.store_bytes(to, bytes);
                        } else {
                            let mut part = [0; MOST_BYTES];
                            simd.store_bytes(part.as_mut_ptr(), bytes);
                            to.copy_from_nonoverlapping(part.as_ptr(), count);
                        }
                    }
                }
            }
        }
    }

    /// Half of a vector of channels of the block's pixels.
    #[inline(always)]
    unsafe fn half<
        S: IntegerSimd,
        const STRIDE: usize,
        const ROWS: usize,
        const COUNT: usize,
        const EDGE: bool,
        const FULL: bool,
    >(
        self,
        simd: S,
        at: Channels,
        half: usize,
    ) -> [[S::Shorts; COUNT]; ROWS] {
        let Self { conv, x, .. } = self;
        let weights = conv.weights().wrapping_add(at.vector * 6 * 4 * S::BYTES);
        let params = at.vector * S::BYTES + half * 2 * S::LANES;
        // SAFETY: a vector has six columns of weights and one of each other parameter for each channel; columns
        // outside are read at the pixel of zero points.
        unsafe {
            let bias = conv.bias.as_ptr().wrapping_add(params);
            let mut sums = [[[simd.load(bias), simd.load(bias.wrapping_add(S::LANES))]; COUNT]; ROWS];
            // Written out, for a loop of so much is not unrolled, and the sums would not stay in registers.
            macro_rules! columns {
                ($($j:literal)*) => {
                    $(self.meet::<S, STRIDE, ROWS, COUNT, EDGE, FULL, $j>(simd, at, half, weights, &mut sums);)*
                };
            }
            columns!(0 1 2 3 4 5 6 7 8);
            let factor = pair(simd, conv.factor.as_ptr().wrapping_add(params));
            let offset = pair(simd, conv.offset.as_ptr().wrapping_add(params));
            let mut scaled = [[offset; COUNT]; ROWS];
            for n in 0..ROWS {
                for i in 0..COUNT {
                    for p in 0..2 {
                        scaled[n][i][p] = simd.scale(sums[n][i][p], factor[p], offset[p]);
                    }
                }
            }
            if at.first < conv.step.shortcut.as_ref().map_or(0, |s| s.channels) {
                let share = pair(simd, conv.shared.as_ptr().wrapping_add(params));
                for n in 0..ROWS {
                    for i in 0..COUNT {
                        let from = self.shared[n].wrapping_add((x + i) * self.shared_step + at.first);
                        let left = self.shared_step - at.first;
                        let row = match left >= S::BYTES {
                            true => simd.load_bytes(from),
                            false => load::<S, false>(simd, from, left),
                        };
                        let spread = simd.spread(row, half);
                        for p in 0..2 {
                            scaled[n][i][p] = simd.scale(spread[p], share[p], scaled[n][i][p]);
                        }
                    }
                }
            }
            let mut shorts = [[simd.shorten(offset); COUNT]; ROWS];
            for n in 0..ROWS {
                for i in 0..COUNT {
                    shorts[n][i] = simd.shorten(scaled[n][i]);
                }
            }
            shorts
        }
    }

    /// Adds column `J` under the block to the sums that it belongs to, where there are so many columns.
    #[inline(always)]
    unsafe fn meet<
        S: IntegerSimd,
        const STRIDE: usize,
        const ROWS: usize,
        const COUNT: usize,
        const EDGE: bool,
        const FULL: bool,
        const J: usize,
    >(
        &self,
        simd: S,
        at: Channels,
        half: usize,
        weights: *const i8,
        sums: &mut [[[S::Sums; 2]; COUNT]; ROWS],
    ) {
        if J >= (COUNT - 1) * STRIDE + 3 {
            return;
        }
        let column = (self.x * STRIDE + J).wrapping_sub(1);
        // SAFETY: as `half` says.
        unsafe {
            let rows = [
                self.column::<S, EDGE, FULL>(simd, 0, column, at),
                self.column::<S, EDGE, FULL>(simd, 1, column, at),
                self.column::<S, EDGE, FULL>(simd, 2, column, at),
                self.column::<S, EDGE, FULL>(simd, 3, column, at),
            ];
            let quads = simd.interleave(rows, half);
            for n in 0..ROWS {
                for i in 0..COUNT {
                    if J >= i * STRIDE && J - i * STRIDE < 3 {
                        let column = n * 3 + J - i * STRIDE;
                        let from = weights.wrapping_add((column * 4 + half * 2) * S::BYTES);
                        for p in 0..2 {
                            let w = simd.load_weights(from.wrapping_add(p * S::BYTES));
                            sums[n][i][p] = simd.dot(sums[n][i][p], quads[p], w);
                        }
                    }
                }
            }
        }
    }

    /// A vector of bytes of input row `k`.
    #[inline(always)]
    unsafe fn column<S: IntegerSimd, const EDGE: bool, const FULL: bool>(
        &self,
        simd: S,
        k: usize,
        column: usize,
        at: Channels,
    ) -> S::Bytes {
        let from = if EDGE && column >= self.conv.step.input_shape.width {
            self.conv.padding.as_ptr()
        } else {
            self.input[k].wrapping_add(column.wrapping_mul(self.step[k]))
        };
        // SAFETY: the column is inside the row, or is the pixel of zero points.
        unsafe { load::<S, FULL>(simd, from.wrapping_add(at.first), at.count) }
    }
}

/// Two vectors of parameters.
///
/// # Safety
/// So many must be readable.
#[inline(always)]
unsafe fn pair<S: IntegerSimd>(simd: S, from: *const f32) -> [S::Floats; 2] {
    // SAFETY: as the caller vouches.
    unsafe { [simd.load_floats(from), simd.load_floats(from.wrapping_add(S::LANES))] }
}

/// A vector of channels.
#[derive(Clone, Copy)]
struct Channels {
    /// Which it is.
    vector: usize,
    /// Its first channel.
    first: usize,
    /// How many there are.
    count: usize,
}

/// A vector of bytes, or the first `count` of one, then zeros.
///
/// # Safety
/// So many bytes must be readable.
#[inline(always)]
unsafe fn load<S: IntegerSimd, const FULL: bool>(simd: S, from: *const u8, count: usize) -> S::Bytes {
    // SAFETY: as the caller vouches.
    unsafe {
        if FULL {
            return simd.load_bytes(from);
        }
        let mut part = [0; MOST_BYTES];
        part.as_mut_ptr().copy_from_nonoverlapping(from, count);
        simd.load_bytes(part.as_ptr())
    }
}
