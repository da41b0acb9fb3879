//! Every kernel, on every instruction set of this machine, streamed and step by step, on one thread and on
//! more, gives what plain loops in f64 give: at sizes and channel counts that fill no tile and no vector, and in
//! made-up blocks.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use sandglass_backbone::network::{Activation, Shape};
use sandglass_backbone::plan::{Map, Output, Plan, Shortcut, Step, StepKind};
use sandglass_backbone::{CpuEngine, CpuOptions, Engine, Error, InstructionSet, Normalisation};

/// Numbers that look random, the same on every machine.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, most: usize) -> usize {
        self.next() as usize % most
    }

    /// Between -1 and 1.
    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.next() as f64 / f64::from(1_u32 << 30) - 1.0) as f32).collect()
    }
}

/// A plan that begins with a convolution of the input, and the map written last.
struct Made {
    plan: Plan,
    noise: Noise,
}

impl Made {
    fn new(seed: u64, input: Shape, stride: usize, channels: usize) -> Self {
        let border = vec![0.0; input.channels];
        let plan = Plan { maps: vec![input], steps: Vec::new(), outputs: Vec::new(), border };
        let mut made = Self { plan, noise: Noise(seed) };
        made.add(StepKind::Full { stride }, channels, Activation::Linear);
        made
    }

    fn last(&self) -> Shape {
        *self.plan.maps.last().unwrap()
    }

    /// Adds a step that reads the last map, and says which one it writes.
    fn add(&mut self, kind: StepKind, channels: usize, activation: Activation) -> Map {
        let input_shape = self.last();
        let (inputs, strided) = (input_shape.channels, |s: usize, extent: usize| extent.div_ceil(s));
        let (stride, channels, weights) = match kind {
            StepKind::Full { stride } => (stride, channels, 9 * inputs * channels),
            StepKind::Depthwise { stride } => (stride, inputs, 9 * inputs),
            StepKind::Pointwise => (1, channels, inputs * channels),
            StepKind::GlobalMean => (usize::MAX, inputs, 0),
        };
        let output_shape =
            Shape::new(strided(stride, input_shape.height), strided(stride, input_shape.width), channels);
        let output = Map(self.plan.maps.len());
        self.plan.maps.push(output_shape);
        let biases = if kind == StepKind::GlobalMean { 0 } else { channels };
        self.plan.steps.push(Step {
            name: format!("step {}", output.0),
            kind,
            input: Map(output.0 - 1),
            input_shape,
            output,
            output_shape,
            shortcut: None,
            activation,
            weights: self.noise.values(weights),
            bias: self.noise.values(biases),
        });
        output
    }

    fn shortcut(&mut self, map: Map, channels: usize) {
        self.plan.steps.last_mut().unwrap().shortcut = Some(Shortcut { map, channels });
    }

    /// Compares the last map, and the first where `both`, with plain loops.
    fn check(mut self, both: bool) {
        let last = Map(self.plan.maps.len() - 1);
        let mut outputs = vec![Output { name: "last", maps: vec![last] }];
        if both && last != Map(1) {
            outputs.push(Output { name: "first", maps: vec![Map(1)] });
        }
        self.plan.outputs = outputs;
        let input = self.noise.values(self.plan.input().len());
        let expected = plain(&self.plan, &input);
        for instructions in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
            for (streamed, threads) in [(false, 1), (true, 1), (true, 3)] {
                let options = CpuOptions { threads, instructions, streamed };
                let mut engine = CpuEngine::with_options(self.plan.clone(), options).unwrap();
                // Twice: the second run meets used buffers.
                engine.run(&vec![9.0; input.len()]).unwrap();
                engine.run(&input).unwrap();
                let mut twin = engine.twin(2).unwrap();
                twin.run(&input).unwrap();
                for (index, output) in self.plan.outputs.iter().enumerate() {
                    let expected = &expected[output.maps[0].0];
                    for (got, of) in [(engine.output(index), "engine"), (twin.output(index), "its twin")] {
                        let difference = difference(expected, got);
                        let steps: Vec<_> =
                            self.plan.steps.iter().map(|s| (s.kind, s.output_shape)).collect();
                        assert!(
                            difference < 1e-5,
                            "{difference}: {of}, {options:?}, {:?}, {steps:?}",
                            self.plan.input()
                        );
                    }
                }
            }
        }
    }
}

/// The largest difference over the largest value.
fn difference(expected: &[f64], got: &[f32]) -> f64 {
    assert_eq!(expected.len(), got.len());
    let largest = expected.iter().fold(1.0, |l: f64, v| l.max(v.abs()));
    expected.iter().zip(got).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max) / largest
}

