//! Depthwise 3×3 convolution, padded by one pixel:
//! `out[y][x][c] = clamp(Σ_ky,kx in[y·s + ky − 1][x·s + kx − 1][c] × weight[ky][kx][c] + bias[c]) + shortcut[c]`.
//!
//! ```text
//! for each group of vectors of channels                         as many as with all their rows fit into L1, or a few
//!   for each pair of output rows
//!     for each block of pixels: as many as there are registers for their sums
//!       for each vector of the group
//!         for each input row under the block
//!           for each of its pixels: load once, add to every sum that it belongs to
//!         clamp, shortcut, store
//! ```
//!
//! 1. With NHWC a vector holds channels, so that no pixel needs shuffling, whatever the stride.
//! 2. Neighbours share their input: ten sums of two rows take 28 loads instead of 90, and are as many independent
//!    chains of multiply-adds as keep the units busy.
//! 3. What neighbouring blocks share is still in L1 when the next one comes, because a group is narrow, and its
//!    few vectors lie together in memory, as the processor foresees.
//! 4. Rows and pixels of a block are constants, and so is whether it touches the left or the right border, where
//!    a column is left out: each shape is a function of its own whose sums never leave the registers. Rows above
//!    and below the picture are left out by a branch.
//! 5. The last vector of channels reaches back over the one before it where the channels are no multiple
//!    of a vector: it writes the same values again.
//!
//! Safe because the pointers come from maps and weights whose sizes the plan fixed; the caller vouches for
//! the rows.

#![expect(unsafe_code, reason = "the inner loop reads without checking each index")]
#![expect(clippy::needless_range_loop, reason = "an index over constants names a register of the tile")]

use std::ops::Range;

use super::memory::Rows;
use super::packing::{Prepared, even};
use super::simd::{Simd, Work};
use super::tiles::{Place, is_narrow, place};
use crate::plan::StepKind;

/// Bytes of input that a group of channels should have under a pair of rows: half of an L1 of 48 KiB, for what is
/// written has to be there, too; three quarters of one of 32.
const GROUP: usize = 24 * 1024;
/// Vectors in a group where not even so many fit: lines that lie together are fetched together. Two where results are tiles.
const LEAST: usize = 3;
/// Rows under a block, at most: of a pair at stride 2.
const MOST_ROWS: usize = 5;

