//! From a network and its weights to the steps an engine runs: batch norms folded, shortcuts fused into
//! the convolution before them. All engines run the same plan; where the maps lie is an engine's affair.

use crate::error::Error;
use crate::network::{Activation, BATCH_NORM_EPSILON, Conv, Kind, Network, Op, Shape, Value};
use crate::quantised::Quantisation;
use crate::weights::{Normalisation, Weights};

/// Values that a map may have: below this no sum of sizes overflows.
const MOST_VALUES: usize = 1 << 30;

/// A map by number: 0 is the input, each other one is written by one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map(pub usize);

/// What a step computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// 3×3 over all channels, padded by one. Weights: 3 rows, 3 columns, input, output channels.
    Full {
        /// 1 or 2.
        stride: usize,
    },
    /// 3×3 by channel, padded by one. Weights: 3 rows, 3 columns, channels.
    Depthwise {
        /// 1 or 2.
        stride: usize,
    },
    /// 1×1 over all channels. Weights: input, output channels.
    Pointwise,
    /// The mean over all pixels. No weights.
    GlobalMean,
}

/// A shortcut: the first `channels` channels of another map, added after the activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortcut {
    /// The other map, as high and as wide as the step's output.
    pub map: Map,
    /// Channels added.
    pub channels: usize,
}

/// One step: reads a map, writes another. `out = activation(conv(input) + bias) + shortcut`.
#[derive(Clone, Debug)]
pub struct Step {
    /// The name of its weights, for tables and messages.
    pub name: String,
    /// What is computed.
    pub kind: StepKind,
    /// The map read.
    pub input: Map,
    /// Its shape.
    pub input_shape: Shape,
    /// The map written.
    pub output: Map,
    /// Its shape.
    pub output_shape: Shape,
    /// What is added at the end.
    pub shortcut: Option<Shortcut>,
    /// What follows the bias.
    pub activation: Activation,
    /// Weights with the batch norm folded in, output channels innermost.
    pub weights: Vec<f32>,
    /// One value an output channel.
    pub bias: Vec<f32>,
}

impl Step {
    /// Multiply-adds of this step.
    #[must_use]
    pub fn multiply_adds(&self) -> usize {
        match self.kind {
            StepKind::Full { .. } => self.output_shape.len() * self.input_shape.channels * 9,
            StepKind::Depthwise { .. } => self.output_shape.len() * 9,
            StepKind::Pointwise => self.output_shape.len() * self.input_shape.channels,
            StepKind::GlobalMean => 0,
        }
    }
}

impl Step {
    /// Whether it fits `maps`, of which some are `written` before it.
    fn check(&self, maps: &[Shape], border: &[f32], written: &[bool]) -> Result<(), &'static str> {
        let (input, output) = (self.input_shape, self.output_shape);
        let strided = |stride: usize| {
            let fits = |from: usize, to: usize| to == from.div_ceil(stride);
            match stride {
                1 | 2 if fits(input.height, output.height) && fits(input.width, output.width) => Ok(()),
                1 | 2 => Err("the output is not as large as the stride makes it"),
                _ => Err("the stride is neither 1 nor 2"),
            }
        };
        if maps.get(self.input.0) != Some(&input) || maps.get(self.output.0) != Some(&output) {
            return Err("the shapes are not those of its maps");
        }
        if !written[self.input.0] || written[self.output.0] {
            return Err("it reads what is not written yet, or writes what is");
        }
        if (self.input == Map(0)) != matches!(self.kind, StepKind::Full { .. }) {
            return Err("the input is read by full convolutions, and they read nothing else");
        }
        if input.is_empty() || output.is_empty() {
            return Err("a map is empty");
        }
        let weights = match self.kind {
            StepKind::Full { stride } => {
                strided(stride)?;
                if border.len() != input.channels {
                    return Err("the border has another number of channels than the input");
                }
                Some(9 * input.channels * output.channels)
            }
            StepKind::Depthwise { stride } => {
                strided(stride)?;
                (input.channels == output.channels).then_some(9 * input.channels)
            }
            StepKind::Pointwise => ((input.height, input.width) == (output.height, output.width))
                .then_some(input.channels * output.channels),
            StepKind::GlobalMean => (output == Shape::new(1, 1, input.channels)).then_some(0),
        };
        let biases = if self.kind == StepKind::GlobalMean { 0 } else { output.channels };
        if weights != Some(self.weights.len()) || self.bias.len() != biases {
            return Err("the numbers of weights and of biases do not fit the shapes");
        }
        let Some(shortcut) = self.shortcut else { return Ok(()) };
        let fits = |other: &Shape| {
            (other.height, other.width) == (output.height, output.width)
                && shortcut.channels <= other.channels.min(output.channels)
        };
        if self.kind == StepKind::GlobalMean
            || shortcut.map.0 == 0
            || !maps.get(shortcut.map.0).is_some_and(fits)
            || !written[shortcut.map.0]
        {
            return Err("the shortcut does not fit");
        }
        Ok(())
    }
}

