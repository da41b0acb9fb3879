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
//! that, a product takes a fifth of the time. It is the way that BLAS libraries call `bf16x3` (Henry, Tang, Heinecke:
//! Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations, ARITH 2019).
//!
//! ```text
//! for as many pixels as the scratch holds
//!   split them: tiles of 16 pixels × 32 channels, high and low            scratch, in L2
//!   for each panel of 32 output channels                                  weights were split when they were packed
//!     for each 32 pixels
//!       for each 32 input channels: 8 tiles loaded, 12 multiplied         four tiles of sums
//!       store the sums; meanwhile bias, clamp and store those before
//! ```
//!
//! Steps of few pixels or few channels would fill a tile badly and are left to [`super::pointwise`]. Which those are depends on the
//! plan alone, and a pixel's sums are added up in the same order wherever it lies: results do not depend on threads.
//!
//! Rust has no stable intrinsics for AMX; the few instructions are written as assembly. The eight tile registers keep
//! their contents between the blocks of assembly, for no compiled code knows of them.

#![expect(unsafe_code, reason = "instructions of the matrix unit, on pointers")]

use half::bf16;

use super::memory::{LINE, Rows};
use crate::plan::{Step, StepKind};

/// Pixels, and output channels, of a tile.
pub(super) const SIDE: usize = 16;
/// Input channels of a tile.
const DEPTH: usize = 32;
/// Values of 32 bits in a tile.
const TILE: usize = SIDE * SIDE;
/// Values of 32 bits that the pixels split at a time may take: 128 pixels of 1280 channels.
pub(super) const SCRATCH: usize = 128 * 1280;
/// Input and output channels, and pixels, from which on the unit is worth its while.
const LEAST: usize = 16;

/// Whether a step is for the matrix unit.
pub(super) fn takes(step: &Step) -> bool {
    let (depth, shape) = (step.input_shape.channels, step.output_shape);
    step.kind == StepKind::Pointwise
        && depth >= LEAST
        && shape.channels >= LEAST
        && shape.pixels() >= LEAST
        && depth.div_ceil(DEPTH) * 2 * TILE * 2 <= SCRATCH
}

/// Where a step's pixels come from, or go to.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Rows of a map or of a window.
    Rows(Rows),
    /// Tiles: the pixels one after the other, split.
    Tiles(*mut f32),
}

/// Whether tiles of so many pixels and channels have room in a scratch.
pub(super) fn fits(pixels: usize, channels: usize) -> bool {
    pixels.div_ceil(SIDE) * channels.div_ceil(DEPTH) * 2 * TILE <= SCRATCH
}

/// Where in tiles, split, a pixel's 16 channels from `16 × vector` on begin.
#[inline(always)]
pub(super) fn place(pixel: usize, vector: usize, channels: usize) -> usize {
    let strip = channels.div_ceil(DEPTH) * 2 * TILE;
    pixel / SIDE * strip + vector / 2 * 2 * TILE + pixel % SIDE * LINE + vector % 2 * (LINE / 2)
}

/// Gives `put` the weights of a step in the order in which they are read. For each panel of 32 output channels (the last may
/// have 16) and each 32 input channels: the high parts of 16 output channels, of the next 16, then the low parts. A
/// tile's row is a pair of input channels, side by side for each output channel. At the end of a panel its biases.
pub(super) fn pack(step: &Step, mut put: impl FnMut(&[f32], usize)) {
    let (depth, channels) = (step.input_shape.channels, step.output_shape.channels);
    let weight = |i: usize, o: usize| match i < depth && o < channels {
        true => step.weights[i * channels + o],
        false => 0.0,
    };
    let high = |value: f32| bf16::from_f32(value);
    let low = |value: f32| bf16::from_f32(value - high(value).to_f32());
    for (first, tiles) in panels(channels) {
        for from in (0..depth).step_by(DEPTH) {
            for part in [&high as &dyn Fn(f32) -> bf16, &low] {
                for tile in 0..tiles {
                    for pair in 0..SIDE {
                        let row: [f32; SIDE] = std::array::from_fn(|o| {
                            let [even, odd] = [0, 1].map(|k| {
                                u32::from(
                                    part(weight(from + 2 * pair + k, first + tile * SIDE + o)).to_bits(),
                                )
                            });
                            f32::from_bits(odd << 16 | even)
                        });
                        put(&row, 0);
                    }
                }
            }
        }
        let count = (tiles * SIDE).min(channels - first);
        put(&step.bias[first..first + count], tiles * SIDE - count);
    }
}

