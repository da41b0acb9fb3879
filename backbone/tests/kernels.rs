//! Every kernel, on every instruction set of this machine, streamed and step by step, on one thread and on
//! more, gives what plain loops in f64 give: at sizes and channel counts that fill no tile and no vector, and in
//! made-up blocks.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use sandglass_backbone::network::{Activation, Shape};
use sandglass_backbone::plan::{Map, Output, Plan, Shortcut, StepKind};
use sandglass_backbone::{CpuEngine, CpuOptions, Engine, Error, InstructionSet, Normalisation};

#[path = "common/made.rs"]
mod made;

use made::{CHANNELS, Made, SIZES, difference, plain};

/// Compares the last map, and the first where `both`, with plain loops. However the engine goes about it, each
/// instruction set gives the same to the bit.
fn check(mut made: Made, both: bool) {
    made.ask(both);
    check_outputs(made);
}

/// The same for the outputs that the plan has.
fn check_outputs(mut made: Made) {
    let input = made.noise.values(made.plan.input().len());
    let expected = plain(&made.plan, &input);
    for instructions in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
        let mut first = Vec::new();
        // With little L2 strips are low and chains short; with much of it they are long.
        for (streamed, threads, l2) in
            [(false, 1, 0), (true, 1, 0), (true, 1, 24 << 10), (true, 3, 96 << 10), (true, 3, 2 << 20)]
        {
            let options = CpuOptions { threads, instructions, l2, streamed };
            // The matrix unit's products are exact to 2⁻¹⁶ instead of 2⁻²⁴, and each step adds to that.
            let allowed = match (instructions, made.plan.steps.len()) {
                (InstructionSet::Amx, ..=2) => 6e-5,
                (InstructionSet::Amx, _) => 1e-3,
                _ => 1e-5,
            };
            let mut engine = CpuEngine::with_options(made.plan.clone(), options).unwrap();
            // Twice: the second run meets used buffers.
            engine.run(&vec![9.0; input.len()]).unwrap();
            engine.run(&input).unwrap();
            let mut twin = engine.twin(2).unwrap();
            twin.run(&input).unwrap();
            for (index, output) in made.plan.outputs.iter().enumerate() {
                let expected = &expected[output.maps[0].0];
                for (got, of) in [(engine.output(index), "engine"), (twin.output(index), "its twin")] {
                    if first.len() == index {
                        first.push(got.to_vec());
                    }
                    assert!(first[index] == got, "{of} differs, {options:?}");
                    let difference = difference(expected, got);
                    let steps: Vec<_> = made.plan.steps.iter().map(|s| (s.kind, s.output_shape)).collect();
                    assert!(
                        difference < allowed,
                        "{difference}: {of}, {options:?}, {:?}, {steps:?}",
                        made.plan.input()
                    );
                }
            }
        }
    }
}

#[test]
fn the_stem() {
    for (seed, channels) in CHANNELS.into_iter().enumerate() {
        for (height, width) in SIZES {
            for stride in [1, 2] {
                let inputs = [3, 1, 4][seed % 3];
                check(Made::new(seed as u64, Shape::new(height, width, inputs), stride, channels), false);
            }
        }
    }
}

#[test]
fn pointwise() {
    for (seed, channels) in CHANNELS.into_iter().enumerate() {
        for (i, (height, width)) in SIZES.into_iter().enumerate() {
            let inputs = CHANNELS[(seed + i * 3) % CHANNELS.len()];
            let activation = [Activation::Linear, Activation::Relu6][i % 2];
            let mut made = Made::new(seed as u64, Shape::new(height, width, 3), 1, inputs);
            made.add(StepKind::Pointwise, channels, activation);
            if i % 3 == 0 {
                made.shortcut(Map(1), inputs.min(channels).div_ceil(2));
            }
            check(made, true);
        }
    }
}

#[test]
fn pixels_that_do_not_fit_the_matrix_unit_at_once() {
    for channels in [144, 40, 160] {
        let mut made = Made::new(channels as u64, Shape::new(37, 41, 3), 1, 8);
        made.add(StepKind::Pointwise, channels, Activation::Relu6);
        made.add(StepKind::Depthwise { stride: 1 }, channels, Activation::Linear);
        made.add(StepKind::Pointwise, 48, Activation::Linear);
        made.add(StepKind::Pointwise, channels, Activation::Relu6);
        made.add(StepKind::Pointwise, 17, Activation::Linear);
        check(made, false);
    }
}

