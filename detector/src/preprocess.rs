//! From a frame to the network's input: resized to a square without keeping the aspect, normalised, HWC.
//!
//! Bilinear with half-pixel centres and no smoothing, as OpenCV's `resize` and PyTorch's `interpolate` do
//! it: output pixel i reads at (i + ½) × source / target − ½, held at the edges.

use sandglass_backbone::Normalisation;

use crate::frame::Frame;

/// Two source positions and the share of the second.
#[derive(Clone, Copy, Debug, Default)]
struct Tap {
    low: usize,
    high: usize,
    share: f32,
}

/// Prepares frames of any size; keeps its tables for the last size it met.
#[derive(Debug)]
pub(crate) struct Preprocessor {
    side: usize,
    /// `value × scale + shift` normalises.
    scale: [f32; 3],
    shift: [f32; 3],
    source: (u32, u32),
    columns: Vec<Tap>,
    rows: Vec<Tap>,
    output: Vec<f32>,
}

impl Preprocessor {
    /// For a square input of `side` pixels.
    pub(crate) fn new(side: usize, normalisation: Normalisation) -> Self {
        let Normalisation { mean, deviation } = normalisation;
        Self {
            side,
            scale: deviation.map(|d| 1.0 / d),
            shift: std::array::from_fn(|c| -mean[c] / deviation[c]),
            source: (0, 0),
            columns: Vec::new(),
            rows: Vec::new(),
            output: vec![0.0; side * side * 3],
        }
    }

    /// The input for a frame: `side` × `side` × 3 values.
    pub(crate) fn run(&mut self, frame: &Frame) -> &[f32] {
        let size = (frame.width(), frame.height());
        if self.source != size {
            self.source = size;
            taps(&mut self.columns, frame.width() as usize, self.side, 3);
            taps(&mut self.rows, frame.height() as usize, self.side, 1);
        }
        for (row, output) in self.rows.iter().zip(self.output.chunks_exact_mut(self.side * 3)) {
            let (above, below) = (frame.row(row.low as u32), frame.row(row.high as u32));
            for (column, pixel) in self.columns.iter().zip(output.as_chunks_mut::<3>().0) {
                let pick = |row: &[u8], at: usize| -> [f32; 3] {
                    row.get(at..at + 3).map_or([0.0; 3], |p| [p[0].into(), p[1].into(), p[2].into()])
                };
                let (a, b) = (pick(above, column.low), pick(above, column.high));
                let (c, d) = (pick(below, column.low), pick(below, column.high));
                for i in 0..3 {
                    let top = a[i] + (b[i] - a[i]) * column.share;
                    let bottom = c[i] + (d[i] - c[i]) * column.share;
                    let value = top + (bottom - top) * row.share;
                    pixel[i] = value * self.scale[i] + self.shift[i];
                }
            }
        }
        &self.output
    }
}

/// Where `target` output positions read among `source` ones, positions counted in steps of `unit`.
fn taps(list: &mut Vec<Tap>, source: usize, target: usize, unit: usize) {
    let ratio = source as f64 / target as f64;
    list.clear();
    list.extend((0..target).map(|i| {
        let at = ((i as f64 + 0.5) * ratio - 0.5).max(0.0);
        let low = (at as usize).min(source - 1);
        Tap { low: low * unit, high: (low + 1).min(source - 1) * unit, share: (at - low as f64) as f32 }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Normalisation = Normalisation { mean: [0.0; 3], deviation: [1.0; 3] };

    #[test]
    fn half_pixel_centres() {
        // A ramp of 4 pixels to 2: output 0 reads at 0.5, output 1 at 2.5.
        let frame = Frame::rgb8(4, 1, (0..4).flat_map(|x| [x * 10; 3]).collect()).unwrap();
        let mut preprocessor = Preprocessor::new(2, PLAIN);
        let rows = preprocessor.run(&frame);
        assert_eq!(rows, [5.0, 5.0, 5.0, 25.0, 25.0, 25.0, 5.0, 5.0, 5.0, 25.0, 25.0, 25.0]);
        // Enlarged, the edges hold.
        let mut preprocessor = Preprocessor::new(8, PLAIN);
        let row: Vec<f32> = preprocessor.run(&frame)[..24].iter().step_by(3).copied().collect();
        assert_eq!(row, [0.0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 30.0]);
    }

    #[test]
    fn channels_are_normalised_by_themselves() {
        let frame = Frame::rgb8(1, 1, vec![123, 117, 104]).unwrap();
        let mut preprocessor = Preprocessor::new(1, Normalisation::SSDLITE);
        assert!(preprocessor.run(&frame).iter().all(|v| v.abs() < 1e-6));
    }
}