/// Computes the channels of `part` in some rows of a map.
///
/// # Safety
/// `part` must be among the channels and, where it is not all of them, begin at a vector and end with one. These channels of the rows of
/// `output`, of those of `input` that they need and of those of `shortcut`, where the step has one,
/// must be in memory, and nobody else may write to them. Where `output` is tiles, [`Simd::SPLITS`] must hold, channels be a
/// multiple of a vector, `part` begin and end with a row of a tile (two vectors) or with the channels, no shortcut be there, and the pixels [fit](super::tiles::fits).
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(
    simd: S,
    prepared: &Prepared,
    input: Rows,
    output: Place,
    shortcut: Option<Rows>,
    rows: Range<usize>,
    part: Range<usize>,
) {
    let step = &prepared.step;
    let StepKind::Depthwise { stride } = step.kind else { return };
    let (output, tiles) = match output {
        Place::Rows(rows) => (Some(rows), std::ptr::null_mut()),
        Place::Tiles(tiles) => (None, tiles),
    };
    let (height, channels) = (step.input_shape.height, step.output_shape.channels);
    let under = rows.len().min(2).saturating_sub(1) * stride + 3;
    let most = (GROUP / (under * step.input_shape.width * size_of::<S::Vector>()).max(1)).max(LEAST);
    let (begun, end) = (part.start / S::LANES, part.end.div_ceil(S::LANES));
    // Two vectors share rows of tiles.
    let unit = if tiles.is_null() { 1 } else { 2 };
    debug_assert!(tiles.is_null() || begun.is_multiple_of(unit), "a vector without the one before it");
    for (first, units) in even((end - begun).div_ceil(unit), most / unit) {
        let first = begun + first * unit;
        let vectors = first..(first + units * unit).min(end);
        let mut y = rows.start;
        while y < rows.end {
            let count = (rows.end - y).min(2);
            // The row above the first may be outside, and so may the one below the last.
            let top = (y * stride).wrapping_sub(1);
            let bottom = (y + count - 1) * stride + 1;
            let band = Band {
                prepared,
                stride,
                from: input.pixel,
                to: output.map_or(0, |output| output.pixel),
                input: std::array::from_fn(|k| input.row(top.wrapping_add(k).min(height - 1)).cast_const()),
                above: y > 0,
                below: bottom < height,
                output: std::array::from_fn(|n| match output {
                    Some(output) => output.row(y + n.min(count - 1)),
                    None => std::ptr::null_mut(),
                }),
                shared: std::array::from_fn(|n| match shortcut {
                    Some(other) => other.row(y + n.min(count - 1)).cast_const(),
                    None => std::ptr::null(),
                }),
                shared_step: shortcut.map_or(0, |other| other.pixel),
                shared_channels: shortcut.and(step.shortcut.as_ref()).map_or(0, |s| s.channels),
                tiles,
                pixel: (y - rows.start) * step.output_shape.width,
            };
            let vectors = vectors.clone();
            // SAFETY: as the caller vouches.
            unsafe {
                match (stride, count) {
                    _ if channels < S::LANES => band.narrow(count),
                    (1, 2) => band.wide::<S, 1, 2>(simd, vectors),
                    (1, _) => band.wide::<S, 1, 1>(simd, vectors),
                    (_, 2) => band.wide::<S, 2, 2>(simd, vectors),
                    _ => band.wide::<S, 2, 1>(simd, vectors),
                }
            }
            y += count;
        }
    }
}

/// One output row or two.
#[derive(Clone, Copy)]
struct Band<'a> {
    prepared: &'a Prepared,
    stride: usize,
    /// The distance of pixels in the input.
    from: usize,
    /// And in the output.
    to: usize,
    /// The input rows under it.
    input: [*const f32; MOST_ROWS],
    /// Whether the first of them is inside the picture.
    above: bool,
    /// Whether the last of them is.
    below: bool,
    output: [*mut f32; 2],
    /// The rows of the map whose first channels are added.
    shared: [*const f32; 2],
    /// The distance of its pixels.
    shared_step: usize,
    /// Channels added.
    shared_channels: usize,
    /// Where results go instead, split for the matrix unit, unless it is null.
    tiles: *mut f32,
    /// The first pixel's place among those.
    pixel: usize,
}