/// First channel and tiles of each panel.
fn panels(channels: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..channels).step_by(2 * SIDE).map(move |first| (first, (channels - first).div_ceil(SIDE).min(2)))
}

#[cfg(target_arch = "x86_64")]
pub(super) use unit::{Unit, available, product, put_half};

#[cfg(target_arch = "x86_64")]
mod unit {
    use std::arch::asm;
    use std::arch::x86_64::{
        __m512, __m512i, _MM_HINT_T1, _mm_prefetch, _mm256_storeu_si256, _mm512_add_epi32, _mm512_add_ps,
        _mm512_and_si512, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_cvtepi32_epi16, _mm512_load_ps,
        _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_max_ps,
        _mm512_min_ps, _mm512_permutex2var_epi16, _mm512_set1_epi32, _mm512_set1_ps, _mm512_srli_epi32,
        _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_ps,
    };
    use std::ops::Range;
    use std::sync::OnceLock;

    use super::{DEPTH, LINE, Place, Rows, SCRATCH, SIDE, TILE, panels};
    use crate::cpu::packing::Prepared;

    /// Bytes of a tile's row.
    const ROW: usize = 64;
    const TILE_BYTES: usize = SIDE * ROW;

    /// Whether the processor has the unit, and the system lets this process use it.
    pub(in crate::cpu) fn available() -> bool {
        static FOUND: OnceLock<bool> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let features = raw_cpuid::CpuId::new().get_extended_feature_info();
            features.is_some_and(|f| f.has_amx_tile() && f.has_amx_bf16())
                && std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512bw")
                && permitted()
        })
    }

    /// Linux keeps room for the tile registers only for a process that has asked.
    #[cfg(target_os = "linux")]
    fn permitted() -> bool {
        const ARCH_PRCTL: i64 = 158;
        const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
        const XTILEDATA: i64 = 18;
        let refused: i64;
        // SAFETY: a system call that reads and writes no memory of this process.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => refused,
                in("rdi") ARCH_REQ_XCOMP_PERM,
                in("rsi") XTILEDATA,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        refused == 0
    }

    /// Not asked of other systems yet.
    #[cfg(not(target_os = "linux"))]
    fn permitted() -> bool {
        false
    }

    /// What LDTILECFG reads: bytes of a row and rows of each of the eight tiles.
    #[repr(C, align(64))]
    struct Shapes {
        palette: u8,
        start: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }

    /// The matrix unit made ready on this thread, until it is dropped.
    pub(in crate::cpu) struct Unit(());

    impl Unit {
        /// Nothing where there is none.
        pub(in crate::cpu) fn ready() -> Option<Self> {
            if !available() {
                return None;
            }
            let mut shapes =
                Shapes { palette: 1, start: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
            shapes.row_bytes[..8].fill(ROW as u16);
            shapes.rows[..8].fill(SIDE as u8);
            // SAFETY: the processor has the instruction, and palette 1 has eight tiles of so many rows and bytes.
            unsafe {
                asm!("ldtilecfg [{}]", in(reg) &raw const shapes, options(nostack, readonly, preserves_flags))
            };
            Some(Self(()))
        }
    }

    impl Drop for Unit {
        fn drop(&mut self) {
            // SAFETY: the unit exists, so the processor has the instruction.
            unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
        }
    }

    /// Sums of 32 pixels × 32 channels, or of less.
    #[repr(C, align(64))]
    struct Sums([f32; 4 * TILE]);

    /// `output[p] = clamp(input[p] × weights + bias)` for `rows` rows of a map. `prepared` was packed for this unit.
    ///
    /// # Safety
    /// A [`Unit`] must be ready on this thread. The rows must be readable at `input`, and writable at `output`; at `scratch`,
    /// a multiple of 64, [`SCRATCH`] values, unless the input is tiles. Tiles must have room for the pixels, see [`super::fits`].
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(in crate::cpu) unsafe fn product(
        prepared: &Prepared,
        input: Place,
        output: Place,
        rows: Range<usize>,
        scratch: *mut f32,
    ) {
        let step = &prepared.step;
        let (depth, channels, width) =
            (step.input_shape.channels, step.output_shape.channels, step.output_shape.width);
        let (pixels, deep) = (rows.len() * width, depth.div_ceil(DEPTH));
        // Of a pixel tile, high and low.
        let strip = deep * 2 * TILE;
        let most = match input {
            Place::Rows(_) => SCRATCH / (2 * strip) * 2 * SIDE,
            Place::Tiles(_) => pixels,
        };
        debug_assert!(most > 0 || pixels == 0, "too deep for the scratch");
        let mut sums = [const { Sums([0.0; 4 * TILE]) }; 2];
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
                        split(Walk::new(from, rows.start, width, first), depth, count, scratch);
                        scratch
                    }
                    Place::Tiles(tiles) => tiles,
                };
                let mut weights = prepared.weights.as_ptr();
                for (channel, tiles) in panels(channels) {
                    let bias = weights.add(deep * 2 * tiles * TILE);
                    let next = bias.add(tiles * SIDE);
                    let blocks = count.div_ceil(2 * SIDE);
                    // Lines of the next panel that are asked for at each step down this one, so that all are when it ends.
                    let lines = (2 * tiles * TILE / LINE).div_ceil(blocks);
                    let mut ahead = next;
                    for begun in (0..count).step_by(2 * SIDE) {
                        let block = (count - begun).min(2 * SIDE);
                        let mut from = Operands {
                            pixels: tiles_of_pixels.add(begun / SIDE * strip).cast_const(),
                            below: strip * size_of::<f32>(),
                            weights,
                        };
                        zero();
                        for _ in 0..deep {
                            for _ in 0..lines {
                                _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
                                ahead = ahead.wrapping_add(LINE);
                            }
                            match (block > SIDE, tiles) {
                                (true, 2) => from.four(),
                                (true, _) => from.upright(),
                                (false, 2) => from.flat(),
                                (false, _) => from.one(),
                            }
                            from.pixels = from.pixels.add(2 * TILE);
                            from.weights = from.weights.add(2 * tiles * TILE);
                        }
                        store(&mut sums[turn]);
                        // While the unit is busy.
                        if let Some(before) = waiting.take() {
                            before.finish(&sums[1 - turn], prepared, output);
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
                    last.finish(&sums[1 - turn], prepared, output);
                }
            }
            first += count;
        }
    }

    /// Pixels of some rows, one after the other.
    #[derive(Clone, Copy)]
    struct Walk {
        rows: Rows,
        width: usize,
        y: usize,
        x: usize,
        at: *mut f32,
    }

    impl Walk {
        /// Begins at the pixel that is `first` pixels after the first of row `y`.
        #[inline(always)]
        fn new(rows: Rows, y: usize, width: usize, first: usize) -> Self {
            let (y, x) = (y + first / width, first % width);
            Self { rows, width, y, x, at: rows.row(y).wrapping_add(x * rows.pixel) }
        }

        /// The pixel, and on to the next.
        #[inline(always)]
        fn next(&mut self) -> *mut f32 {
            let at = self.at;
            self.x += 1;
            self.at = at.wrapping_add(self.rows.pixel);
            if self.x == self.width {
                (self.x, self.y) = (0, self.y + 1);
                self.at = self.rows.row(self.y);
            }
            at
        }
    }

    /// Splits pixels into tiles of high and low parts: of 16 pixels and 32 channels the high parts, then the low ones, then those of the
    /// next 32 channels.
    ///
    /// # Safety
    /// As [`product`] asks.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn split(mut input: Walk, depth: usize, pixels: usize, scratch: *mut f32) {
        let mut tile = scratch;
        for begun in (0..pixels).step_by(SIDE) {
            let rows = (pixels - begun).min(SIDE);
            let mut at = [std::ptr::null_mut(); SIDE];
            at[..rows].fill_with(|| input.next());
            for from in (0..depth).step_by(DEPTH) {
                let left = depth - from;
                for (row, at) in at[..rows].iter().enumerate() {
                    // SAFETY: the pixels are there, and masks keep what is read to their channels; the scratch has room.
                    unsafe {
                        let at = at.add(from).cast_const();
                        let (a, b) = match left >= DEPTH {
                            true => (_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(SIDE))),
                            false => {
                                (first(at, left), first(at.wrapping_add(SIDE), left.saturating_sub(SIDE)))
                            }
                        };
                        put(tile.add(row * LINE), a, b);
                    }
                }
                tile = tile.wrapping_add(2 * TILE);
            }
        }
    }

    /// The upper halves of all values of two vectors.
    static UPPER: [i16; 32] = {
        let mut upper = [0; 32];
        let mut i = 0;
        while i < 32 {
            upper[i] = 2 * i as i16 + 1;
            i += 1;
        }
        upper
    };

    /// Writes 32 channels of a pixel, split, to its row of a tile of high parts and of the tile of low parts behind it.
    ///
    /// # Safety
    /// Both must be writable.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn put(row: *mut f32, a: __m512, b: __m512) {
        let [(high_a, rest_a), (high_b, rest_b)] = [parts(a), parts(b)];
        // SAFETY: as the caller vouches; the indices are 32 values of 16 bits.
        unsafe {
            let upper = _mm512_loadu_si512(UPPER.as_ptr().cast());
            _mm512_storeu_si512(row.cast(), _mm512_permutex2var_epi16(high_a, upper, high_b));
            _mm512_storeu_si512(row.add(TILE).cast(), _mm512_permutex2var_epi16(rest_a, upper, rest_b));
        }
    }

    /// Writes 16 channels of a pixel in the same way: `half` a row.
    ///
    /// # Safety
    /// As [`put`], and the processor must have AVX-512F.
    #[inline]
    #[target_feature(enable = "avx512f")]
    pub(in crate::cpu) unsafe fn put_half(half: *mut f32, value: __m512) {
        let upper = |bits| _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(bits));
        let (high, rest) = parts(value);
        // SAFETY: as the caller vouches.
        unsafe {
            _mm256_storeu_si256(half.cast(), upper(high));
            _mm256_storeu_si256(half.add(TILE).cast(), upper(rest));
        }
    }

    /// A number's high part and its low part, in the upper halves of the bits. What goes to the nearest number of so many bits, half the
    /// way upwards: the same wherever pixels are split.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn parts(value: __m512) -> (__m512i, __m512i) {
        let half = _mm512_set1_epi32(0x8000);
        let high = _mm512_add_epi32(_mm512_castps_si512(value), half);
        let cut = _mm512_and_si512(high, _mm512_set1_epi32(0xffff_0000_u32.cast_signed()));
        let rest = _mm512_castps_si512(_mm512_sub_ps(value, _mm512_castsi512_ps(cut)));
        (high, _mm512_add_epi32(rest, half))
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

    fn low_bits(count: usize) -> u16 {
        if count < 16 { (1 << count) - 1 } else { u16::MAX }
    }

    /// Where the tiles of a step down a panel are: of one or two times 16 pixels and 16 output channels.
    struct Operands {
        pixels: *const f32,
        /// Bytes to the next 16 pixels.
        below: usize,
        weights: *const f32,
    }

    // Sums are in tmm0 to tmm3: those of the first pixels, then those of the others. In the order of the three products
    // low × high, high × high, high × low each tile is loaded once.
    impl Operands {
        /// # Safety
        /// A [`Unit`] must be ready, and the tiles readable.
        #[inline(always)]
        unsafe fn four(&self) {
            // SAFETY: as the caller vouches.
            unsafe {
                asm!(
                    "tileloadd tmm6, [{w} + {row}]",
                    "tileloadd tmm7, [{w} + {row} + 1024]",
                    "tileloadd tmm4, [{p} + {row} + 1024]",
                    "tileloadd tmm5, [{q} + {row} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "tileloadd tmm4, [{p} + {row}]",
                    "tileloadd tmm5, [{q} + {row}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "tileloadd tmm6, [{w} + {row} + 2048]",
                    "tileloadd tmm7, [{w} + {row} + 3072]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    p = in(reg) self.pixels,
                    q = in(reg) self.pixels.wrapping_byte_add(self.below),
                    w = in(reg) self.weights,
                    row = in(reg) ROW,
                    options(nostack, readonly, preserves_flags),
                );
            }
        }

        /// 32 pixels, 16 channels.
        ///
        /// # Safety
        /// As [`Operands::four`].
        #[inline(always)]
        unsafe fn upright(&self) {
            // SAFETY: as the caller vouches.
            unsafe {
                asm!(
                    "tileloadd tmm6, [{w} + {row}]",
                    "tileloadd tmm4, [{p} + {row} + 1024]",
                    "tileloadd tmm5, [{q} + {row} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tileloadd tmm4, [{p} + {row}]",
                    "tileloadd tmm5, [{q} + {row}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tileloadd tmm7, [{w} + {row} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm7",
                    "tdpbf16ps tmm2, tmm5, tmm7",
                    p = in(reg) self.pixels,
                    q = in(reg) self.pixels.wrapping_byte_add(self.below),
                    w = in(reg) self.weights,
                    row = in(reg) ROW,
                    options(nostack, readonly, preserves_flags),
                );
            }
        }

        /// 16 pixels, 32 channels.
        ///
        /// # Safety
        /// As [`Operands::four`].
        #[inline(always)]
        unsafe fn flat(&self) {
            // SAFETY: as the caller vouches.
            unsafe {
                asm!(
                    "tileloadd tmm6, [{w} + {row}]",
                    "tileloadd tmm7, [{w} + {row} + 1024]",
                    "tileloadd tmm4, [{p} + {row} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{p} + {row}]",
                    "tdpbf16ps tmm0, tmm5, tmm6",
                    "tdpbf16ps tmm1, tmm5, tmm7",
                    "tileloadd tmm6, [{w} + {row} + 2048]",
                    "tileloadd tmm7, [{w} + {row} + 3072]",
                    "tdpbf16ps tmm0, tmm5, tmm6",
                    "tdpbf16ps tmm1, tmm5, tmm7",
                    p = in(reg) self.pixels,
                    w = in(reg) self.weights,
                    row = in(reg) ROW,
                    options(nostack, readonly, preserves_flags),
                );
            }
        }

        /// 16 pixels, 16 channels.
        ///
        /// # Safety
        /// As [`Operands::four`].
        #[inline(always)]
        unsafe fn one(&self) {
            // SAFETY: as the caller vouches.
            unsafe {
                asm!(
                    "tileloadd tmm6, [{w} + {row}]",
                    "tileloadd tmm4, [{p} + {row} + 1024]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{p} + {row}]",
                    "tdpbf16ps tmm0, tmm5, tmm6",
                    "tileloadd tmm7, [{w} + {row} + 1024]",
                    "tdpbf16ps tmm0, tmm5, tmm7",
                    p = in(reg) self.pixels,
                    w = in(reg) self.weights,
                    row = in(reg) ROW,
                    options(nostack, readonly, preserves_flags),
                );
            }
        }
    }

    /// # Safety
    /// A [`Unit`] must be ready.
    #[inline(always)]
    unsafe fn zero() {
        // SAFETY: as the caller vouches.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, nomem, preserves_flags),
            );
        }
    }

    /// Writes the four tiles of sums, one after the other.
    ///
    /// # Safety
    /// A [`Unit`] must be ready.
    #[inline(always)]
    unsafe fn store(sums: &mut Sums) {
        // SAFETY: as the caller vouches; there is room for four tiles.
        unsafe {
            asm!(
                "tilestored [{to} + {row}], tmm0",
                "tilestored [{to} + {row} + 1024], tmm1",
                "tilestored [{to} + {row} + 2048], tmm2",
                "tilestored [{to} + {row} + 3072], tmm3",
                to = in(reg) sums.0.as_mut_ptr(),
                row = in(reg) ROW,
                options(nostack, preserves_flags),
            );
        }
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
        /// The pixels' channels must be writable, and a tile's biases readable for each 16 of them.
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw")]
        unsafe fn finish(self, sums: &Sums, prepared: &Prepared, output: Place) {
            let shape = prepared.step.output_shape;
            let (low, high) = (_mm512_set1_ps(prepared.limits.0), _mm512_set1_ps(prepared.limits.1));
            let zero = _mm512_set1_ps(0.0);
            let channels = (self.tiles * SIDE).min(shape.channels - self.channel);
            let masks = [low_bits(channels), low_bits(channels.saturating_sub(SIDE))];
            // SAFETY: as the caller vouches; the sums of 32 pixels are four tiles.
            unsafe {
                let bias = [
                    _mm512_load_ps(self.bias),
                    if self.tiles > 1 { _mm512_load_ps(self.bias.add(SIDE)) } else { zero },
                ];
                let value = |sum: *const f32, bias| {
                    _mm512_min_ps(_mm512_max_ps(_mm512_add_ps(_mm512_load_ps(sum), bias), low), high)
                };
                let halves = [(0, self.pixels.min(SIDE)), (1, self.pixels.saturating_sub(SIDE))];
                match output {
                    Place::Rows(rows) => {
                        let mut walk = Walk::new(rows, self.row, shape.width, self.first);
                        for (half, count) in halves {
                            let mut sum = sums.0.as_ptr().add(half * 2 * TILE);
                            for _ in 0..count {
                                let to = walk.next().add(self.channel);
                                if channels == 2 * SIDE {
                                    _mm512_storeu_ps(to, value(sum, bias[0]));
                                    _mm512_storeu_ps(to.add(SIDE), value(sum.add(TILE), bias[1]));
                                } else {
                                    _mm512_mask_storeu_ps(to, masks[0], value(sum, bias[0]));
                                    if channels > SIDE {
                                        _mm512_mask_storeu_ps(
                                            to.add(SIDE),
                                            masks[1],
                                            value(sum.add(TILE), bias[1]),
                                        );
                                    }
                                }
                                sum = sum.add(LINE);
                            }
                        }
                    }
                    Place::Tiles(tiles) => {
                        let strip = shape.channels.div_ceil(DEPTH) * 2 * TILE;
                        for (half, count) in halves {
                            let mut sum = sums.0.as_ptr().add(half * 2 * TILE);
                            let mut row = tiles
                                .add((self.first / SIDE + half) * strip + self.channel / DEPTH * 2 * TILE);
                            for _ in 0..count {
                                let b = if self.tiles > 1 { value(sum.add(TILE), bias[1]) } else { zero };
                                put(row, value(sum, bias[0]), b);
                                (sum, row) = (sum.add(LINE), row.add(LINE));
                            }
                        }
                    }
                }
            }
        }
    }
    const _: () = assert!(TILE_BYTES == TILE * size_of::<f32>());
}