/// All maps of a plan, computed as its documentation says.
fn plain(plan: &Plan, input: &[f32]) -> Vec<Vec<f64>> {
    let mut maps = vec![Vec::new(); plan.maps.len()];
    maps[0] = input.iter().map(|v| f64::from(*v)).collect();
    for step in &plan.steps {
        let (from, to) = (step.input_shape, step.output_shape);
        let mut values = vec![0.0; to.len()];
        let read =
            |y: usize, x: usize, c: usize| maps[step.input.0][(y * from.width + x) * from.channels + c];
        // Row and column as they are counted with the padding of one.
        let padded = |y: usize, x: usize, c: usize| match (y, x) {
            (1.., 1..) if y <= from.height && x <= from.width => read(y - 1, x - 1, c),
            _ if step.input == Map(0) => f64::from(plan.border[c]),
            _ => 0.0,
        };
        let weight = |index: usize| f64::from(step.weights[index]);
        for y in 0..to.height {
            for x in 0..to.width {
                for o in 0..to.channels {
                    let mut sum = step.bias.get(o).map_or(0.0, |b| f64::from(*b));
                    match step.kind {
                        StepKind::Full { stride } => {
                            for (k, i) in (0..9).flat_map(|k| (0..from.channels).map(move |i| (k, i))) {
                                sum += padded(y * stride + k / 3, x * stride + k % 3, i)
                                    * weight((k * from.channels + i) * to.channels + o);
                            }
                        }
                        StepKind::Depthwise { stride } => {
                            for k in 0..9 {
                                sum += padded(y * stride + k / 3, x * stride + k % 3, o)
                                    * weight(k * to.channels + o);
                            }
                        }
                        StepKind::Pointwise => {
                            for i in 0..from.channels {
                                sum += read(y, x, i) * weight(i * to.channels + o);
                            }
                        }
                        StepKind::GlobalMean => {
                            let pixels = from.height * from.width;
                            sum = (0..pixels).map(|p| maps[step.input.0][p * from.channels + o]).sum();
                            sum /= pixels as f64;
                        }
                    }
                    if step.activation == Activation::Relu6 {
                        sum = sum.clamp(0.0, 6.0);
                    }
                    if let Some(shortcut) = step.shortcut.filter(|s| o < s.channels) {
                        let other = plan.maps[shortcut.map.0];
                        sum += maps[shortcut.map.0][(y * other.width + x) * other.channels + o];
                    }
                    values[(y * to.width + x) * to.channels + o] = sum;
                }
            }
        }
        maps[step.output.0] = values;
    }
    maps
}

const CHANNELS: [usize; 16] = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 33, 47, 48, 49, 126];
const SIZES: [(usize, usize); 8] = [(1, 1), (1, 2), (2, 1), (3, 3), (1, 9), (4, 7), (5, 6), (11, 13)];

#[test]
fn the_stem() {
    for (seed, channels) in CHANNELS.into_iter().enumerate() {
        for (height, width) in SIZES {
            for stride in [1, 2] {
                let inputs = [3, 1, 4][seed % 3];
                Made::new(seed as u64, Shape::new(height, width, inputs), stride, channels).check(false);
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
            made.check(true);
        }
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
                made.check(true);
            }
        }
    }
}

#[test]
fn the_mean() {
    for channels in CHANNELS {
        let mut made = Made::new(1, Shape::new(5, 7, 3), 2, channels);
        made.add(StepKind::GlobalMean, channels, Activation::Linear);
        made.add(StepKind::Pointwise, 10, Activation::Linear);
        made.check(false);
    }
}

/// Inverted residuals and sandglass blocks of any size, one after the other.
#[test]
fn blocks() {
    for seed in 0..60 {
        let mut noise = Noise(seed);
        let input = Shape::new(1 + noise.below(40), 1 + noise.below(40), 3);
        let mut made = Made::new(seed, input, 1 + noise.below(2), 1 + noise.below(40));
        for _ in 0..1 + noise.below(3) {
            let from = Map(made.plan.maps.len() - 1);
            let (wide, narrow) = (1 + noise.below(70), 1 + noise.below(30));
            let stride = 1 + noise.below(2);
            if noise.below(2) == 0 {
                made.add(StepKind::Pointwise, wide, Activation::Relu6);
                made.add(StepKind::Depthwise { stride }, 0, Activation::Relu6);
                made.add(StepKind::Pointwise, narrow, Activation::Linear);
            } else {
                made.add(StepKind::Depthwise { stride: 1 }, 0, Activation::Relu6);
                made.add(StepKind::Pointwise, narrow, Activation::Linear);
                made.add(StepKind::Pointwise, wide, Activation::Relu6);
                made.add(StepKind::Depthwise { stride }, 0, Activation::Linear);
            }
            if stride == 1 {
                let most = made.plan.maps[from.0].channels.min(made.last().channels);
                made.shortcut(from, 1 + noise.below(most));
            }
        }
        made.check(noise.below(2) == 0);
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
        |plan| *plan = Plan { maps: vec![], steps: vec![], outputs: vec![], border: vec![] },
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
