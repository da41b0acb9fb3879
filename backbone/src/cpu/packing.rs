//! Weights in the order in which the kernels read them.

use super::memory::{Buffer, Part, places};
use super::simd::InstructionSet;
use super::tiles;
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
    pub(super) weights: Part,
    /// Whether they are packed for the matrix unit instead, as [`tiles::pack`] has it.
    pub(super) tiled: bool,
    /// The bias as it is in the step; read where channels are taken one by one.
    pub(super) bias: Vec<f32>,
}

/// All steps of a plan. Their weights lie together in the plan's order, so that behind a step's weights lie those that
/// will be needed next (but for the last step of a chain, when it has more strips to go, and around heads that run earlier).
pub(super) fn prepare(steps: &[Step], instructions: InstructionSet) -> Vec<Prepared> {
    let (ranges, len) = places(steps.iter().map(|step| packed_len(step, instructions)));
    let mut buffer = Buffer::new(len);
    let memory = buffer.as_mut_slice();
    for (step, range) in steps.iter().zip(&ranges) {
        let mut packed = memory[range.clone()].iter_mut();
        pack(step, instructions, |row, blank| {
            row.iter().zip(packed.by_ref()).for_each(|(from, to)| *to = *from);
            packed.by_ref().take(blank).for_each(|to| *to = 0.0);
        });
        debug_assert_eq!(packed.len(), 0, "{}", step.name);
    }
    let parts = buffer.parts(ranges);
    steps
        .iter()
        .zip(parts)
        .map(|(step, weights)| Prepared::new(step, weights, is_tiled(step, instructions)))
        .collect()
}

/// Values that the weights of a step take.
fn packed_len(step: &Step, instructions: InstructionSet) -> usize {
    if is_tiled(step, instructions) {
        return tiles::packed_len(step);
    }
    let mut len = 0;
    pack(step, instructions, |row, blank| len += row.len() + blank);
    len
}

/// Whether a step is one for the matrix unit.
fn is_tiled(step: &Step, instructions: InstructionSet) -> bool {
    instructions == InstructionSet::Amx && tiles::takes(step)
}

/// Gives `put` the weights and biases of a step in the order in which they are read, with the number of zeros that
/// follow each piece.
fn pack(step: &Step, instructions: InstructionSet, mut put: impl FnMut(&[f32], usize)) {
    let channels = step.output_shape.channels;
    let lanes = instructions.lanes();
    let rows = || step.weights.chunks_exact(channels).chain([step.bias.as_slice()]);
    match step.kind {
        StepKind::GlobalMean => {}
        StepKind::Pointwise if is_tiled(step, instructions) => tiles::pack(step, put),
        StepKind::Depthwise { .. } if channels < lanes => put(&step.weights, 0),
        StepKind::Depthwise { .. } => {
            for first in (0..channels).step_by(lanes) {
                let first = first.min(channels - lanes);
                rows().for_each(|row| put(&row[first..first + lanes], 0));
            }
        }
        StepKind::Pointwise | StepKind::Full { .. } => {
            for (first, width) in panels(channels, lanes, instructions.widest()) {
                let count = width.min(channels - first);
                rows().for_each(|row| put(&row[first..first + count], width - count));
            }
        }
    }
}

impl Prepared {
    fn new(step: &Step, weights: Part, tiled: bool) -> Self {
        let limits = match step.activation {
            Activation::Relu6 => (0.0, 6.0),
            Activation::Linear => (f32::NEG_INFINITY, f32::INFINITY),
        };
        let mut step = step.clone();
        step.weights = Vec::new();
        let bias = std::mem::take(&mut step.bias);
        Self { step, limits, weights, tiled, bias }
    }

    /// Bytes of its weights.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.weights) + size_of_val(self.bias.as_slice())
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
    use crate::architecture::Backbone;
    use crate::cpu::memory::LINE;
    use crate::plan::Plan;
    use crate::weights::Weights;

    #[test]
    fn weights_lie_in_the_order_in_which_they_are_read() {
        let network = "mobilenext-0.5".parse::<Backbone>().unwrap().classifier(10);
        let plan = Plan::new(&network, &Weights::untrained(&network), 64, 64).unwrap();
        for instructions in InstructionSet::ALL {
            let prepared = prepare(&plan.steps, instructions);
            let mut end: Option<*const f32> = None;
            for (step, prepared) in plan.steps.iter().zip(&prepared) {
                let range = prepared.weights.as_ptr_range();
                assert_eq!(range.start.addr() % (LINE * size_of::<f32>()), 0);
                let gap = end.map_or(0, |end| range.start.addr() - end.addr());
                assert!(gap < LINE * size_of::<f32>(), "{gap} bytes before {}", step.name);
                end = Some(range.end);
                // What is packed for the matrix unit has a test of its own.
                if prepared.tiled {
                    continue;
                }
                // Nothing is lost and nothing added but zeros; a vector that reaches back has channels twice.
                let lanes = instructions.lanes();
                let channels = step.output_shape.channels;
                let depthwise = matches!(step.kind, StepKind::Depthwise { .. });
                let few = depthwise && channels < lanes;
                let sum = |values: &[f32]| values.iter().map(|v| f64::from(v.abs())).sum::<f64>();
                if few || !depthwise || channels.is_multiple_of(lanes) {
                    let expected = sum(&step.weights) + if few { 0.0 } else { sum(&step.bias) };
                    let got = sum(&prepared.weights);
                    assert!((got - expected).abs() <= 1e-6 * expected, "{}: {got} {expected}", step.name);
                }
                // The biases are the last row of the first panel, or of the first vector.
                if !few && step.kind != StepKind::GlobalMean {
                    let width = match depthwise {
                        true => lanes,
                        false => panels(channels, lanes, instructions.widest()).next().unwrap().1,
                    };
                    let rows = step.weights.len() / channels;
                    let count = width.min(channels);
                    assert_eq!(
                        prepared.weights[rows * width..][..count],
                        step.bias[..count],
                        "{}",
                        step.name
                    );
                }
            }
        }
    }

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
