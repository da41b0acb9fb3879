//! The mean over all pixels of a map.

#![expect(unsafe_code, reason = "rows are read through pointers, as all kernels do")]

use super::memory::Rows;
use super::packing::Prepared;

/// Computes the whole output: one pixel.
///
/// # Safety
/// All rows of `input` must be in memory, and nobody else may write to them or to `output`.
#[inline(always)]
pub(super) unsafe fn run(prepared: &Prepared, input: Rows, output: Rows) {
    let shape = prepared.step.input_shape;
    // SAFETY: the output is one pixel.
    let sums = unsafe { std::slice::from_raw_parts_mut(output.row(0), shape.channels) };
    sums.fill(0.0);
    for y in 0..shape.height {
        // SAFETY: the row is in memory.
        let row = unsafe { std::slice::from_raw_parts(input.row(y), shape.width * input.pixel) };
        for pixel in row.chunks_exact(input.pixel) {
            sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
        }
    }
    let factor = 1.0 / shape.pixels() as f32;
    sums.iter_mut().for_each(|sum| *sum *= factor);
}
