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
//! 1. The tile fills the registers (8 × 48 values with AVX-512, 6 × 16 with AVX2), so that the multiply-add
//!    units, not the loads, are the limit.
//! 2. Rows and vectors of a tile are constants: every shape is a function of its own without a branch in it,
//!    and the sums never leave the registers.
//! 3. The weights are packed once ([`super::packing`]); the input is not: with NHWC a pixel's channels
//!    lie together, and the pixels of a tile are read as so many streams.
//! 4. While the tiles of a panel are computed, the next panel is asked for ([`ahead`]): without that, where a network's
//!    weights are more than L2 holds, each panel's first tile would wait for it line by line. Behind a step's last panel
//!    lie the weights of the plan's next step.
//! 5. Of a panel that is wider than the channels left, only those are written.
//!
//! Safe because the pointers come from maps and weights whose sizes the plan fixed; the caller vouches for
//! the rows.

#![expect(unsafe_code, reason = "the inner loop reads without checking each index")]
#![expect(clippy::needless_range_loop, reason = "an index over constants names a register of the tile")]

use std::ops::Range;

use super::memory::{LINE, Rows};
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
    shortcut: Option<Rows>,
    rows: Range<usize>,
) {
    let step = &prepared.step;
    let (depth, width) = (step.input_shape.channels, step.output_shape.width);
    let mut y = rows.start;
    while y < rows.end {
        let count = input.run(y).min(output.run(y)).min(rows.end - y);
        let source = Source { segments: [input.row(y).cast_const(); 3], parts: 1, depth, step: input.pixel };
        // SAFETY: `count` rows follow each other in both maps.
        unsafe { product(simd, prepared, source, output.row(y), output.pixel, count * width) };
        y += count;
    }
    // SAFETY: as the caller vouches.
    unsafe { add_shortcut(prepared, output, shortcut, rows) };
}

/// Adds the shortcut, where the step has one, to rows that are computed.
///
/// # Safety
/// As [`run`].
#[inline(always)]
pub(super) unsafe fn add_shortcut(
    prepared: &Prepared,
    output: Rows,
    shortcut: Option<Rows>,
    rows: Range<usize>,
) {
    let Some(other) = shortcut else { return };
    let shared = prepared.step.shortcut.as_ref().map_or(0, |s| s.channels);
    for y in rows {
        for x in 0..prepared.step.output_shape.width {
            // SAFETY: the pixel is inside both rows, which are different maps.
            unsafe {
                let from = std::slice::from_raw_parts(other.row(y).add(x * other.pixel), shared);
                let to = std::slice::from_raw_parts_mut(output.row(y).add(x * output.pixel), shared);
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
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
/// So many pixels must be readable at `source`, and writable at `output`, where they are `distance` values apart.
#[inline(always)]
pub(super) unsafe fn product<S: Simd>(
    simd: S,
    prepared: &Prepared,
    source: Source,
    output: *mut f32,
    distance: usize,
    pixels: usize,
) {
    let channels = prepared.step.output_shape.channels;
    let mut weights = &*prepared.weights;
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
        let lower = (height - 1, higher, higher * height, count - higher);
        for (height, begun, first, tiles) in [(height, 0, 0, higher), lower] {
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
                    output: output.add(first * distance + channel),
                    distance,
                    filled: width.min(channels - channel),
                    begun,
                    tiles,
                }
            };
            tiles.dispatch(simd, vectors, height);
        }
    }
}

/// What a tile asks for while it goes down the rows of its panel: the first line of it, and how far it is to that of the
/// next row. The first tile asks for the first line of each row of weights of the panel that is `next`, the second one for
/// the second; those that find nothing left to ask for stay where they are.
#[inline(always)]
pub(super) fn ahead(next: *const f32, row: usize, tile: usize) -> (*const f32, usize) {
    match tile * LINE < row {
        true => (next.wrapping_add(tile * LINE), row),
        false => (next, 0),
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
    distance: usize,
    /// Channels of the panel that there are.
    filled: usize,
    /// Tiles of the panel that were before them.
    begun: usize,
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
            2: 1 2 3 4 5 6 7 8 9 10;
            3: 1 2 3 4 5 6 7 8;
        }
    }
}

impl<const VECTORS: usize, const ROWS: usize> Work for Shaped<VECTORS, ROWS> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        if VECTORS > S::widest() || ROWS > S::TILE_ROWS[VECTORS - 1] {
            return; // Never asked for; nothing is compiled.
        }
        let Self(Tiles { mut source, weights, limits, mut output, distance, filled, begun, tiles }) = self;
        let width = VECTORS * S::LANES;
        let (low, high) = (simd.splat(limits.0), simd.splat(limits.1));
        let panel = (source.parts * source.depth + 1) * width;
        for tile in begun..begun + tiles {
            let (mut ahead, step) = ahead(weights.wrapping_add(panel), width, tile);
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
                        simd.prefetch(ahead);
                        ahead = ahead.wrapping_add(step);
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
                        let to = output.wrapping_add(r * distance + v * S::LANES);
                        let sum = simd.clamp(sums[r][v], low, high);
                        if filled == width {
                            simd.store(to, sum);
                        } else {
                            simd.store_first(to, sum, filled.saturating_sub(v * S::LANES).min(S::LANES));
                        }
                    }
                }
                output = output.wrapping_add(ROWS * distance);
                source.segments = source.segments.map(|s| s.wrapping_add(ROWS * source.step));
            }
        }
    }
}
