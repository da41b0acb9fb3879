//! A plan in integers: maps of bytes, weights of eight bits, sums of thirty-two.
//!
//! A map's value is `scale × (byte - zero_point)`, a weight `scale[o] × integer` with a scale for each output
//! channel. With the bias in units of `input scale × weight scale` a convolution is exact in integers, and one
//! factor for each channel makes its sum a byte of the next map:
//!
//! ```text
//! sum[o]  = bias[o] + Σ_i weight[i][o] × (byte[i] - zero_point)           exact
//! byte[o] = round(sum[o] × factor[o] + shortcut + zero_point), held in 0..=255
//! factor[o] = input scale × weight scale[o] / output scale
//! ```
//!
//! There is no activation function: a map behind a ReLU6 has the zero point 0 and `255 × scale ≤ 6`, so that
//! holding the byte in its range is the activation. The shortcut is added in float before the one rounding.
//!
//! **Range.** AVX2 multiplies bytes in pairs and holds the sum of a pair in 16 bits:
//! `255 × (a + b) ≤ 32,767` asks that `a + b ≤ 128`. So of two weights that share a pair ([`pairs`]) those above
//! 0 sum to 128 at most, and those below to -128 at least. Whoever rounds weights keeps to it
//! ([`crate::quantise`]), [`Integers::check`] refuses what does not: no sum is ever held wrongly, whatever the
//! picture, and all instruction sets give the same bits.

use crate::plan::{Plan, StepKind};

/// The most that weights of one sign in a pair may sum to.
pub const MOST_PAIR: i32 = 128;

/// The least and the largest step that is computed with.
const STEPS: std::ops::Range<f32> = 1e-12..1e12;
/// The step of a map in which nothing happens.
const LEAST_STEP: f32 = 1e-9;

/// How the bytes of a map are read: `scale × (byte - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    /// The distance of two bytes' values, above 0.
    pub step: f32,
    /// The byte that is 0.
    pub zero_point: u8,
}

impl Scale {
    /// The scale on which `low..=high` lies, widened to hold 0, so that what is 0 stays it.
    #[must_use]
    pub fn holding(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let step = ((high - low) / 255.0).max(LEAST_STEP);
        Self { step, zero_point: (-low / step).round_ties_even().clamp(0.0, 255.0) as u8 }
    }

    /// The value of a byte.
    #[must_use]
    pub fn value(self, byte: u8) -> f32 {
        self.step * f32::from(i16::from(byte) - i16::from(self.zero_point))
    }

    /// The byte nearest to a value, halves to the even one.
    #[must_use]
    pub fn byte(self, value: f32) -> u8 {
        (value / self.step + f32::from(self.zero_point)).round_ties_even().clamp(0.0, 255.0) as u8
    }

    /// The factor and the offset that make a byte of a value, before it is rounded.
    pub(crate) fn of_values(self) -> (f32, f32) {
        (1.0 / self.step, f32::from(self.zero_point))
    }

    /// Whether it can be computed with.
    #[must_use]
    pub fn is_sound(self) -> bool {
        STEPS.contains(&self.step)
    }
}

/// The weights of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Integers {
    /// Laid out as the step's own weights: output channels innermost.
    pub weights: Vec<i8>,
    /// What 1 is worth, by output channel.
    pub steps: Vec<f32>,
    /// By output channel, in units of the input's step × the weights' step.
    pub bias: Vec<i32>,
}

