//! Weights in the order in which the kernels read them.

use super::simd::InstructionSet;
use crate::network::Activation;
use crate::plan::{Step, StepKind};

/// A step as the kernels take it.
pub(super) struct Prepared {
    pub(super) step: Step,
    /// What results are held between: 0 and 6, or nothing.
    pub(super) limits: (f32, f32),
    /// Convolutions over all channels (1×1 and the stem) are cut into panels of one to three vectors of
    /// output channels; within a panel the weights of one input value lie together, then come those of the
    /// next, and at the end the biases. The last panel is filled up with zeros.
    ///
    /// A depthwise is cut into vectors of channels, the last reaching back to end with the last channel;
    /// each has its nine weights and its bias. With fewer channels than lanes: nine rows of channels.
    pub(super) weights: Vec<f32>,
    /// The bias as it is in the step; read where channels are taken one by one.
    pub(super) bias: Vec<f32>,
}

impl Prepared {
    pub(super) fn new(mut step: Step, instructions: InstructionSet) -> Self {
        let channels = step.output_shape.channels;
        let lanes = instructions.lanes();
        let (taken, bias) = (std::mem::take(&mut step.weights), std::mem::take(&mut step.bias));
        let rows = || taken.chunks_exact(channels).chain([bias.as_slice()]);
        let mut weights = Vec::with_capacity((taken.len() + bias.len()).next_multiple_of(lanes));
        match step.kind {
            StepKind::GlobalMean => {}
            StepKind::Depthwise { .. } if channels < lanes => weights.clone_from(&taken),
            StepKind::Depthwise { .. } => {
                for first in (0..channels).step_by(lanes) {
                    let first = first.min(channels - lanes);
                    rows().for_each(|row| weights.extend_from_slice(&row[first..first + lanes]));
                }
            }
            StepKind::Pointwise | StepKind::Full { .. } => {
                for (first, width) in panels(channels, lanes, instructions.widest()) {
                    let count = width.min(channels - first);
                    for row in rows() {
                        weights.extend_from_slice(&row[first..first + count]);
                        weights.extend(std::iter::repeat_n(0.0, width - count));
                    }
                }
            }
        }
        let limits = match step.activation {
            Activation::Relu6 => (0.0, 6.0),
            Activation::Linear => (f32::NEG_INFINITY, f32::INFINITY),
        };
        Self { step, limits, weights, bias }
    }
}

impl Prepared {
    /// Bytes of its weights.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.weights.as_slice()) + size_of_val(self.bias.as_slice())
    }
}

/// First channel and width of each panel: of `widest` vectors at most, as even as can be.
pub(super) fn panels(
    channels: usize,
    lanes: usize,
    widest: usize,
) -> impl Iterator<Item = (usize, usize)> + Clone {
    even(channels.div_ceil(lanes), widest).map(move |(first, count)| (first * lanes, count * lanes))
}

/// Start and length of the parts of `0..len`, none longer than `most`, the longer ones first.
pub(super) fn even(len: usize, most: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
    let parts = len.div_ceil(most);
    let (least, longer) = (len.checked_div(parts).unwrap_or(0), len.checked_rem(parts).unwrap_or(0));
    (0..parts).map(move |i| (i * least + i.min(longer), least + usize::from(i < longer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_even() {
        let parts = |len, most| even(len, most).collect::<Vec<_>>();
        assert_eq!(parts(4, 3), [(0, 2), (2, 2)]);
        assert_eq!(parts(5, 3), [(0, 3), (3, 2)]);
        assert_eq!(parts(3, 3), [(0, 3)]);
        assert_eq!(parts(0, 3), []);
        for len in 1..60 {
            for most in 1..15 {
                let parts = parts(len, most);
                let end = parts.iter().fold(0, |end, &(first, count)| {
                    assert!(first == end && (1..=most).contains(&count));
                    end + count
                });
                assert!(end == len && parts.len() == len.div_ceil(most));
            }
        }
        assert_eq!(panels(24, 16, 3).collect::<Vec<_>>(), [(0, 32)]);
    }
}
