//! What is kept of the values of a map.

/// The extremes of each channel.
#[derive(Clone, Debug)]
pub(super) struct Extremes {
    pub(super) low: Vec<f32>,
    pub(super) high: Vec<f32>,
}

impl Extremes {
    pub(super) fn new(channels: usize) -> Self {
        Self { low: vec![f32::INFINITY; channels], high: vec![f32::NEG_INFINITY; channels] }
    }

    /// Takes in a map's values, channels innermost.
    pub(super) fn add(&mut self, values: &[f32]) {
        for pixel in values.chunks_exact(self.low.len().max(1)) {
            for ((low, high), &value) in self.low.iter_mut().zip(&mut self.high).zip(pixel) {
                *low = low.min(value);
                *high = high.max(value);
            }
        }
    }

    /// Those of all channels; 0 to 0 where nothing finite came.
    pub(super) fn whole(&self) -> (f32, f32) {
        let low = self.low.iter().copied().fold(f32::INFINITY, f32::min);
        let high = self.high.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if low.is_finite() && high.is_finite() { (low, high) } else { (0.0, 0.0) }
    }
}

/// Cells of a histogram: sixteen for each byte.
const CELLS: usize = 4096;

/// How the values of a map are spread, and what its channels are on average.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    /// The lowest and the highest value, which the cells cover.
    pub(super) low: f32,
    pub(super) high: f32,
    pub(super) cells: Vec<u64>,
    /// Values of each channel.
    count: u64,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl Spread {
    /// For values between these extremes.
    pub(super) fn new(extremes: &Extremes) -> Self {
        let (low, high) = extremes.whole();
        let channels = extremes.low.len();
        Self {
            low,
            high,
            cells: vec![0; CELLS],
            count: 0,
            sums: vec![0.0; channels],
            squares: vec![0.0; channels],
        }
    }

    /// Takes in a map's values, channels innermost.
    pub(super) fn add(&mut self, values: &[f32]) {
        let factor = CELLS as f32 / (self.high - self.low).max(f32::MIN_POSITIVE);
        let channels = self.sums.len().max(1);
        // In f32 by map, in f64 over all.
        let (mut sums, mut squares) = (vec![0.0_f32; channels], vec![0.0_f32; channels]);
        for pixel in values.chunks_exact(channels) {
            for ((sum, square), &value) in sums.iter_mut().zip(&mut squares).zip(pixel) {
                *sum += value;
                *square += value * value;
            }
            for &value in pixel {
                let cell = ((value - self.low) * factor) as usize; // 0 for what is below
                self.cells[cell.min(CELLS - 1)] += 1;
            }
        }
        self.count += (values.len() / channels) as u64;
        self.sums.iter_mut().zip(sums).for_each(|(all, sum)| *all += f64::from(sum));
        self.squares.iter_mut().zip(squares).for_each(|(all, square)| *all += f64::from(square));
    }

    /// The middle of each cell, and how many values it has.
    pub(super) fn middles(&self) -> impl Iterator<Item = (f32, u64)> + Clone {
        let width = (self.high - self.low) / CELLS as f32;
        self.cells.iter().enumerate().map(move |(i, &n)| (self.low + (i as f32 + 0.5) * width, n))
    }

    /// The mean of a channel.
    pub(super) fn mean(&self, channel: usize) -> f64 {
        self.sums.get(channel).map_or(0.0, |sum| sum / self.count.max(1) as f64)
    }

    /// The mean square of a channel.
    pub(super) fn mean_square(&self, channel: usize) -> f64 {
        self.squares.get(channel).map_or(0.0, |sum| sum / self.count.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_cells() {
        let values = [0.0, 10.0, 1.0, 20.0, 2.0, 60.0];
        let mut extremes = Extremes::new(2);
        extremes.add(&values);
        assert_eq!(
            (extremes.low.as_slice(), extremes.high.as_slice()),
            ([0.0, 10.0].as_slice(), [2.0, 60.0].as_slice())
        );
        assert_eq!(extremes.whole(), (0.0, 60.0));
        assert_eq!(Extremes::new(2).whole(), (0.0, 0.0));
        let mut spread = Spread::new(&extremes);
        spread.add(&values);
        spread.add(&values);
        assert_eq!((spread.mean(0), spread.mean(1)), (1.0, 30.0));
        assert!((spread.mean_square(1) - 4100.0 / 3.0).abs() < 1e-3);
        assert_eq!(spread.cells.iter().sum::<u64>(), 12);
        assert_eq!((spread.cells[0], spread.cells[CELLS - 1]), (2, 2));
        let (middle, _) = spread.middles().find(|(_, n)| *n == 2).unwrap();
        assert!(middle < 0.01, "{middle}");
    }
}
