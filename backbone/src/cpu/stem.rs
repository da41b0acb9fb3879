//! The stem: a full 3×3 convolution over the three channels of a picture, padded by one pixel.
//!
//! A few output pixels at a time, the 27 values that each reads are laid side by side; the rest is the
//! tile of a 1×1 convolution of depth 27.

use super::Call;
use super::pointwise::{self, Tail};
use super::simd::Simd;

/// Pixels gathered at a time: a multiple of every tile's rows.
const GATHERED: usize = 12;
/// Values that an output pixel reads: 3 rows, 3 columns, R, G and B.
const DEPTH: usize = 27;

/// Computes the rows from `first` on into `output`, as many as fit.
#[inline(always)]
pub(super) fn run<S: Simd>(simd: S, call: &Call, stride: usize, first: usize, output: &mut [f32]) {
    let input = call.step.input_shape;
    let shape = call.step.output_shape;
    let mut gathered = [[0.0; DEPTH]; GATHERED];
    for (i, row) in output.chunks_exact_mut(shape.width * shape.channels).enumerate() {
        let y = (first + i) * stride;
        for (part, pixels) in row.chunks_mut(GATHERED * shape.channels).enumerate() {
            let count = pixels.len() / shape.channels;
            for (j, values) in gathered[..count].iter_mut().enumerate() {
                let x = (part * GATHERED + j) * stride;
                for (tap, value) in values.chunks_exact_mut(3).enumerate() {
                    let (from_y, from_x) = (y + tap / 3, x + tap % 3);
                    let inside = (1..=input.height).contains(&from_y) && (1..=input.width).contains(&from_x);
                    if inside {
                        let at = ((from_y - 1) * input.width + from_x - 1) * 3;
                        value.copy_from_slice(&call.input[at..at + 3]);
                    } else {
                        value.fill(0.0);
                    }
                }
            }
            let tail = Tail::new(call, (first + i) * shape.width + part * GATHERED);
            pointwise::gemm(simd, gathered[..count].as_flattened(), DEPTH, call.packed, &tail, pixels);
        }
    }
}
