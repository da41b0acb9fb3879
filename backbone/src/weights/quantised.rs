//! Weights of eight bits in safetensors files: batch norms folded in, a scale for each output channel and map.
//!
//! | tensor | type | shape |
//! |---|---|---|
//! | `NAME.weight` | i8 | as in PyTorch |
//! | `NAME.weight_scale` | f32 | (O): what 1 is worth |
//! | `NAME.bias` | i32 | (O), in units of the input's step × the weights' |
//! | `NAME.output` | f32 | (2): step and zero point of the map that the layer leaves, shortcut and all; none for outputs |
//!
//! The first layer stays in float: `NAME.weight` and `NAME.bias` of 32 bits. `mean.output` is the scale behind a
//! classifier's mean. The metadata say `quantisation`, and by `float_layers` which layers are in float.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use safetensors::tensor::TensorView;

use super::{Dtype, Weights};
use crate::error::Error;
use crate::network::{Kind, Network, Op, Value};
use crate::plan::{Plan, Step, StepKind, output_channels_last};
use crate::quantised::{Integers, Quantisation, Scale};

/// The fact in the metadata that makes weights those of integers.
pub const QUANTISATION: &str = "quantisation";
/// The fact that names the layers in float.
pub const FLOAT_LAYERS: &str = "float_layers";

/// What [`Weights::check`] expects: name, shape, how it is stored.
type Expected = (String, Vec<usize>, Dtype);

impl Weights {
    /// Whether they are of eight bits.
    #[must_use]
    pub fn is_quantised(&self) -> bool {
        self.metadata.contains_key(QUANTISATION)
    }

    /// The integers of a tensor stored in so many bytes each, where there is one.
    fn integers<const N: usize, T>(
        &self,
        name: &str,
        dtype: Dtype,
        value: fn([u8; N]) -> T,
    ) -> Option<Vec<T>> {
        let tensor = self.tensors.get(name).filter(|tensor| tensor.dtype == dtype)?;
        let bytes = self.bytes.get(tensor.range.clone())?;
        Some(bytes.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect())
    }

    /// As [`Weights::check`] for weights of eight bits.
    pub(super) fn check_quantised(&self, network: &Network) -> Vec<String> {
        let mut problems = Vec::new();
        let mut left_over: BTreeSet<&str> = self.names().collect();
        for (name, shape, dtype) in expected(network) {
            left_over.remove(name.as_str());
            match self.tensors.get(&name) {
                None => problems.push(format!("{name}: missing, shape {shape:?}")),
                Some(tensor) if tensor.shape != shape => {
                    problems.push(format!("{name}: shape {:?}, needed {shape:?}", tensor.shape));
                }
                Some(tensor) if tensor.dtype != dtype => {
                    problems.push(format!("{name}: dtype {}, needed {}", tensor.dtype.name(), dtype.name()));
                }
                Some(_) => {
                    let values = self.values(&name).unwrap_or_default();
                    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
                        problems.push(format!("{name}: value {at} is {}", values[at]));
                    } else if name.ends_with(".output") && scale(&values).is_none() {
                        problems.push(format!("{name}: {values:?} is no step above 0 with a zero point"));
                    }
                }
            }
        }
        problems.extend(
            left_over.into_iter().map(|name| format!("{name}: left over, the network has no such tensor")),
        );
        problems
    }

    /// The integers for a plan made of these weights.
    pub(crate) fn quantisation(&self, plan: &Plan) -> Result<Quantisation, Error> {
        let mut maps = vec![None; plan.maps.len()];
        let mut steps = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            let lost = |part: &str| self.refuse(format!("{}.{part} is lost", step.name));
            maps[step.output.0] =
                self.values(&format!("{}.output", step.name)).and_then(|values| scale(&values));
            steps.push(match step.kind {
                StepKind::Full { .. } | StepKind::GlobalMean => None,
                StepKind::Depthwise { .. } | StepKind::Pointwise => {
                    let weights =
                        self.integers(&format!("{}.weight", step.name), Dtype::I8, i8::from_le_bytes);
                    let bias = self.integers(&format!("{}.bias", step.name), Dtype::I32, i32::from_le_bytes);
                    Some(Integers {
                        weights: output_channels_last(
                            &weights.ok_or_else(|| lost("weight"))?,
                            step.output_shape.channels,
                        ),
                        steps: self
                            .values(&format!("{}.weight_scale", step.name))
                            .ok_or_else(|| lost("weight_scale"))?,
                        bias: bias.ok_or_else(|| lost("bias"))?,
                    })
                }
            });
        }
        Ok(Quantisation { maps, steps })
    }
}

/// The two values of a `NAME.output`, where they make a scale.
fn scale(values: &[f32]) -> Option<Scale> {
    let &[step, zero_point] = values else { return None };
    let whole = (0.0..=255.0).contains(&zero_point) && zero_point.fract() == 0.0;
    let scale = Scale { step, zero_point: zero_point as u8 };
    (whole && scale.is_sound()).then_some(scale)
}