/// One result: maps one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What it is called in the network.
    pub name: &'static str,
    /// The maps, none of them part of another output.
    pub maps: Vec<Map>,
}

/// A network made ready for one input size.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The shape of each map: rows, columns, channels (NHWC with N = 1). The first is the input's.
    pub maps: Vec<Shape>,
    /// The steps in order. Those that read the input, and no others, are of [`StepKind::Full`].
    pub steps: Vec<Step>,
    /// The results.
    pub outputs: Vec<Output>,
    /// What the input is padded with, by channel: zeros, or the mean where
    /// [`Plan::take_pixels`] folded the normalisation into the weights.
    pub border: Vec<f32>,
    /// Where the weights are of eight bits: the same once more in integers. The steps' own weights are
    /// what the integers stand for, so that an engine without integers runs the plan in float.
    pub quantisation: Option<Quantisation>,
}

impl Plan {
    /// Plans `network` with `weights` for an input of `height` × `width` pixels.
    ///
    /// # Errors
    /// [`Error::WeightsMismatch`] where the weights do not fit, [`Error::Network`] where the size cannot
    /// be taken or the network has a form no engine runs.
    pub fn new(network: &Network, weights: &Weights, height: usize, width: usize) -> Result<Self, Error> {
        weights.check(network)?;
        let shapes = network.shapes(height, width)?;
        let refuse = |reason: String| Error::Network { network: network.name().to_owned(), reason };

        let fused = fuse(network).map_err(refuse)?;
        // Nodes that became one step leave one map: the numbers of the others are not used again.
        let mut maps = vec![shapes[0]];
        let mut numbers = vec![Map(0); shapes.len()];
        for item in &fused {
            numbers[item.result.0] = Map(maps.len());
            maps.push(shapes[item.result.0]);
        }
        let mut steps = Vec::with_capacity(fused.len());
        for item in &fused {
            let node = &network.nodes()[item.node.0];
            let shortcut = item.shortcut.map(|(from, channels)| Shortcut { map: numbers[from.0], channels });
            let (kind, name, activation, (folded, bias)) = match &node.op {
                Op::Conv(conv) => {
                    let kind = match conv.kind {
                        Kind::Full { stride } => StepKind::Full { stride },
                        Kind::Depthwise { stride } => StepKind::Depthwise { stride },
                        Kind::Pointwise => StepKind::Pointwise,
                    };
                    let folded =
                        fold(conv, weights).ok_or_else(|| refuse(format!("{} is lost", conv.name)))?;
                    (kind, conv.name.clone(), conv.activation, folded)
                }
                Op::Linear { name, .. } if weights.is_quantised() => {
                    (StepKind::Pointwise, name.clone(), Activation::Linear, (Vec::new(), Vec::new()))
                }
                Op::Linear { name, channels } => {
                    let values = |part: &str| weights.values(&format!("{name}.{part}"));
                    let both = values("weight").zip(values("bias"));
                    let (weight, bias) = both.ok_or_else(|| refuse(format!("{name} is lost")))?;
                    let folded = (output_channels_last(&weight, *channels), bias);
                    (StepKind::Pointwise, name.clone(), Activation::Linear, folded)
                }
                Op::GlobalMean => {
                    (StepKind::GlobalMean, "mean".into(), Activation::Linear, (Vec::new(), Vec::new()))
                }
                Op::Input { .. } | Op::AddFirst { .. } => continue,
            };
            if matches!(kind, StepKind::Full { .. }) != (node.input.0 == 0) {
                return Err(refuse("3×3 over all channels is for the input, and the input for it".into()));
            }
            steps.push(Step {
                name,
                kind,
                input: numbers[node.input.0],
                input_shape: shapes[node.input.0],
                output: numbers[item.result.0],
                output_shape: shapes[item.result.0],
                shortcut,
                activation,
                weights: folded,
                bias,
            });
        }
        let outputs = outputs(network, &numbers).map_err(refuse)?;
        let border = vec![0.0; maps[0].channels];
        let mut plan = Self { maps, steps, outputs, border, quantisation: None };
        if weights.is_quantised() {
            plan.set_quantisation(weights.quantisation(&plan)?);
            plan.check().map_err(|error| weights.refuse(error.to_string()))?;
        }
        Ok(plan)
    }