/// The matrix unit takes pixels of 16 channels in tiles of their own kind, by themselves and from the step before; blocks of every shape.
#[test]
fn narrow_pixels() {
    for (seed, (height, width)) in [(1, 16), (5, 7), (3, 13), (9, 16), (4, 8)].into_iter().enumerate() {
        for channels in [16, 17, 32, 33, 48] {
            let mut made = Made::new((seed + channels) as u64, Shape::new(height, width, 3), 1, 16);
            made.add(StepKind::Pointwise, channels, Activation::Linear);
            check(made, false);
            for before in [16, 48] {
                let mut made = Made::new((seed + channels) as u64, Shape::new(height, width, 3), 1, before);
                made.add(StepKind::Depthwise { stride: 1 }, 0, Activation::Linear);
                made.add(StepKind::Pointwise, 16, Activation::Linear);
                made.add(StepKind::Pointwise, channels, Activation::Relu6);
                check(made, false);
            }
        }
    }
}

/// Threads share low maps by channels, where the matrix unit multiplies: panels of them, or halves whose sums are joined.
#[test]
fn low_maps_with_many_channels() {
    for (seed, (height, width, wide, narrow)) in
        [(19, 13, 288, 40), (20, 20, 320, 33), (9, 11, 272, 96), (14, 18, 576, 24)].into_iter().enumerate()
    {
        for stride in [1, 2] {
            let mut made = Made::new(seed as u64, Shape::new(height, width, 3), 2, narrow);
            let first = made.add(StepKind::Pointwise, wide, Activation::Relu6);
            made.add(StepKind::Depthwise { stride: 1 }, 0, Activation::Linear);
            made.shortcut(first, wide - seed * 20);
            made.add(StepKind::Depthwise { stride }, 0, Activation::Relu6);
            let reduced = made.add(StepKind::Pointwise, narrow, Activation::Linear);
            made.add(StepKind::Pointwise, wide, Activation::Relu6);
            made.add(StepKind::Depthwise { stride: 1 }, 0, Activation::Relu6);
            made.add(StepKind::Pointwise, narrow, Activation::Linear);
            made.shortcut(reduced, narrow - seed);
            check(made, stride == 1);
        }
    }
}

/// Outputs that are read by nobody are computed right behind what they read, or, of low maps, beside others.
#[test]
fn outputs_beside_others() {
    // The branch is a map of 91 pixels to 169, or more.
    for (seed, (height, width)) in
        (0..12).flat_map(|s| [(s, (14 + s as usize, 25)), (s, (30 + s as usize, 37))])
    {
        let mut made = Made::new(seed, Shape::new(height, width, 3), 2, 24);
        made.add(StepKind::Pointwise, 64, Activation::Relu6);
        let branch = made.add(StepKind::Depthwise { stride: 1 }, 0, Activation::Relu6);
        for _ in 0..1 + seed % 2 {
            made.add(StepKind::Pointwise, 32, Activation::Linear);
            made.add(StepKind::Depthwise { stride: 2 }, 0, Activation::Relu6);
        }
        let mut outputs = vec![made.add(StepKind::Pointwise, 48, Activation::Relu6)];
        for channels in [20, 64, 7] {
            made.add_to(branch, StepKind::Depthwise { stride: 1 }, 0, Activation::Relu6);
            outputs.push(made.add(StepKind::Pointwise, channels, Activation::Linear));
        }
        // And one that is read after all.
        made.add_to(outputs[1], StepKind::Pointwise, 40, Activation::Linear);
        outputs.push(made.add(StepKind::Depthwise { stride: 2 }, 0, Activation::Linear));
        made.plan.outputs =
            outputs.into_iter().map(|map| Output { name: "output", maps: vec![map] }).collect();
        check_outputs(made);
    }
}

#[test]
fn depthwise() {
    for (seed, channels) in CHANNELS.into_iter().enumerate() {
        for (i, (height, width)) in SIZES.into_iter().enumerate() {
            for stride in [1, 2] {
                let activation = [Activation::Relu6, Activation::Linear][i % 2];
                let mut made = Made::new(seed as u64, Shape::new(height, width, 3), 1, channels);
                made.add(StepKind::Depthwise { stride }, channels, activation);
                if stride == 1 && i % 2 == 0 {
                    made.shortcut(Map(1), channels - i.min(channels) / 2);
                }
                check(made, true);
            }
        }
    }
}

