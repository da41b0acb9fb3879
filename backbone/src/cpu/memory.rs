//! Memory for maps: aligned to cache lines, made once, and rows of it by pointer.

#![expect(unsafe_code, reason = "threads write rows of one map side by side")]

use std::ptr::NonNull;

/// A cache line of values.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Values of 32 bits in a cache line.
pub(super) const LINE: usize = 16;
/// Bytes in a cache line. Maps begin at multiples of it.
pub(super) const LINE_BYTES: usize = 64;

/// Zeros at first, at an address that is a multiple of 64. Reached through pointers alone, so that
/// [`Rows`] of it stay good while it is moved.
pub(super) struct Buffer {
    lines: NonNull<[Line]>,
}

// SAFETY: it owns its memory as a box does.
unsafe impl Send for Buffer {}
// SAFETY: through a shared reference the values are only read; whoever writes through the pointer vouches.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(super) fn new(len: usize) -> Self {
        let lines = vec![Line([0.0; LINE]); len.div_ceil(LINE)].into_boxed_slice();
        Self { lines: NonNull::from(Box::leak(lines)) }
    }

    /// Room for so many bytes.
    pub(super) fn of_len(bytes: usize) -> Self {
        Self::new(bytes.div_ceil(size_of::<f32>()))
    }

    /// These bytes, then zeros.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let buffer = Self::of_len(bytes.len());
        // SAFETY: the buffer is new, and has room for so many bytes.
        unsafe { buffer.as_ptr().cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        buffer
    }

    /// Bytes of it.
    pub(super) fn bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    pub(super) fn as_ptr(&self) -> *mut f32 {
        self.lines.as_ptr().cast()
    }

    /// # Safety
    /// Nobody may write to the buffer meanwhile.
    pub(super) unsafe fn as_slice(&self) -> &[f32] {
        // SAFETY: a line is so many values without gaps.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.lines.len() * LINE) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the memory came from a box, and is freed here alone.
        drop(unsafe { Box::from_raw(self.lines.as_ptr()) });
    }
}

/// The rows of a map, or a window that moves down over them: of `kept` rows in memory, row `y` lies at
/// `y % kept`.
#[derive(Clone, Copy)]
pub(super) struct Rows<T = f32> {
    data: *mut T,
    /// Values in a row.
    len: usize,
    kept: usize,
}

// SAFETY: only an address; whoever reads or writes there vouches.
unsafe impl<T: Send> Send for Rows<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Rows<T> {}

impl<T: Copy> Rows<T> {
    /// # Safety
    /// `kept × len` values at `data` must be readable and writable for as long as the rows are used, and
    /// `kept` must not be 0.
    pub(super) unsafe fn new(data: *mut T, len: usize, kept: usize) -> Self {
        debug_assert!(kept > 0);
        Self { data, len, kept }
    }

    /// The first value of row `y`; the row's other values follow.
    #[inline(always)]
    pub(super) fn row(self, y: usize) -> *mut T {
        // SAFETY: the row at the remainder is one of those that are kept.
        unsafe { self.data.add(y % self.kept * self.len) }
    }

    /// How many rows from `y` on follow each other in memory.
    #[inline(always)]
    pub(super) fn run(self, y: usize) -> usize {
        self.kept - y % self.kept
    }
}
