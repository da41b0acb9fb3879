//! A product on the matrix unit, panel by panel.

#![expect(unsafe_code, reason = "tiles and rows are reached through pointers")]

use std::arch::x86_64::{
    _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_load_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_set1_ps, _mm512_storeu_ps,
};
use std::ops::Range;

use super::split::{Walk, low_bits, put, put_narrow, split};
use super::unit::{Operands, Sums, store, zero};
use super::{DEPTH, LINE, Place, SCRATCH, SIDE, TILE, halved, is_narrow, middle, panels, strip_len};
use crate::cpu::channels::Part;
use crate::cpu::memory::Rows;
use crate::cpu::packing::Prepared;

/// `output[p] = clamp(input[p] × weights + bias)` for some rows of a map, or a part of it: some panels of output channels; or sums over some
/// input channels, without bias and limits.
///
/// # Safety
/// Output channels of a part must begin with a panel, input channels with a tile, and be among those that there are; nobody else may write to
/// them. `prepared` must be packed for the unit, and a [`Unit`](super::Unit) ready on this thread. The rows must be readable at `input`, and writable at `output`; at `scratch`,
/// a multiple of 64, [`SCRATCH`] values, unless the input is tiles. Tiles must have room for the pixels, see [`super::fits`].
#[target_feature(enable = "avx512f")]
pub(in crate::cpu) unsafe fn product(
    prepared: &Prepared,
    input: Place,
    output: Place,
    rows: Range<usize>,
    part: &Part,
    scratch: *mut f32,
) {
    debug_assert!(prepared.tiled, "weights for vectors");
    let step = &prepared.step;
    let (depth, channels, width) =
        (step.input_shape.channels, step.output_shape.channels, step.output_shape.width);
    let (pixels, deep) = (rows.len() * width, depth.div_ceil(DEPTH));
    let (strip, narrow) = (strip_len(depth), is_narrow(depth));
    let most = match input {
        Place::Rows(_) => SCRATCH / (2 * strip) * 2 * SIDE,
        Place::Tiles(_) => pixels,
    };
    debug_assert!(most > 0 || pixels == 0, "too deep for the scratch");
    let (columns, tiles_down, whole) = match part {
        Part::Whole => (0..channels, 0..deep, true),
        Part::Channels(columns) => (columns.clone(), 0..deep, true),
        Part::Depth(depth) => (0..channels, depth.start / DEPTH..depth.end.div_ceil(DEPTH), false),
    };
    // The tiles down the channels that are added up apart.
    let cut = if whole && halved(step) { middle(depth) / DEPTH } else { tiles_down.end };
    let apart = [tiles_down.start..cut, cut..tiles_down.end];
    let apart = &apart[..if cut < tiles_down.end { 2 } else { 1 }];
    let finishing = Finishing { prepared, output, whole, halved: apart.len() > 1 };
    let mut sums = [const { [const { Sums([0.0; 4 * TILE]) }; 2] }; 2];
    let mut turn = 0;
    let mut first = 0;
    while first < pixels && most > 0 {
        let count = most.min(pixels - first);
        let mut waiting: Option<Finish> = None;
        // SAFETY: as the caller vouches: pixels and channels stay within what there is, the scratch has room for `most`
        // pixels, and the panels follow each other in the packed weights.
        unsafe {
            let tiles_of_pixels = match input {
                Place::Rows(from) => {
                    split(
                        Walk::new(from, rows.start, width, first),
                        depth,
                        tiles_down.clone(),
                        count,
                        scratch,
                    );
                    scratch
                }
                Place::Tiles(tiles) => tiles,
            };
            let mut weights = prepared.weights.as_ptr();
            for (channel, tiles) in panels(channels) {
                let bias = weights.add(deep * 2 * tiles * TILE);
                let next = bias.add(tiles * SIDE);
                if !columns.contains(&channel) {
                    weights = next;
                    continue;
                }
                let skipped = tiles_down.start * 2 * tiles * TILE;
                let blocks = count.div_ceil(2 * SIDE);
                // Lines of the next panel that are asked for at each step down this one, so that all are when it ends.
                let lines = (2 * tiles * TILE / LINE).div_ceil(blocks);
                let mut ahead = next.wrapping_add(skipped);
                for begun in (0..count).step_by(2 * SIDE) {
                    let block = (count - begun).min(2 * SIDE);
                    let mut from = Operands {
                        pixels: tiles_of_pixels
                            .add(begun / SIDE * strip + tiles_down.start * 2 * TILE)
                            .cast_const(),
                        below: strip * size_of::<f32>(),
                        weights: weights.add(skipped),
                    };
                    for (tiles_down, sums) in apart.iter().zip(&mut sums[turn]) {
                        zero();
                        for _ in tiles_down.clone() {
                            for _ in 0..lines {
                                _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                                ahead = ahead.wrapping_add(LINE);
                            }
                            from.multiply(block > SIDE, tiles > 1, narrow);
                            from.pixels = from.pixels.add(2 * TILE);
                            from.weights = from.weights.add(2 * tiles * TILE);
                        }
                        store(sums);
                    }
                    // While the unit is busy.
                    if let Some(before) = waiting.take() {
                        before.finish(&sums[1 - turn], finishing);
                    }
                    waiting = Some(Finish {
                        bias,
                        row: rows.start,
                        first: first + begun,
                        pixels: block,
                        channel,
                        tiles,
                    });
                    turn = 1 - turn;
                }
                weights = next;
            }
            if let Some(last) = waiting {
                last.finish(&sums[1 - turn], finishing);
            }
        }
        first += count;
    }
}