impl Band<'_> {
    /// Some vectors of channels, in blocks of pixels.
    #[inline(always)]
    unsafe fn wide<S: Simd, const STRIDE: usize, const ROWS: usize>(&self, simd: S, vectors: Range<usize>) {
        let (in_width, width) = (self.prepared.step.input_shape.width, self.prepared.step.output_shape.width);
        // From here on the third column under a pixel is outside.
        let inner = in_width.saturating_sub(2) / STRIDE + usize::from(in_width > 1);
        let mut x = 0;
        while x < width {
            let left = width - x;
            let count = BLOCKS.into_iter().find(|b| *b <= left && b * ROWS <= S::SUMS).unwrap_or(1);
            let blocks = left / count;
            let vectors = vectors.clone();
            Blocks::<STRIDE, ROWS> { band: self, x, blocks, inner, vectors }.dispatch(simd, count);
            x += blocks * count;
        }
    }

    /// Adds the shortcut's channels from `first` on to pixels of some rows.
    // A call, for the compiler would mix the addresses of this rare case into the common one.
    #[cold]
    #[inline(never)]
    unsafe fn add_part(&self, rows: usize, columns: Range<usize>, first: usize) {
        for (n, x) in (0..rows).flat_map(|n| columns.clone().map(move |x| (n, x))) {
            for c in first..self.shared_channels {
                // SAFETY: the channel is one of both pixels.
                unsafe {
                    *self.output[n].add(x * self.to + c) += *self.shared[n].add(x * self.shared_step + c);
                }
            }
        }
    }

    /// Fewer channels than a vector has lanes, channel by channel.
    unsafe fn narrow(&self, rows: usize) {
        let prepared = self.prepared;
        let (in_width, width) = (prepared.step.input_shape.width, prepared.step.output_shape.width);
        let channels = prepared.step.output_shape.channels;
        for (n, x) in (0..rows).flat_map(|n| (0..width).map(move |x| (n, x))) {
            let first = n * self.stride;
            let inside =
                |k: usize| (k > 0 || self.above) && (k + 1 < (rows - 1) * self.stride + 3 || self.below);
            for c in 0..channels {
                let mut sum = prepared.bias[c];
                for ky in (0..3).filter(|ky| inside(first + ky)) {
                    for kx in 0..3 {
                        let column = x * self.stride + kx;
                        if column >= 1 && column <= in_width {
                            // SAFETY: the column is inside the row.
                            let value = unsafe { *self.input[first + ky].add((column - 1) * self.from + c) };
                            sum += value * prepared.weights[(ky * 3 + kx) * channels + c];
                        }
                    }
                }
                // SAFETY: the pixel is inside the row.
                unsafe {
                    *self.output[n].add(x * self.to + c) = sum.clamp(prepared.limits.0, prepared.limits.1);
                };
            }
        }
        // SAFETY: the shortcut's channels are among the output's.
        unsafe { self.add_part(rows, 0..width, 0) };
    }
}

/// Pixels of a row in a block: all that there is code for.
const BLOCKS: [usize; 6] = [10, 8, 5, 4, 2, 1];

/// Blocks of one shape, side by side.
struct Blocks<'a, const STRIDE: usize, const ROWS: usize> {
    band: &'a Band<'a>,
    /// The first's first column.
    x: usize,
    blocks: usize,
    /// The first column under which the third is outside the picture.
    inner: usize,
    vectors: Range<usize>,
}

/// Blocks whose shape is known to the compiler: `COUNT` pixels of each row.
struct Shaped<'a, const STRIDE: usize, const ROWS: usize, const COUNT: usize>(Blocks<'a, STRIDE, ROWS>);

impl<const STRIDE: usize, const ROWS: usize> Blocks<'_, STRIDE, ROWS> {
    #[inline(always)]
    fn dispatch<S: Simd>(self, simd: S, count: usize) {
        match count {
            10 => simd.vectorize(Shaped::<STRIDE, ROWS, 10>(self)),
            8 => simd.vectorize(Shaped::<STRIDE, ROWS, 8>(self)),
            5 => simd.vectorize(Shaped::<STRIDE, ROWS, 5>(self)),
            4 => simd.vectorize(Shaped::<STRIDE, ROWS, 4>(self)),
            2 => simd.vectorize(Shaped::<STRIDE, ROWS, 2>(self)),
            _ => simd.vectorize(Shaped::<STRIDE, ROWS, 1>(self)),
        }
    }
}

impl<const STRIDE: usize, const ROWS: usize, const COUNT: usize> Work for Shaped<'_, STRIDE, ROWS, COUNT> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        const { assert!(S::SUMS >= 2, "a pixel of two rows has to fit") };
        if COUNT * ROWS > S::SUMS {
            return; // Never asked for; nothing is compiled.
        }
        for x in (0..self.0.blocks).map(|block| self.0.x + block * COUNT) {
            // SAFETY: the block's columns are among those that the caller of `run` vouches for.
            unsafe {
                match (x == 0, x + COUNT > self.0.inner) {
                    (false, false) => self.block::<S, false, false>(simd, x),
                    (true, false) => self.block::<S, true, false>(simd, x),
                    (false, true) => self.block::<S, false, true>(simd, x),
                    (true, true) => self.block::<S, true, true>(simd, x),
                }
            }
        }
    }
}

