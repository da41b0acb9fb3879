//! Memory for maps: aligned to cache lines, made once, and rows of it by pointer.

#![expect(unsafe_code, reason = "threads write rows of one map side by side")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
#[cfg(target_os = "linux")]
use std::ffi::c_void;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;

#[cfg(target_os = "linux")]
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// A cache line of values.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Values of 32 bits in a cache line.
pub(super) const LINE: usize = 16;
/// Bytes in a cache line. Maps begin at multiples of it.
pub(super) const LINE_BYTES: usize = 64;

/// Bytes of a huge page, and of the smallest buffer that is laid out in them.
#[cfg(any(target_os = "linux", test))]
const HUGE: usize = 2 << 20;

/// Zeros at first, at an address that is a multiple of 64. Reached through pointers alone, so that
/// [`Rows`] of it stay good while it is moved.
///
/// On Linux large ones are in huge pages, where the system has them: a run walks through all weights, in pages of 4 KiB
/// thousands of them, of which the processor knows the addresses of but a few. What the last page has too much is not
/// counted anywhere.
pub(super) struct Buffer {
    lines: NonNull<[Line]>,
    memory: Memory,
}

/// Where a buffer's memory is from.
enum Memory {
    Allocated(Layout),
    /// Mapped by the system for this buffer alone: start and bytes.
    #[cfg(target_os = "linux")]
    Mapped(NonNull<c_void>, usize),
}

// SAFETY: it owns its memory as a box does.
unsafe impl Send for Buffer {}
// SAFETY: through a shared reference the values are only read; whoever writes through the pointer vouches.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(super) fn new(len: usize) -> Self {
        let lines = len.div_ceil(LINE);
        let bytes = lines.max(1).saturating_mul(LINE_BYTES);
        #[cfg(target_os = "linux")]
        if let Some(buffer) = Self::mapped(lines, bytes) {
            return buffer;
        }
        let Ok(layout) = Layout::from_size_align(bytes, LINE_BYTES) else {
            handle_alloc_error(Layout::new::<Line>())
        };
        // SAFETY: the layout is not empty.
        let Some(data) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { handle_alloc_error(layout) };
        let lines = NonNull::slice_from_raw_parts(data.cast(), lines);
        Self { lines, memory: Memory::Allocated(layout) }
    }

    /// In huge pages, where so many bytes are worth it and the system gives them.
    #[cfg(target_os = "linux")]
    fn mapped(lines: usize, bytes: usize) -> Option<Self> {
        if bytes < HUGE {
            return None;
        }
        // Room to begin at a huge page, and to end with a whole one.
        let all = bytes.checked_next_multiple_of(HUGE)?.checked_add(HUGE)?;
        // SAFETY: new memory, at whatever place the system chooses.
        let start = unsafe {
            mmap_anonymous(std::ptr::null_mut(), all, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        };
        let start = NonNull::new(start.ok()?)?;
        // SAFETY: the memory is this buffer's own. It is a hint: where it is not followed, pages are small.
        let _ = unsafe { madvise(start.as_ptr(), all, Advice::LinuxHugepage) };
        let skipped = start.addr().get().next_multiple_of(HUGE) - start.addr().get();
        // SAFETY: less than a huge page is skipped, and so much more was mapped.
        let data = unsafe { start.byte_add(skipped) };
        let lines = NonNull::slice_from_raw_parts(data.cast(), lines);
        Some(Self { lines, memory: Memory::Mapped(start, all) })
    }

    /// Room for so many bytes.
    pub(super) fn of_len(bytes: usize) -> Self {
        Self::new(bytes.div_ceil(size_of::<f32>()))
    }

    /// Pieces of bytes one after the other, each at a multiple of 64.
    pub(super) fn of_pieces(pieces: &[Vec<u8>]) -> impl Iterator<Item = Part> {
        let (ranges, len) = places(pieces.iter().map(|piece| piece.len().div_ceil(LINE_BYTES) * LINE));
        let buffer = Self::new(len);
        for (piece, range) in pieces.iter().zip(&ranges) {
            // SAFETY: the buffer is new, and has room for the piece there.
            unsafe {
                buffer
                    .as_ptr()
                    .add(range.start)
                    .cast::<u8>()
                    .copy_from_nonoverlapping(piece.as_ptr(), piece.len());
            }
        }
        buffer.parts(ranges)
    }

    /// Bytes of it.
    pub(super) fn bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }

    pub(super) fn as_ptr(&self) -> *mut f32 {
        self.lines.as_ptr().cast()
    }

    /// Its values, before anybody else has it.
    pub(super) fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: a line is so many values without gaps, and the buffer is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.as_ptr(), self.lines.len() * LINE) }
    }

    /// Parts of it, which from now on is only read.
    pub(super) fn parts(self, ranges: impl IntoIterator<Item = Range<usize>>) -> impl Iterator<Item = Part> {
        let buffer = Arc::new(self);
        ranges.into_iter().map(move |range| {
            // SAFETY: the buffer is not written to any more: it was given away.
            let values = NonNull::from(unsafe { &buffer.as_slice()[range] });
            Part { values, _buffer: Arc::clone(&buffer) }
        })
    }

    /// # Safety
    /// Nobody may write to the buffer meanwhile.
    pub(super) unsafe fn as_slice(&self) -> &[f32] {
        // SAFETY: a line is so many values without gaps.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.lines.len() * LINE) }
    }
}