    /// Makes it a plan of integers; the steps' own weights and biases become what those stand for.
    pub fn set_quantisation(&mut self, quantisation: Quantisation) {
        for (step, integers) in self.steps.iter_mut().zip(&quantisation.steps) {
            let (Some(integers), Some(Some(scale))) = (integers, quantisation.maps.get(step.input.0)) else {
                continue;
            };
            let steps = integers.steps.iter().cycle();
            step.weights =
                integers.weights.iter().zip(steps.clone()).map(|(&w, s)| f32::from(w) * s).collect();
            step.bias = integers
                .bias
                .iter()
                .zip(steps)
                .map(|(&b, s)| (f64::from(b) * f64::from(*s) * f64::from(scale.step)) as f32)
                .collect();
        }
        self.quantisation = Some(quantisation);
    }

    /// The shape of the input: rows, columns, channels.
    #[must_use]
    pub fn input(&self) -> Shape {
        self.maps[0]
    }

    /// Takes pixel values (0 to 255) for input, and no longer normalised ones: `(x - mean) / deviation`
    /// is folded into the first convolution. Call it once.
    pub fn take_pixels(&mut self, normalisation: &Normalisation) {
        let Normalisation { mean, deviation } = normalisation;
        for step in self.steps.iter_mut().filter(|step| step.input == Map(0)) {
            let (inputs, channels) = (step.input_shape.channels, step.output_shape.channels);
            for (i, row) in step.weights.chunks_exact_mut(channels).enumerate() {
                let c = (i % inputs) % mean.len();
                for (w, b) in row.iter_mut().zip(&mut step.bias) {
                    *w /= deviation[c];
                    *b -= *w * mean[c];
                }
            }
        }
        self.border.iter_mut().zip(mean.iter().cycle()).for_each(|(b, m)| *b = *m);
    }

    /// Whether all parts fit together: what engines rely on when they read and write without checking.
    ///
    /// # Errors
    /// [`Error::Plan`] names the first step that does not fit.
    pub fn check(&self) -> Result<(), Error> {
        let mut written = vec![false; self.maps.len()];
        let refuse = |reason| Error::Plan { step: "the whole".to_owned(), reason };
        *written.first_mut().ok_or_else(|| refuse("there is no input"))? = true;
        let small = |map: &Shape| {
            let values = map.height.checked_mul(map.width)?.checked_mul(map.channels)?;
            (values <= MOST_VALUES).then_some(())
        };
        if !self.maps.iter().all(|map| small(map).is_some()) {
            return Err(refuse("a map is larger than memory"));
        }
        for step in &self.steps {
            step.check(&self.maps, &self.border, &written)
                .map_err(|reason| Error::Plan { step: step.name.clone(), reason })?;
            written[step.output.0] = true;
        }
        let mut given = vec![false; self.maps.len()];
        for Output { name, maps } in &self.outputs {
            for map in maps {
                if map.0 == 0
                    || written.get(map.0) != Some(&true)
                    || std::mem::replace(&mut given[map.0], true)
                {
                    let reason = "the output has a map that no step writes, or one twice";
                    return Err(Error::Plan { step: (*name).to_owned(), reason });
                }
            }
        }
        self.quantisation.as_ref().map_or(Ok(()), |quantisation| self.check_integers(quantisation))
    }

