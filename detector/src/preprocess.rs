//! From a frame to the network's input: resized to a square without keeping the aspect, RGB, a byte a channel.
//!
//! Bilinear with half-pixel centres and no smoothing, as OpenCV's `resize` does it, and PyTorch's `interpolate`
//! but for the rounding: output pixel i reads at (i + ½) × source / target − ½, held at the edges. First two
//! rows are blended, all along, then the pixels of that row. The network's first convolution takes the
//! bytes and normalises them ([`sandglass_backbone::Plan::take_pixels`]).

use crate::frame::FrameView;

/// Parts of a whole in which rows are blended: the sum stays in 16 bits.
const ROW_PARTS: u16 = 1 << 8;
/// Parts of a whole in which pixels of a row are blended: the sum stays in 31 bits.
const COLUMN_PARTS: u16 = 1 << 14;
/// From both parts back to a byte, rounded.
const SHIFT: u32 = ROW_PARTS.trailing_zeros() + COLUMN_PARTS.trailing_zeros();
const HALF: u32 = 1 << (SHIFT - 1);

/// Two neighbouring source positions and the share of the second.
#[derive(Clone, Copy, Debug)]
struct Tap {
    low: usize,
    share: f32,
}

/// Prepares frames of any size; keeps its tables for the last size it met.
#[derive(Debug)]
pub(crate) struct Preprocessor {
    side: usize,
    source: (u32, u32),
    /// Where in a row each output pixel's left neighbour begins.
    columns: Vec<usize>,
    /// The shares of the left and of the right neighbour of each value, in parts of [`COLUMN_PARTS`].
    shares: [Vec<u16>; 2],
    rows: Vec<Tap>,
    /// Two rows blended, in parts of [`ROW_PARTS`]; the last pixel twice.
    blended: Vec<u16>,
    /// Left and right neighbours of all values of an output row, side by side so that they are blended many at a time.
    neighbours: [Vec<u16>; 2],
}

impl Preprocessor {
    /// For a square input of `side` pixels.
    pub(crate) fn new(side: usize) -> Self {
        Self {
            side,
            source: (0, 0),
            columns: Vec::new(),
            shares: [Vec::new(), Vec::new()],
            rows: Vec::new(),
            blended: Vec::new(),
            neighbours: [vec![0; side * 3], vec![0; side * 3]],
        }
    }

    /// Writes the input for a frame: `side` × `side` × 3 bytes.
    pub(crate) fn run(&mut self, frame: FrameView<'_>, into: &mut [u8]) {
        let size = (frame.width(), frame.height());
        let width = frame.width() as usize * 3;
        if self.source != size {
            self.source = size;
            let columns = || taps(frame.width() as usize, self.side);
            self.columns.clear();
            self.columns.extend(columns().map(|tap| tap.low * 3));
            let right = |tap: Tap| [(tap.share * f32::from(COLUMN_PARTS)).round() as u16; 3];
            let [left_shares, right_shares] = &mut self.shares;
            right_shares.clear();
            right_shares.extend(columns().flat_map(right));
            left_shares.clear();
            left_shares.extend(right_shares.iter().map(|right| COLUMN_PARTS - right));
            self.rows.clear();
            self.rows.extend(taps(frame.height() as usize, self.side));
            self.blended.clear();
            self.blended.resize(width + 3, 0);
        }
        for (row, output) in self.rows.iter().zip(into.chunks_exact_mut(self.side * 3)) {
            let above = frame.row(row.low as u32);
            let below = frame.row((row.low as u32 + 1).min(size.1 - 1));
            blend(above, below, (row.share * f32::from(ROW_PARTS)).round() as u16, &mut self.blended);
            self.blended.copy_within(width - 3..width, width);
            let [left, right] = &mut self.neighbours;
            let pixels = left.as_chunks_mut::<3>().0.iter_mut().zip(right.as_chunks_mut::<3>().0);
            for (&low, (left, right)) in self.columns.iter().zip(pixels) {
                let Some(pair) = self.blended.get(low..).and_then(|rest| rest.first_chunk::<6>()) else {
                    continue;
                };
                left.copy_from_slice(&pair[..3]);
                right.copy_from_slice(&pair[3..]);
            }
            let [left_shares, right_shares] = &self.shares;
            let weighted = |values: (&u16, &u16)| u32::from(*values.0) * u32::from(*values.1);
            let left = left.iter().zip(left_shares).map(weighted);
            let right = right.iter().zip(right_shares).map(weighted);
            for (value, (left, right)) in output.iter_mut().zip(left.zip(right)) {
                *value = ((left + right + HALF) >> SHIFT) as u8;
            }
        }
    }
}

