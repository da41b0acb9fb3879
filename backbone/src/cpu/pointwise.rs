//! 1×1 convolution: for each pixel `out[o] = clamp(Σ_i in[i] × weight[i][o] + bias[o]) + shortcut[o]`.
//!
//! ```text
//! for each panel of one to three vectors of output channels     the panel's weights stay in L1 or L2
//!   for each tile of up to ROWS pixels                          as even as can be
//!     sums in registers = bias
//!     for each input channel i
//!       for each pixel r: sums[r] += in[r][i] × weight[i]       loads: VECTORS + ROWS, multiply-adds: × of both
//!     clamp, store
//! add the shortcut
//! ```
//!
//! 1. The tile fills the registers (9 × 48 values with AVX-512, 6 × 16 with AVX2), so that the multiply-add
//!    units, not the loads, are the limit.
//! 2. Rows and vectors of a tile are constants: every shape is a function of its own without a branch in it,
//!    and the sums never leave the registers.
//! 3. The weights are packed once ([`super::packing`]); the input is not: with NHWC a pixel's channels
//!    lie together, and the pixels of a tile are read as so many streams.
//! 4. Of a panel that is wider than the channels left, only those are written.
//!
//! Safe because the pointers come from maps and weights whose sizes the plan fixed; the caller vouches for
//! the rows.

#![expect(unsafe_code, reason = "the inner loop reads without checking each index")]
#![expect(clippy::needless_range_loop, reason = "an index over constants names a register of the tile")]

use std::ops::Range;

use super::memory::Rows;
use super::packing::{Prepared, even, panels};
use super::simd::{Simd, Work};

/// Computes some rows of a map.
///
/// # Safety
/// The rows of `output`, those of `input` that they need and those of `shortcut`, where the step has one,
/// must be in memory, and nobody else may write to them.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(
    simd: S,
    prepared: &Prepared,
    input: Rows,
    output: Rows,
    shortcut: Option<(Rows, usize)>,
    rows: Range<usize>,
) {
    let step = &prepared.step;
    let (depth, channels, width) =
        (step.input_shape.channels, step.output_shape.channels, step.output_shape.width);
    let mut y = rows.start;
    while y < rows.end {
        let count = input.run(y).min(output.run(y)).min(rows.end - y);
        let source = Source { segments: [input.row(y).cast_const(); 3], parts: 1, depth, step: depth };
        // SAFETY: `count` rows follow each other in both maps.
        unsafe { product(simd, prepared, source, output.row(y), count * width) };
        y += count;
    }
    if let Some((other, stride)) = shortcut {
        let shared = step.shortcut.as_ref().map_or(0, |s| s.channels);
        for y in rows {
            for x in 0..width {
                // SAFETY: the pixel is inside both rows, which are different maps.
                unsafe {
                    let from = std::slice::from_raw_parts(other.row(y).add(x * stride), shared);
                    let to = std::slice::from_raw_parts_mut(output.row(y).add(x * channels), shared);
                    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                }
            }
        }
    }
}

/// Where a product reads: a pixel is `parts` runs of `depth` values, and the next pixel's lie `step`
/// values on in each.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) segments: [*const f32; 3],
    pub(super) parts: usize,
    pub(super) depth: usize,
    pub(super) step: usize,
}

