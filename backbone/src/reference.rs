//! The same networks through candle: the oracle of our engines, and the way in for candle users.

use candle_core::{DType, Device, IndexOp, Module, Result, Tensor};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Linear, ModuleT};

use crate::error::Error;
use crate::network::{Activation, BATCH_NORM_EPSILON, Conv, Kind, Network, Op, Value};
use crate::weights::Weights;

/// A network as a candle module. Input and maps are NCHW, f32 or as candle computes them.
pub struct Reference {
    layers: Vec<Layer>,
    outputs: Vec<Vec<Value>>,
}

enum Layer {
    Input,
    Conv { input: Value, conv: Conv2d, norm: Option<BatchNorm>, activation: Activation },
    AddFirst { input: Value, shortcut: Value, channels: usize },
    GlobalMean { input: Value },
    Linear { input: Value, linear: Linear },
}

impl Reference {
    /// The network with its weights on a candle device, nothing folded or fused.
    ///
    /// # Errors
    /// [`Error::WeightsMismatch`] where the weights do not fit, [`Error::Candle`] from candle.
    pub fn new(network: &Network, weights: &Weights, device: &Device) -> std::result::Result<Self, Error> {
        weights.check(network)?;
        if weights.is_quantised() {
            let reason = "candle runs weights of floating point, these are of eight bits".into();
            return Err(Error::Network { network: network.name().to_owned(), reason });
        }
        let tensor = |name: String| -> Result<Tensor> {
            let found = weights.values(&name).zip(weights.shape(&name));
            let (values, shape) =
                found.ok_or_else(|| candle_core::Error::CannotFindTensor { path: name }.bt())?;
            Tensor::from_vec(values, shape, device)
        };
        let conv = |conv: &Conv, inputs: usize| -> Result<(Conv2d, Option<BatchNorm>)> {
            let weight = tensor(format!("{}.weight", conv.name))?;
            let bias = if conv.bias { Some(tensor(format!("{}.bias", conv.name))?) } else { None };
            let (padding, stride, groups) = match conv.kind {
                Kind::Full { stride } => (1, stride, 1),
                Kind::Depthwise { stride } => (1, stride, inputs),
                Kind::Pointwise => (0, 1, 1),
            };
            let config = Conv2dConfig { padding, stride, groups, ..Default::default() };
            let norm = match &conv.norm {
                Some(norm) => Some(BatchNorm::new(
                    conv.channels,
                    tensor(format!("{norm}.running_mean"))?,
                    tensor(format!("{norm}.running_var"))?,
                    tensor(format!("{norm}.weight"))?,
                    tensor(format!("{norm}.bias"))?,
                    BATCH_NORM_EPSILON,
                )?),
                None => None,
            };
            Ok((Conv2d::new(weight, bias, config), norm))
        };
        let mut channels = Vec::with_capacity(network.nodes().len());
        let mut layers = Vec::with_capacity(network.nodes().len());
        for node in network.nodes() {
            let input = node.input;
            let inputs = channels.get(input.0).copied().unwrap_or(0);
            let (layer, outputs) = match &node.op {
                Op::Input { channels } => (Layer::Input, *channels),
                Op::Conv(c) => {
                    let (conv, norm) = conv(c, inputs)?;
                    (Layer::Conv { input, conv, norm, activation: c.activation }, c.channels)
                }
                Op::AddFirst { shortcut, channels } => {
                    (Layer::AddFirst { input, shortcut: *shortcut, channels: *channels }, inputs)
                }
                Op::GlobalMean => (Layer::GlobalMean { input }, inputs),
                Op::Linear { name, channels } => {
                    let weight = tensor(format!("{name}.weight"))?;
                    let linear = Linear::new(weight, Some(tensor(format!("{name}.bias"))?));
                    (Layer::Linear { input, linear }, *channels)
                }
            };
            layers.push(layer);
            channels.push(outputs);
        }
        let outputs = network.outputs().iter().map(|output| output.parts.clone()).collect();
        Ok(Self { layers, outputs })
    }

    /// All outputs for a batch of pictures (N, 3, height, width): each output's maps in rows, columns,
    /// channels, laid one behind the other: (N, values).
    ///
    /// # Errors
    /// What candle reports, such as an input of another rank.
    pub fn forward_all(&self, input: &Tensor) -> Result<Vec<Tensor>> {
        let mut maps: Vec<Tensor> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let map = match layer {
                Layer::Input => input.to_dtype(DType::F32)?,
                Layer::Conv { input, conv, norm, activation } => {
                    let mut x = conv.forward(&maps[input.0])?;
                    if let Some(norm) = norm {
                        x = norm.forward_t(&x, false)?;
                    }
                    match activation {
                        Activation::Linear => x,
                        Activation::Relu6 => x.clamp(0f32, 6f32)?,
                    }
                }
                Layer::AddFirst { input, shortcut, channels } => {
                    let (x, from, count) = (&maps[input.0], &maps[shortcut.0], *channels);
                    let sum = (x.i((.., ..count))? + from.i((.., ..count))?)?;
                    if count == x.dim(1)? { sum } else { Tensor::cat(&[&sum, &x.i((.., count..))?], 1)? }
                }
                Layer::GlobalMean { input } => maps[input.0].mean((2, 3))?,
                Layer::Linear { input, linear } => linear.forward(&maps[input.0])?,
            };
            maps.push(map);
        }
        let flat = |value: &Value| -> Result<Tensor> {
            let map = &maps[value.0];
            let map = if map.rank() == 4 { map.permute((0, 2, 3, 1))? } else { map.clone() };
            map.contiguous()?.flatten_from(1)
        };
        let output =
            |parts: &Vec<Value>| Tensor::cat(&parts.iter().map(flat).collect::<Result<Vec<_>>>()?, 1);
        self.outputs.iter().map(output).collect()
    }
}

impl Module for Reference {
    /// All outputs of [`Reference::forward_all`] side by side: (N, values). A classifier has one: its logits.
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        Tensor::cat(&self.forward_all(input)?, 1)
    }
}
