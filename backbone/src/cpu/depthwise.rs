//! Depthwise 3×3 convolution, padded by one pixel:
//! `out[y][x][c] = clamp(Σ_ky,kx in[y·s + ky − 1][x·s + kx − 1][c] × weight[ky][kx][c] + bias[c]) + shortcut[c]`.
//!
//! ```text
//! for each pair of output rows (one row at stride 2)
//!   for each block of four pixels (then two, then one)
//!     for each vector of channels
//!       for each input pixel under the block: load once, add to every sum that it belongs to
//!       clamp, shortcut, store
//! ```
//!
//! 1. With NHWC a vector holds channels, so that no pixel needs shuffling, whatever the stride; and memory is
//!    read in its order, which the processor foresees.
//! 2. Neighbours share their input: eight sums of two rows take 24 loads instead of 72; four sums at stride 2
//!    take 27 instead of 36. So the multiply-adds are the limit, as long as the strip is in L2. The weights
//!    are loaded for each block: kept over all blocks they would take the registers that the sums need.
//! 3. A row above or below the picture is a row of zeros; the first and the last column are a block of one
//!    that leaves out what is outside.
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

/// One or two output rows.
#[derive(Clone, Copy)]
struct Row<'a> {
    prepared: &'a Prepared,
    /// The input rows under them: three, or four under two rows at stride 1.
    input: [*const f32; 4],
    output: [*mut f32; 2],
    shared: [Shared; 2],
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
/// must be in memory, and nobody else may write to them. `zeros` must have as many as an input row.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(
    simd: S,
    prepared: &Prepared,
    stride: usize,
    (input, zeros): (Rows, &[f32]),
    output: Rows,
    shortcut: Option<(Rows, usize)>,
    rows: Range<usize>,
) {
    let shape = prepared.step.input_shape;
    debug_assert!(zeros.len() >= shape.width * shape.channels);
    let shared_channels = prepared.step.shortcut.as_ref().map_or(0, |s| s.channels);
    let row = |y: usize| {
        let shared = |y| match shortcut {
            Some((other, stride)) => Shared { row: other.row(y), stride, channels: shared_channels },
            None => Shared { row: zeros.as_ptr(), stride: 0, channels: 0 },
        };
        Row {
            prepared,
            input: std::array::from_fn(|ky| match (y * stride + ky).checked_sub(1) {
                Some(above) if above < shape.height => input.row(above).cast_const(),
                _ => zeros.as_ptr(),
            }),
            output: [output.row(y), output.row(y + 1)],
            shared: [shared(y), shared(y + 1)],
        }
    };
    if shape.channels < S::LANES {
        // SAFETY: as the caller vouches.
        rows.for_each(|y| unsafe { row(y).narrow(stride) });
        return;
    }
    let mut y = rows.start;
    while y < rows.end {
        // SAFETY: as the caller vouches.
        unsafe {
            match (stride, rows.end - y) {
                (1, 1) => row(y).wide::<S, 1, 1>(simd),
                (1, _) => row(y).wide::<S, 1, 2>(simd),
                _ => row(y).wide::<S, 2, 1>(simd),
            }
        }
        y += if stride == 1 { 2 } else { 1 };
    }
}

