//! Weights of eight bits in the order in which the kernels read them, with what makes bytes of their sums.

use super::simd::{Layout, QUAD, channel};
use crate::cpu::memory::Part;
use crate::cpu::packing::panels;
use crate::plan::{Plan, Step, StepKind};
use crate::quantised::{ChannelScale, Integers, Quantisation, Rescaled};

/// A convolution as the kernels take it.
pub(super) struct Conv {
    /// Without its weights.
    pub(super) step: Step,
    /// A 1×1 is cut into panels as [`crate::cpu::packing`] does; within a panel come the quads of the first four
    /// input channels, one for each output channel, then those of the next four. What is missing is 0.
    ///
    /// A depthwise is cut into vectors of channels ([`Conv::vectors`]). For each: six columns of weights, those that an
    /// even row of a pair meets in four rows of input and those that the odd row meets, each of four vectors of
    /// quads, spread as [`channel`] says.
    weights: Part,
    /// For each channel in the order of the sums: the bias, less what the input's zero point adds.
    pub(super) bias: Vec<i32>,
    /// What makes the output's bytes (or floats) of the sums.
    pub(super) factor: Vec<f32>,
    /// What is added to that.
    pub(super) offset: Vec<f32>,
    /// What makes the output's bytes of the shortcut's; 0 where none is added.
    pub(super) shared: Vec<f32>,
    /// A pixel of the input's zero points: what a depthwise meets outside of the picture.
    pub(super) padding: Vec<u8>,
}

impl Conv {
    /// The packed weights of a step, and what makes the convolution of the place where they are put.
    pub(super) fn new(
        plan: &Plan,
        index: usize,
        quantisation: &Quantisation,
        layout: Layout,
    ) -> Option<(Vec<u8>, impl FnOnce(Part) -> Self + use<>)> {
        let step = plan.steps.get(index)?;
        let rescaled = Rescaled::new(plan, quantisation, index)?;
        let integers = rescaled.integers;
        let channels = step.output_shape.channels;
        let (bytes, order) = match step.kind {
            StepKind::Depthwise { .. } => depthwise(integers, layout.bytes),
            _ => pointwise(step, integers, layout),
        };
        let of = |o: &Option<usize>| o.map_or(ChannelScale::default(), |o| rescaled.channel(o));
        let params: Vec<ChannelScale> = order.iter().map(of).collect();
        let zero_point = rescaled.input.zero_point;
        let bytes: Vec<u8> = bytes.into_iter().map(i8::cast_unsigned).collect();
        let mut stripped = step.clone();
        (stripped.weights, stripped.bias) = (Vec::new(), Vec::new());
        let conv = move |weights| Self {
            step: stripped,
            weights,
            bias: params.iter().map(|p| p.bias).collect(),
            factor: params.iter().map(|p| p.factor).collect(),
            offset: params.iter().map(|p| p.offset).collect(),
            shared: params.iter().map(|p| p.shared).collect(),
            padding: vec![zero_point; channels],
        };
        Some((bytes, conv))
    }

    /// Bytes of its weights and of what goes with them.
    pub(super) fn bytes(&self) -> usize {
        let by_channel = self.factor.len() + self.offset.len() + self.shared.len();
        let floats = by_channel * size_of::<f32>();
        size_of_val(&*self.weights) + size_of_val(self.bias.as_slice()) + floats + self.padding.len()
    }

    /// The packed weights.
    pub(super) fn weights(&self) -> *const i8 {
        self.weights.as_ptr().cast()
    }

    /// First channel and channels of each vector of a depthwise, for vectors of `bytes`: the last one reaches
    /// back to end with the last channel, or is not full where there are fewer channels.
    pub(super) fn vectors(&self, bytes: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        vectors(self.step.output_shape.channels, bytes)
    }
}

fn vectors(channels: usize, bytes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..channels)
        .step_by(bytes)
        .map(move |first| (first.min(channels.saturating_sub(bytes)), bytes.min(channels)))
}

/// The weights of a 1×1, and which output channel each sum is of.
fn pointwise(step: &Step, integers: &Integers, layout: Layout) -> (Vec<i8>, Vec<Option<usize>>) {
    let (inputs, channels) = (step.input_shape.channels, step.output_shape.channels);
    let weight = |i: usize, o: usize| {
        if i < inputs && o < channels { integers.weights[i * channels + o] } else { 0 }
    };
    let (mut packed, mut order) = (Vec::new(), Vec::new());
    for (first, width) in panels(channels, layout.lanes, layout.widest) {
        for quad in (0..inputs).step_by(QUAD) {
            for o in first..first + width {
                packed.extend((quad..quad + QUAD).map(|i| weight(i, o)));
            }
        }
        order.extend((first..first + width).map(|o| (o < channels).then_some(o)));
    }
    (packed, order)
}

/// The weights of a depthwise, and which channel each sum is of.
fn depthwise(integers: &Integers, bytes: usize) -> (Vec<i8>, Vec<Option<usize>>) {
    let channels = integers.steps.len();
    let (mut packed, mut order) = (Vec::new(), Vec::new());
    for (first, count) in vectors(channels, bytes) {
        let of = |part: usize, lane: usize| {
            let c = channel(part, lane);
            (c < count).then_some(first + c)
        };
        let spread = move || (0..4).flat_map(move |part| (0..bytes / QUAD).map(move |lane| of(part, lane)));
        for shift in [0, 1] {
            for kx in 0..3 {
                for c in spread() {
                    packed.extend((0..4_usize).map(|row| {
                        let ky = row.checked_sub(shift).filter(|ky| *ky < 3);
                        let tap = ky.zip(c).map(|(ky, c)| (ky * 3 + kx) * channels + c);
                        tap.map_or(0, |tap| integers.weights[tap])
                    }));
                }
            }
        }
        order.extend(spread());
    }
    (packed, order)
}
