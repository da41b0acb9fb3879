//! Depthwise 3×3 convolution, padded by one pixel:
//! `out[y][x][c] = clamp(Σ_ky,kx in[y·s + ky − 1][x·s + kx − 1][c] × weight[ky][kx][c] + bias[c]) + shortcut[c]`.
//!
//! ```text
//! for each pair of output rows (one row at stride 2)
//!   for each block of four pixels (then two, one)
//!     for each vector of channels
//!       for each input row under the block
//!         for each of its pixels: load once, add to every sum that it belongs to
//!       clamp, shortcut, store
//! ```
//!
//! 1. With NHWC a vector holds channels, so that no pixel needs shuffling, whatever the stride; and memory is
//!    read in its order, which the processor foresees.
//! 2. Neighbours share their input: eight sums of two rows take 24 loads instead of 72; four sums at stride 2
//!    take 27 instead of 36. So the multiply-adds and the way from L2 are the limits, not the loads. The
//!    weights are loaded for each block: kept over all blocks they would take the registers that the sums need.
//! 3. Rows above and below the picture are left out; so are the columns beside it, in blocks of their own
//!    shape, so that no block asks what is outside.
//! 4. The last vector of channels reaches back over the one before it where the channels are no multiple
//!    of a vector: it writes the same values again.
//!
//! Safe because the pointers come from maps and weights whose sizes the plan fixed; the caller vouches for
//! the rows.

#![expect(unsafe_code, reason = "the inner loop reads without checking each index")]
#![expect(clippy::needless_range_loop, reason = "an index over constants names a register of the tile")]

use std::ops::Range;

use super::memory::Rows;
use super::packing::Prepared;
use super::simd::Simd;

/// The map whose first channels are added.
#[derive(Clone, Copy)]
struct Shared {
    /// The row's first pixel.
    row: *const f32,
    /// Channels of the map: the distance of its pixels.
    stride: usize,
    /// Channels added.
    channels: usize,
}

/// One output row.
#[derive(Clone, Copy)]
struct Row<'a> {
    prepared: &'a Prepared,
    /// The input rows under it, those outside the picture left out.
    input: [*const f32; 3],
    /// Which they are: the first and how many.
    first: usize,
    count: usize,
    output: *mut f32,
    shared: Shared,
}

/// A vector of channels.
#[derive(Clone, Copy)]
struct Channels {
    /// The first.
    first: usize,
    /// Their nine weights and their bias, a vector each.
    weights: *const f32,
}

/// Computes some rows of a map.
///
/// # Safety
/// The rows of `output`, those of `input` that they need and those of `shortcut`, where the step has one,
/// must be in memory, and nobody else may write to them.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(
    simd: S,
    prepared: &Prepared,
    stride: usize,
    input: Rows,
    output: Rows,
    shortcut: Option<(Rows, usize)>,
    rows: Range<usize>,
) {
    let shape = prepared.step.input_shape;
    let shared_channels = prepared.step.shortcut.as_ref().map_or(0, |s| s.channels);
    let row = |y: usize| {
        let first = usize::from(y == 0);
        let top = y * stride + first - 1;
        let count = (3 - first).min(shape.height - top);
        Row {
            prepared,
            input: std::array::from_fn(|k| input.row(top + k.min(count - 1)).cast_const()),
            first,
            count,
            output: output.row(y),
            shared: match shortcut {
                Some((other, stride)) => Shared { row: other.row(y), stride, channels: shared_channels },
                None => Shared { row: std::ptr::null(), stride: 0, channels: 0 },
            },
        }
    };
    let mut y = rows.start;
    while y < rows.end {
        // SAFETY: as the caller vouches.
        y += unsafe {
            match (stride, rows.end - y) {
                _ if shape.channels < S::LANES => row(y).narrow(stride),
                (1, 2..) => wide::<S, 1, 2, 4>([row(y), row(y + 1)], simd),
                (1, _) => wide::<S, 1, 1, 8>([row(y)], simd),
                _ => wide::<S, 2, 1, 4>([row(y)], simd),
            }
        };
    }
}

