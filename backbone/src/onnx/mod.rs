//! A plan as an ONNX model (opset 17), for other engines: convolutions with the batch norms folded in, the
//! batch size open, NCHW as ONNX has it.
//!
//! A plan of integers becomes a graph with QuantizeLinear and DequantizeLinear nodes (QDQ): behind every map of bytes a
//! pair of them, before every integer convolution one for its weights (by output channel) and one for its bias. Engines
//! that know the pattern run it in integers; what the graph says in float is what our engines compute.

use crate::network::{Activation, Shape};
use crate::plan::{Map, Plan, Step, StepKind};
use crate::quantised::{Integers, Scale};

mod proto;

use proto::{
    AttributeProto, Dimension, DimensionValue, FLOAT, GraphProto, INT8, INT32, INT64, ModelProto, NodeProto,
    OperatorSetId, StringStringEntry, TensorProto, TensorShape, TensorType, TypeProto, UINT8, ValueInfo,
};

/// The operators' version.
const OPSET: i64 = 17;
/// The file format's version that goes with it.
const IR_VERSION: i64 = 8;

/// A model that is being written.
#[derive(Clone, Debug, Default)]
pub struct OnnxModel {
    graph: GraphProto,
    facts: Vec<StringStringEntry>,
}

impl OnnxModel {
    /// The model `name` of a plan. Its input `input` is N × channels × height × width; its outputs are called
    /// as the plan's and are N × rows × columns, with as many columns as `columns` says for each, in order.
    ///
    /// A plan that [takes pixels](Plan::take_pixels) pads with other values than zeros, which ONNX's
    /// convolution cannot: give it one that does not.
    #[must_use]
    pub fn new(plan: &Plan, name: &str, columns: &[usize]) -> Self {
        let mut model = Self::default();
        model.graph.name = name.to_owned();
        let Shape { height, width, channels } = plan.input();
        model.graph.input.push(value_info("input", &[channels, height, width]));
        for (name, value) in [("zero", 0.0), ("six", 6.0)] {
            model.floats(name, &[], &[value]);
        }
        let quantisation = plan.quantisation.as_ref();
        for (i, step) in plan.steps.iter().enumerate() {
            let integers =
                quantisation.and_then(|q| Some((q.steps.get(i)?.as_ref()?, q.maps[step.input.0]?)));
            let scale = quantisation.and_then(|q| q.maps[step.output.0]);
            model.step(step, plan, integers, scale);
        }
        for (output, &columns) in plan.outputs.iter().zip(columns) {
            let shape = format!("{}.shape", output.name);
            model.integers(&shape, &[0, -1, columns as i64]);
            let mut parts = Vec::with_capacity(output.maps.len());
            for &map in &output.maps {
                let (last, rows) = (format!("{}.nhwc", value(map)), format!("{}.rows", value(map)));
                model.node("Transpose", &[&value(map)], &last, &[("perm", &[0, 2, 3, 1])]);
                model.node("Reshape", &[&last, &shape], &rows, &[]);
                parts.push(rows);
            }
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            model.node("Concat", &parts, output.name, &[("axis", &[1])]);
            let len: usize = output.maps.iter().map(|map| plan.maps[map.0].len()).sum();
            model.output(output.name, &[len / columns.max(1), columns]);
        }
        model
    }