/// Every tensor that `network` needs in eight bits.
fn expected(network: &Network) -> Vec<Expected> {
    let is_output = |value: Value| network.outputs().iter().any(|output| output.parts.contains(&value));
    let shapes: HashMap<String, Vec<usize>> =
        network.parameters().into_iter().map(|parameter| (parameter.name, parameter.shape)).collect();
    let mut list: Vec<Expected> = Vec::new();
    for (i, node) in network.nodes().iter().enumerate() {
        let (name, channels, float) = match &node.op {
            Op::Conv(conv) => (conv.name.as_str(), conv.channels, matches!(conv.kind, Kind::Full { .. })),
            Op::Linear { name, channels } => (name.as_str(), *channels, false),
            Op::GlobalMean => ("mean", 0, true),
            Op::Input { .. } | Op::AddFirst { .. } => continue,
        };
        if let Some(shape) = shapes.get(&format!("{name}.weight")) {
            list.push((format!("{name}.weight"), shape.clone(), if float { Dtype::F32 } else { Dtype::I8 }));
            list.push((format!("{name}.bias"), vec![channels], if float { Dtype::F32 } else { Dtype::I32 }));
            if !float {
                list.push((format!("{name}.weight_scale"), vec![channels], Dtype::F32));
            }
        }
        if !is_output(Value(i)) {
            list.push((format!("{name}.output"), vec![2], Dtype::F32));
        }
    }
    list
}

/// Writes the integers of a plan with `metadata`, which must say [`QUANTISATION`], to a new safetensors file or
/// over an old one.
///
/// # Errors
/// [`Error::WeightsFile`] where the plan is not one of integers, or the file cannot be written.
pub fn save(plan: &Plan, path: &Path, metadata: &BTreeMap<String, String>) -> Result<(), Error> {
    let refuse = |reason: String| Error::WeightsFile { path: path.to_owned(), reason };
    let quantisation = plan.quantisation.as_ref().filter(|_| metadata.contains_key(QUANTISATION));
    let quantisation = quantisation.ok_or_else(|| refuse("the plan is not one of integers".into()))?;
    let mut tensors: Vec<(String, safetensors::Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    for (step, integers) in plan.steps.iter().zip(&quantisation.steps) {
        // A linear layer is a 1×1 that reads a mean.
        let linear = plan.steps.iter().any(|s| s.kind == StepKind::GlobalMean && s.output == step.input);
        let (channels, shape) = (step.output_shape.channels, shape(step, linear));
        let mut push = |part: &str, dtype, shape: &[usize], bytes| {
            tensors.push((format!("{}.{part}", step.name), dtype, shape.to_vec(), bytes));
        };
        if let Some(Integers { weights, steps, bias }) = integers {
            // From output channels last to first.
            let weights = output_channels_last(weights, weights.len() / channels.max(1));
            let bytes = weights.iter().map(|w| w.cast_unsigned()).collect();
            push("weight", safetensors::Dtype::I8, &shape, bytes);
            push("weight_scale", safetensors::Dtype::F32, &[channels], floats(steps));
            let bytes = bias.iter().flat_map(|b| b.to_le_bytes()).collect();
            push("bias", safetensors::Dtype::I32, &[channels], bytes);
        } else if !step.weights.is_empty() {
            // (3, 3, I, O) to (O, I, 3, 3)
            let inputs = step.input_shape.channels;
            let value = |o: usize, i: usize, tap: usize| step.weights[(tap * inputs + i) * channels + o];
            let order =
                (0..channels).flat_map(|o| (0..inputs).flat_map(move |i| (0..9).map(move |tap| (o, i, tap))));
            let values: Vec<f32> = order.map(|(o, i, tap)| value(o, i, tap)).collect();
            push("weight", safetensors::Dtype::F32, &shape, floats(&values));
            push("bias", safetensors::Dtype::F32, &[channels], floats(&step.bias));
        }
        if let Some(scale) = quantisation.maps[step.output.0] {
            let pair = [scale.step, f32::from(scale.zero_point)];
            push("output", safetensors::Dtype::F32, &[2], floats(&pair));
        }
    }
    let mut views = Vec::with_capacity(tensors.len());
    for (name, dtype, shape, bytes) in &tensors {
        let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(|e| refuse(e.to_string()))?;
        views.push((name.as_str(), view));
    }
    let facts: HashMap<String, String> = metadata.clone().into_iter().collect();
    let bytes = safetensors::serialize(views, Some(facts)).map_err(|e| refuse(e.to_string()))?;
    std::fs::write(path, bytes).map_err(|e| refuse(e.to_string()))
}

/// The shape of a step's weights as PyTorch has it.
fn shape(step: &Step, linear: bool) -> Vec<usize> {
    let (inputs, channels) = (step.input_shape.channels, step.output_shape.channels);
    match step.kind {
        StepKind::Full { .. } => vec![channels, inputs, 3, 3],
        StepKind::Depthwise { .. } => vec![channels, 1, 3, 3],
        StepKind::Pointwise if linear => vec![channels, inputs],
        StepKind::Pointwise => vec![channels, inputs, 1, 1],
        StepKind::GlobalMean => Vec::new(),
    }
}