impl<const STRIDE: usize, const ROWS: usize, const COUNT: usize> Shaped<'_, STRIDE, ROWS, COUNT> {
    /// The block from column `x` on. Its first pixel's first column is outside where `FIRST`, its last one's third
    /// where `LAST`.
    #[inline(always)]
    unsafe fn block<S: Simd, const FIRST: bool, const LAST: bool>(&self, simd: S, x: usize) {
        let Self(Blocks { band, vectors, .. }) = self;
        let prepared = band.prepared;
        let channels = prepared.step.output_shape.channels;
        let (from, to) = (band.from, band.to);
        let (low, high) = (simd.splat(prepared.limits.0), simd.splat(prepared.limits.1));
        // The vector before, for tiles.
        let mut before = [[simd.splat(0.0); COUNT]; ROWS];
        for vector in vectors.clone() {
            let first = (vector * S::LANES).min(channels - S::LANES);
            // SAFETY: there are ten vectors of weights for each of channels; the block's pixels are inside
            // the rows, and so is a vector of their channels and the shortcut's. Columns and rows outside
            // the picture are left out: their addresses are only counted from.
            unsafe {
                let weights = prepared.weights.as_ptr().add(vector * 10 * S::LANES);
                let mut sums = [[simd.load(weights.add(9 * S::LANES)); COUNT]; ROWS];
                let column = (x * STRIDE * from + first).wrapping_sub(from);
                for k in 0..(ROWS - 1) * STRIDE + 3 {
                    if (k == 0 && !band.above) || (k == (ROWS - 1) * STRIDE + 2 && !band.below) {
                        continue;
                    }
                    let row = band.input[k].wrapping_add(column);
                    // Loops over short constants, or the compiler would not unroll them; it loads once what
                    // neighbours share.
                    for i in 0..COUNT {
                        for kx in 0..3 {
                            if (FIRST && i == 0 && kx == 0) || (LAST && i + 1 == COUNT && kx == 2) {
                                continue;
                            }
                            let value = simd.load(row.wrapping_add((i * STRIDE + kx) * from));
                            for n in 0..ROWS {
                                let ky = k.wrapping_sub(n * STRIDE);
                                if ky < 3 {
                                    let weight = simd.load(weights.add((ky * 3 + kx) * S::LANES));
                                    sums[n][i] = simd.mul_add(value, weight, sums[n][i]);
                                }
                            }
                        }
                    }
                }
                if S::SPLITS && !band.tiles.is_null() {
                    let (odd, last) = (vector % 2 == 1, first + S::LANES == channels);
                    for n in 0..ROWS {
                        for i in 0..COUNT {
                            let pixel = band.pixel + n * prepared.step.output_shape.width + x + i;
                            let row = band.tiles.add(place(pixel, first, channels));
                            let sum = simd.clamp(sums[n][i], low, high);
                            match odd {
                                true => simd.store_split(row, before[n][i], sum),
                                false if is_narrow(channels) => simd.store_narrow(row, sum),
                                // The other halves of the words are multiplied, too.
                                false if last => simd.store_split(row, sum, simd.splat(0.0)),
                                false => before[n][i] = sum,
                            }
                        }
                    }
                    continue;
                }
                let whole = first + S::LANES <= band.shared_channels;
                for n in 0..ROWS {
                    let shared = band.shared[n].wrapping_add(x * band.shared_step + first);
                    let output = band.output[n].add(x * to + first);
                    for i in 0..COUNT {
                        let mut sum = simd.clamp(sums[n][i], low, high);
                        if whole {
                            sum = simd.add(sum, simd.load(shared.wrapping_add(i * band.shared_step)));
                        }
                        simd.store(output.add(i * to), sum);
                    }
                }
                if first < band.shared_channels && !whole {
                    band.add_part(ROWS, x..x + COUNT, first);
                }
            }
        }
    }
}
