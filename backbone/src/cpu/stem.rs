//! The stem: a full 3×3 convolution over the channels of the input, padded by one pixel.
//!
//! 1. Input rows are copied, padded left and right, to a window of three rows; pixels of one byte a channel
//!    become `f32` on the way, so that a picture needs no pass of its own.
//! 2. The nine values (3 pixels of 3 channels) that an output pixel reads in a row lie together, and those of
//!    the next pixel `stride` pixels on: with three such runs the rest is the product of a 1×1 convolution.

#![expect(unsafe_code, reason = "rows are written through pointers, as all kernels do")]

use std::ops::Range;

use super::memory::{LINE, Rows};
use super::packing::Prepared;
use super::pointwise::{Source, product};
use super::simd::Simd;
use crate::network::Shape;

/// Rows of input kept.
pub(super) const KEPT: usize = 3;

/// Values that the window over the input takes.
pub(super) fn window_len(input: Shape) -> usize {
    (KEPT * (input.width + 2) * input.channels).next_multiple_of(LINE)
}

/// What the caller gave.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    /// Values.
    Values(&'a [f32]),
    /// Pixels, a byte a channel.
    Pixels(&'a [u8]),
}

impl Input<'_> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Pixels(pixels) => pixels.len(),
        }
    }
}

/// The window over the padded input.
pub(super) struct Padded<'a> {
    input: Input<'a>,
    /// What it is padded with, by channel.
    border: &'a [f32],
    /// [`KEPT`] rows, two pixels wider than the input.
    rows: Rows,
    /// The next row to fill, counted from the one above the picture.
    next: usize,
}

/// Computes the rows of the output.
///
/// # Safety
/// The rows of `output` must be in memory, and nobody else may write to them or to the window.
#[inline(always)]
pub(super) unsafe fn run<S: Simd>(
    simd: S,
    prepared: &Prepared,
    stride: usize,
    padded: &mut Padded<'_>,
    output: Rows,
    rows: Range<usize>,
) {
    let shape = prepared.step.input_shape;
    let width = prepared.step.output_shape.width;
    for y in rows {
        let top = y * stride;
        for row in padded.next.max(top)..top + KEPT {
            // SAFETY: the window is this thread's own.
            unsafe { padded.fill(row, shape.height, shape.width * shape.channels) };
        }
        padded.next = top + KEPT;
        let source = Source {
            segments: std::array::from_fn(|ky| padded.rows.row(top + ky).cast_const()),
            parts: 3,
            depth: 3 * shape.channels,
            step: stride * shape.channels,
        };
        // SAFETY: a padded row has the three pixels that each output pixel reads: with a stride of 2 the
        // last begins at 2 × (width - 1), and the row has at least 2 × width + 1 pixels.
        unsafe { product(simd, prepared, source, output.row(y), output.pixel, width) };
    }
}

impl<'a> Padded<'a> {
    /// # Safety
    /// At `data` there must be room for [`KEPT`] rows that are two pixels wider than the input.
    pub(super) unsafe fn new(input: Input<'a>, shape: Shape, border: &'a [f32], data: *mut f32) -> Self {
        // SAFETY: as the caller vouches.
        let rows = unsafe { Rows::new(data, shape.width + 2, shape.channels, KEPT) };
        Self { input, border, rows, next: 0 }
    }

    /// Fills row `row`, of which the picture's first is number 1.
    #[inline(always)]
    unsafe fn fill(&mut self, row: usize, height: usize, len: usize) {
        let channels = self.border.len();
        // SAFETY: a row of the window has `len` values and a pixel on either side.
        let target = unsafe { std::slice::from_raw_parts_mut(self.rows.row(row), len + 2 * channels) };
        let (left, rest) = target.split_at_mut(channels);
        let (middle, right) = rest.split_at_mut(len);
        left.copy_from_slice(self.border);
        right.copy_from_slice(self.border);
        let y = row.wrapping_sub(1);
        let range = y.wrapping_mul(len)..y.wrapping_add(1).wrapping_mul(len);
        match self.input {
            _ if y >= height => {
                middle.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(self.border));
            }
            Input::Values(values) => middle.copy_from_slice(&values[range]),
            Input::Pixels(pixels) => {
                middle.iter_mut().zip(&pixels[range]).for_each(|(to, from)| *to = f32::from(*from));
            }
        }
    }
}
