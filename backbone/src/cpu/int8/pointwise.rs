//! 1×1 convolution of bytes: the tiles of [`crate::cpu::pointwise`], four input channels at a time.
//!
//! ```text
//! for each panel of one to three vectors of output channels
//!   for each tile of up to ROWS pixels
//!     sums in registers = bias
//!     for each four input channels i
//!       for each pixel r: sums[r] += in[r][i..i + 4] · weight[i..i + 4]      one instruction with VNNI, three with AVX2
//!     scale, add the shortcut, round to bytes (or leave floats), store
//! ```

#![expect(unsafe_code, reason = "the inner loop reads without checking each index")]
#![expect(clippy::needless_range_loop, reason = "an index over constants names a register of the tile")]

use std::ops::Range;

use super::Target;
use super::pack::Conv;
use super::simd::{IntegerSimd, IntegerWork, QUAD};
use crate::cpu::memory::Rows;
use crate::cpu::packing::{even, panels};

/// Lanes of the widest vector.
const MOST_LANES: usize = 16;

/// Computes some rows of a map.
///
/// # Safety
/// The rows of `output`, those of `input` that they need and those of `shortcut`, where the step has one,
/// must be in memory, and nobody else may write to them.
#[inline(always)]
pub(super) unsafe fn run<S: IntegerSimd>(
    simd: S,
    conv: &Conv,
    input: Rows<u8>,
    output: Target,
    shortcut: Option<(Rows<u8>, usize)>,
    rows: Range<usize>,
) {
    let (depth, width) = (conv.step.input_shape.channels, conv.step.output_shape.width);
    let mut y = rows.start;
    while y < rows.end {
        let mut count = input.run(y).min(rows.end - y);
        let to = match output {
            Target::Bytes(rows) => {
                count = count.min(rows.run(y));
                Place::Bytes(rows.row(y))
            }
            Target::Floats(rows) => {
                count = count.min(rows.run(y));
                Place::Floats(rows.row(y))
            }
        };
        let shared = shortcut.map(|(rows, stride)| {
            count = count.min(rows.run(y));
            (rows.row(y).cast_const(), stride)
        });
        // SAFETY: `count` rows follow each other in all maps.
        unsafe { product(simd, conv, input.row(y), depth, to, shared, count * width) };
        y += count;
    }
}

/// Where a product is written.
#[derive(Clone, Copy)]
enum Place {
    Bytes(*mut u8),
    Floats(*mut f32),
}

impl Place {
    #[inline(always)]
    fn add(self, values: usize) -> Self {
        match self {
            Self::Bytes(at) => Self::Bytes(at.wrapping_add(values)),
            Self::Floats(at) => Self::Floats(at.wrapping_add(values)),
        }
    }
}

/// # Safety
/// So many pixels must be readable at `input` (and at `shared`, whose pixels are so many bytes apart), and writable
/// at `output`.
#[inline(always)]
unsafe fn product<S: IntegerSimd>(
    simd: S,
    conv: &Conv,
    input: *const u8,
    depth: usize,
    output: Place,
    shared: Option<(*const u8, usize)>,
    pixels: usize,
) {
    let channels = conv.step.output_shape.channels;
    let shared_channels = conv.step.shortcut.as_ref().map_or(0, |s| s.channels);
    let quads = depth.div_ceil(QUAD);
    for (channel, width) in panels(channels, S::LANES, S::widest()) {
        let vectors = width / S::LANES;
        let most = S::TILE_ROWS[vectors - 1];
        let count = pixels.div_ceil(most);
        // Tiles of one height come first, those of one row less after them.
        let (height, higher) = match even(pixels, most).next() {
            Some((_, height)) => (height, count - (height * count - pixels)),
            None => continue,
        };
        let params = Params {
            weights: conv.weights().wrapping_add(quads * QUAD * channel),
            bias: conv.bias.as_ptr().wrapping_add(channel),
            factor: conv.factor.as_ptr().wrapping_add(channel),
            offset: conv.offset.as_ptr().wrapping_add(channel),
            shared: conv.shared.as_ptr().wrapping_add(channel),
        };
        for (height, first, tiles) in [(height, 0, higher), (height - 1, higher * height, count - higher)] {
            if tiles == 0 || height == 0 {
                continue;
            }
            let shared = shared.filter(|_| channel < shared_channels);
            let tiles = Tiles {
                input: input.wrapping_add(first * depth),
                depth,
                params,
                output: output.add(first * channels + channel),
                channels,
                filled: width.min(channels - channel),
                shared: shared
                    .map_or(std::ptr::null(), |(at, stride)| at.wrapping_add(first * stride + channel)),
                shared_stride: shared.map_or(0, |(_, stride)| stride),
                shared_filled: shared_channels.saturating_sub(channel).min(width),
                tiles,
            };
            tiles.dispatch(simd, vectors, height);
        }
    }
}

/// What belongs to a panel's channels.
#[derive(Clone, Copy)]
struct Params {
    weights: *const i8,
    bias: *const i32,
    factor: *const f32,
    offset: *const f32,
    shared: *const f32,
}

/// Tiles of one shape, one below the other.
#[derive(Clone, Copy)]
struct Tiles {
    input: *const u8,
    depth: usize,
    params: Params,
    /// The first pixel's first channel of this panel.
    output: Place,
    /// Distance of output pixels.
    channels: usize,
    /// Channels of the panel that there are.
    filled: usize,
    /// The shortcut's first pixel, its channel of this panel; null where none is added.
    shared: *const u8,
    shared_stride: usize,
    /// Channels of the panel that are added to.
    shared_filled: usize,
    tiles: usize,
}