    /// Whether what is run in integers fits the steps.
    fn check_integers(&self, quantisation: &Quantisation) -> Result<(), Error> {
        let refuse = |step: &str, reason| Err(Error::Plan { step: step.to_owned(), reason });
        let Quantisation { maps, steps } = quantisation;
        if maps.len() != self.maps.len() || steps.len() != self.steps.len() {
            return refuse("the whole", "there are scales for other maps or integers for other steps");
        }
        let output = |map: Map| self.outputs.iter().any(|output| output.maps.contains(&map));
        for (step, integers) in self.steps.iter().zip(steps) {
            let is_output = output(step.output);
            match (maps[step.output.0], is_output) {
                (None, true) => {}
                (Some(scale), false) if scale.is_sound() => {
                    if step.activation == Activation::Relu6
                        && (scale.zero_point != 0 || scale.step * 255.0 > 6.001)
                    {
                        return refuse(&step.name, "its scale holds more than its ReLU6 lets through");
                    }
                }
                _ => return refuse(&step.name, "its map has no usable scale, or is an output and has one"),
            }
            let float = matches!(step.kind, StepKind::Full { .. } | StepKind::GlobalMean);
            let Some(integers) = integers else {
                if float && !is_output && step.shortcut.is_none() {
                    continue;
                }
                return refuse(&step.name, "it has no integers");
            };
            if is_output
                && (step.shortcut.is_some()
                    || step.activation == Activation::Relu6
                    || step.kind != StepKind::Pointwise)
            {
                return refuse(&step.name, "an output in float is of a 1×1 without activation or shortcut");
            }
            if step.shortcut.is_some_and(|shortcut| maps[shortcut.map.0].is_none()) {
                return refuse(&step.name, "its shortcut is of a map without a scale");
            }
            if maps[step.input.0].is_none() {
                return refuse(&step.name, "it reads a map without a scale");
            }
            if let Err(reason) = integers.check(step.kind, step.input_shape.channels) {
                return refuse(&step.name, reason);
            }
            if integers.steps.len() != step.output_shape.channels {
                return refuse(&step.name, "it has integers for other channels");
            }
            // What is rounded fits 32 bits: instructions differ in what they make of more.
            let unit = |map: Map| maps[map.0].map_or(0.0, |scale| f64::from(scale.step));
            if let Some(output) = maps[step.output.0] {
                let factor = unit(step.input) / f64::from(output.step);
                let shared = step.shortcut.map_or(0.0, |s| unit(s.map) / f64::from(output.step) * 512.0);
                let sums = integers.largest_sums();
                let mut sums =
                    integers.steps.iter().zip(sums).map(|(step, most)| f64::from(*step) * most as f64);
                if sums.any(|most| most * factor + shared > f64::from(1 << 30)) {
                    return refuse(&step.name, "its scales are too far apart");
                }
            }
        }
        Ok(())
    }

    /// How often each map is read: by steps, as a shortcut, as a result.
    pub(crate) fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.maps.len()];
        for step in &self.steps {
            readers[step.input.0] += 1;
            step.shortcut.iter().for_each(|shortcut| readers[shortcut.map.0] += 1);
        }
        self.outputs.iter().flat_map(|output| &output.maps).for_each(|map| readers[map.0] += 1);
        readers
    }

    /// Multiply-adds of all steps.
    #[must_use]
    pub fn multiply_adds(&self) -> usize {
        self.steps.iter().map(Step::multiply_adds).sum()
    }
}

/// A node that becomes a step, with the shortcut that is added in the same go.
struct Fused {
    /// The node computed.
    node: Value,
    /// The map it leaves: the node itself, or the sum that was fused into it.
    result: Value,
    /// Another map and how many of its channels are added.
    shortcut: Option<(Value, usize)>,
}

