//! The matrix unit: whether it is there, its eight tile registers made ready, and the instructions on them.
//!
//! Rust has no stable intrinsics for AMX, so they are written as assembly. Sums, and tiles that the next product needs, stay in the
//! registers between the blocks of assembly: the compiler makes no instruction for them by itself.

#![expect(unsafe_code, reason = "instructions of the matrix unit, on pointers")]

use std::arch::asm;
use std::sync::OnceLock;

use super::{SIDE, TILE};

/// Bytes of a tile's row.
const ROW: usize = 64;

/// Whether the processor has the unit, and the system lets this process use it.
pub(in crate::cpu) fn available() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let features = raw_cpuid::CpuId::new().get_extended_feature_info();
        features.is_some_and(|f| f.has_amx_tile() && f.has_amx_bf16())
            && std::arch::is_x86_feature_detected!("avx512f")
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

/// Sums of 32 pixels × 32 channels, or of less: four tiles, pixel by pixel.
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [f32; 4 * TILE]);

/// Where the tiles of a step down a panel, 32 input channels, are: of one or two times 16 pixels and 16 output channels.
pub(super) struct Operands {
    pub(super) pixels: *const f32,
    /// Bytes to the next 16 pixels.
    pub(super) below: usize,
    pub(super) weights: *const f32,
}

/// Instructions on the tiles of [`Operands`], of which the first pixels are at `p`, the others at `q`, both so many bytes on, weights at `w`.
macro_rules! on_tiles {
    ($of:ident, $on:expr => $($line:literal)*) => {
        asm!(
            $($line,)*
            "/* {p} {q} {w} {row} */",
            p = in(reg) $of.pixels.wrapping_byte_add($on),
            q = in(reg) $of.pixels.wrapping_byte_add($of.below + $on),
            w = in(reg) $of.weights,
            row = in(reg) ROW,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack, readonly, preserves_flags),
        )
    };
}

/// The products of a block of one shape: what is loaded for them, and the sums that they are added to. Low parts of pixels begin at `low`.
macro_rules! shape {
    (
        $of:ident, $factors:ident, $low:ident,
        high weights: $($high:literal)*
        low weights: $($rest:literal)*
        pixels: $($pixels:literal)*
        products: $($products:literal)*
    ) => {
        match $factors {
            Factors::LowHigh => on_tiles!($of, $low => $($high)* $($pixels)* $($products)*),
            Factors::HighHigh => on_tiles!($of, 0 => $($pixels)* $($products)*),
            Factors::HighLow => on_tiles!($of, 0 => $($rest)* $($products)*),
        }
    };
}

/// One of the products of which that of two numbers consists.
#[derive(Clone, Copy)]
pub(super) enum Factors {
    /// The low parts of pixels with the high ones of weights; both parts of narrow pixels.
    LowHigh,
    /// The high parts with the high ones. Not for narrow pixels.
    HighHigh,
    /// The high parts of pixels with the low ones of weights.
    HighLow,
}

impl Factors {
    /// Those of wide pixels, and of narrow ones, in the order in which each tile is loaded once.
    pub(super) const fn all(narrow: bool) -> &'static [Self] {
        if narrow { &[Self::LowHigh, Self::HighLow] } else { &[Self::LowHigh, Self::HighHigh, Self::HighLow] }
    }
}

// Sums are in tmm0 to tmm3: those of the first pixels, then those of the others.
impl Operands {
    /// Adds products of 32 pixels or 16 and 32 output channels or 16 to their sums. Tiles stay in their registers from one to the
    /// next: they must be asked for in their order.
    ///
    /// # Safety
    /// A [`Unit`] must be ready, and the tiles readable.
    #[inline(always)]
    pub(super) unsafe fn multiply(&self, factors: Factors, pixels: bool, channels: bool, narrow: bool) {
        // Where the low parts begin: narrow pixels have both in one tile.
        let low = if narrow { 0 } else { size_of::<[f32; TILE]>() };
        // SAFETY: as the caller vouches.
        unsafe {
            match (pixels, channels) {
                (true, true) => self.four(factors, low),
                (true, false) => self.upright(factors, low),
                (false, true) => self.flat(factors, low),
                (false, false) => self.one(factors, low),
            }
        }
    }