impl Row<'_> {
    /// `ROWS` rows.
    #[inline(always)]
    unsafe fn wide<S: Simd, const STRIDE: usize, const ROWS: usize>(self, simd: S) {
        let in_width = self.prepared.step.input_shape.width;
        let out_width = self.prepared.step.output_shape.width;
        // Pixels whose three columns are all inside: from the second to this.
        let inside = ((in_width - 1).div_ceil(STRIDE)).min(out_width).max(1);
        let channels = self.prepared.step.input_shape.channels;
        let channels = (0..channels.div_ceil(S::LANES)).map(|v| Channels {
            first: (v * S::LANES).min(channels - S::LANES),
            // There are ten vectors for each vector of channels.
            weights: self.prepared.weights.as_ptr().wrapping_add(v * 10 * S::LANES),
        });
        // SAFETY: the blocks lie between the columns that reach outside.
        unsafe {
            channels.clone().for_each(|c| self.edge::<S, STRIDE, ROWS>(simd, c, 0));
            let mut x = 1;
            while x + 4 <= inside {
                channels.clone().for_each(|c| self.block::<S, STRIDE, ROWS, 4>(simd, c, x));
                x += 4;
            }
            if x + 2 <= inside {
                channels.clone().for_each(|c| self.block::<S, STRIDE, ROWS, 2>(simd, c, x));
                x += 2;
            }
            if x < inside {
                channels.clone().for_each(|c| self.block::<S, STRIDE, ROWS, 1>(simd, c, x));
                x += 1;
            }
            while x < out_width {
                channels.clone().for_each(|c| self.edge::<S, STRIDE, ROWS>(simd, c, x));
                x += 1;
            }
        }
    }

    /// `COUNT` pixels from `x` on, whose columns are all inside.
    #[inline(always)]
    unsafe fn block<S: Simd, const STRIDE: usize, const ROWS: usize, const COUNT: usize>(
        self,
        simd: S,
        at: Channels,
        x: usize,
    ) {
        let channels = self.prepared.step.output_shape.channels;
        let start = (x * STRIDE - 1) * channels + at.first;
        // SAFETY: there are ten vectors of weights; the columns are inside the row, and a vector from the
        // first channel, too.
        unsafe {
            let mut sums = [[simd.load(at.weights.add(9 * S::LANES)); COUNT]; ROWS];
            for k in 0..(ROWS - 1) * STRIDE + 3 {
                // The weights that this input row meets in each output row.
                let taps: [[S::Vector; 3]; ROWS] = std::array::from_fn(|r| {
                    let ky = k.wrapping_sub(r * STRIDE).min(2);
                    std::array::from_fn(|kx| simd.load(at.weights.add((ky * 3 + kx) * S::LANES)))
                });
                for j in 0..(COUNT - 1) * STRIDE + 3 {
                    let value = simd.load(self.input[k].add(start + j * channels));
                    for r in 0..ROWS {
                        for i in 0..COUNT {
                            if k >= r * STRIDE && k - r * STRIDE < 3 && j >= i * STRIDE && j - i * STRIDE < 3
                            {
                                sums[r][i] = simd.mul_add(value, taps[r][j - i * STRIDE], sums[r][i]);
                            }
                        }
                    }
                }
            }
            for r in 0..ROWS {
                self.finish::<S, COUNT>(simd, at.first, r, x, sums[r]);
            }
        }
    }

    /// One pixel of which some columns may be outside.
    #[inline(always)]
    unsafe fn edge<S: Simd, const STRIDE: usize, const ROWS: usize>(self, simd: S, at: Channels, x: usize) {
        let in_width = self.prepared.step.input_shape.width;
        let channels = self.prepared.step.output_shape.channels;
        for r in 0..ROWS {
            // SAFETY: as in `block`; columns outside are left out.
            unsafe {
                let mut sum = simd.load(at.weights.add(9 * S::LANES));
                for ky in 0..3 {
                    for kx in 0..3 {
                        if let Some(column) = (x * STRIDE + kx).checked_sub(1)
                            && column < in_width
                        {
                            let from = self.input[r * STRIDE + ky].add(column * channels + at.first);
                            let tap = simd.load(at.weights.add((ky * 3 + kx) * S::LANES));
                            sum = simd.mul_add(simd.load(from), tap, sum);
                        }
                    }
                }
                self.finish::<S, 1>(simd, at.first, r, x, [sum]);
            }
        }
    }

    /// Clamps the sums, adds the shortcut and stores them as the pixels from `x` on of row `r`.
    #[inline(always)]
    unsafe fn finish<S: Simd, const COUNT: usize>(
        self,
        simd: S,
        first: usize,
        r: usize,
        x: usize,
        mut sums: [S::Vector; COUNT],
    ) {
        let channels = self.prepared.step.output_shape.channels;
        let (low, high) = self.prepared.limits;
        let shared = self.shared[r];
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
            let to = self.output[r].add(x * channels + first);
            for i in 0..COUNT {
                simd.store(to.add(i * channels), sums[i]);
            }
            if first < shared.channels && first + S::LANES > shared.channels {
                for i in 0..COUNT {
                    self.add_part(r, x + i, first);
                }
            }
        }
    }

    /// Adds the shortcut's channels from `first` on to the pixel at `x` of row `r`.
    #[inline(always)]
    unsafe fn add_part(self, r: usize, x: usize, first: usize) {
        let channels = self.prepared.step.output_shape.channels;
        let shared = self.shared[r];
        for c in first..shared.channels {
            // SAFETY: the channel is one of both pixels.
            unsafe { *self.output[r].add(x * channels + c) += *shared.row.add(x * shared.stride + c) };
        }
    }

    /// A row of fewer channels than a vector has lanes, channel by channel.
    unsafe fn narrow(self, stride: usize) {
        let prepared = self.prepared;
        let (in_width, out_width) = (prepared.step.input_shape.width, prepared.step.output_shape.width);
        let channels = prepared.step.output_shape.channels;
        for x in 0..out_width {
            for c in 0..channels {
                let mut sum = prepared.bias[c];
                for (ky, row) in self.input.iter().take(3).enumerate() {
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
                    *self.output[0].add(x * channels + c) = sum.clamp(prepared.limits.0, prepared.limits.1)
                };
            }
            // SAFETY: the shortcut's channels are among the output's.
            unsafe { self.add_part(0, x, 0) };
        }
    }
}