/// `output[p] = clamp(input[p] × weights + bias)` for `pixels` pixels that follow each other.
///
/// # Safety
/// So many pixels must be readable at `source`, and writable at `output`.
#[inline(always)]
pub(super) unsafe fn product<S: Simd>(
    simd: S,
    prepared: &Prepared,
    source: Source,
    output: *mut f32,
    pixels: usize,
) {
    let channels = prepared.step.output_shape.channels;
    let mut weights = prepared.weights.as_slice();
    for (channel, width) in panels(channels, S::LANES, S::widest()) {
        let vectors = width / S::LANES;
        let (packed, rest) = weights.split_at((source.parts * source.depth + 1) * width);
        weights = rest;
        let most = S::TILE_ROWS[vectors - 1];
        let count = pixels.div_ceil(most);
        // Tiles of one height come first, those of one row less after them.
        let (height, higher) = match even(pixels, most).next() {
            Some((_, height)) => (height, count - (height * count - pixels)),
            None => continue,
        };
        for (height, first, tiles) in [(height, 0, higher), (height - 1, higher * height, count - higher)] {
            if tiles == 0 || height == 0 {
                continue;
            }
            // SAFETY: the pixels from `first` on are among those the caller vouches for.
            let tiles = unsafe {
                Tiles {
                    source: Source {
                        segments: source.segments.map(|s| s.wrapping_add(first * source.step)),
                        ..source
                    },
                    weights: packed.as_ptr(),
                    limits: prepared.limits,
                    output: output.add(first * channels + channel),
                    channels,
                    filled: width.min(channels - channel),
                    tiles,
                }
            };
            tiles.dispatch(simd, vectors, height);
        }
    }
}

/// Tiles of one shape, one below the other.
#[derive(Clone, Copy)]
struct Tiles {
    source: Source,
    /// The panel: a row of weights for each value of a pixel, then the biases.
    weights: *const f32,
    limits: (f32, f32),
    /// The first pixel's first channel of this panel.
    output: *mut f32,
    /// Distance of output pixels.
    channels: usize,
    /// Channels of the panel that there are.
    filled: usize,
    tiles: usize,
}

/// Tiles whose shape is known to the compiler.
struct Shaped<const VECTORS: usize, const ROWS: usize>(Tiles);

impl Tiles {
    #[inline(always)]
    fn dispatch<S: Simd>(self, simd: S, vectors: usize, rows: usize) {
        macro_rules! shapes {
            ($($vectors:literal: $($rows:literal)*;)*) => {
                match (vectors, rows) {
                    $($(($vectors, $rows) => simd.vectorize(Shaped::<$vectors, $rows>(self)),)*)*
                    _ => debug_assert!(false, "a tile of {vectors} × {rows}"),
                }
            };
        }
        shapes! {
            1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
            2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
            3: 1 2 3 4 5 6 7 8 9;
        }
    }
}

impl<const VECTORS: usize, const ROWS: usize> Work for Shaped<VECTORS, ROWS> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if VECTORS > S::widest() || ROWS > S::TILE_ROWS[VECTORS - 1] {
            return; // Never asked for; nothing is compiled.
        }
        let Self(Tiles { mut source, weights, limits, mut output, channels, filled, tiles }) = self;
        let width = VECTORS * S::LANES;
        let (low, high) = (simd.splat(limits.0), simd.splat(limits.1));
        for _ in 0..tiles {
            // SAFETY: the caller of `product` vouches for the pixels; the panel has a row of `width` weights
            // for each of their values and one of biases.
            unsafe {
                let mut at = weights;
                let bias = weights.add(source.parts * source.depth * width);
                let mut sums: [[S::Vector; VECTORS]; ROWS] =
                    [std::array::from_fn(|v| simd.load(bias.add(v * S::LANES))); ROWS];
                for segment in source.segments.iter().take(source.parts) {
                    for i in 0..source.depth {
                        let w: [S::Vector; VECTORS] =
                            std::array::from_fn(|v| simd.load(at.add(v * S::LANES)));
                        at = at.add(width);
                        for r in 0..ROWS {
                            let x = simd.splat(*segment.add(r * source.step + i));
                            for v in 0..VECTORS {
                                sums[r][v] = simd.mul_add(x, w[v], sums[r][v]);
                            }
                        }
                    }
                }
                for r in 0..ROWS {
                    for v in 0..VECTORS {
                        let to = output.wrapping_add(r * channels + v * S::LANES);
                        let sum = simd.clamp(sums[r][v], low, high);
                        if filled == width {
                            simd.store(to, sum);
                        } else {
                            simd.store_first(to, sum, filled.saturating_sub(v * S::LANES).min(S::LANES));
                        }
                    }
                }
                output = output.wrapping_add(ROWS * channels);
                source.segments = source.segments.map(|s| s.wrapping_add(ROWS * source.step));
            }
        }
    }
}
