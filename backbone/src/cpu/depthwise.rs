//! Depthwise 3×3 convolution, padded by one pixel:
//! `out[y][x][c] = activation(Σ_ky,kx in[y·s + ky − 1][x·s + kx − 1][c] × weight[ky][kx][c] + bias[c]) + shortcut`.
//!
//! ```text
//! for each output row
//!   for each vector of channels
//!     the nine weights go to registers
//!     for each pixel of the row: nine loads, nine multiply-adds, activation, shortcut, store
//! ```
//!
//! 1. With NHWC a vector holds channels, so that no pixel needs shuffling, whatever the stride.
//! 2. A row above or below the picture is a row of zeros, so that only the first and last column differ.
//! 3. The last vector of channels reaches back over the one before it where the channels are no multiple
//!    of a vector: it writes the same values again.
//!
//! Safe because every pointer is taken from a slice whose length is checked once a row.

#![expect(unsafe_code, reason = "the inner loop reads without checking each index")]

use super::Call;
use super::simd::Simd;
use crate::network::Activation;

/// Computes the rows from `first` on into `output`, as many as fit.
#[inline(always)]
pub(super) fn run<S: Simd>(simd: S, call: &Call, stride: usize, first: usize, output: &mut [f32]) {
    let shape = call.step.output_shape;
    for (i, row) in output.chunks_exact_mut(shape.width * shape.channels).enumerate() {
        if shape.channels < S::LANES {
            narrow_row(call, stride, first + i, row);
        } else {
            wide_row(simd, call, stride, first + i, row);
        }
    }
}

/// The three input rows that an output row reads.
#[inline(always)]
fn input_rows<'a>(call: &Call<'a>, stride: usize, y: usize) -> [&'a [f32]; 3] {
    let shape = call.step.input_shape;
    let len = shape.width * shape.channels;
    std::array::from_fn(|ky| match (y * stride + ky).checked_sub(1) {
        Some(row) if row < shape.height => &call.input[row * len..][..len],
        _ => &call.zeros[..len],
    })
}

/// One output row, a vector of channels at a time.
#[inline(always)]
fn wide_row<S: Simd>(simd: S, call: &Call, stride: usize, y: usize, output: &mut [f32]) {
    let channels = call.step.output_shape.channels;
    let in_width = call.step.input_shape.width;
    let out_width = call.step.output_shape.width;
    let rows = input_rows(call, stride, y);
    let tail = call.step.shortcut.map(|s| (&call.shortcut[y * out_width * s.stride..], s));
    let (weights, bias) = (&call.packed.weights[..9 * channels], &call.packed.bias[..channels]);
    assert!(output.len() == out_width * channels && rows.iter().all(|r| r.len() == in_width * channels));
    let relu6 = call.step.activation == Activation::Relu6;
    let (low, high) = (simd.splat(0.0), simd.splat(6.0));

    let mut c = 0;
    while c < channels {
        // The last vector reaches back, so that it ends with the last channel.
        let from = c.min(channels - S::LANES);
        c += S::LANES;
        let shared = tail.map_or(0, |(_, s)| s.channels.saturating_sub(from).min(S::LANES));
        // SAFETY: `from + LANES` is at most `channels`, and there are nine rows of so many weights.
        let (w, b) = unsafe {
            let at = weights.as_ptr().add(from);
            let w: [[S::Vector; 3]; 3] = std::array::from_fn(|ky| {
                std::array::from_fn(|kx| simd.load(at.add((ky * 3 + kx) * channels)))
            });
            (w, simd.load(bias.as_ptr().add(from)))
        };
        for x in 0..out_width {
            let left = x * stride; // one more than the column of the first tap
            let mut sum = b;
            if left >= 1 && left + 1 < in_width {
                for (row, w) in rows.iter().zip(&w) {
                    // SAFETY: the columns left - 1 to left + 1 are inside the row, and so is `from`.
                    unsafe {
                        let at = row.as_ptr().add((left - 1) * channels + from);
                        sum = simd.mul_add(simd.load(at), w[0], sum);
                        sum = simd.mul_add(simd.load(at.add(channels)), w[1], sum);
                        sum = simd.mul_add(simd.load(at.add(2 * channels)), w[2], sum);
                    }
                }
            } else {
                for (row, w) in rows.iter().zip(&w) {
                    for (kx, &w) in w.iter().enumerate() {
                        let column = left + kx;
                        if column >= 1 && column <= in_width {
                            // SAFETY: the column is inside the row, and so is `from`.
                            let v = unsafe { simd.load(row.as_ptr().add((column - 1) * channels + from)) };
                            sum = simd.mul_add(v, w, sum);
                        }
                    }
                }
            }
            if relu6 {
                sum = simd.clamp(sum, low, high);
            }
            let to = &mut output[x * channels + from..][..S::LANES];
            if let Some((shortcut, s)) = tail
                && shared > 0
            {
                let shortcut = &shortcut[x * s.stride + from..][..shared];
                if shared == S::LANES {
                    // SAFETY: both slices have a vector.
                    unsafe { simd.store(to.as_mut_ptr(), simd.add(sum, simd.load(shortcut.as_ptr()))) };
                } else {
                    // SAFETY: `to` has a vector.
                    unsafe { simd.store(to.as_mut_ptr(), sum) };
                    to.iter_mut().zip(shortcut).for_each(|(v, s)| *v += s);
                }
            } else {
                // SAFETY: `to` has a vector.
                unsafe { simd.store(to.as_mut_ptr(), sum) };
            }
        }
    }
}

/// One output row of a map with fewer channels than a vector has lanes, channel by channel.
fn narrow_row(call: &Call, stride: usize, y: usize, output: &mut [f32]) {
    let channels = call.step.output_shape.channels;
    let in_width = call.step.input_shape.width;
    let out_width = call.step.output_shape.width;
    let rows = input_rows(call, stride, y);
    for (x, pixel) in output.chunks_exact_mut(channels).enumerate() {
        for (c, value) in pixel.iter_mut().enumerate() {
            let mut sum = call.packed.bias[c];
            for (ky, row) in rows.iter().enumerate() {
                for kx in 0..3 {
                    let column = x * stride + kx;
                    if column >= 1 && column <= in_width {
                        let weight = call.packed.weights[(ky * 3 + kx) * channels + c];
                        sum += row[(column - 1) * channels + c] * weight;
                    }
                }
            }
            if call.step.activation == Activation::Relu6 {
                sum = sum.clamp(0.0, 6.0);
            }
            if let Some(s) = &call.step.shortcut
                && c < s.channels
            {
                sum += call.shortcut[(y * out_width + x) * s.stride + c];
            }
            *value = sum;
        }
    }
}