/// `above × (1 - share) + below × share`, in parts of [`ROW_PARTS`].
fn blend(above: &[u8], below: &[u8], share: u16, into: &mut [u16]) {
    for ((value, a), b) in into.iter_mut().zip(above).zip(below) {
        *value = u16::from(*a) * (ROW_PARTS - share) + u16::from(*b) * share;
    }
}

/// Where `target` output positions read among `source` ones. The last position may have no neighbour; its
/// share is 0.
fn taps(source: usize, target: usize) -> impl Iterator<Item = Tap> {
    let ratio = source as f64 / target as f64;
    (0..target).map(move |i| {
        let at = ((i as f64 + 0.5) * ratio - 0.5).clamp(0.0, (source - 1) as f64);
        Tap { low: at as usize, share: at.fract() as f32 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    fn run(frame: &Frame, side: usize) -> Vec<u8> {
        let mut input = vec![0; side * side * 3];
        Preprocessor::new(side).run(frame.view(), &mut input);
        input
    }

    #[test]
    fn half_pixel_centres() {
        // A ramp of 4 pixels to 2: output 0 reads at 0.5, output 1 at 2.5.
        let frame = Frame::rgb8(4, 1, (0..4).flat_map(|x| [x * 10; 3]).collect()).unwrap();
        assert_eq!(run(&frame, 2), [5, 5, 5, 25, 25, 25, 5, 5, 5, 25, 25, 25]);
        // Enlarged, the edges hold; halves are rounded up.
        let row: Vec<u8> = run(&frame, 8)[..24].iter().step_by(3).copied().collect();
        assert_eq!(row, [0, 3, 8, 13, 18, 23, 28, 30]);
    }

    #[test]
    fn frames_of_changing_size() {
        let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
        let mut kept = Preprocessor::new(24);
        for (width, height) in [(40, 30), (7, 90), (40, 30), (41, 30), (1, 1), (300, 2)] {
            let frame = Frame::rgb8(width, height, (0..width * height * 3).map(noise).collect()).unwrap();
            let mut input = vec![0; 24 * 24 * 3];
            kept.run(frame.view(), &mut input);
            assert_eq!(input, run(&frame, 24), "{width}x{height}");
        }
    }

    /// As the documentation says it, in floating point.
    fn plain(frame: &Frame, side: usize) -> Vec<f64> {
        let read = |x: usize, y: usize, c: usize| {
            let x = x.min(frame.width() as usize - 1);
            f64::from(frame.row((y as u32).min(frame.height() - 1))[x * 3 + c])
        };
        let position = |i: usize, source: u32| {
            let at = (i as f64 + 0.5) * f64::from(source) / side as f64 - 0.5;
            let at = at.clamp(0.0, f64::from(source - 1));
            (at as usize, at.fract())
        };
        let mut values = Vec::new();
        for y in 0..side {
            for x in 0..side {
                for c in 0..3 {
                    let ((x, dx), (y, dy)) = (position(x, frame.width()), position(y, frame.height()));
                    let row = |y| read(x, y, c) * (1.0 - dx) + read(x + 1, y, c) * dx;
                    values.push(row(y) * (1.0 - dy) + row(y + 1) * dy);
                }
            }
        }
        values
    }

    #[test]
    fn any_size_is_within_rounding_of_floating_point() {
        for (width, height) in [(1, 1), (1, 7), (5, 1), (31, 17), (320, 320), (333, 501), (640, 480)] {
            let noise = |i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8;
            let frame = Frame::rgb8(width, height, (0..width * height * 3).map(noise).collect()).unwrap();
            let got = run(&frame, 40);
            // Half a step of rounding, and half a 256th of the difference of two rows.
            for (got, expected) in got.iter().zip(plain(&frame, 40)) {
                assert!((f64::from(*got) - expected).abs() <= 1.01, "{width}x{height}: {got} {expected}");
            }
        }
    }
}
