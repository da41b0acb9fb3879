//! Made-up plans, and what plain loops in f64 say of them.
#![allow(dead_code, reason = "each test uses a part")]

use sandglass_backbone::network::{Activation, Shape};
use sandglass_backbone::plan::{Map, Output, Plan, Shortcut, Step, StepKind};

/// Numbers that look random, the same on every machine.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.next() as usize % most
    }

    /// Between -1 and 1.
    pub(crate) fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.next() as f64 / f64::from(1_u32 << 30) - 1.0) as f32).collect()
    }
}

/// A plan that begins with a convolution of the input, and the map written last.
pub(crate) struct Made {
    pub(crate) plan: Plan,
    pub(crate) noise: Noise,
}

impl Made {
    pub(crate) fn new(seed: u64, input: Shape, stride: usize, channels: usize) -> Self {
        let border = vec![0.0; input.channels];
        let plan =
            Plan { maps: vec![input], steps: Vec::new(), outputs: Vec::new(), border, quantisation: None };
        let mut made = Self { plan, noise: Noise(seed) };
        made.add(StepKind::Full { stride }, channels, Activation::Linear);
        made
    }

    pub(crate) fn last(&self) -> Shape {
        *self.plan.maps.last().unwrap()
    }

    /// Adds a step that reads the last map, and says which one it writes.
    pub(crate) fn add(&mut self, kind: StepKind, channels: usize, activation: Activation) -> Map {
        self.add_to(Map(self.plan.maps.len() - 1), kind, channels, activation)
    }

    /// Adds a step that reads another map.
    pub(crate) fn add_to(
        &mut self,
        from: Map,
        kind: StepKind,
        channels: usize,
        activation: Activation,
    ) -> Map {
        let input_shape = self.plan.maps[from.0];
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
            input: from,
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

    pub(crate) fn shortcut(&mut self, map: Map, channels: usize) {
        self.plan.steps.last_mut().unwrap().shortcut = Some(Shortcut { map, channels });
    }

    /// Inverted residuals and sandglass blocks of any size, one after the other, and whether the first map is asked
    /// for, too.
    pub(crate) fn blocks(seed: u64) -> (Self, bool) {
        let mut noise = Noise(seed);
        let input = Shape::new(1 + noise.below(40), 1 + noise.below(40), 3);
        let mut made = Made::new(seed, input, 1 + noise.below(2), 1 + noise.below(40));
        for _ in 0..1 + noise.below(3) {
            let from = Map(made.plan.maps.len() - 1);
            // Now and then as wide as pixels of a window lie further apart than they are long, or a little wider.
            let wide = match noise.below(4) {
                0 => [96, 100, 128, 160][noise.below(4)],
                _ => 1 + noise.below(70),
            };
            let narrow = 1 + noise.below(30);
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
        let both = noise.below(2) == 0;
        (made, both)
    }

    /// Asks for the last map, and for the first where `both`.
    pub(crate) fn ask(&mut self, both: bool) {
        let last = Map(self.plan.maps.len() - 1);
        self.plan.outputs = vec![Output { name: "last", maps: vec![last] }];
        if both && last != Map(1) {
            self.plan.outputs.push(Output { name: "first", maps: vec![Map(1)] });
        }
    }
}

/// The largest difference over the largest value.
pub(crate) fn difference(expected: &[f64], got: &[f32]) -> f64 {
    assert_eq!(expected.len(), got.len());
    let largest = expected.iter().fold(1.0, |l: f64, v| l.max(v.abs()));
    expected.iter().zip(got).map(|(a, b)| (a - f64::from(*b)).abs()).fold(0.0, f64::max) / largest
}

/// All maps of a plan, computed as its documentation says.
pub(crate) fn plain(plan: &Plan, input: &[f32]) -> Vec<Vec<f64>> {
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

pub(crate) const CHANNELS: [usize; 16] = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 33, 47, 48, 49, 126];
pub(crate) const SIZES: [(usize, usize); 8] =
    [(1, 1), (1, 2), (2, 1), (3, 3), (1, 9), (4, 7), (5, 6), (11, 13)];