/// Rows one below the other, in blocks of `MOST` pixels. Says how many rows.
#[inline(always)]
unsafe fn wide<S: Simd, const STRIDE: usize, const ROWS: usize, const MOST: usize>(
    rows: [Row<'_>; ROWS],
    simd: S,
) -> usize {
    let width = rows[0].prepared.step.output_shape.width;
    let mut x = 0;
    while x < width {
        // SAFETY: the block's pixels are inside the rows.
        x += unsafe {
            match width - x {
                left if left >= MOST => block::<S, STRIDE, ROWS, MOST>(rows, simd, x),
                4.. => block::<S, STRIDE, ROWS, 4>(rows, simd, x),
                2.. => block::<S, STRIDE, ROWS, 2>(rows, simd, x),
                _ => block::<S, STRIDE, ROWS, 1>(rows, simd, x),
            }
        };
    }
    ROWS
}

/// `COUNT` pixels of each row from `x` on. Says how many.
#[inline(always)]
unsafe fn block<S: Simd, const STRIDE: usize, const ROWS: usize, const COUNT: usize>(
    rows: [Row<'_>; ROWS],
    simd: S,
    x: usize,
) -> usize {
    // Whether the last pixel's third column is outside.
    let last = (x + COUNT - 1) * STRIDE + 2 > rows[0].prepared.step.input_shape.width;
    // SAFETY: as the caller vouches.
    unsafe {
        match (x == 0, last) {
            (false, false) => pixels::<S, STRIDE, ROWS, COUNT, false, false>(rows, simd, x),
            (true, false) => pixels::<S, STRIDE, ROWS, COUNT, true, false>(rows, simd, x),
            (false, true) => pixels::<S, STRIDE, ROWS, COUNT, false, true>(rows, simd, x),
            (true, true) => pixels::<S, STRIDE, ROWS, COUNT, true, true>(rows, simd, x),
        }
    }
    COUNT
}

/// `COUNT` pixels of each row from `x` on. The first's first column is outside where `LEFT`, the last's third
/// where `RIGHT`.
#[inline(always)]
unsafe fn pixels<
    S: Simd,
    const STRIDE: usize,
    const ROWS: usize,
    const COUNT: usize,
    const LEFT: bool,
    const RIGHT: bool,
>(
    rows: [Row<'_>; ROWS],
    simd: S,
    x: usize,
) {
    let channels = rows[0].prepared.step.output_shape.channels;
    for at in rows[0].channels::<S>() {
        // The first column may be outside the row: its address is only counted from.
        let column = (x * STRIDE * channels + at.first).wrapping_sub(channels);
        let add = Add::<S, STRIDE, COUNT, LEFT, RIGHT> { simd, channels, weights: at.weights };
        // SAFETY: there are ten vectors of weights; columns outside the row are left out, and a vector from the
        // first channel is inside.
        unsafe {
            let mut sums = [[simd.load(at.weights.add(9 * S::LANES)); COUNT]; ROWS];
            // The loops are as long as the rows say and never unrolled, for the compiler would compute one
            // sum after the other, and each multiply-add would wait for the one before it.
            if let ([upper, lower], [first, second]) = (rows.as_slice(), sums.as_mut_slice()) {
                for k in upper.first..1 {
                    add.row(upper.input[0].wrapping_add(column), [k], [&mut *first]);
                }
                for k in 0..lower.count.min(2) {
                    let row = lower.input[k].wrapping_add(column);
                    add.row(row, [k + 1, k], [&mut *first, &mut *second]);
                }
                for k in 2..lower.count {
                    add.row(lower.input[k].wrapping_add(column), [k], [&mut *second]);
                }
            } else {
                for k in 0..rows[0].count {
                    let row = rows[0].input[k].wrapping_add(column);
                    add.row(row, [rows[0].first + k], [&mut sums[0]]);
                }
            }
            for (row, sums) in rows.into_iter().zip(sums) {
                row.finish::<S, COUNT>(simd, at.first, x, sums);
            }
        }
    }
}

/// Adds an input row to the sums of a block.
struct Add<S, const STRIDE: usize, const COUNT: usize, const LEFT: bool, const RIGHT: bool> {
    simd: S,
    channels: usize,
    weights: *const f32,
}

impl<S: Simd, const STRIDE: usize, const COUNT: usize, const LEFT: bool, const RIGHT: bool>
    Add<S, STRIDE, COUNT, LEFT, RIGHT>
{
    /// `row` is the block's first column; for each output row, which row of its weights it meets.
    #[inline(always)]
    unsafe fn row<const N: usize>(
        &self,
        row: *const f32,
        ky: [usize; N],
        sums: [&mut [S::Vector; COUNT]; N],
    ) {
        let simd = self.simd;
        // SAFETY: as `pixels` vouches.
        unsafe {
            let taps: [[S::Vector; 3]; N] =
                ky.map(|ky| std::array::from_fn(|kx| simd.load(self.weights.add((ky * 3 + kx) * S::LANES))));
            for j in usize::from(LEFT)..(COUNT - 1) * STRIDE + 3 - usize::from(RIGHT) {
                let value = simd.load(row.wrapping_add(j * self.channels));
                for n in 0..N {
                    for i in 0..COUNT {
                        if j >= i * STRIDE && j - i * STRIDE < 3 {
                            sums[n][i] = simd.mul_add(value, taps[n][j - i * STRIDE], sums[n][i]);
                        }
                    }
                }
            }
        }
    }
}

impl Row<'_> {
    /// The vectors of channels.
    #[inline(always)]
    fn channels<S: Simd>(&self) -> impl Iterator<Item = Channels> {
        let channels = self.prepared.step.input_shape.channels;
        let weights = self.prepared.weights.as_ptr();
        (0..channels.div_ceil(S::LANES)).map(move |v| Channels {
            first: (v * S::LANES).min(channels - S::LANES),
            // There are ten vectors for each vector of channels.
            weights: weights.wrapping_add(v * 10 * S::LANES),
        })
    }

    /// Clamps the sums, adds the shortcut and stores them as the pixels from `x` on.
    #[inline(always)]
    unsafe fn finish<S: Simd, const COUNT: usize>(
        self,
        simd: S,
        first: usize,
        x: usize,
        mut sums: [S::Vector; COUNT],
    ) {
        let channels = self.prepared.step.output_shape.channels;
        let (low, high) = self.prepared.limits;
        let shared = self.shared;
        for i in 0..COUNT {
            sums[i] = simd.clamp(sums[i], simd.splat(low), simd.splat(high));
        }
        // SAFETY: the pixels are inside the rows, and so are a vector of their channels and the shortcut's.
        unsafe {
            if first + S::LANES <= shared.channels {
                let from = shared.row.add(x * shared.stride + first);
                for i in 0..COUNT {
                    sums[i] = simd.add(sums[i], simd.load(from.add(i * shared.stride)));
                }
            }
            let to = self.output.add(x * channels + first);
            for i in 0..COUNT {
                simd.store(to.add(i * channels), sums[i]);
            }
            if first < shared.channels && first + S::LANES > shared.channels {
                for i in 0..COUNT {
                    self.add_part(x + i, first);
                }
            }
        }
    }

    /// Adds the shortcut's channels from `first` on to the pixel at `x`.
    #[inline(always)]
    unsafe fn add_part(self, x: usize, first: usize) {
        let channels = self.prepared.step.output_shape.channels;
        let shared = self.shared;
        for c in first..shared.channels {
            // SAFETY: the channel is one of both pixels.
            unsafe { *self.output.add(x * channels + c) += *shared.row.add(x * shared.stride + c) };
        }
    }

    /// A row of fewer channels than a vector has lanes, channel by channel. Says how many rows.
    unsafe fn narrow(self, stride: usize) -> usize {
        let prepared = self.prepared;
        let (in_width, out_width) = (prepared.step.input_shape.width, prepared.step.output_shape.width);
        let channels = prepared.step.output_shape.channels;
        for x in 0..out_width {
            for c in 0..channels {
                let mut sum = prepared.bias[c];
                for (row, ky) in self.input.iter().take(self.count).zip(self.first..) {
                    for kx in 0..3 {
                        let column = x * stride + kx;
                        if column >= 1 && column <= in_width {
                            // SAFETY: the column is inside the row.
                            let value = unsafe { *row.add((column - 1) * channels + c) };
                            sum += value * prepared.weights[(ky * 3 + kx) * channels + c];
                        }
                    }
                }
                // SAFETY: the pixel is inside the row.
                unsafe {
                    *self.output.add(x * channels + c) = sum.clamp(prepared.limits.0, prepared.limits.1)
                };
            }
            // SAFETY: the shortcut's channels are among the output's.
            unsafe { self.add_part(x, 0) };
        }
        1
    }
}
