//! Depthwise 3×3 convolution, padded by one pixel:
//! `out[y][x][c] = clamp(Σ_ky,kx in[y·s + ky − 1][x·s + kx − 1][c] × weight[ky][kx][c] + bias[c]) + shortcut[c]`.
//!
//! ```text
//! for each output row
//!   for each block of four pixels (then two, then one)
//!     for each vector of channels
//!       nine weights, four sums in registers
//!       for each input pixel under the block: load once, add to every sum that it belongs to
//!       clamp, shortcut, store
//! ```
//!
//! 1. With NHWC a vector holds channels, so that no pixel needs shuffling, whatever the stride.
//! 2. Four neighbours share their input: 18 loads instead of 36 at stride 1, 27 at stride 2. Channels are
//!    the inner loop, so that memory is read straight on.
//! 3. A row above or below the picture is a row of zeros; the first and the last column are a block of one
//!    that leaves out what is outside.
//! 4. The last vector of channels reaches back over the one before it where the channels are no multiple
//!    of a vector: it writes the same values again.
//!
//! Safe because the pointers come from maps and weights whose sizes the plan fixed; the caller vouches for
//! the rows.

#![expect(unsafe_code, reason = "the inner loop reads without checking each index")]

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
    input: [*const f32; 3],
    output: *mut f32,
    shared: Shared,
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
    let channels = prepared.step.shortcut.as_ref().map_or(0, |s| s.channels);
    for y in rows {
        let row = Row {
            prepared,
            input: std::array::from_fn(|ky| match (y * stride + ky).checked_sub(1) {
                Some(above) if above < shape.height => input.row(above).cast_const(),
                _ => zeros.as_ptr(),
            }),
            output: output.row(y),
            shared: match shortcut {
                Some((other, stride)) => Shared { row: other.row(y), stride, channels },
                None => Shared { row: zeros.as_ptr(), stride: 0, channels: 0 },
            },
        };
        // SAFETY: as the caller vouches.
        unsafe {
            match (shape.channels < S::LANES, stride) {
                (true, _) => row.narrow(stride),
                (false, 1) => row.wide::<S, 1>(simd),
                (false, _) => row.wide::<S, 2>(simd),
            }
        }
    }
}

impl Row<'_> {
    /// A row of at least a vector of channels.
    #[inline(always)]
    unsafe fn wide<S: Simd, const STRIDE: usize>(self, simd: S) {
        let in_width = self.prepared.step.input_shape.width;
        let out_width = self.prepared.step.output_shape.width;
        // Pixels whose three columns are all inside: from the second to this.
        let inside = ((in_width - 1).div_ceil(STRIDE)).min(out_width).max(1);
        // SAFETY: the blocks lie between the columns that reach outside.
        unsafe {
            self.edge::<S, STRIDE>(simd, 0);
            let mut x = 1;
            while x + 4 <= inside {
                self.block::<S, STRIDE, 4>(simd, x);
                x += 4;
            }
            if x + 2 <= inside {
                self.block::<S, STRIDE, 2>(simd, x);
                x += 2;
            }
            if x < inside {
                self.block::<S, STRIDE, 1>(simd, x);
                x += 1;
            }
            while x < out_width {
                self.edge::<S, STRIDE>(simd, x);
                x += 1;
            }
        }
    }

    /// `COUNT` pixels from `x` on, whose columns are all inside.
    #[inline(always)]
    unsafe fn block<S: Simd, const STRIDE: usize, const COUNT: usize>(self, simd: S, x: usize) {
        let channels = self.prepared.step.output_shape.channels;
        let (low, high) = (simd.splat(self.prepared.limits.0), simd.splat(self.prepared.limits.1));
        let column = (x * STRIDE - 1) * channels;
        let mut weights = self.prepared.weights.as_ptr();
        for first in (0..channels).step_by(S::LANES) {
            let first = first.min(channels - S::LANES);
            // SAFETY: the group has ten vectors; `first` and the lanes after it are channels, the columns
            // are inside the rows.
            unsafe {
                let w: [[S::Vector; 3]; 3] = std::array::from_fn(|ky| {
                    std::array::from_fn(|kx| simd.load(weights.add((ky * 3 + kx) * S::LANES)))
                });
                let mut sums = [simd.load(weights.add(9 * S::LANES)); COUNT];
                weights = weights.add(10 * S::LANES);
                for ky in 0..3 {
                    let row = self.input[ky].add(column + first);
                    for j in 0..(COUNT - 1) * STRIDE + 3 {
                        let value = simd.load(row.add(j * channels));
                        for i in 0..COUNT {
                            if j >= i * STRIDE && j - i * STRIDE < 3 {
                                sums[i] = simd.mul_add(value, w[ky][j - i * STRIDE], sums[i]);
                            }
                        }
                    }
                }
                for i in 0..COUNT {
                    sums[i] = simd.clamp(sums[i], low, high);
                }
                let to = self.output.add(x * channels + first);
                let shared = self.shared;
                if first + S::LANES <= shared.channels {
                    let from = shared.row.add(x * shared.stride + first);
                    for i in 0..COUNT {
                        sums[i] = simd.add(sums[i], simd.load(from.add(i * shared.stride)));
                    }
                }
                for i in 0..COUNT {
                    simd.store(to.add(i * channels), sums[i]);
                }
                if first < shared.channels && first + S::LANES > shared.channels {
                    for i in 0..COUNT {
                        self.add_part(x + i, first, shared.channels);
                    }
                }
            }
        }
    }

    /// One pixel of which some columns may be outside.
    #[inline(always)]
    unsafe fn edge<S: Simd, const STRIDE: usize>(self, simd: S, x: usize) {
        let in_width = self.prepared.step.input_shape.width;
        let channels = self.prepared.step.output_shape.channels;
        let (low, high) = (simd.splat(self.prepared.limits.0), simd.splat(self.prepared.limits.1));
        let mut weights = self.prepared.weights.as_ptr();
        for first in (0..channels).step_by(S::LANES) {
            let first = first.min(channels - S::LANES);
            // SAFETY: as in `block`; columns outside are left out.
            unsafe {
                let mut sum = simd.load(weights.add(9 * S::LANES));
                for ky in 0..3 {
                    for kx in 0..3 {
                        if let Some(column) = (x * STRIDE + kx).checked_sub(1)
                            && column < in_width
                        {
                            let value = simd.load(self.input[ky].add(column * channels + first));
                            sum = simd.mul_add(value, simd.load(weights.add((ky * 3 + kx) * S::LANES)), sum);
                        }
                    }
                }
                weights = weights.add(10 * S::LANES);
                simd.store(self.output.add(x * channels + first), simd.clamp(sum, low, high));
                if first < self.shared.channels {
                    self.add_part(x, first, self.shared.channels.min(first + S::LANES));
                }
            }
        }
    }

    /// Adds the shortcut's channels from `first` to `end` to the pixel at `x`.
    #[inline(always)]
    unsafe fn add_part(self, x: usize, first: usize, end: usize) {
        let channels = self.prepared.step.output_shape.channels;
        for c in first..end {
            // SAFETY: the channel is one of both pixels.
            unsafe { *self.output.add(x * channels + c) += *self.shared.row.add(x * self.shared.stride + c) };
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
                for (ky, row) in self.input.iter().enumerate() {
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
            unsafe { self.add_part(x, 0, self.shared.channels) };
        }
    }
}