/// Tiles whose shape is known to the compiler.
struct Shaped<const VECTORS: usize, const ROWS: usize>(Tiles);

impl Tiles {
    #[inline(always)]
    fn dispatch<S: IntegerSimd>(self, simd: S, vectors: usize, rows: usize) {
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
            2: 1 2 3 4 5 6 7 8 9 10 11 12;
            3: 1 2 3 4 5 6 7 8;
        }
    }
}

impl<const VECTORS: usize, const ROWS: usize> IntegerWork for Shaped<VECTORS, ROWS> {
    #[inline(always)]
    fn run<S: IntegerSimd>(self, simd: S) {
        if VECTORS > S::widest() || ROWS > S::TILE_ROWS[VECTORS - 1] {
            return; // Never asked for; nothing is compiled.
        }
        let Self(tiles) = self;
        let Tiles { mut input, depth, params, mut output, channels, mut shared, shared_stride, .. } = tiles;
        let width = VECTORS * S::LANES;
        for _ in 0..tiles.tiles {
            // SAFETY: the caller of `product` vouches for the pixels; the panel has a quad of weights for each
            // four input channels and output channel, and one of each other parameter for each channel.
            unsafe {
                let mut at = params.weights;
                let mut sums: [[S::Sums; VECTORS]; ROWS] =
                    [std::array::from_fn(|v| simd.load(params.bias.add(v * S::LANES))); ROWS];
                for i in (0..depth - depth % QUAD).step_by(QUAD) {
                    let w: [S::Sums; VECTORS] =
                        std::array::from_fn(|v| simd.load_weights(at.add(v * S::LANES * QUAD)));
                    at = at.add(width * QUAD);
                    for r in 0..ROWS {
                        let x = simd.splat_quad(input.add(r * depth + i));
                        for v in 0..VECTORS {
                            sums[r][v] = simd.dot(sums[r][v], x, w[v]);
                        }
                    }
                }
                if depth % QUAD > 0 {
                    // The last channels are fewer than four: what follows them is not read.
                    let (first, rest) = (depth - depth % QUAD, depth % QUAD);
                    for r in 0..ROWS {
                        let mut quad = [0; QUAD];
                        quad.as_mut_ptr().copy_from_nonoverlapping(input.add(r * depth + first), rest);
                        let x = simd.splat_quad(quad.as_ptr());
                        for v in 0..VECTORS {
                            let w = simd.load_weights(at.add(v * S::LANES * QUAD));
                            sums[r][v] = simd.dot(sums[r][v], x, w);
                        }
                    }
                }
                for v in 0..VECTORS {
                    let first = v * S::LANES;
                    let (factor, offset) = (
                        simd.load_floats(params.factor.add(first)),
                        simd.load_floats(params.offset.add(first)),
                    );
                    let mut scaled: [S::Floats; ROWS] =
                        std::array::from_fn(|r| simd.scale(sums[r][v], factor, offset));
                    if tiles.shared_filled > first {
                        let share = simd.load_floats(params.shared.add(first));
                        let count = (tiles.shared_filled - first).min(S::LANES);
                        for r in 0..ROWS {
                            let from = shared.wrapping_add(r * shared_stride + first);
                            scaled[r] = simd.scale(widen(simd, from, count), share, scaled[r]);
                        }
                    }
                    let count = tiles.filled.saturating_sub(first).min(S::LANES);
                    for r in 0..ROWS {
                        store(simd, output.add(r * channels + first), scaled[r], count);
                    }
                }
                output = output.add(ROWS * channels);
                input = input.wrapping_add(ROWS * depth);
                shared = shared.wrapping_add(ROWS * shared_stride);
            }
        }
    }
}

/// The first `count` bytes at `from`, one a lane; 0 in the others.
///
/// # Safety
/// So many bytes must be readable.
#[inline(always)]
unsafe fn widen<S: IntegerSimd>(simd: S, from: *const u8, count: usize) -> S::Sums {
    // SAFETY: as the caller vouches.
    unsafe {
        if count == S::LANES {
            return simd.widen(from);
        }
        let mut bytes = [0; MOST_LANES];
        bytes.as_mut_ptr().copy_from_nonoverlapping(from, count);
        simd.widen(bytes.as_ptr())
    }
}

/// Writes the first `count` values.
///
/// # Safety
/// So many values must be writable.
#[inline(always)]
unsafe fn store<S: IntegerSimd>(simd: S, to: Place, values: S::Floats, count: usize) {
    // SAFETY: as the caller vouches.
    unsafe {
        match to {
            Place::Bytes(to) if count == S::LANES => simd.store_rounded(to, values),
            Place::Floats(to) if count == S::LANES => simd.store_floats(to, values),
            Place::Bytes(to) => {
                let mut bytes = [0; MOST_LANES];
                simd.store_rounded(bytes.as_mut_ptr(), values);
                to.copy_from_nonoverlapping(bytes.as_ptr(), count);
            }
            Place::Floats(to) => {
                let mut floats = [0.0; MOST_LANES];
                simd.store_floats(floats.as_mut_ptr(), values);
                to.copy_from_nonoverlapping(floats.as_ptr(), count);
            }
        }
    }
}
