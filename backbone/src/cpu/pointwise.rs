//! 1×1 convolution: for each pixel `out[o] = activation(Σ_i in[i] × weight[i][o] + bias[o]) + shortcut[o]`.
//!
//! ```text
//! for each block of pixels whose input fits a part of L2          keeps the input near
//!   for each panel of two vectors of output channels              the panel's weights stay in L1/L2
//!     for each tile of TILE_ROWS pixels in the block
//!       sums in registers = bias
//!       for each input channel i                                  two loads, TILE_ROWS broadcasts,
//!         for each pixel r: sums[r] += in[r][i] × weight[i]       2 × TILE_ROWS multiply-adds
//!       activation, shortcut, store
//! ```
//!
//! 1. The tile is as large as the registers allow (6 × 16 in AVX2, 12 × 32 in AVX-512), so that the two
//!    multiply-add units, not the loads, are the limit.
//! 2. The weights are packed once ([`super::packing`]); the input is not: with NHWC a pixel's channels
//!    lie together, and rows of a tile are read as so many streams.
//! 3. Bias, activation and shortcut are applied while the sums are still in registers.
//!
//! Safe because every pointer is taken from a slice at an index that is checked once a tile.

#![expect(unsafe_code, reason = "the inner loop reads without checking each index")]

use super::Call;
use super::simd::{MOST_LANES, Simd};
use crate::network::Activation;

/// The most rows of a tile of any instruction set: work is best cut at multiples of it.
pub(super) const MOST_ROWS: usize = 12;

/// Bytes of input that a block of pixels may have: a part of the smallest L2 in use (256 KiB).
const BLOCK_BYTES: usize = 128 * 1024;

/// Computes the pixels from `first` on into `output`, as many as fit.
#[inline(always)]
pub(super) fn run<S: Simd>(simd: S, call: &Call, first: usize, output: &mut [f32]) {
    let depth = call.step.input_shape.channels;
    let channels = call.step.output_shape.channels;
    let pixels = output.len() / channels;
    let input = &call.input[first * depth..][..pixels * depth];
    let tail = Tail::new(call, first);
    let block = (BLOCK_BYTES / (depth * size_of::<f32>())).max(MOST_ROWS).next_multiple_of(MOST_ROWS);
    for start in (0..pixels).step_by(block) {
        let count = block.min(pixels - start);
        let input = &input[start * depth..][..count * depth];
        let output = &mut output[start * channels..][..count * channels];
        gemm(simd, input, depth, call.packed, &tail.at_row(start), output);
    }
}

/// What happens to the sums before they are stored.
#[derive(Clone, Copy)]
pub(super) struct Tail<'a> {
    activation: Activation,
    /// The other map from the first pixel on.
    shortcut: &'a [f32],
    /// Distance of its pixels.
    stride: usize,
    /// Channels of it that are added.
    shared: usize,
}

impl<'a> Tail<'a> {
    /// The tail of the pixels from `first` on.
    #[inline(always)]
    pub(super) fn new(call: &Call<'a>, first: usize) -> Self {
        let activation = call.step.activation;
        match &call.step.shortcut {
            Some(s) => Self {
                activation,
                shortcut: &call.shortcut[first * s.stride..],
                stride: s.stride,
                shared: s.channels,
            },
            None => Self { activation, shortcut: &[], stride: 0, shared: 0 },
        }
    }

    #[inline(always)]
    pub(super) fn at_row(&self, row: usize) -> Self {
        Self { shortcut: self.shortcut.get(row * self.stride..).unwrap_or(&[]), ..*self }
    }
}

/// `output[r] = tail(input[r] × weights + bias)` for all rows, panel by panel.
#[inline(always)]
pub(super) fn gemm<S: Simd>(
    simd: S,
    input: &[f32],
    depth: usize,
    packed: &super::Packed,
    tail: &Tail,
    output: &mut [f32],
) {
    let rows = input.len() / depth;
    let channels = output.len() / rows.max(1);
    let panel = 2 * S::LANES;
    for (p, weights) in packed.weights.chunks_exact(depth * panel).enumerate() {
        let channel = p * panel;
        let bias = &packed.bias[channel..][..panel];
        let mut row = 0;
        while row < rows {
            let input = &input[row * depth..];
            let tail = tail.at_row(row);
            let mut tile = Tile {
                input,
                depth,
                weights,
                bias,
                tail,
                channel,
                channels,
                output: &mut output[row * channels..],
            };
            row += match rows - row {
                n if n >= 12 && S::TILE_ROWS >= 12 => tile.run::<S, 12>(simd),
                n if n >= 6 && S::TILE_ROWS >= 6 => tile.run::<S, 6>(simd),
                n if n >= 4 => tile.run::<S, 4>(simd),
                n if n >= 2 => tile.run::<S, 2>(simd),
                _ => tile.run::<S, 1>(simd),
            };
        }
    }
}

