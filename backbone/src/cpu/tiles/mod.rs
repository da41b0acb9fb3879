//! 1×1 convolution on AMX, the matrix unit of server processors since Sapphire Rapids.
//!
//! The unit multiplies numbers of 16 bits (bf16, eight of them precision) and adds in 32: one instruction does 16 pixels × 16
//! output channels × 32 input channels, sixteen times as many multiply-adds in a cycle as two AVX-512 units. An `f32` is
//! split into two such numbers, `x ≈ high + low`, and a product into three:
//!
//! ```text
//! x × w  ≈  high(x) × high(w)  +  low(x) × high(w)  +  high(x) × low(w)          what is left out is 2⁻¹⁶ of it, or less
//! ```
//!
//! Sums are those of `f32`, and what a result is off by is far below what tests allow between engines (1e-3 of the range); with
//! that, a product takes half the time or less. oneMKL offers the same as `float_to_bf16x2` (Henry, Tang, Heinecke:
//! Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations, ARITH 2019). An infinite number has no low part, and
//! becomes none.
//!
//! ```text
//! for as many pixels as the scratch holds
//!   split them: tiles of 16 pixels × 32 channels, high and low            scratch, in L2
//!   for each panel of 32 output channels                                  weights were split when they were packed
//!     for each 32 pixels
//!       for each 32 input channels: 8 tiles loaded, 12 multiplied         four tiles of sums
//!         between the products: bias, clamp and store some of the sums before
//!       store the sums
//! ```
//!
//! A pixel of 16 channels is narrow: its low parts lie beside the high ones in the same tile, and one product does
//! `high × high + low × high`.
//!
//! Steps of few pixels or few channels would fill a tile badly and are left to [`super::pointwise`]. Which those are depends on the
//! plan alone, and a pixel's sums are added up in the same order wherever it lies: results do not depend on threads.

#[cfg(target_arch = "x86_64")]
mod product;
#[cfg(target_arch = "x86_64")]
mod split;
#[cfg(target_arch = "x86_64")]
mod unit;

use half::bf16;
#[cfg(target_arch = "x86_64")]
pub(super) use {
    product::{join, product},
    split::{put, put_narrow},
    unit::{Unit, available},
};

use super::memory::{LINE, Rows};
use crate::plan::{Step, StepKind};

/// Pixels, and output channels, of a tile.
pub(super) const SIDE: usize = 16;
/// Input channels of a tile, and output channels of a panel.
pub(super) const DEPTH: usize = 32;
/// Values of 32 bits in a tile.
const TILE: usize = SIDE * SIDE;
/// Values of 32 bits that the pixels split at a time may take: 128 pixels of 1280 channels.
pub(super) const SCRATCH: usize = 128 * 1280;
/// Input and output channels, and pixels, from which on the unit is worth its while.
const LEAST: usize = 16;
/// Pixels of a low map, at most.
const LOW: usize = 128;
/// Input channels from which on a step may add up its halves apart: that takes a little longer.
const DEEP: usize = 256;

/// Whether a step is for the matrix unit.
pub(super) fn takes(step: &Step) -> bool {
    let (depth, shape) = (step.input_shape.channels, step.output_shape);
    step.kind == StepKind::Pointwise
        && depth >= LEAST
        && shape.channels >= LEAST
        && shape.pixels() >= LEAST
        && 2 * strip_len(depth) <= SCRATCH
}

/// Whether a step, one that the unit takes, of a low map, adds up the first half of its input channels and the second apart: two threads may share them.
/// Where it has as many output channels or more, they share those.
pub(super) fn halved(step: &Step) -> bool {
    let depth = step.input_shape.channels;
    takes(step) && is_low(step) && depth >= DEEP && depth > step.output_shape.channels
}

/// Whether a step's output is so low that threads had better share its channels.
pub(super) fn is_low(step: &Step) -> bool {
    step.output_shape.pixels() <= LOW
}

/// Where channels are cut in two: between tiles.
pub(super) fn middle(channels: usize) -> usize {
    (channels / 2).next_multiple_of(DEPTH).min(channels)
}

/// Where a step's pixels come from, or go to.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Rows of a map or of a window.
    Rows(Rows),
    /// Tiles: the pixels one after the other, split.
    Tiles(*mut f32),
}

/// Whether pixels of so many channels are narrow: their high and low parts together take one row of a tile.
#[inline(always)]
pub(super) fn is_narrow(channels: usize) -> bool {
    channels <= SIDE
}

/// Values of 16 pixels, all tiles down their channels, high and low.
#[inline(always)]
pub(super) fn strip_len(channels: usize) -> usize {
    if is_narrow(channels) { TILE } else { channels.div_ceil(DEPTH) * 2 * TILE }
}

/// Whether tiles of so many pixels and channels have room in a scratch.
pub(super) fn fits(pixels: usize, channels: usize) -> bool {
    pixels.div_ceil(SIDE) * strip_len(channels) <= SCRATCH
}

/// Where in tiles, split, the row of a pixel's 32 channels around `channel` begins.
#[inline(always)]
pub(super) fn place(pixel: usize, channel: usize, channels: usize) -> usize {
    pixel / SIDE * strip_len(channels) + channel / DEPTH * 2 * TILE + pixel % SIDE * LINE
}

