//! Weights rounded to integers, an output channel at a time.

use super::ranges::Method;
use super::statistics::Spread;
use crate::plan::{Step, StepKind};
use crate::quantised::{Integers, MOST_PAIR, Scale, pairs};

/// The largest integer.
const MOST: f32 = 127.0;
/// Steps tried, and the smallest of them: a share of that on which every weight and every pair fits.
const TRIES: usize = 40;
const LEAST: f32 = 0.4;
/// A bias stays below this: sums have room for the products, too.
const MOST_BIAS: f64 = (1_u32 << 28) as f64;
/// The least step: of a channel without weights.
const LEAST_STEP: f64 = 1e-11;

/// The integers of a step that reads a map on the scale `input`, whose values are spread as `spread` says.
pub(super) fn round(step: &Step, input: Scale, spread: &Spread, method: Method) -> Integers {
    let (inputs, channels) = (step.input_shape.channels, step.output_shape.channels);
    let taps = step.weights.len() / channels.max(1);
    let pairs = pairs(step.kind, inputs);
    let mut integers = Integers {
        weights: vec![0; step.weights.len()],
        steps: Vec::with_capacity(channels),
        bias: Vec::with_capacity(channels),
    };
    for o in 0..channels {
        // The channel of the input that a tap reads.
        let read = |tap: usize| if matches!(step.kind, StepKind::Depthwise { .. }) { o } else { tap };
        let weights: Vec<f32> = (0..taps).map(|tap| step.weights[tap * channels + o]).collect();
        let power: Vec<f64> = (0..taps).map(|tap| spread.mean_square(read(tap))).collect();
        let largest = weights.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
        let pair = pairs.iter().filter_map(|&(a, b)| {
            let (a, b) = (weights.get(a)?, weights.get(b?)?);
            (a.signum() == b.signum()).then_some((a + b).abs())
        });
        // Half a step each is what rounding may add to a pair.
        let fitting = (largest / MOST).max(pair.fold(0.0, f32::max) / (MOST_PAIR - 1) as f32);
        let bias = f64::from(step.bias[o]);
        let floor = (bias.abs() / (f64::from(input.step) * MOST_BIAS)).max(LEAST_STEP) as f32;
        let tries = if method == Method::MinMax { 1 } else { TRIES };
        let candidates = (0..tries).map(|i| {
            let share = 1.0 - (1.0 - LEAST) * i as f32 / TRIES as f32;
            let unit = (fitting * share).max(floor);
            let rounded = rounded(&weights, unit, &pairs, &power);
            (error(&weights, &rounded, unit, &power), unit, rounded)
        });
        let Some((_, unit, rounded)) = candidates.min_by(|a, b| a.0.total_cmp(&b.0)) else { continue };
        // What rounding adds to the sum on average.
        let added: f64 = weights
            .iter()
            .zip(&rounded)
            .enumerate()
            .map(|(tap, (w, r))| (f64::from(*r) * f64::from(unit) - f64::from(*w)) * spread.mean(read(tap)))
            .sum();
        let whole = (bias - added) / (f64::from(input.step) * f64::from(unit));
        integers.bias.push(whole.round_ties_even().clamp(-2.0 * MOST_BIAS, 2.0 * MOST_BIAS) as i32);
        integers.steps.push(unit);
        for (tap, value) in rounded.into_iter().enumerate() {
            integers.weights[tap * channels + o] = value;
        }
    }
    integers
}

/// Weights in units, held so that no pair sums to more than 16 bits hold: of a pair that does, the weight whose
/// change matters less gives way.
fn rounded(weights: &[f32], unit: f32, pairs: &[(usize, Option<usize>)], power: &[f64]) -> Vec<i8> {
    let mut rounded: Vec<i32> =
        weights.iter().map(|w| (w / unit).round_ties_even().clamp(-MOST, MOST) as i32).collect();
    // A tap of a depthwise is in two pairs: making a weight smaller never harms the other one.
    for &(a, b) in pairs {
        let Some(b) = b.filter(|b| *b < rounded.len()) else { continue };
        let sum = rounded[a] + rounded[b];
        if rounded[a].signum() == rounded[b].signum() && sum.abs() > MOST_PAIR {
            let (gives, over) = (if power[a] <= power[b] { a } else { b }, sum.abs() - MOST_PAIR);
            rounded[gives] -= over * rounded[gives].signum();
        }
    }
    rounded.into_iter().map(|w| w as i8).collect()
}

/// What rounding changes in the sum, squared, for inputs of this power that do not depend on each other.
fn error(weights: &[f32], rounded: &[i8], unit: f32, power: &[f64]) -> f64 {
    let each = weights.iter().zip(rounded).zip(power);
    each.map(|((w, r), power)| (f64::from(*w) - f64::from(*r) * f64::from(unit)).powi(2) * (power + 1e-12))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::super::statistics::Extremes;
    use super::*;
    use crate::network::{Activation, Shape};
    use crate::plan::Map;

    fn step(kind: StepKind, inputs: usize, channels: usize, weights: Vec<f32>) -> Step {
        Step {
            name: "x".into(),
            kind,
            input: Map(1),
            input_shape: Shape::new(1, 1, inputs),
            output: Map(2),
            output_shape: Shape::new(1, 1, channels),
            shortcut: None,
            activation: Activation::Linear,
            weights,
            bias: vec![0.5; channels],
        }
    }

    fn spread(channels: usize) -> Spread {
        let values: Vec<f32> = (0..channels * 16).map(|i| (i % 7) as f32).collect();
        let mut extremes = Extremes::new(channels);
        extremes.add(&values);
        let mut spread = Spread::new(&extremes);
        spread.add(&values);
        spread
    }

    #[test]
    fn sums_stay_close_and_in_range() {
        let input = Scale { step: 6.0 / 255.0, zero_point: 0 };
        for (kind, inputs, channels, taps) in
            [(StepKind::Pointwise, 33, 5, 33), (StepKind::Depthwise { stride: 1 }, 4, 4, 9)]
        {
            let weights: Vec<f32> =
                (0..taps * channels).map(|i| ((i * 37 % 101) as f32 - 30.0) / 50.0).collect();
            for method in [Method::MinMax, Method::Mse] {
                let step = step(kind, inputs, channels, weights.clone());
                let integers = round(&step, input, &spread(inputs), method);
                integers.check(kind, inputs).unwrap();
                for o in 0..channels {
                    for tap in 0..taps {
                        let at = tap * channels + o;
                        let back = f32::from(integers.weights[at]) * integers.steps[o];
                        assert!((back - weights[at]).abs() < 0.5, "{back} {}", weights[at]);
                    }
                }
            }
        }
    }

    #[test]
    fn large_pairs_give_way_and_dead_channels_stand() {
        let pointwise = step(StepKind::Pointwise, 2, 2, vec![1.0, 0.0, 1.0, 0.0]);
        let input = Scale { step: 0.02, zero_point: 0 };
        let integers = round(&pointwise, input, &spread(2), Method::MinMax);
        integers.check(StepKind::Pointwise, 2).unwrap();
        // The second channel has but its bias.
        let bias = f64::from(integers.bias[1]) * 0.02 * f64::from(integers.steps[1]);
        assert!((bias - 0.5).abs() < 1e-3, "{bias}");
    }
}
