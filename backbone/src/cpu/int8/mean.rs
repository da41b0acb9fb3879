//! The mean over all pixels of a map of bytes.

#![expect(unsafe_code, reason = "rows are read through pointers, as all kernels do")]

use crate::cpu::memory::Rows;
use crate::network::Shape;
use crate::quantised::{Scale, mean_scale};

/// Computes the whole output: one pixel.
///
/// # Safety
/// All rows of `input` must be in memory, and nobody else may write to them or to `output`.
pub(super) unsafe fn run(shape: Shape, from: Scale, to: Scale, input: Rows<u8>, output: Rows<u8>) {
    debug_assert_eq!(input.pixel, shape.channels);
    let [factor, offset] = mean_scale(from, to, shape.pixels());
    for c in 0..shape.channels {
        let mut sum = 0_u64;
        for y in 0..shape.height {
            let row = input.row(y);
            for x in 0..shape.width {
                // SAFETY: the row is in memory, and the pixel inside it.
                sum += u64::from(unsafe { *row.add(x * shape.channels + c) });
            }
        }
        let byte = (sum as f32).mul_add(factor, offset).round_ties_even() as u8;
        // SAFETY: the output is one pixel.
        unsafe { output.row(0).add(c).write(byte) };
    }
}