/// Gives `put` the weights of a step in the order in which they are read. For each panel of 32 output channels (the last may
/// have 16) and each 32 input channels: the high parts of 16 output channels, of the next 16, then the low parts. A
/// tile's row is a pair of input channels, `c` and `16 + c`, side by side for each output channel. Where pixels are narrow, their high
/// and low parts take the places of the pair: both meet the high part, and the high one the low part. At the end of a panel its biases.
pub(super) fn pack(step: &Step, mut put: impl FnMut(&[f32], usize)) {
    let (depth, channels) = (step.input_shape.channels, step.output_shape.channels);
    let narrow = is_narrow(depth);
    let weight = |i: usize, o: usize| match i < depth && o < channels {
        true => step.weights[i * channels + o],
        false => 0.0,
    };
    let high = |value: f32| bf16::from_f32(value);
    let low = |value: f32| bf16::from_f32(value - high(value).to_f32());
    for (first, tiles) in panels(channels) {
        for from in (0..depth).step_by(DEPTH) {
            for (is_low, tile) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
                if tile == tiles {
                    continue;
                }
                let part = |value: f32| u32::from(if is_low { low(value) } else { high(value) }.to_bits());
                for i in from..from + SIDE {
                    let mut row = [0.0; SIDE];
                    for (o, word) in row.iter_mut().enumerate() {
                        let o = first + tile * SIDE + o;
                        let even = part(weight(i, o));
                        let odd = match (narrow, is_low) {
                            (false, _) => part(weight(i + SIDE, o)),
                            (true, false) => even,
                            (true, true) => 0,
                        };
                        *word = f32::from_bits(odd << 16 | even);
                    }
                    put(&row, 0);
                }
            }
        }
        let count = (tiles * SIDE).min(channels - first);
        put(&step.bias[first..first + count], tiles * SIDE - count);
    }
}

/// Values that [`pack`] gives.
pub(super) fn packed_len(step: &Step) -> usize {
    let of_tile = step.input_shape.channels.div_ceil(DEPTH) * 2 * TILE + SIDE;
    panels(step.output_shape.channels).map(|(_, tiles)| tiles * of_tile).sum()
}

/// First channel and tiles of each panel.
fn panels(channels: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..channels).step_by(2 * SIDE).map(move |first| (first, (channels - first).div_ceil(SIDE).min(2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Backbone;
    use crate::plan::Plan;
    use crate::weights::Weights;

    #[test]
    fn high_and_low_parts_add_up_to_the_weights() {
        let network = "mobilenext-0.35".parse::<Backbone>().unwrap().classifier(10);
        let plan = Plan::new(&network, &Weights::untrained(&network), 96, 96).unwrap();
        let mut seen = 0;
        for step in plan.steps.iter().filter(|step| takes(step)) {
            let (depth, channels) = (step.input_shape.channels, step.output_shape.channels);
            let mut packed = Vec::new();
            pack(step, |row, blank| {
                packed.extend_from_slice(row);
                packed.extend(std::iter::repeat_n(0.0, blank));
            });
            let mut at = 0;
            for (first, tiles) in panels(channels) {
                for i in 0..depth.next_multiple_of(if is_narrow(depth) { SIDE } else { DEPTH }) {
                    for o in 0..tiles * SIDE {
                        let word = |low: usize| {
                            let tile = i / DEPTH * 2 * tiles + low * tiles + o / SIDE;
                            packed[at + tile * TILE + i % SIDE * SIDE + o % SIDE].to_bits()
                        };
                        let half = |word: u32, i: usize| {
                            bf16::from_bits((word >> (i / SIDE % 2 * 16)) as u16).to_f32()
                        };
                        if is_narrow(depth) {
                            assert_eq!([half(word(0), SIDE), half(word(1), SIDE)], [half(word(0), 0), 0.0]);
                        }
                        let part = |low: usize| half(word(low), i);
                        let expected = match i < depth && first + o < channels {
                            true => step.weights[i * channels + first + o],
                            false => 0.0,
                        };
                        let sum = part(0) + part(1);
                        assert!((sum - expected).abs() <= expected.abs() / 65_536.0, "{sum} for {expected}");
                        seen += usize::from(part(1) != 0.0);
                    }
                }
                at += depth.div_ceil(DEPTH) * 2 * tiles * TILE;
                let count = (channels - first).min(tiles * SIDE);
                assert_eq!(packed[at..at + count], step.bias[first..first + count]);
                at += tiles * SIDE;
            }
            assert_eq!([at, packed_len(step)], [packed.len(); 2]);
        }
        assert!(seen > 1000);
    }

    #[test]
    fn pixels_have_places_of_their_own() {
        for (pixels, channels) in [(1, 16), (20, 16), (37, 48), (100, 160)] {
            assert!(fits(pixels, channels));
            let mut places: Vec<_> = (0..pixels)
                .flat_map(|p| (0..channels).step_by(DEPTH).map(move |c| place(p, c, channels)))
                .collect();
            places.sort_unstable();
            assert!(places.windows(2).all(|pair| pair[0] + LINE <= pair[1]));
            // The row of low parts is a tile behind it.
            let behind = if is_narrow(channels) { 0 } else { TILE };
            assert!(is_narrow(channels) || places.iter().all(|place| (place / TILE).is_multiple_of(2)));
            let end = pixels.div_ceil(SIDE) * strip_len(channels);
            assert!(places[places.len() - 1] + behind + LINE <= end && end <= SCRATCH);
        }
        assert!(!fits(SCRATCH, 16));
    }
}