/// Rows are cut into blocks of several widths; the first and the last touch a border.
#[test]
fn depthwise_of_every_width() {
    for (width, height) in (1..=24).flat_map(|width| (1..=5).map(move |height| (width, height))) {
        for stride in [1, 2] {
            let mut made = Made::new(width as u64, Shape::new(height, width, 2), 1, 37);
            made.add(StepKind::Depthwise { stride }, 37, Activation::Linear);
            if stride == 1 {
                made.shortcut(Map(1), [37, 20][height % 2]);
            }
            check(made, false);
        }
    }
}

#[test]
fn the_mean() {
    for channels in CHANNELS {
        let mut made = Made::new(1, Shape::new(5, 7, 3), 2, channels);
        made.add(StepKind::GlobalMean, channels, Activation::Linear);
        made.add(StepKind::Pointwise, 10, Activation::Linear);
        check(made, false);
    }
}

/// Inverted residuals and sandglass blocks of any size, one after the other.
#[test]
fn blocks() {
    for seed in 0..60 {
        let (made, both) = Made::blocks(seed);
        check(made, both);
    }
}

#[test]
fn pixels_are_normalised_by_the_stem() {
    let normalisation = Normalisation::SSDLITE;
    for (height, width, stride) in [(1, 1, 1), (5, 4, 2), (17, 23, 1), (16, 31, 2)] {
        let mut made = Made::new(7, Shape::new(height, width, 3), stride, 20);
        made.add(StepKind::Pointwise, 9, Activation::Relu6);
        made.plan.outputs.push(Output { name: "last", maps: vec![Map(2)] });
        let pixels: Vec<u8> = (0..height * width * 3).map(|_| made.noise.next() as u8).collect();
        let Normalisation { mean, deviation } = normalisation;
        let values: Vec<f32> = pixels
            .iter()
            .enumerate()
            .map(|(i, v)| (f32::from(*v) - mean[i % 3]) / deviation[i % 3])
            .collect();
        let expected = plain(&made.plan, &values).pop().unwrap();
        made.plan.take_pixels(&normalisation);
        let mut engine = CpuEngine::new(made.plan, 2).unwrap();
        engine.run_pixels(&pixels).unwrap();
        assert!(difference(&expected, engine.output(0)) < 1e-4);
        assert!(matches!(engine.run_pixels(&pixels[1..]), Err(Error::InputSize { .. })));
    }
}

#[test]
fn a_plan_that_does_not_fit_is_refused() {
    let good = || {
        let mut made = Made::new(3, Shape::new(6, 5, 3), 1, 8);
        made.add(StepKind::Depthwise { stride: 2 }, 8, Activation::Relu6);
        made.add(StepKind::Pointwise, 4, Activation::Linear);
        made.plan.outputs.push(Output { name: "last", maps: vec![Map(3)] });
        made.plan
    };
    assert!(CpuEngine::new(good(), 1).is_ok());
    let spoils: [fn(&mut Plan); 15] = [
        |plan| plan.maps[1].width += 1,
        |plan| plan.maps.clear(),
        |plan| {
            *plan = Plan { maps: vec![], steps: vec![], outputs: vec![], border: vec![], quantisation: None }
        },
        |plan| plan.maps[0].height = usize::MAX,
        |plan| plan.border.clear(),
        |plan| plan.steps[1].weights.truncate(3),
        |plan| plan.steps[2].bias.push(0.0),
        |plan| plan.steps[1].kind = StepKind::Depthwise { stride: 1 },
        |plan| plan.steps[1].kind = StepKind::Depthwise { stride: 0 },
        |plan| plan.steps[2].kind = StepKind::Full { stride: 1 },
        |plan| plan.steps.swap(0, 1),
        |plan| plan.steps[2].output = Map(77),
        |plan| plan.steps[2].shortcut = Some(Shortcut { map: Map(1), channels: 4 }),
        |plan| plan.outputs[0].maps.push(Map(3)),
        |plan| plan.outputs[0].maps.push(Map(0)),
    ];
    for (i, spoil) in spoils.into_iter().enumerate() {
        let mut plan = good();
        spoil(&mut plan);
        assert!(matches!(CpuEngine::new(plan, 1), Err(Error::Plan { .. })), "{i}");
    }
}