    /// 32 pixels, 32 channels.
    #[inline(always)]
    unsafe fn four(&self, factors: Factors, low: usize) {
        // SAFETY: as the caller of [`Operands::multiply`] vouches.
        unsafe {
            shape!(self, factors, low,
                high weights:
                    "tileloadd tmm6, [{w} + {row}]"
                    "tileloadd tmm7, [{w} + {row} + 1024]"
                low weights:
                    "tileloadd tmm6, [{w} + {row} + 2048]"
                    "tileloadd tmm7, [{w} + {row} + 3072]"
                pixels:
                    "tileloadd tmm4, [{p} + {row}]"
                    "tileloadd tmm5, [{q} + {row}]"
                products:
                    "tdpbf16ps tmm0, tmm4, tmm6"
                    "tdpbf16ps tmm1, tmm4, tmm7"
                    "tdpbf16ps tmm2, tmm5, tmm6"
                    "tdpbf16ps tmm3, tmm5, tmm7"
            );
        }
    }

    /// 32 pixels, 16 channels.
    #[inline(always)]
    unsafe fn upright(&self, factors: Factors, low: usize) {
        // SAFETY: as the caller of [`Operands::multiply`] vouches.
        unsafe {
            shape!(self, factors, low,
                high weights:
                    "tileloadd tmm6, [{w} + {row}]"
                low weights:
                    "tileloadd tmm6, [{w} + {row} + 1024]"
                pixels:
                    "tileloadd tmm4, [{p} + {row}]"
                    "tileloadd tmm5, [{q} + {row}]"
                products:
                    "tdpbf16ps tmm0, tmm4, tmm6"
                    "tdpbf16ps tmm2, tmm5, tmm6"
            );
        }
    }

    /// 16 pixels, 32 channels.
    #[inline(always)]
    unsafe fn flat(&self, factors: Factors, low: usize) {
        // SAFETY: as the caller of [`Operands::multiply`] vouches.
        unsafe {
            shape!(self, factors, low,
                high weights:
                    "tileloadd tmm6, [{w} + {row}]"
                    "tileloadd tmm7, [{w} + {row} + 1024]"
                low weights:
                    "tileloadd tmm6, [{w} + {row} + 2048]"
                    "tileloadd tmm7, [{w} + {row} + 3072]"
                pixels:
                    "tileloadd tmm4, [{p} + {row}]"
                products:
                    "tdpbf16ps tmm0, tmm4, tmm6"
                    "tdpbf16ps tmm1, tmm4, tmm7"
            );
        }
    }

    /// 16 pixels, 16 channels.
    #[inline(always)]
    unsafe fn one(&self, factors: Factors, low: usize) {
        // SAFETY: as the caller of [`Operands::multiply`] vouches.
        unsafe {
            shape!(self, factors, low,
                high weights:
                    "tileloadd tmm6, [{w} + {row}]"
                low weights:
                    "tileloadd tmm6, [{w} + {row} + 1024]"
                pixels:
                    "tileloadd tmm4, [{p} + {row}]"
                products:
                    "tdpbf16ps tmm0, tmm4, tmm6"
            );
        }
    }
}

/// Begins sums anew.
///
/// # Safety
/// A [`Unit`] must be ready.
#[inline(always)]
pub(super) unsafe fn zero() {
    // SAFETY: as the caller vouches.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            options(nostack, nomem, preserves_flags),
        );
    }
}

/// Writes the sums pixel by pixel: 32 channels each.
///
/// # Safety
/// A [`Unit`] must be ready.
#[inline(always)]
pub(super) unsafe fn store(sums: &mut Sums) {
    // SAFETY: as the caller vouches; there is room for four tiles.
    unsafe {
        asm!(
            "tilestored [{to} + {row}], tmm0",
            "tilestored [{to} + {row} + 64], tmm1",
            "tilestored [{to} + {row} + 2048], tmm2",
            "tilestored [{to} + {row} + 2112], tmm3",
            to = in(reg) sums.0.as_mut_ptr(),
            row = in(reg) 2 * ROW,
            options(nostack, preserves_flags),
        );
    }
}
