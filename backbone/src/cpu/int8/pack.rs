//! Weights of eight bits in the order in which the kernels read them, with what makes bytes of their sums.

use super::simd::{Layout, QUAD, channel};
use crate::cpu::memory::Buffer;
use crate::cpu::packing::panels;
use crate::plan::{Plan, Step, StepKind};
use crate::quantised::{Integers, Quantisation, Scale};

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
    weights: Buffer,
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
    pub(super) fn new(
        plan: &Plan,
        index: usize,
        quantisation: &Quantisation,
        layout: Layout,
    ) -> Option<Self> {
        let step = plan.steps.get(index)?;
        let integers = quantisation.steps.get(index)?.as_ref()?;
        let map = |map: usize| quantisation.maps.get(map).copied().flatten();
        let input = map(step.input.0)?;
        let output = map(step.output.0);
        let shortcut = step.shortcut.and_then(|shortcut| Some((map(shortcut.map.0)?, shortcut.channels)));
        let one = |o: usize| Channel::new(o, step.kind, integers, input, output, shortcut);
        let channels = step.output_shape.channels;
        let (bytes, order) = match step.kind {
            StepKind::Depthwise { .. } => depthwise(integers, layout.bytes),
            _ => pointwise(step, integers, layout),
        };
        let params: Vec<Channel> = order.iter().map(|o| o.map_or(Channel::default(), one)).collect();
        let bytes: Vec<u8> = bytes.into_iter().map(i8::cast_unsigned).collect();
        let mut stripped = step.clone();
        (stripped.weights, stripped.bias) = (Vec::new(), Vec::new());
        Some(Self {
            step: stripped,
            weights: Buffer::of_bytes(&bytes),
            bias: params.iter().map(|p| p.bias).collect(),
            factor: params.iter().map(|p| p.factor).collect(),
            offset: params.iter().map(|p| p.offset).collect(),
            shared: params.iter().map(|p| p.shared).collect(),
            padding: vec![input.zero_point; channels],
        })
    }

    /// Bytes of its weights and of what goes with them.
    pub(super) fn bytes(&self) -> usize {
        let by_channel = self.factor.len() + self.offset.len() + self.shared.len();
        let floats = by_channel * size_of::<f32>();
        self.weights.bytes() + size_of_val(self.bias.as_slice()) + floats + self.padding.len()
    }

    /// The packed weights.
    pub(super) fn weights(&self) -> *const i8 {
        self.weights.as_ptr().cast_const().cast()
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

/// What goes with one output channel.
#[derive(Clone, Copy, Default)]
struct Channel {
    bias: i32,
    factor: f32,
    offset: f32,
    shared: f32,
}

impl Channel {
    fn new(
        o: usize,
        kind: StepKind,
        integers: &Integers,
        input: Scale,
        output: Option<Scale>,
        shortcut: Option<(Scale, usize)>,
    ) -> Self {
        let channels = integers.steps.len();
        debug_assert!(!matches!(kind, StepKind::Full { .. }));
        let weights: i64 = integers.weights.iter().skip(o).step_by(channels).map(|w| i64::from(*w)).sum();
        // The plan's check has made sure of the range.
        let bias = i64::from(integers.bias[o]) - i64::from(input.zero_point) * weights;
        let factor = f64::from(input.step) * f64::from(integers.steps[o]);
        let Some(output) = output else {
            return Self { bias: bias as i32, factor: factor as f32, offset: 0.0, shared: 0.0 };
        };
        let unit = f64::from(output.step);
        let shared = shortcut.filter(|(_, shared)| o < *shared).map(|(scale, _)| scale);
        let (share, zero) = shared.map_or((0.0, 0.0), |scale| {
            let share = f64::from(scale.step) / unit;
            (share, share * f64::from(scale.zero_point))
        });
        Self {
            bias: bias as i32,
            factor: (factor / unit) as f32,
            offset: (f64::from(output.zero_point) - zero) as f32,
            shared: share as f32,
        }
    }
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