impl Integers {
    /// Whether nothing can overflow, for a step of `kind` with so many input channels.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, kind: StepKind, inputs: usize) -> Result<(), &'static str> {
        let channels = self.steps.len();
        let taps = match kind {
            StepKind::Depthwise { .. } => 9,
            StepKind::Pointwise => inputs,
            StepKind::Full { .. } | StepKind::GlobalMean => {
                return Err("only depthwise and 1×1 convolutions are run in integers");
            }
        };
        if channels == 0 || self.weights.len() != taps * channels || self.bias.len() != channels {
            return Err("the numbers of integer weights, steps and biases do not fit the shapes");
        }
        if !self.steps.iter().all(|&step| Scale { step, zero_point: 0 }.is_sound()) {
            return Err("a step of the weights is no usable number");
        }
        if self.weights.contains(&i8::MIN) {
            return Err("a weight of -128; -127 to 127 are used");
        }
        let at = |tap: usize, o: usize| self.weights.get(tap * channels + o).map_or(0, |w| i32::from(*w));
        for (a, b) in pairs(kind, inputs) {
            for o in 0..channels {
                let (a, b) = (at(a, o), b.map_or(0, |b| at(b, o)));
                if a.max(0) + b.max(0) > MOST_PAIR || a.min(0) + b.min(0) < -MOST_PAIR {
                    return Err("two weights of a pair sum to more than 16 bits can hold");
                }
            }
        }
        if self.largest_sums().into_iter().any(|most| most > i64::from(i32::MAX)) {
            return Err("a sum can be more than 32 bits can hold");
        }
        Ok(())
    }

    /// By output channel what no sum exceeds, whichever way it is added up: with bytes from 0 to 255, and the zero
    /// point taken away once more.
    #[must_use]
    pub fn largest_sums(&self) -> Vec<i64> {
        let mut most: Vec<i64> = self.bias.iter().map(|&b| i64::from(b).abs()).collect();
        for row in self.weights.chunks_exact(self.steps.len().max(1)) {
            row.iter().zip(&mut most).for_each(|(w, most)| *most += 2 * 255 * i64::from(w.unsigned_abs()));
        }
        most
    }
}

/// The weights that AVX2 multiplies in pairs, by their index among the taps: neighbours along the input
/// channels of a 1×1, and those one below the other of a depthwise, whose rows pair up differently for even and odd
/// output rows.
pub fn pairs(kind: StepKind, inputs: usize) -> Vec<(usize, Option<usize>)> {
    match kind {
        StepKind::Pointwise => {
            (0..inputs).step_by(2).map(|i| (i, (i + 1 < inputs).then_some(i + 1))).collect()
        }
        StepKind::Depthwise { .. } => (0..6).map(|tap| (tap, Some(tap + 3))).collect(),
        StepKind::Full { .. } | StepKind::GlobalMean => Vec::new(),
    }
}

/// What makes a plan one of integers.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantisation {
    /// Of each map; none for the input and the outputs, which are float.
    pub maps: Vec<Option<Scale>>,
    /// Of each step; none for those computed in float: the first, and means.
    pub steps: Vec<Option<Integers>>,
}

/// A step's integers with the scales of the maps around it: what engines make of them.
pub(crate) struct Rescaled<'a> {
    pub(crate) integers: &'a Integers,
    pub(crate) input: Scale,
    output: Option<Scale>,
    /// The shortcut's scale, and how many channels it adds.
    shortcut: Option<(Scale, usize)>,
}

/// What goes with one output channel: `sum + bias` is multiplied, then `offset` and the shortcut's byte × `shared` are
/// added, which is the next map's byte before it is rounded, or an output's value. The bias is without what the input's
/// zero point adds, so that bytes are taken as they are.
#[derive(Clone, Copy, Default)]
pub(crate) struct ChannelScale {
    pub(crate) bias: i32,
    pub(crate) factor: f32,
    pub(crate) offset: f32,
    pub(crate) shared: f32,
}

impl<'a> Rescaled<'a> {
    /// Of a plan that was checked; none where the step is computed in float.
    pub(crate) fn new(plan: &Plan, quantisation: &'a Quantisation, index: usize) -> Option<Self> {
        let step = plan.steps.get(index)?;
        let map = |map: usize| quantisation.maps.get(map).copied().flatten();
        Some(Self {
            integers: quantisation.steps.get(index)?.as_ref()?,
            input: map(step.input.0)?,
            output: map(step.output.0),
            shortcut: step.shortcut.and_then(|shortcut| Some((map(shortcut.map.0)?, shortcut.channels))),
        })
    }

