//! Weights in the order in which the kernels read them.

use super::simd::InstructionSet;
use crate::plan::{Step, StepKind};

/// The weights of one step.
///
/// Convolutions over all channels (1×1 and the stem) are cut into panels of two vectors of output
/// channels; within a panel the weights of one input channel lie together, so that a tile reads straight
/// on. The last panel is filled up with zeros. Depthwise weights stay as they are: 9 rows of channels.
pub(super) struct Packed {
    /// Panels of `depth` × `panel` values, or 9 × channels for a depthwise.
    pub(super) weights: Vec<f32>,
    /// One value an output channel, filled up to whole panels with zeros.
    pub(super) bias: Vec<f32>,
}

impl Packed {
    pub(super) fn new(step: &Step, instructions: InstructionSet) -> Self {
        let channels = step.output_shape.channels;
        match step.kind {
            StepKind::GlobalMean => Self { weights: Vec::new(), bias: Vec::new() },
            StepKind::Depthwise { .. } => Self { weights: step.weights.clone(), bias: step.bias.clone() },
            StepKind::Pointwise | StepKind::Full { .. } => {
                let panel = 2 * instructions.lanes();
                let mut weights = Vec::with_capacity(step.weights.len().next_multiple_of(panel));
                for first in (0..channels).step_by(panel) {
                    let count = panel.min(channels - first);
                    for row in step.weights.chunks_exact(channels) {
                        weights.extend_from_slice(&row[first..first + count]);
                        weights.extend(std::iter::repeat_n(0.0, panel - count));
                    }
                }
                let mut bias = step.bias.clone();
                bias.resize(channels.next_multiple_of(panel), 0.0);
                Self { weights, bias }
            }
        }
    }
}