/// How sums are finished.
#[derive(Clone, Copy)]
struct Finishing<'a> {
    prepared: &'a Prepared,
    output: Place,
    /// Whether bias and limits are due.
    whole: bool,
    /// Whether there are those of two halves.
    halved: bool,
}

/// What is left to do with sums.
struct Finish {
    bias: *const f32,
    /// The first row, and of the pixels the first, counted from there.
    row: usize,
    first: usize,
    pixels: usize,
    /// The first of the panel's channels.
    channel: usize,
    tiles: usize,
}

impl Finish {
    /// # Safety
    /// The pixels' channels must be writable, and a tile's biases readable for each 16 of them, at a multiple of 64.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn finish(self, sums: &[Sums; 2], how: Finishing<'_>) {
        // SAFETY: as the caller vouches.
        unsafe {
            if how.halved { self.finish_as::<true>(sums, how) } else { self.finish_as::<false>(sums, how) }
        }
    }

    /// # Safety
    /// As [`Finish::finish`].
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn finish_as<const HALVED: bool>(self, [sums, others]: &[Sums; 2], how: Finishing<'_>) {
        let Finishing { prepared, output, whole, .. } = how;
        let shape = prepared.step.output_shape;
        let limits = if whole { prepared.limits } else { (f32::NEG_INFINITY, f32::INFINITY) };
        let (low, high) = (_mm512_set1_ps(limits.0), _mm512_set1_ps(limits.1));
        let zero = _mm512_set1_ps(0.0);
        let channels = (self.tiles * SIDE).min(shape.channels - self.channel);
        let masks = [low_bits(channels), low_bits(channels.saturating_sub(SIDE))];
        // SAFETY: as the caller vouches; the sums of 32 pixels are four tiles.
        unsafe {
            // What changes no sum, not even the sign of a zero.
            let nothing = _mm512_set1_ps(-0.0);
            let bias = [
                if whole { _mm512_load_ps(self.bias) } else { nothing },
                if whole && self.tiles > 1 { _mm512_load_ps(self.bias.add(SIDE)) } else { nothing },
            ];
            let value = |at: usize, bias| {
                let mut sum = _mm512_load_ps(sums.0.as_ptr().add(at));
                if HALVED {
                    sum = _mm512_add_ps(sum, _mm512_load_ps(others.0.as_ptr().add(at)));
                }
                _mm512_min_ps(_mm512_max_ps(_mm512_add_ps(sum, bias), low), high)
            };
            let halves = [(0, self.pixels.min(SIDE)), (1, self.pixels.saturating_sub(SIDE))];
            match output {
                Place::Rows(rows) => {
                    let mut walk = Walk::new(rows, self.row, shape.width, self.first);
                    for (half, count) in halves {
                        let mut sum = half * 2 * TILE;
                        for _ in 0..count {
                            let to = walk.next().add(self.channel);
                            if channels == 2 * SIDE {
                                _mm512_storeu_ps(to, value(sum, bias[0]));
                                _mm512_storeu_ps(to.add(SIDE), value(sum + TILE, bias[1]));
                            } else {
                                _mm512_mask_storeu_ps(to, masks[0], value(sum, bias[0]));
                                if channels > SIDE {
                                    _mm512_mask_storeu_ps(to.add(SIDE), masks[1], value(sum + TILE, bias[1]));
                                }
                            }
                            sum += LINE;
                        }
                    }
                }
                Place::Tiles(tiles) => {
                    let (strip, narrow) = (strip_len(shape.channels), is_narrow(shape.channels));
                    for (half, count) in halves {
                        let mut sum = half * 2 * TILE;
                        let mut row =
                            tiles.add((self.first / SIDE + half) * strip + self.channel / DEPTH * 2 * TILE);
                        for _ in 0..count {
                            let a = value(sum, bias[0]);
                            match self.tiles {
                                _ if narrow => put_narrow(row, a),
                                1 => put(row, a, zero),
                                _ => put(row, a, value(sum + TILE, bias[1])),
                            }
                            (sum, row) = (sum + LINE, row.add(LINE));
                        }
                    }
                }
            }
        }
    }
}

/// Adds up the sums of two halves and finishes them: all rows of a map.
///
/// # Safety
/// The rows must be readable at `halves`, whole vectors a pixel, and writable at `output`, and nobody else may write to them. The processor must have the unit.
#[target_feature(enable = "avx512f")]
pub(in crate::cpu) unsafe fn join(prepared: &Prepared, halves: [Rows; 2], output: Rows) {
    let shape = prepared.step.output_shape;
    let (low, high) = (_mm512_set1_ps(prepared.limits.0), _mm512_set1_ps(prepared.limits.1));
    for y in 0..shape.height {
        let [first, second] = halves.map(|half| half.row(y).cast_const());
        for x in 0..shape.width {
            for c in (0..shape.channels).step_by(SIDE) {
                let mask = low_bits(shape.channels - c);
                let at = x * halves[0].pixel + c;
                // SAFETY: as the caller vouches; masks keep what is written, and the biases read, to the channels.
                unsafe {
                    let sum = _mm512_add_ps(_mm512_loadu_ps(first.add(at)), _mm512_loadu_ps(second.add(at)));
                    let bias = _mm512_maskz_loadu_ps(mask, prepared.bias.as_ptr().add(c));
                    let value = _mm512_min_ps(_mm512_max_ps(_mm512_add_ps(sum, bias), low), high);
                    _mm512_mask_storeu_ps(output.row(y).add(x * output.pixel + c), mask, value);
                }
            }
        }
    }
}