    pub(crate) fn channel(&self, o: usize) -> ChannelScale {
        let Self { integers, input, output, shortcut } = self;
        let channels = integers.steps.len();
        let weights: i64 = integers.weights.iter().skip(o).step_by(channels).map(|w| i64::from(*w)).sum();
        // The plan's check has made sure of the range.
        let bias = i64::from(integers.bias[o]) - i64::from(input.zero_point) * weights;
        let factor = f64::from(input.step) * f64::from(integers.steps[o]);
        let Some(output) = output else {
            return ChannelScale { bias: bias as i32, factor: factor as f32, offset: 0.0, shared: 0.0 };
        };
        let unit = f64::from(output.step);
        let shared = shortcut.filter(|(_, shared)| o < *shared).map(|(scale, _)| scale);
        let (share, zero) = shared.map_or((0.0, 0.0), |scale| {
            let share = f64::from(scale.step) / unit;
            (share, share * f64::from(scale.zero_point))
        });
        ChannelScale {
            bias: bias as i32,
            factor: (factor / unit) as f32,
            offset: (f64::from(output.zero_point) - zero) as f32,
            shared: share as f32,
        }
    }
}

/// The factor and the offset that make the mean's byte, before it is rounded, of the sum of so many bytes.
pub(crate) fn mean_scale(from: Scale, to: Scale, pixels: usize) -> [f32; 2] {
    let unit = f64::from(from.step) / f64::from(to.step);
    let offset = f64::from(to.zero_point) - unit * f64::from(from.zero_point);
    [(unit / pixels as f64) as f32, offset as f32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_holds_zero_and_rounds_to_even() {
        let scale = Scale::holding(-1.0, 3.0);
        assert_eq!((scale.value(scale.zero_point), scale.byte(0.0)), (0.0, scale.zero_point));
        assert_eq!((scale.byte(-9.0), scale.byte(9.0)), (0, 255));
        for byte in 0..=255 {
            assert_eq!(scale.byte(scale.value(byte)), byte);
        }
        assert_eq!(Scale::holding(2.0, 6.0), Scale { step: 6.0 / 255.0, zero_point: 0 });
        assert_eq!(Scale::holding(-6.0, -2.0).zero_point, 255);
        assert!(Scale::holding(0.0, 0.0).is_sound() && !Scale { step: f32::NAN, zero_point: 0 }.is_sound());
        let halves = Scale { step: 1.0, zero_point: 0 };
        assert_eq!([0.5, 1.5, 2.5, 254.5].map(|v| halves.byte(v)), [0, 2, 2, 254]);
    }

    #[test]
    fn what_could_overflow_is_refused() {
        let check = |kind, inputs, weights: Vec<i8>, bias: i32| {
            Integers { weights, steps: vec![0.1], bias: vec![bias] }.check(kind, inputs)
        };
        let pointwise = StepKind::Pointwise;
        assert_eq!(check(pointwise, 3, vec![64, 64, 127], 5), Ok(()));
        assert_eq!(check(pointwise, 2, vec![-1, 127], 5), Ok(()));
        assert!(check(pointwise, 2, vec![2, 127], 5).unwrap_err().contains("pair"));
        assert!(check(pointwise, 2, vec![-127, -2], 5).unwrap_err().contains("pair"));
        assert!(check(pointwise, 2, vec![1, -128], 5).unwrap_err().contains("-128"));
        assert!(check(pointwise, 2, vec![1], 5).unwrap_err().contains("numbers"));
        assert!(check(pointwise, 1, vec![127], i32::MAX).unwrap_err().contains("32 bits"));
        assert!(check(StepKind::GlobalMean, 1, vec![], 5).is_err());
        let depthwise = StepKind::Depthwise { stride: 1 };
        assert_eq!(check(depthwise, 1, vec![127, 127, 127, 0, 0, 0, 127, 127, 127], 0), Ok(()));
        assert!(check(depthwise, 1, vec![0, 0, 0, 100, 0, 0, 100, 0, 0], 0).is_err());
        let steps = Integers { weights: vec![1], steps: vec![0.0], bias: vec![0] };
        assert!(steps.check(pointwise, 1).unwrap_err().contains("step"));
    }
}
