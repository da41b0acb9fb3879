//! One picture on its way through the pipeline.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;

/// The longest side of a picture that is accepted, in pixels.
pub const MAX_SIDE: u32 = 16_384;

/// An RGB picture, 8 bits a channel, rows `stride` bytes apart, with the time at which it was taken.
///
/// It can stand for a larger picture that it was made smaller from ([`Frame::full_size`]); what is found in it is then told
/// in the larger one's pixels. Cloning is cheap: the pixels are shared.
#[derive(Clone)]
pub struct Frame {
    width: u32,
    height: u32,
    stride: usize,
    pixels: Arc<Vec<u8>>,
    captured: Duration,
    full: (u32, u32),
}

/// A picture as [`Frame`] whose pixels belong to somebody else.
#[derive(Clone, Copy)]
pub struct FrameView<'a> {
    width: u32,
    height: u32,
    stride: usize,
    pixels: &'a [u8],
    full: (u32, u32),
}

impl fmt::Debug for FrameView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameView of {}×{} pixels", self.width, self.height)
    }
}

impl<'a> FrameView<'a> {
    /// A view of RGB pixels in rows `stride` bytes apart, R first; the last row may end after its pixels.
    ///
    /// # Errors
    /// [`Error::Frame`] where a side is 0 or above [`MAX_SIDE`], the stride is shorter than a row, or `pixels` is too
    /// short.
    pub fn rgb8(width: u32, height: u32, stride: usize, pixels: &'a [u8]) -> Result<Self, Error> {
        let refuse = |reason: String| Err(Error::Frame { width, height, reason });
        if width == 0 || height == 0 {
            return refuse("a picture needs at least one pixel".into());
        }
        if width > MAX_SIDE || height > MAX_SIDE {
            return refuse(format!("a side of a picture may have {MAX_SIDE} pixels at most"));
        }
        let row = width as usize * 3;
        if stride < row {
            return refuse(format!("a row has {row} bytes, the stride is only {stride}"));
        }
        let needed = (height as usize - 1).checked_mul(stride).and_then(|n| n.checked_add(row));
        match needed {
            Some(needed) if pixels.len() >= needed && (stride != row || pixels.len() == needed) => {
                Ok(Self { width, height, stride, pixels, full: (width, height) })
            }
            _ => refuse(format!("{} bytes of pixels do not fit its size", pixels.len())),
        }
    }

    /// Width in pixels, 1 to [`MAX_SIDE`].
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, 1 to [`MAX_SIDE`].
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Width and height of the picture that it stands for, in pixels.
    #[must_use]
    pub fn full_size(&self) -> (u32, u32) {
        self.full
    }

    /// The `width` × 3 bytes of row `y`; empty below the picture.
    #[must_use]
    pub fn row(&self, y: u32) -> &'a [u8] {
        let start = y as usize * self.stride;
        self.pixels.get(start..start + self.width as usize * 3).filter(|_| y < self.height).unwrap_or(&[])
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame of {}×{} pixels at {:?}", self.width, self.height, self.captured)
    }
}

impl Frame {
    /// A frame over tightly packed pixels: `height` rows of `width` × 3 bytes, R first.
    ///
    /// # Errors
    /// [`Error::Frame`] where a side is 0 or above [`MAX_SIDE`], or `pixels` has another length.
    pub fn rgb8(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self, Error> {
        Self::with_stride(width, height, width as usize * 3, pixels)
    }

    /// As [`Frame::rgb8`] with rows `stride` bytes apart; the last row may end after its pixels.
    ///
    /// # Errors
    /// [`Error::Frame`] where a side is 0 or above [`MAX_SIDE`], the stride is shorter than a row,
    /// or `pixels` is too short.
    pub fn with_stride(width: u32, height: u32, stride: usize, pixels: Vec<u8>) -> Result<Self, Error> {
        FrameView::rgb8(width, height, stride, &pixels)?;
        let full = (width, height);
        Ok(Self { width, height, stride, pixels: Arc::new(pixels), captured: Duration::ZERO, full })
    }

    /// The same pixels, standing for a picture of `width` × `height` pixels that they were made smaller from.
    #[must_use]
    pub fn standing_for(mut self, width: u32, height: u32) -> Self {
        self.full = (width, height);
        self
    }

    /// Width and height of the picture that it stands for, in pixels: mostly its own.
    #[must_use]
    pub fn full_size(&self) -> (u32, u32) {
        self.full
    }

    /// The same picture, borrowed.
    #[must_use]
    pub fn view(&self) -> FrameView<'_> {
        let Self { width, height, stride, full, .. } = *self;
        FrameView { width, height, stride, pixels: &self.pixels, full }
    }

    /// The same frame, taken at `captured` (counted from the start of its source).
    #[must_use]
    pub fn at(mut self, captured: Duration) -> Self {
        self.captured = captured;
        self
    }

    /// Width in pixels, 1 to [`MAX_SIDE`].
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, 1 to [`MAX_SIDE`].
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Bytes from the start of one row to the start of the next.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// When the frame was taken, counted from the start of its source.
    #[must_use]
    pub fn captured(&self) -> Duration {
        self.captured
    }

    /// All bytes, rows [`Frame::stride`] apart.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The `width` × 3 bytes of row `y`; empty below the picture.
    #[must_use]
    pub fn row(&self, y: u32) -> &[u8] {
        self.view().row(y)
    }

    /// The rows copied one after the other without gaps: `height` × `width` × 3 bytes.
    #[must_use]
    pub fn packed(&self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(self.width as usize * 3 * self.height as usize);
        (0..self.height).for_each(|y| packed.extend_from_slice(self.row(y)));
        packed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked() {
        assert!(Frame::rgb8(0, 4, vec![]).is_err());
        assert!(Frame::rgb8(2, 2, vec![0; 11]).is_err());
        assert!(Frame::rgb8(2, 2, vec![0; 13]).is_err());
        assert!(Frame::rgb8(20_000, 1, vec![0; 60_000]).is_err());
        assert!(Frame::rgb8(2, 2, vec![0; 12]).is_ok());
    }

    #[test]
    fn stride_skips_the_padding() {
        let frame = Frame::with_stride(1, 2, 4, vec![1, 2, 3, 0, 4, 5, 6]).unwrap();
        assert_eq!(frame.row(1), [4, 5, 6]);
        assert_eq!(frame.packed(), [1, 2, 3, 4, 5, 6]);
        assert!(frame.row(2).is_empty());
        assert!(Frame::with_stride(2, 2, 5, vec![0; 20]).is_err());
        assert!(Frame::with_stride(1, 2, usize::MAX, vec![0; 20]).is_err());
    }
}
