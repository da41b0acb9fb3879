//! Made-up plans of eight bits, and what plain loops say of them.

use sandglass_backbone::network::Activation;
use sandglass_backbone::plan::{Plan, Step, StepKind};
use sandglass_backbone::quantised::{Integers, MOST_PAIR, Quantisation, Scale, pairs};

use crate::made::{Made, Noise};
use crate::plain_int8;

/// A made plan with an output behind it, in integers.
pub(crate) fn quantised(mut made: Made) -> (Plan, Noise) {
    made.add(StepKind::Pointwise, 11, Activation::Linear);
    made.ask(false);
    let (mut plan, mut noise) = (made.plan, made.noise);
    quantise(&mut plan, &mut noise);
    (plan, noise)
}

/// Random integers within the rules, for a plan whose last map is its one output; bytes at both ends are met.
pub(crate) fn quantise(plan: &mut Plan, noise: &mut Noise) {
    let last = plan.maps.len() - 1;
    let mut maps = vec![None; plan.maps.len()];
    let mut steps = Vec::new();
    for step in &plan.steps {
        maps[step.output.0] = (step.output.0 != last).then(|| match step.activation {
            Activation::Relu6 => Scale { step: 6.0 / 255.0, zero_point: 0 },
            Activation::Linear => {
                Scale { step: 0.02 + noise.below(20) as f32 * 1e-3, zero_point: noise.next() as u8 }
            }
        });
        steps.push(match step.kind {
            StepKind::Full { .. } | StepKind::GlobalMean => None,
            StepKind::Depthwise { .. } | StepKind::Pointwise => Some(integers(step, noise)),
        });
    }
    plan.set_quantisation(Quantisation { maps, steps });
}

fn integers(step: &Step, noise: &mut Noise) -> Integers {
    let (inputs, channels) = (step.input_shape.channels, step.output_shape.channels);
    let taps = if step.kind == StepKind::Pointwise { inputs } else { 9 };
    let mut weights: Vec<i8> = (0..taps * channels).map(|_| (noise.below(255) as i32 - 127) as i8).collect();
    for (a, b) in pairs(step.kind, inputs) {
        let Some(b) = b else { continue };
        for o in 0..channels {
            let (x, y) = (i32::from(weights[a * channels + o]), i32::from(weights[b * channels + o]));
            if x.signum() == y.signum() && (x + y).abs() > MOST_PAIR {
                weights[b * channels + o] = ((MOST_PAIR - x.abs()) * y.signum()) as i8;
            }
        }
    }
    // So that sums fill the bytes, and go beyond.
    let spread = 0.3 / (taps as f32).sqrt();
    let steps = (0..channels).map(|_| spread * (1.0 + noise.below(100) as f32 / 50.0) / 60.0).collect();
    let bias = (0..channels).map(|_| noise.below(20_000) as i32 - 10_000).collect();
    Integers { weights, steps, bias }
}

/// The last map, computed as the documentation says.
pub(crate) fn last(plan: &Plan, input: &[f32]) -> Vec<f32> {
    let mut maps: Vec<Vec<u8>> = vec![Vec::new(); plan.maps.len()];
    let mut last = Vec::new();
    for (i, step) in plan.steps.iter().enumerate() {
        match plain_int8::step(plan, i, input, &maps) {
            Ok(bytes) => maps[step.output.0] = bytes,
            Err(floats) => last = floats,
        }
    }
    last
}
