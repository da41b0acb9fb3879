//! Weights as the kernels read them: channels padded to a multiple of 8 with zeros, which the padding of maps then is,
//! too.

use half::f16;

use super::schedule::{CHANNEL_PAD, Precision};
use crate::plan::{Step, StepKind};

/// Channels as a map on the device has them.
pub(super) fn padded(channels: usize) -> usize {
    channels.next_multiple_of(CHANNEL_PAD)
}

/// Rows of `columns` values, each padded, then rows of zeros up to `rows`.
fn rows(values: &[f32], columns: usize, rows: usize) -> Vec<f32> {
    let mut list = Vec::with_capacity(rows * padded(columns));
    for row in values.chunks_exact(columns) {
        list.extend_from_slice(row);
        list.resize(list.len().next_multiple_of(padded(columns)), 0.0);
    }
    list.resize((rows * padded(columns)).max(list.len()), 0.0);
    list
}

/// In the maps' type, as bytes.
pub(super) fn bytes_of(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Precision::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
    }
}

/// The matrix of a 1×1: input rows, output columns.
pub(super) fn matrix(step: &Step, precision: Precision) -> Vec<u8> {
    let depth = padded(step.input_shape.channels);
    bytes_of(&rows(&step.weights, step.output_shape.channels, depth), precision)
}

/// The biases.
pub(super) fn bias(step: &Step) -> Vec<u8> {
    bytes_of(&rows(&step.bias, step.output_shape.channels, 1), Precision::F32)
}

/// Rows of weights and then the biases, in 32 bits: of a depthwise or of the stem.
pub(super) fn taps(step: &Step) -> Vec<u8> {
    debug_assert!(!matches!(step.kind, StepKind::Pointwise | StepKind::GlobalMean));
    let all = [step.weights.as_slice(), step.bias.as_slice()].concat();
    bytes_of(&rows(&all, step.output_shape.channels, 0), Precision::F32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_padded() {
        let padded = rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 3);
        assert_eq!(padded.len(), 24);
        assert_eq!(padded[..4], [1.0, 2.0, 3.0, 0.0]);
        assert_eq!(padded[8..12], [4.0, 5.0, 6.0, 0.0]);
        assert!(padded[16..].iter().all(|v| *v == 0.0));
    }
}