    /// Adds a node that computes `output`. An attribute of one value is an integer, of several a list;
    /// `axis` is an integer, `axes` a list.
    pub fn node(&mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[i64])]) {
        let attribute = |&(name, values): &(&str, &[i64])| match (name, values) {
            ("axis" | "group", &[i]) => AttributeProto { name: name.into(), i, kind: 2, ints: vec![] },
            _ => AttributeProto { name: name.into(), i: 0, kind: 7, ints: values.to_vec() },
        };
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op.to_owned(),
            attribute: attributes.iter().map(attribute).collect(),
        });
    }

    /// Adds constant values of the shape `dims`.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) {
        self.constant(name, dims, FLOAT, values.iter().flat_map(|v| v.to_le_bytes()).collect());
    }

    /// Adds a list of constant integers.
    pub fn integers(&mut self, name: &str, values: &[i64]) {
        self.constant(name, &[values.len()], INT64, values.iter().flat_map(|v| v.to_le_bytes()).collect());
    }

    fn constant(&mut self, name: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) {
        let dims = dims.iter().map(|&d| d as i64).collect();
        self.graph.initializer.push(TensorProto { dims, data_type, name: name.to_owned(), raw_data });
    }

    /// Declares an output of N × `dims`.
    pub fn output(&mut self, name: &str, dims: &[usize]) {
        self.graph.output.push(value_info(name, dims));
    }

    /// Adds a fact for whoever runs the model: the normalisation, the names of the classes.
    pub fn fact(&mut self, key: &str, value: &str) {
        self.facts.push(StringStringEntry { key: key.to_owned(), value: value.to_owned() });
    }

    /// The file's bytes.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "sandglass".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSetId { domain: String::new(), version: OPSET }],
            metadata_props: self.facts,
        };
        prost::Message::encode_to_vec(&model)
    }

    /// Adds the nodes of a step: convolution, clip, shortcut; where its map has a scale the pair that rounds it.
    fn step(&mut self, step: &Step, plan: &Plan, integers: Option<(&Integers, Scale)>, scale: Option<Scale>) {
        let (input, map) = (value(step.input), value(step.output));
        let output = if scale.is_some() { format!("{map}.real") } else { map.clone() };
        self.float_step(step, plan, integers, &input, &output);
        if let Some(Scale { step, zero_point }) = scale {
            let [unit, zero, bytes] = ["scale", "zero_point", "bytes"].map(|part| format!("{map}.{part}"));
            self.floats(&unit, &[], &[step]);
            self.constant(&zero, &[], UINT8, vec![zero_point]);
            self.node("QuantizeLinear", &[&output, &unit, &zero], &bytes, &[]);
            self.node("DequantizeLinear", &[&bytes, &unit, &zero], &map, &[]);
        }
    }

    fn float_step(
        &mut self,
        step: &Step,
        plan: &Plan,
        integers: Option<(&Integers, Scale)>,
        input: &str,
        output: &str,
    ) {
        let output = output.to_owned();
        // Rounding to bytes clips, too.
        let clipped = step.activation == Activation::Relu6 && integers.is_none();
        let convolved = match (clipped, step.shortcut) {
            (false, None) => output.clone(),
            _ => format!("{output}.conv"),
        };
        let activated = if step.shortcut.is_some() { format!("{output}.activated") } else { output.clone() };
        let channels = step.output_shape.channels;
        match step.kind {
            StepKind::GlobalMean => self.node("GlobalAveragePool", &[input], &convolved, &[]),
            StepKind::Pointwise => {
                self.conv(step, integers, input, &convolved, &[channels, step.input_shape.channels, 1, 1], 1);
            }
            StepKind::Full { stride } => {
                self.conv(
                    step,
                    integers,
                    input,
                    &convolved,
                    &[channels, step.input_shape.channels, 3, 3],
                    stride,
                );
            }
            StepKind::Depthwise { stride } => {
                self.conv(step, integers, input, &convolved, &[channels, 1, 3, 3], stride);
            }
        }
        let mut result = &convolved;
        if clipped {
            self.node("Clip", &[&convolved, "zero", "six"], &activated, &[]);
            result = &activated;
        }
        let Some(shortcut) = step.shortcut else { return };
        let (other, all) = (value(shortcut.map), plan.maps[shortcut.map.0].channels);
        if shortcut.channels == channels && all == channels {
            self.node("Add", &[result, &other], &output, &[]);
            return;
        }
        // The first channels of both are added, the rest goes on as it is.
        let (first, rest, shared) =
            (format!("{output}.first"), format!("{output}.rest"), format!("{output}.shared"));
        let k = shortcut.channels as i64;
        self.slice(&other, &shared, 0, k);
        self.slice(result, &first, 0, k);
        let sum = format!("{output}.sum");
        self.node("Add", &[&first, &shared], &sum, &[]);
        if shortcut.channels == channels {
            self.node("Identity", &[&sum], &output, &[]);
        } else {
            self.slice(result, &rest, k, channels as i64);
            self.node("Concat", &[&sum, &rest], &output, &[("axis", &[1])]);
        }
    }

    /// Adds a slice of the channels `from..to`.
    fn slice(&mut self, input: &str, output: &str, from: i64, to: i64) {
        let names = ["from", "to", "axes"].map(|part| format!("{output}.{part}"));
        for (name, value) in names.iter().zip([from, to, 1]) {
            self.integers(name, &[value]);
        }
        self.node("Slice", &[input, &names[0], &names[1], &names[2]], output, &[]);
    }

    fn conv(
        &mut self,
        step: &Step,
        integers: Option<(&Integers, Scale)>,
        input: &str,
        output: &str,
        dims: &[usize; 4],
        stride: usize,
    ) {
        let channels = step.output_shape.channels;
        let (weight, bias) = (format!("{}.weight", step.name), format!("{}.bias", step.name));
        if let Some((integers, scale)) = integers {
            let [bytes, unit, sums, product] =
                ["int8", "scale", "int32", "product"].map(|p| format!("{weight}.{p}"));
            let values = output_channels_first(&integers.weights, dims);
            self.constant(&bytes, dims, INT8, values.into_iter().map(i8::cast_unsigned).collect());
            self.floats(&unit, &[channels], &integers.steps);
            self.node("DequantizeLinear", &[&bytes, &unit], &weight, &[("axis", &[0])]);
            let products: Vec<f32> = integers.steps.iter().map(|s| s * scale.step).collect();
            self.floats(&product, &[channels], &products);
            let raw = integers.bias.iter().flat_map(|b| b.to_le_bytes()).collect();
            self.constant(&sums, &[channels], INT32, raw);
            self.node("DequantizeLinear", &[&sums, &product], &bias, &[("axis", &[0])]);
        } else {
            self.floats(&weight, dims, &output_channels_first(&step.weights, dims));
            self.floats(&bias, &[channels], &step.bias);
        }
        let kernel = [dims[2] as i64, dims[3] as i64];
        let pad = i64::from(dims[2] == 3);
        let strides = [stride as i64; 2];
        let group = [if matches!(step.kind, StepKind::Depthwise { .. }) { channels as i64 } else { 1 }];
        self.node(
            "Conv",
            &[input, &weight, &bias],
            output,
            &[("kernel_shape", &kernel), ("pads", &[pad; 4]), ("strides", &strides), ("group", &group)],
        );
    }
}

/// Weights as ONNX has them, from output channels innermost; a full 3×3 lies as (3, 3, inputs, outputs).
fn output_channels_first<T: Copy>(weights: &[T], dims: &[usize; 4]) -> Vec<T> {
    let channels = dims[0];
    let taps = dims[2] * dims[3];
    let order =
        (0..channels).flat_map(|o| (0..dims[1]).flat_map(move |i| (0..taps).map(move |tap| (o, i, tap))));
    order.map(|(o, i, tap)| weights[(tap * dims[1] + i) * channels + o]).collect()
}

fn value(map: Map) -> String {
    match map {
        Map(0) => "input".into(),
        Map(number) => format!("map{number}"),
    }
}

fn value_info(name: &str, dims: &[usize]) -> ValueInfo {
    let batch = Dimension { value: Some(DimensionValue::Named("N".into())) };
    let sizes = dims.iter().map(|&d| Dimension { value: Some(DimensionValue::Size(d as i64)) });
    let shape = TensorShape { dim: std::iter::once(batch).chain(sizes).collect() };
    let tensor_type = Some(TensorType { elem_type: FLOAT, shape: Some(shape) });
    ValueInfo { name: name.to_owned(), kind: Some(TypeProto { tensor_type }) }
}