/// A few rows by one panel.
struct Tile<'a, 'b> {
    /// From the first row on.
    input: &'a [f32],
    depth: usize,
    /// `depth` × panel.
    weights: &'a [f32],
    bias: &'a [f32],
    tail: Tail<'a>,
    /// First output channel of the panel.
    channel: usize,
    /// All output channels: the distance of the output's rows.
    channels: usize,
    /// From the first row on.
    output: &'b mut [f32],
}

impl Tile<'_, '_> {
    /// Computes `ROWS` rows, and returns their number.
    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(&mut self, simd: S) -> usize {
        let panel = 2 * S::LANES;
        assert!(self.input.len() >= ROWS * self.depth);
        assert!(self.weights.len() >= self.depth * panel && self.bias.len() >= panel);
        let (input, weights, bias) = (self.input.as_ptr(), self.weights.as_ptr(), self.bias.as_ptr());
        // SAFETY: `bias` has two vectors, see above.
        let bias = unsafe { [simd.load(bias), simd.load(bias.add(S::LANES))] };
        let mut sums = [bias; ROWS];
        for i in 0..self.depth {
            // SAFETY: `i` is below `depth`, and there are `depth` panels of two vectors, see above.
            let w = unsafe {
                let at = weights.add(i * panel);
                [simd.load(at), simd.load(at.add(S::LANES))]
            };
            for (r, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `r` is below ROWS and `i` below `depth`, and there are ROWS × depth values.
                let x = simd.splat(unsafe { *input.add(r * self.depth + i) });
                sum[0] = simd.mul_add(x, w[0], sum[0]);
                sum[1] = simd.mul_add(x, w[1], sum[1]);
            }
        }
        if self.tail.activation == Activation::Relu6 {
            let (low, high) = (simd.splat(0.0), simd.splat(6.0));
            for sum in &mut sums {
                *sum = sum.map(|s| simd.clamp(s, low, high));
            }
        }
        self.store(simd, &sums);
        ROWS
    }

    /// Adds the shortcut and writes the rows.
    #[inline(always)]
    fn store<S: Simd>(&mut self, simd: S, sums: &[[S::Vector; 2]]) {
        let panel = 2 * S::LANES;
        let shared = self.tail.shared.saturating_sub(self.channel).min(panel);
        let whole = self.channel + panel <= self.channels && (shared == 0 || shared == panel);
        for (r, sum) in sums.iter().enumerate() {
            let start = r * self.channels + self.channel;
            let count = panel.min(self.channels - self.channel);
            let output = &mut self.output[start..][..count];
            let shortcut = match shared {
                0 => &[],
                _ => &self.tail.shortcut[r * self.tail.stride + self.channel..][..shared],
            };
            if whole {
                for (half, &value) in sum.iter().enumerate() {
                    let at = half * S::LANES;
                    // SAFETY: `output` has a panel of two vectors, and so has the shortcut, or none.
                    unsafe {
                        let value = match shared {
                            0 => value,
                            _ => simd.add(value, simd.load(shortcut.as_ptr().add(at))),
                        };
                        simd.store(output.as_mut_ptr().add(at), value);
                    }
                }
            } else {
                let mut values = [0.0; 2 * MOST_LANES];
                // SAFETY: `values` has room for two vectors of any instruction set.
                unsafe {
                    simd.store(values.as_mut_ptr(), sum[0]);
                    simd.store(values.as_mut_ptr().add(S::LANES), sum[1]);
                }
                values.iter_mut().zip(shortcut).for_each(|(v, s)| *v += s);
                output.copy_from_slice(&values[..count]);
            }
        }
    }
}