fn fuse(network: &Network) -> Result<Vec<Fused>, String> {
    let mut readers = vec![0; network.nodes().len()];
    for node in network.nodes().iter().skip(1) {
        readers[node.input.0] += 1;
        if let Op::AddFirst { shortcut, .. } = node.op {
            readers[shortcut.0] += 1;
        }
    }
    for output in network.outputs() {
        output.parts.iter().for_each(|part| readers[part.0] += 1);
    }
    let mut fused: Vec<Fused> = Vec::new();
    for (i, node) in network.nodes().iter().enumerate().skip(1) {
        let result = Value(i);
        match node.op {
            Op::AddFirst { shortcut, channels } => match fused.last_mut() {
                Some(last)
                    if last.result == node.input && last.shortcut.is_none() && readers[node.input.0] == 1 =>
                {
                    last.result = result;
                    last.shortcut = Some((shortcut, channels));
                }
                _ => return Err("a shortcut is added to a map that something else reads, too".into()),
            },
            _ => fused.push(Fused { node: result, result, shortcut: None }),
        }
    }
    Ok(fused)
}

/// The results, with every map in one of them at most.
fn outputs(network: &Network, numbers: &[Map]) -> Result<Vec<Output>, String> {
    let mut taken = vec![false; numbers.len()];
    taken[0] = true;
    let outputs = network.outputs().iter().map(|output| {
        let maps = output.parts.iter().map(|part| match std::mem::replace(&mut taken[part.0], true) {
            true => Err(format!("a map is part of the output {:?} and of something else", output.name)),
            false => Ok(numbers[part.0]),
        });
        Ok(Output { name: output.name, maps: maps.collect::<Result<_, _>>()? })
    });
    outputs.collect()
}

/// Weights with output channels innermost and bias, batch norm folded in: the factor
/// `weight / sqrt(variance + epsilon)` goes into the weights, the rest into the bias.
fn fold(conv: &Conv, weights: &Weights) -> Option<(Vec<f32>, Vec<f32>)> {
    let channels = conv.channels;
    if weights.is_quantised() && !matches!(conv.kind, Kind::Full { .. }) {
        return Some((Vec::new(), Vec::new())); // made of the integers later
    }
    let mut weight = weights.values(&format!("{}.weight", conv.name))?;
    let mut bias = match conv.bias || weights.is_quantised() {
        true => weights.values(&format!("{}.bias", conv.name))?,
        false => vec![0.0; channels],
    };
    if let Some(norm) = conv.norm.as_ref().filter(|_| !weights.is_quantised()) {
        let part = |name: &str| weights.values(&format!("{norm}.{name}"));
        let (gamma, beta) = (part("weight")?, part("bias")?);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let inputs = weight.len() / channels;
        for c in 0..channels {
            let factor = f64::from(gamma[c]) / (f64::from(variance[c]) + BATCH_NORM_EPSILON).sqrt();
            weight[c * inputs..][..inputs].iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
            bias[c] = ((f64::from(bias[c]) - f64::from(mean[c])) * factor + f64::from(beta[c])) as f32;
        }
    }
    let laid_out = match conv.kind {
        // (O, I, 3, 3) to (3, 3, I, O)
        Kind::Full { .. } => {
            let inputs = weight.len() / channels / 9;
            let mut laid_out = vec![0.0; weight.len()];
            for (i, w) in weight.iter().enumerate() {
                let (tap, input, output) = (i % 9, i / 9 % inputs, i / 9 / inputs);
                laid_out[(tap * inputs + input) * channels + output] = *w;
            }
            laid_out
        }
        Kind::Depthwise { .. } | Kind::Pointwise => output_channels_last(&weight, channels),
    };
    Some((laid_out, bias))
}

/// (O, rest) to (rest, O).
pub(crate) fn output_channels_last<T: Copy>(weight: &[T], outputs: usize) -> Vec<T> {
    let inputs = weight.len() / outputs.max(1);
    (0..inputs).flat_map(|i| (0..outputs).map(move |o| weight[o * inputs + i])).collect()
}
