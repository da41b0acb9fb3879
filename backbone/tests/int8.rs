//! Plans of eight bits: every instruction set of this machine, streamed and step by step, on one thread and on more,
//! gives to the bit what plain loops in 64 bits give.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use sandglass_backbone::network::{Activation, Shape};
use sandglass_backbone::plan::{Map, StepKind};
use sandglass_backbone::quantised::{Quantisation, Scale};
use sandglass_backbone::{CpuEngine, CpuOptions, Engine, Error, InstructionSet};

#[path = "common/made.rs"]
mod made;
#[path = "common/made_int8.rs"]
mod made_int8;
#[path = "common/plain_int8.rs"]
mod plain_int8;

use made::{CHANNELS, Made, SIZES};

fn check(made: Made) {
    let (plan, mut noise) = made_int8::quantised(made);
    let input = noise.values(plan.input().len());
    let expected = made_int8::last(&plan, &input);
    for instructions in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
        for (streamed, threads) in [(false, 1), (true, 1), (true, 3)] {
            let options = CpuOptions { threads, instructions, streamed, ..CpuOptions::default() };
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
    let (mut plan, _) = made_int8::quantised(made);
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
    let expected = made_int8::last(&plan, &input);
    for instructions in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
        let options = CpuOptions { threads: 1, instructions, ..CpuOptions::default() };
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
        made_int8::quantised(made).0
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
