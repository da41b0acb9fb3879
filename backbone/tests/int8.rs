//! Plans of eight bits: every instruction set of this machine, streamed and step by step, on one thread and on more,
//! gives to the bit what plain loops in 64 bits give.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use sandglass_backbone::network::{Activation, Shape};
use sandglass_backbone::plan::{Map, Plan, Step, StepKind};
use sandglass_backbone::quantised::{Integers, MOST_PAIR, Quantisation, Scale, pairs};
use sandglass_backbone::{CpuEngine, CpuOptions, Engine, Error, InstructionSet};

#[path = "common/made.rs"]
mod made;
#[path = "common/plain_int8.rs"]
mod plain;

use made::{CHANNELS, Made, Noise, SIZES};

/// Random integers within the rules; bytes at both ends are met.
fn quantised(mut made: Made) -> (Plan, Noise) {
    made.add(StepKind::Pointwise, 11, Activation::Linear);
    made.ask(false);
    let (mut plan, mut noise) = (made.plan, made.noise);
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
            StepKind::Depthwise { .. } | StepKind::Pointwise => Some(integers(step, &mut noise)),
        });
    }
    plan.set_quantisation(Quantisation { maps, steps });
    (plan, noise)
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
fn plain(plan: &Plan, input: &[f32]) -> Vec<f32> {
    let mut maps: Vec<Vec<u8>> = vec![Vec::new(); plan.maps.len()];
    let mut last = Vec::new();
    for (i, step) in plan.steps.iter().enumerate() {
        match plain::step(plan, i, input, &maps) {
            Ok(bytes) => maps[step.output.0] = bytes,
            Err(floats) => last = floats,
        }
    }
    last
}

fn check(made: Made) {
    let (plan, mut noise) = quantised(made);
    let input = noise.values(plan.input().len());
    let expected = plain(&plan, &input);
    for instructions in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
        for (streamed, threads) in [(false, 1), (true, 1), (true, 3)] {
            let options = CpuOptions { threads, instructions, streamed };
            let mut engine = CpuEngine::with_options(plan.clone(), options).unwrap();
            // Twice: the second run meets used buffers.
            engine.run(&vec![9.0; input.len()]).unwrap();
            engine.run(&input).unwrap();
            let mut twin = engine.twin(2).unwrap();
            twin.run(&input).unwrap();
            let steps: Vec<_> = plan.steps.iter().map(|s| (s.kind, s.output_shape, s.shortcut)).collect();
            for output in [engine.output(0), twin.output(0)] {
                let differ = expected.iter().zip(output).filter(|(a, b)| a != b).count();
                assert!(
                    expected.len() == output.len() && differ == 0,
                    "{differ} of {}: {}, {options:?}, {:?}, {steps:?}",
                    expected.len(),
                    engine.describe(),
                    plan.input()
                );
            }
        }
    }
}

#[test]
fn pointwise() {
    for (seed, channels) in CHANNELS.into_iter().enumerate() {
        for (i, (height, width)) in SIZES.into_iter().enumerate() {
            let inputs = CHANNELS[(seed + i * 3) % CHANNELS.len()];
            let mut made = Made::new(seed as u64, Shape::new(height, width, 3), 1, inputs);
            made.add(StepKind::Pointwise, channels, [Activation::Linear, Activation::Relu6][i % 2]);
            if i % 3 == 0 {
                made.shortcut(Map(1), inputs.min(channels).div_ceil(2));
            }
            check(made);
        }
    }
}

#[test]
fn depthwise() {
    for (seed, channels) in CHANNELS.into_iter().enumerate() {
        for (i, (height, width)) in SIZES.into_iter().enumerate() {
            for stride in [1, 2] {
                let mut made = Made::new(seed as u64, Shape::new(height, width, 3), 1, channels);
                let activation = [Activation::Relu6, Activation::Linear][i % 2];
                made.add(StepKind::Depthwise { stride }, channels, activation);
                if stride == 1 && i % 2 == 0 {
                    made.shortcut(Map(1), channels - i.min(channels) / 2);
                }
                check(made);
            }
        }
    }
}

#[test]
fn the_mean() {
    for channels in CHANNELS {
        let mut made = Made::new(1, Shape::new(5, 7, 3), 2, channels);
        made.add(StepKind::GlobalMean, channels, Activation::Linear);
        check(made);
    }
}

#[test]
fn blocks() {
    for seed in 0..60 {
        check(Made::blocks(seed).0);
    }
}

/// The most that the rules allow: weights whose pairs sum to 128, over bytes of 255.
#[test]
fn nothing_saturates() {
    let mut made = Made::new(1, Shape::new(4, 4, 3), 1, 64);
    made.add(StepKind::Depthwise { stride: 1 }, 64, Activation::Linear);
    made.add(StepKind::Pointwise, 40, Activation::Linear);
    let (mut plan, _) = quantised(made);
    let mut quantisation = plan.quantisation.take().unwrap();
    for (i, integers) in quantisation.steps.iter_mut().enumerate().filter_map(|(i, s)| Some((i, s.as_mut()?)))
    {
        let channels = integers.steps.len();
        let depthwise = matches!(plan.steps[i].kind, StepKind::Depthwise { .. });
        for (at, weight) in integers.weights.iter_mut().enumerate() {
            let (tap, o) = (at / channels, at % channels);
            let row = if depthwise { tap / 3 } else { tap };
            let sign = if o % 2 == 0 { 1 } else { -1 };
            *weight = sign * if row % 2 == 0 { 127 } else { 1 };
        }
    }
    for scale in quantisation.maps.iter_mut().flatten() {
        scale.zero_point = 0;
    }
    plan.set_quantisation(quantisation);
    plan.check().unwrap();
    let input = vec![1e6; plan.input().len()];
    let expected = plain(&plan, &input);
    for instructions in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
        let options = CpuOptions { threads: 1, instructions, streamed: true };
        let mut engine = CpuEngine::with_options(plan.clone(), options).unwrap();
        engine.run(&input).unwrap();
        assert_eq!(engine.output(0), expected, "{}", engine.describe());
    }
}

#[test]
fn what_breaks_the_rules_is_refused() {
    let good = || {
        let mut made = Made::new(3, Shape::new(6, 5, 3), 1, 8);
        made.add(StepKind::Depthwise { stride: 1 }, 8, Activation::Relu6);
        made.shortcut(Map(1), 4);
        quantised(made).0
    };
    assert!(CpuEngine::new(good(), 1).is_ok());
    let spoils: [fn(&mut Quantisation); 10] = [
        |q| q.maps.truncate(1),
        |q| q.steps.truncate(1),
        |q| q.maps[1] = None,
        |q| q.maps[3] = q.maps[1],
        |q| q.maps[2] = Some(Scale { step: 1.0, zero_point: 0 }),
        |q| q.maps[1] = Some(Scale { step: f32::NAN, zero_point: 0 }),
        |q| q.steps[2] = None,
        |q| q.maps[2] = Some(Scale { step: 1e-9, zero_point: 0 }),
        |q| q.steps[1].as_mut().unwrap().weights[0] = -128,
        |q| q.steps[1].as_mut().unwrap().steps.push(1.0),
    ];
    for (i, spoil) in spoils.into_iter().enumerate() {
        let mut plan = good();
        spoil(plan.quantisation.as_mut().unwrap());
        assert!(matches!(CpuEngine::new(plan, 1), Err(Error::Plan { .. })), "{i}");
    }
}
