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
use super::simd::{IntegerSimd, IntegerWork, MOST_LANES, QUAD};
use crate::cpu::memory::Rows;
use crate::cpu::packing::{even, panels};
use crate::cpu::pointwise::ahead;
use crate::cpu::simd::Simd;

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
    shortcut: Option<Rows<u8>>,
    rows: Range<usize>,
) {
    let (depth, width) = (conv.step.input_shape.channels, conv.step.output_shape.width);
    debug_assert_eq!(input.pixel, depth);
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
        let shared = shortcut.map(|rows| {
            count = count.min(rows.run(y));
            (rows.row(y).cast_const(), rows.pixel)
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
        // Where the input's channels are no multiple of four, a pixel's last ones take a way of their own.
        let most = if depth.is_multiple_of(QUAD) { S::TILE_ROWS[vectors - 1] } else { 1 };
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
        let lower = (height - 1, higher, higher * height, count - higher);
        for (height, begun, first, tiles) in [(height, 0, 0, higher), lower] {
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
                begun,
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
    /// Tiles of the panel that were before them.
    begun: usize,
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

impl Tiles {
    /// What is not a whole panel of bytes: channels that are missing, a shortcut, floats.
    #[inline(always)]
    unsafe fn finish<S: IntegerSimd, const VECTORS: usize, const ROWS: usize>(
        &self,
        simd: S,
        sums: &[[S::Sums; VECTORS]; ROWS],
        output: Place,
        shared: *const u8,
    ) {
        let params = self.params;
        for v in 0..VECTORS {
            let first = v * S::LANES;
            let added = self.shared_filled.saturating_sub(first).min(S::LANES);
            let count = self.filled.saturating_sub(first).min(S::LANES);
            // SAFETY: as the caller of `product` vouches.
            unsafe {
                let factor = simd.load_floats(params.factor.add(first));
                let offset = simd.load_floats(params.offset.add(first));
                let share = simd.load_floats(params.shared.add(first));
                for (r, row) in sums.iter().enumerate() {
                    let mut scaled = simd.scale(row[v], factor, offset);
                    if added > 0 {
                        let from = shared.wrapping_add(r * self.shared_stride + first);
                        scaled = simd.scale(simd.widen_first(from, added), share, scaled);
                    }
                    store(simd, output.add(r * self.channels + first), scaled, count);
                }
            }
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
        let panel = depth.div_ceil(QUAD) * width * QUAD;
        for tile in tiles.begun..tiles.begun + tiles.tiles {
            let next = params.weights.wrapping_add(panel).cast();
            let (mut ahead, step) = ahead(next, width, tile);
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
                    simd.float().prefetch(ahead);
                    ahead = ahead.wrapping_add(step);
                    for r in 0..ROWS {
                        let x = simd.splat_quad(input.add(r * depth + i));
                        for v in 0..VECTORS {
                            sums[r][v] = simd.dot(sums[r][v], x, w[v]);
                        }
                    }
                }
                if ROWS == 1 && depth % QUAD > 0 {
                    // The last channels are fewer than four: what follows them is not read.
                    let (first, rest) = (depth - depth % QUAD, depth % QUAD);
                    let mut quad = [0; QUAD];
                    for i in 0..rest {
                        quad[i] = *input.add(first + i);
                    }
                    let x = simd.splat_quad(quad.as_ptr());
                    for v in 0..VECTORS {
                        let w = simd.load_weights(at.add(v * S::LANES * QUAD));
                        sums[0][v] = simd.dot(sums[0][v], x, w);
                    }
                }
                match output {
                    Place::Bytes(to) if tiles.filled == width && tiles.shared_filled == 0 => {
                        let (mut factor, mut offset) = (
                            [simd.load_floats(params.factor); VECTORS],
                            [simd.load_floats(params.offset); VECTORS],
                        );
                        for v in 1..VECTORS {
                            factor[v] = simd.load_floats(params.factor.add(v * S::LANES));
                            offset[v] = simd.load_floats(params.offset.add(v * S::LANES));
                        }
                        for r in 0..ROWS {
                            let mut scaled = offset;
                            for v in 0..VECTORS {
                                scaled[v] = simd.scale(sums[r][v], factor[v], offset[v]);
                            }
                            simd.store_row(to.wrapping_add(r * channels), scaled);
                        }
                    }
                    _ => {
                        // By way of memory: with this much between them the sums would not stay in registers above.
                        let mut kept = sums;
                        for r in 0..ROWS {
                            for v in 0..VECTORS {
                                std::ptr::from_mut(&mut kept[r][v]).write_volatile(sums[r][v]);
                            }
                        }
                        tiles.finish::<S, VECTORS, ROWS>(simd, &kept, output, shared);
                    }
                }
                output = output.add(ROWS * channels);
                input = input.wrapping_add(ROWS * depth);
                shared = shared.wrapping_add(ROWS * shared_stride);
            }
        }
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
            Place::Bytes(to) => simd.store_first(to, values, count),
            Place::Floats(to) if count == S::LANES => simd.store_floats(to, values),
            Place::Floats(to) => {
                let mut floats = [0.0; MOST_LANES];
                simd.store_floats(floats.as_mut_ptr(), values);
                to.copy_from_nonoverlapping(floats.as_ptr(), count);
            }
        }
    }
}
