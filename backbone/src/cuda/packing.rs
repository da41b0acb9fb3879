//! Weights as the kernels read them: channels padded to whole vectors with zeros, which the padding of maps then is,
//! too.

use half::f16;

use super::schedule::Precision;
use crate::plan::{Plan, Step, StepKind};
use crate::quantised::{ChannelScale, Quantisation, Rescaled, mean_scale};

/// Of the output channels of a 1×1 in bytes, in groups of 16, which one each row of weights is of: so each lane of a warp has
/// four channels side by side, see `kernels/int8.cuh`.
const ORDER: [usize; 16] = [0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15];

/// What packs a plan's weights.
#[derive(Clone, Copy)]
pub(super) struct Packer<'a> {
    pub(super) plan: &'a Plan,
    pub(super) precision: Precision,
}

impl Packer<'_> {
    /// The matrix of a 1×1. In float: input rows, output columns; in bytes: output rows in [`ORDER`], input columns.
    pub(super) fn matrix(self, step: &Step) -> Vec<u8> {
        let (inputs, outputs) = (step.input_shape.channels, step.output_shape.channels);
        let depth = self.precision.padded(inputs);
        let Some((_, rescaled)) = self.integers(step) else {
            return bytes_of(&self.rows(&step.weights, outputs, depth), self.precision);
        };
        let weights = &rescaled.integers.weights;
        let mut matrix = Vec::with_capacity(depth * self.precision.padded(outputs));
        for row in 0..self.precision.padded(outputs) {
            let o = row / ORDER.len() * ORDER.len() + ORDER[row % ORDER.len()];
            let of = |i: usize| (i < inputs && o < outputs).then(|| weights.get(i * outputs + o)).flatten();
            matrix.extend((0..depth).map(|i| of(i).map_or(0, |weight| weight.cast_unsigned())));
        }
        matrix
    }

    /// What goes with each output channel of a 1×1: its bias, and of bytes what makes them of sums.
    pub(super) fn channels(self, step: &Step) -> Vec<u8> {
        match self.integers(step) {
            Some((_, rescaled)) => self.scales(&rescaled),
            None => bytes_of(&self.rows(&step.bias, step.output_shape.channels, 1), Precision::F32),
        }
    }

    /// Of the stem or a depthwise in float: rows of weights, then the biases, then what makes bytes of the stem's values where maps
    /// are bytes. Of a depthwise in bytes: three rows of words of four taps, the input's zero points, and what goes with each
    /// channel.
    pub(super) fn taps(self, step: &Step) -> Vec<u8> {
        debug_assert!(!matches!(step.kind, StepKind::Pointwise | StepKind::GlobalMean));
        let channels = step.output_shape.channels;
        if let Some((quantisation, rescaled)) = self.integers(step) {
            let padded = self.precision.padded(channels);
            let weight = |tap: usize, c: usize| {
                let there = tap < 9 && c < channels;
                there.then(|| rescaled.integers.weights.get(tap * channels + c)).flatten()
            };
            let words = (0..3).flat_map(|k| (0..padded).map(move |c| (k, c)));
            let taps = words.flat_map(|(k, c)| (k * 4..k * 4 + 4).map(move |tap| (tap, c)));
            let mut bytes: Vec<u8> =
                taps.map(|(tap, c)| weight(tap, c).map_or(0, |w| w.cast_unsigned())).collect();
            let zero = quantisation.maps.get(step.input.0).copied().flatten().map_or(0, |s| s.zero_point);
            bytes.resize(bytes.len() + padded, zero);
            bytes.extend(self.scales(&rescaled));
            return bytes;
        }
        let mut all = [step.weights.as_slice(), step.bias.as_slice()].concat();
        if let Some(scale) = self.quantisation().and_then(|q| q.maps.get(step.output.0).copied().flatten()) {
            let (factor, offset) = scale.of_values();
            all.resize(all.len() + channels, factor);
            all.resize(all.len() + channels, offset);
        }
        bytes_of(&self.rows(&all, channels, 0), Precision::F32)
    }

    /// The factor and the offset that make a mean's byte of the sum of bytes.
    pub(super) fn mean(self, step: &Step) -> [f32; 2] {
        let map = |map: usize| self.quantisation().and_then(|q| q.maps.get(map).copied().flatten());
        match (map(step.input.0), map(step.output.0)) {
            (Some(from), Some(to)) => mean_scale(from, to, step.input_shape.pixels()),
            _ => [0.0; 2],
        }
    }

    fn quantisation(&self) -> Option<&Quantisation> {
        self.plan.quantisation.as_ref().filter(|_| self.precision == Precision::I8)
    }

    /// What is run in integers.
    fn integers(&self, step: &Step) -> Option<(&Quantisation, Rescaled<'_>)> {
        let quantisation = self.quantisation()?;
        let index = self.plan.steps.iter().position(|other| other.output == step.output)?;
        Some((quantisation, Rescaled::new(self.plan, quantisation, index)?))
    }

    fn scales(self, rescaled: &Rescaled<'_>) -> Vec<u8> {
        let channels = rescaled.integers.steps.len();
        let each = (0..self.precision.padded(channels)).flat_map(|o| {
            let scale = if o < channels { rescaled.channel(o) } else { ChannelScale::default() };
            let ChannelScale { bias, factor, offset, shared } = scale;
            [bias.to_le_bytes(), factor.to_le_bytes(), offset.to_le_bytes(), shared.to_le_bytes()]
        });
        each.flatten().collect()
    }

    /// Rows of `columns` values, each padded, then rows of zeros up to `rows`.
    fn rows(self, values: &[f32], columns: usize, rows: usize) -> Vec<f32> {
        let padded = self.precision.padded(columns);
        let mut list = Vec::with_capacity(rows * padded);
        for row in values.chunks_exact(columns) {
            list.extend_from_slice(row);
            list.resize(list.len().next_multiple_of(padded), 0.0);
        }
        list.resize((rows * padded).max(list.len()), 0.0);
        list
    }
}

/// Values as bytes, in the maps' type where that is one of floating point.
pub(super) fn bytes_of(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
        Precision::F32 | Precision::I8 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Shape;

    #[test]
    fn rows_are_padded() {
        let plan = Plan {
            maps: vec![Shape::new(1, 1, 3)],
            steps: Vec::new(),
            outputs: Vec::new(),
            border: vec![0.0; 3],
            quantisation: None,
        };
        let packer = Packer { plan: &plan, precision: Precision::F16 };
        let padded = packer.rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 3);
        assert_eq!(padded.len(), 24);
        assert_eq!(padded[..4], [1.0, 2.0, 3.0, 0.0]);
        assert_eq!(padded[8..12], [4.0, 5.0, 6.0, 0.0]);
        assert!(padded[16..].iter().all(|v| *v == 0.0));
    }

    /// What a lane has of two parts of eight columns are four channels side by side.
    #[test]
    fn the_order_gives_each_lane_four_neighbours() {
        for lane in 0..4 {
            let rows = [lane * 2, lane * 2 + 1, 8 + lane * 2, 8 + lane * 2 + 1];
            assert_eq!(rows.map(|row| ORDER[row]), [0, 1, 2, 3].map(|c| lane * 4 + c));
        }
    }
}
