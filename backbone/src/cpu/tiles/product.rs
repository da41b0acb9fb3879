//! A product on the matrix unit, panel by panel.

#![expect(unsafe_code, reason = "tiles and rows are reached through pointers")]

use std::arch::x86_64::{
    __m512, _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_load_ps, _mm512_loadu_ps, _mm512_mask_storeu_ps,
    _mm512_maskz_loadu_ps, _mm512_max_ps, _mm512_min_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};
use std::ops::Range;

use super::split::{Walk, low_bits, put, put_narrow, split};
use super::unit::{Factors, Operands, Sums, store, zero};
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
    let limits = if whole { prepared.limits } else { (f32::NEG_INFINITY, f32::INFINITY) };
    let finishing = Finishing {
        limits: [_mm512_set1_ps(limits.0), _mm512_set1_ps(limits.1)],
        halved: apart.len() > 1,
        strip: strip_len(channels),
        narrow: is_narrow(channels),
    };
    // Each product is a chance to finish some of the sums before, while the unit is busy.
    let products = Factors::all(narrow);
    let pieces = PIECES.min(products.len() * tiles_down.len());
    let mut sums = [const { [const { Sums([0.0; 4 * TILE]) }; 2] }; 2];
    let [now, before] = &mut sums;
    let (mut now, mut before) = (now, before);
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
                let masks = [channels - channel, (channels - channel).saturating_sub(SIDE)].map(low_bits);
                let biases = match whole {
                    true => [_mm512_load_ps(bias), _mm512_maskz_loadu_ps(masks[1], bias.add(SIDE))],
                    // What changes no sum, not even the sign of a zero.
                    false => [_mm512_set1_ps(-0.0); 2],
                };
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
                    let mut piece = 0;
                    for (tiles_down, sums) in apart.iter().zip(&mut *now) {
                        zero();
                        for _ in tiles_down.clone() {
                            for _ in 0..lines {
                                _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                                ahead = ahead.wrapping_add(LINE);
                            }
                            for factors in products {
                                from.multiply(*factors, block > SIDE, tiles > 1, narrow);
                                if let Some(finish) = &mut waiting
                                    && piece < pieces
                                {
                                    piece += 1;
                                    finish.until(finish.pixels * piece / pieces, before, &finishing);
                                }
                            }
                            from.pixels = from.pixels.add(2 * TILE);
                            from.weights = from.weights.add(2 * tiles * TILE);
                        }
                        store(sums);
                    }
                    waiting = Some(Finish {
                        bias: biases,
                        masks,
                        to: match output {
                            Place::Rows(to) => {
                                To::Rows(Walk::new(to, rows.start, width, first + begun), channel)
                            }
                            Place::Tiles(to) => {
                                let strip = (first + begun) / SIDE * finishing.strip;
                                To::Tiles(to.add(strip + channel / DEPTH * 2 * TILE))
                            }
                        },
                        done: 0,
                        pixels: block,
                    });
                    (now, before) = (before, now);
                }
                weights = next;
            }
            if let Some(mut last) = waiting {
                last.until(last.pixels, before, &finishing);
            }
        }
        first += count;
    }
}

/// Pieces in which sums are finished: each keeps vectors busy for as long as the unit needs for a product.
const PIECES: usize = 4;

/// How sums are finished.
struct Finishing {
    /// What they are held between.
    limits: [__m512; 2],
    /// Whether there are those of two halves.
    halved: bool,
    /// Values to the next 16 pixels, where results are tiles.
    strip: usize,
    /// Whether these are narrow.
    narrow: bool,
}

/// What is left to do with the sums of a block.
struct Finish {
    bias: [__m512; 2],
    /// Output channels that there are of each 16.
    masks: [u16; 2],
    to: To,
    /// Pixels that are finished.
    done: usize,
    pixels: usize,
}

/// Where finished sums go.
enum To {
    /// To these pixels, from a channel on.
    Rows(Walk, usize),
    /// To the row of a tile, and those behind it.
    Tiles(*mut f32),
}

impl Finish {
    /// Finishes the pixels before `end`, of those that there are.
    ///
    /// # Safety
    /// The pixels' channels must be writable. `sums` are those of the block, `how` that of the product.
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn until(&mut self, end: usize, sums: &[Sums; 2], how: &Finishing) {
        // SAFETY: as the caller vouches.
        unsafe {
            if how.halved {
                self.until_as::<true>(end, sums, how)
            } else {
                self.until_as::<false>(end, sums, how)
            }
        }
    }

    /// # Safety
    /// As [`Finish::until`].
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn until_as<const HALVED: bool>(
        &mut self,
        end: usize,
        [sums, others]: &[Sums; 2],
        how: &Finishing,
    ) {
        let ([low, high], [first, second]) = (how.limits, self.bias);
        let (sums, others) = (sums.0.as_ptr(), others.0.as_ptr());
        // SAFETY: as the caller vouches; the sums are 32 pixels of 32 channels.
        unsafe {
            let value = |at: usize, bias| {
                let mut sum = _mm512_load_ps(sums.add(at));
                if HALVED {
                    sum = _mm512_add_ps(sum, _mm512_load_ps(others.add(at)));
                }
                _mm512_min_ps(_mm512_max_ps(_mm512_add_ps(sum, bias), low), high)
            };
            match &mut self.to {
                To::Rows(walk, channel) => {
                    while self.done < end {
                        let (mut to, count) = walk.run(end - self.done);
                        to = to.add(*channel);
                        for pixel in self.done..self.done + count {
                            let sum = pixel * 2 * SIDE;
                            if self.masks == [u16::MAX; 2] {
                                _mm512_storeu_ps(to, value(sum, first));
                                _mm512_storeu_ps(to.add(SIDE), value(sum + SIDE, second));
                            } else {
                                _mm512_mask_storeu_ps(to, self.masks[0], value(sum, first));
                                if self.masks[1] > 0 {
                                    _mm512_mask_storeu_ps(
                                        to.add(SIDE),
                                        self.masks[1],
                                        value(sum + SIDE, second),
                                    );
                                }
                            }
                            to = to.wrapping_add(walk.pixel());
                        }
                        self.done += count;
                    }
                }
                To::Tiles(tiles) => {
                    for pixel in self.done..end {
                        let (sum, row) =
                            (pixel * 2 * SIDE, tiles.add(pixel / SIDE * how.strip + pixel % SIDE * LINE));
                        let a = value(sum, first);
                        match self.masks[1] {
                            _ if how.narrow => put_narrow(row, a),
                            0 => put(row, a, _mm512_setzero_ps()),
                            _ => put(row, a, value(sum + SIDE, second)),
                        }
                    }
                    self.done = end;
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