/// Places for pieces of so many values one after the other, each at the beginning of a line, and the end of the last.
pub(super) fn places(lens: impl Iterator<Item = usize>) -> (Vec<Range<usize>>, usize) {
    let mut end = 0_usize;
    let place = |len: usize| {
        let start = end.next_multiple_of(LINE);
        end = start + len;
        start..end
    };
    let places = lens.map(place).collect();
    (places, end)
}

/// Some values of a buffer that nobody writes to.
pub(super) struct Part {
    values: NonNull<[f32]>,
    /// Holds the memory.
    _buffer: Arc<Buffer>,
}

// SAFETY: the values are only read, and their memory is held.
unsafe impl Send for Part {}
// SAFETY: as above.
unsafe impl Sync for Part {}

impl Deref for Part {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        // SAFETY: `Buffer::parts` took the buffer, and nobody writes to it after that.
        unsafe { self.values.as_ref() }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match self.memory {
            // SAFETY: the memory was allocated with this layout, and is freed here alone.
            Memory::Allocated(layout) => unsafe { dealloc(self.lines.as_ptr().cast(), layout) },
            #[cfg(target_os = "linux")]
            Memory::Mapped(start, bytes) => {
                // SAFETY: the memory was mapped so, and is given back here alone.
                let unmapped = unsafe { munmap(start.as_ptr(), bytes) };
                debug_assert!(unmapped.is_ok(), "{unmapped:?}");
            }
        }
    }
}

/// The rows of a map, or a window that moves down over them: of `kept` rows in memory, row `y` lies at
/// `y % kept`.
#[derive(Clone, Copy)]
pub(super) struct Rows<T = f32> {
    data: *mut T,
    /// Distance of pixels: as many values as they have, or more.
    pub(super) pixel: usize,
    /// Distance of rows.
    len: usize,
    kept: usize,
}

// SAFETY: only an address; whoever reads or writes there vouches.
unsafe impl<T: Send> Send for Rows<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Rows<T> {}

impl<T: Copy> Rows<T> {
    /// # Safety
    /// `kept × width × pixel` values at `data` must be readable and writable for as long as the rows are used, and
    /// `kept` must not be 0.
    pub(super) unsafe fn new(data: *mut T, width: usize, pixel: usize, kept: usize) -> Self {
        debug_assert!(kept > 0);
        Self { data, pixel, len: width * pixel, kept }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_buffers_are_zeros_on_whole_lines() {
        // Nothing, less than a line, and either side of a huge page.
        for len in [0, 1, 16, 17, HUGE / 4 - 16, HUGE / 4, HUGE / 4 + 1, HUGE] {
            let mut buffer = Buffer::new(len);
            let whole = if cfg!(target_os = "linux") && len * 4 >= HUGE { HUGE } else { LINE_BYTES };
            assert_eq!(buffer.as_ptr().addr() % whole, 0);
            assert_eq!(buffer.bytes(), len.div_ceil(LINE) * LINE_BYTES);
            let values = buffer.as_mut_slice();
            assert!(values.len() >= len && values.iter().all(|v| *v == 0.0));
            values.fill(1.0);
        }
    }

    #[test]
    fn pieces_lie_one_behind_the_other() {
        let pieces = [vec![1; 100], Vec::new(), vec![2; 64], vec![3; 3]];
        let parts: Vec<Part> = Buffer::of_pieces(&pieces).collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [32, 0, 16, 16]);
        for (piece, part) in pieces.iter().zip(&parts) {
            let bytes: Vec<u8> = part.iter().flat_map(|v| v.to_ne_bytes()).collect();
            assert_eq!(bytes[..piece.len()], piece[..]);
            assert!(bytes[piece.len()..].iter().all(|byte| *byte == 0));
        }
        assert_eq!(parts[2].as_ptr().addr() - parts[0].as_ptr().addr(), 128);
    }
}
