//! Numbers of 32 bits as two of 16, in the order in which the matrix unit takes them.

#![expect(unsafe_code, reason = "vectors are written through pointers")]

use std::arch::x86_64::{
    __m512, __m512i, _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_or_si512, _mm512_set1_epi32, _mm512_srli_epi32,
    _mm512_storeu_si512, _mm512_sub_ps,
};

use std::ops::Range;

use super::{DEPTH, LINE, Rows, SIDE, TILE, is_narrow, strip_len};

/// Pixels of some rows, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    rows: Rows,
    width: usize,
    y: usize,
    x: usize,
    at: *mut f32,
}

impl Walk {
    /// Begins at the pixel that is `first` pixels after the first of row `y`.
    #[inline(always)]
    pub(super) fn new(rows: Rows, y: usize, width: usize, first: usize) -> Self {
        let (y, x) = (y + first / width, first % width);
        Self { rows, width, y, x, at: rows.row(y).wrapping_add(x * rows.pixel) }
    }

    /// The pixel and those behind it in its row, at most so many, and on to the one behind them.
    #[inline(always)]
    pub(super) fn run(&mut self, most: usize) -> (*mut f32, usize) {
        let (at, count) = (self.at, most.min(self.width - self.x));
        self.x += count;
        self.at = at.wrapping_add(count * self.rows.pixel);
        if self.x == self.width {
            (self.x, self.y) = (0, self.y + 1);
            self.at = self.rows.row(self.y);
        }
        (at, count)
    }

    /// Distance of pixels.
    #[inline(always)]
    pub(super) fn pixel(&self) -> usize {
        self.rows.pixel
    }

    /// The pixel, and on to the next.
    #[inline(always)]
    pub(super) fn next(&mut self) -> *mut f32 {
        self.run(1).0
    }
}

/// Splits pixels into tiles of high and low parts: of 16 pixels and 32 channels the high parts, then the low ones, then those of the
/// next 32 channels. Only those of `tiles_down`. [Narrow](super::is_narrow) pixels have both parts in one tile.
///
/// # Safety
/// `scratch` must have room for tiles of the pixels, see [`super::fits`], the pixels must be readable, and `tiles_down` be among those of `depth`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn split(
    mut input: Walk,
    depth: usize,
    tiles_down: Range<usize>,
    pixels: usize,
    scratch: *mut f32,
) {
    let (strip, narrow) = (strip_len(depth), is_narrow(depth));
    for begun in (0..pixels).step_by(SIDE) {
        let rows = (pixels - begun).min(SIDE);
        let mut at = [std::ptr::null_mut(); SIDE];
        at[..rows].fill_with(|| input.next());
        for down in tiles_down.clone() {
            let from = down * DEPTH;
            let left = depth - from;
            let tile = scratch.wrapping_add(begun / SIDE * strip + down * 2 * TILE);
            for (row, at) in at[..rows].iter().enumerate() {
                // SAFETY: the pixels are there, and masks keep what is read to their channels; the scratch has room.
                unsafe {
                    let (at, row) = (at.add(from).cast_const(), tile.add(row * LINE));
                    match left {
                        _ if narrow => put_narrow(row, first(at, left)),
                        DEPTH.. => put(row, _mm512_loadu_ps(at), _mm512_loadu_ps(at.add(SIDE))),
                        _ => {
                            put(row, first(at, left), first(at.wrapping_add(SIDE), left.saturating_sub(SIDE)))
                        }
                    }
                }
            }
        }
    }
}

/// Writes 32 channels of a pixel, split, to its row of a tile of high parts and of the tile of low parts behind it. Channel `c` and
/// channel `16 + c` share a word of the row: so no number changes its lane.
///
/// # Safety
/// Both rows must be writable, and the processor must have AVX-512F.
#[inline]
#[target_feature(enable = "avx512f")]
pub(in crate::cpu) unsafe fn put(row: *mut f32, a: __m512, b: __m512) {
    let [a, b] = [parts(a), parts(b)];
    // SAFETY: as the caller vouches.
    unsafe {
        _mm512_storeu_si512(row.cast(), side_by_side(a[0], b[0]));
        _mm512_storeu_si512(row.add(TILE).cast(), side_by_side(a[1], b[1]));
    }
}

/// Writes the channels of a narrow pixel, split, to its row of a tile.
///
/// # Safety
/// The row must be writable, and the processor must have AVX-512F.
#[inline]
#[target_feature(enable = "avx512f")]
pub(in crate::cpu) unsafe fn put_narrow(row: *mut f32, value: __m512) {
    let [high, low] = parts(value);
    // SAFETY: as the caller vouches.
    unsafe { _mm512_storeu_si512(row.cast(), side_by_side(high, low)) }
}

/// Two numbers of 16 bits a word, from the upper halves of both.
#[inline]
#[target_feature(enable = "avx512f")]
fn side_by_side(first: __m512i, second: __m512i) -> __m512i {
    _mm512_or_si512(_mm512_srli_epi32::<16>(first), second)
}

/// A number's high part and its low part, in the upper halves of the bits; the lower halves are zero. What goes to the nearest
/// number of so many bits, half the way upwards: the same wherever pixels are split.
#[inline]
#[target_feature(enable = "avx512f")]
fn parts(value: __m512) -> [__m512i; 2] {
    let (half, upper) = (_mm512_set1_epi32(0x8000), _mm512_set1_epi32(0xffff_0000_u32.cast_signed()));
    let rounded = |bits| _mm512_and_si512(_mm512_add_epi32(bits, half), upper);
    let high = rounded(_mm512_castps_si512(value));
    let rest = _mm512_sub_ps(value, _mm512_castsi512_ps(high));
    [high, rounded(_mm512_castps_si512(rest))]
}

/// The first `count` values at `at`, then zeros.
///
/// # Safety
/// So many values must be readable there.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn first(at: *const f32, count: usize) -> __m512 {
    // SAFETY: as the caller vouches; what the mask leaves out is not read.
    unsafe { _mm512_maskz_loadu_ps(low_bits(count), at) }
}

pub(super) fn low_bits(count: usize) -> u16 {
    if count < 16 { (1 << count) - 1 } else { u16::MAX }
}
