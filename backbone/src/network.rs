//! A network is data: typed operations over named weights, from which shapes, parameters and
//! multiply-adds follow. Architectures write it, engines run it, nothing else knows what it is made of.
//!
//! Names and shapes of weights are PyTorch's, so that checkpoints load without renaming: a convolution
//! `NAME` reads `NAME.weight` (O, I, kh, kw), its batch norm `NORM` reads `NORM.{weight,bias,running_mean,
//! running_var}`.

use crate::error::Error;

/// What batch norm adds to the variance (PyTorch's default, and the authors').
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// A feature map inside a network: the index of the node that makes it, counted from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub(crate) usize);

/// Height, width and channels of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels, the innermost dimension.
    pub channels: usize,
}

impl Shape {
    /// A shape from its three extents.
    #[must_use]
    pub const fn new(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, channels }
    }

    /// Values in the map: height × width × channels.
    #[must_use]
    pub const fn len(self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Height × width.
    #[must_use]
    pub const fn pixels(self) -> usize {
        self.height * self.width
    }
}

/// What follows a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// Nothing.
    Linear,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

/// How a convolution reads its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 3×3 over all channels, padded by one pixel: the stem.
    Full {
        /// 1 or 2.
        stride: usize,
    },
    /// 3×3, each channel by itself, padded by one pixel.
    Depthwise {
        /// 1 or 2.
        stride: usize,
    },
    /// 1×1 over all channels.
    Pointwise,
}

/// A convolution with what belongs to it: batch norm, bias, activation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    /// How it reads its input.
    pub kind: Kind,
    /// Channels it makes.
    pub channels: usize,
    /// Where its weights are: `NAME.weight`, and `NAME.bias` where `bias` is set.
    pub name: String,
    /// Whether it has a bias of its own.
    pub bias: bool,
    /// The name of its batch norm, where it has one.
    pub norm: Option<String>,
    /// What comes after.
    pub activation: Activation,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The network's input: `channels` channels of any size.
    Input {
        /// Channels of the input.
        channels: usize,
    },
    /// A convolution of one map.
    Conv(Conv),
    /// The first `channels` channels of `shortcut` added to those of the input: the shortcut with the
    /// identity tensor multiplier of the MobileNeXt paper (section 3.2).
    AddFirst {
        /// The other map, of the same height and width.
        shortcut: Value,
        /// How many channels are added; the rest passes.
        channels: usize,
    },
    /// The mean over all pixels: one row, one column.
    GlobalMean,
    /// A linear layer over the channels of a 1×1 map, with bias: `NAME.weight` (O, I), `NAME.bias` (O).
    Linear {
        /// Where its weights are.
        name: String,
        /// Outputs.
        channels: usize,
    },
}

/// An operation and the map it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What is done.
    pub op: Op,
    /// To which map (the input node reads itself).
    pub input: Value,
}

/// A named result: maps laid one behind the other, each in rows, columns, channels (HWC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// What it is called, such as `class_logits`.
    pub name: &'static str,
    /// The maps, in order.
    pub parts: Vec<Value>,
}

/// One named tensor of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its full name.
    pub name: String,
    /// Its shape as PyTorch has it.
    pub shape: Vec<usize>,
    /// Whether training changes it (running statistics are not counted as parameters).
    pub trained: bool,
}

/// A network without its weights. Made by [`NetworkBuilder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    name: String,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
}

impl Network {
    /// What it is called, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All operations in the order in which they run; node `i` makes the map `Value(i)`.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The results.
    #[must_use]
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The channels that `node` makes.
    fn channels(nodes: &[Node], value: Value) -> usize {
        match &nodes[value.0].op {
            Op::Input { channels } | Op::Linear { channels, .. } => *channels,
            Op::Conv(conv) => conv.channels,
            Op::AddFirst { .. } | Op::GlobalMean => Self::channels(nodes, nodes[value.0].input),
        }
    }

    /// Every tensor of weights, in the order of use.
    #[must_use]
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut list = Vec::new();
        let mut push =
            |name: String, shape: Vec<usize>, trained| list.push(Parameter { name, shape, trained });
        for node in &self.nodes {
            let inputs = Self::channels(&self.nodes, node.input);
            match &node.op {
                Op::Conv(conv) => {
                    let shape = match conv.kind {
                        Kind::Full { .. } => vec![conv.channels, inputs, 3, 3],
                        Kind::Depthwise { .. } => vec![conv.channels, 1, 3, 3],
                        Kind::Pointwise => vec![conv.channels, inputs, 1, 1],
                    };
                    push(format!("{}.weight", conv.name), shape, true);
                    if conv.bias {
                        push(format!("{}.bias", conv.name), vec![conv.channels], true);
                    }
                    if let Some(norm) = &conv.norm {
                        for (part, trained) in [
                            ("weight", true),
                            ("bias", true),
                            ("running_mean", false),
                            ("running_var", false),
                        ] {
                            push(format!("{norm}.{part}"), vec![conv.channels], trained);
                        }
                    }
                }
                Op::Linear { name, channels } => {
                    push(format!("{name}.weight"), vec![*channels, inputs], true);
                    push(format!("{name}.bias"), vec![*channels], true);
                }
                Op::Input { .. } | Op::AddFirst { .. } | Op::GlobalMean => {}
            }
        }
        list
    }

    /// How many trained values there are (running statistics are not counted).
    #[must_use]
    pub fn parameter_count(&self) -> usize {
        let sizes = self.parameters().into_iter().filter(|p| p.trained);
        sizes.map(|p| p.shape.iter().product::<usize>()).sum()
    }

    /// The shape of every map for an input of `height` × `width` pixels, by node.
    ///
    /// # Errors
    /// [`Error::Network`] where a side is 0 or above 16,384.
    pub fn shapes(&self, height: usize, width: usize) -> Result<Vec<Shape>, Error> {
        let sides = 1..=16_384;
        if !sides.contains(&height) || !sides.contains(&width) {
            return Err(Error::Network {
                network: self.name.clone(),
                reason: format!("an input of {height}×{width} pixels; sides of 1 to 16,384 can be taken"),
            });
        }
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let shape = match &node.op {
                Op::Input { channels } => Shape::new(height, width, *channels),
                Op::Conv(conv) => {
                    let input = shapes[node.input.0];
                    let stride = match conv.kind {
                        Kind::Full { stride } | Kind::Depthwise { stride } => stride,
                        Kind::Pointwise => 1,
                    };
                    Shape::new(input.height.div_ceil(stride), input.width.div_ceil(stride), conv.channels)
                }
                Op::AddFirst { .. } => shapes[node.input.0],
                Op::GlobalMean => Shape::new(1, 1, shapes[node.input.0].channels),
                Op::Linear { channels, .. } => Shape::new(1, 1, *channels),
            };
            shapes.push(shape);
        }
        Ok(shapes)
    }

    /// Multiply-adds of convolutions and linear layers for one input of `height` × `width` pixels.
    ///
    /// # Errors
    /// As [`Network::shapes`].
    pub fn multiply_adds(&self, height: usize, width: usize) -> Result<usize, Error> {
        let shapes = self.shapes(height, width)?;
        let each = self.nodes.iter().zip(&shapes).map(|(node, shape)| {
            let inputs = shapes[node.input.0].channels;
            match &node.op {
                Op::Conv(conv) => match conv.kind {
                    Kind::Full { .. } => shape.len() * inputs * 9,
                    Kind::Depthwise { .. } => shape.len() * 9,
                    Kind::Pointwise => shape.len() * inputs,
                },
                Op::Linear { channels, .. } => channels * inputs,
                Op::Input { .. } | Op::AddFirst { .. } | Op::GlobalMean => 0,
            }
        });
        Ok(each.sum())
    }
}

/// Writes a [`Network`] down, one operation after the other. Invariants hold by construction: an
/// operation reads only maps made before it.
#[derive(Clone, Debug)]
pub struct NetworkBuilder {
    name: String,
    prefix: String,
    nodes: Vec<Node>,
    outputs: Vec<Output>,
}

impl NetworkBuilder {
    /// A network with nothing but an input of 3 channels (RGB).
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let input = Node { op: Op::Input { channels: 3 }, input: Value(0) };
        Self { name: name.into(), prefix: String::new(), nodes: vec![input], outputs: Vec::new() }
    }

    /// From here on, names of weights begin with `prefix` (such as `backbone.`).
    pub fn set_prefix(&mut self, prefix: &str) {
        prefix.clone_into(&mut self.prefix);
    }

    /// The network's input.
    #[must_use]
    pub fn input(&self) -> Value {
        Value(0)
    }

    /// The channels of a map made by this builder.
    #[must_use]
    pub fn channels(&self, value: Value) -> usize {
        Network::channels(&self.nodes, value)
    }

    fn push(&mut self, op: Op, input: Value) -> Value {
        self.nodes.push(Node { op, input });
        Value(self.nodes.len() - 1)
    }

    /// A convolution without bias and its batch norm.
    pub fn conv_norm(
        &mut self,
        input: Value,
        kind: Kind,
        channels: usize,
        (name, norm): (String, String),
        activation: Activation,
    ) -> Value {
        let (name, norm) = (format!("{}{name}", self.prefix), Some(format!("{}{norm}", self.prefix)));
        self.push(Op::Conv(Conv { kind, channels, name, bias: false, norm, activation }), input)
    }

    /// A convolution with bias; `norm` and the activation follow where they are given.
    pub fn conv_bias(
        &mut self,
        input: Value,
        kind: Kind,
        channels: usize,
        name: String,
        norm: Option<String>,
        activation: Activation,
    ) -> Value {
        let name = format!("{}{name}", self.prefix);
        let norm = norm.map(|n| format!("{}{n}", self.prefix));
        self.push(Op::Conv(Conv { kind, channels, name, bias: true, norm, activation }), input)
    }

    /// The first `channels` channels of `shortcut` added to those of `input`; nothing is added for 0.
    pub fn add_first(&mut self, input: Value, shortcut: Value, channels: usize) -> Value {
        if channels == 0 { input } else { self.push(Op::AddFirst { shortcut, channels }, input) }
    }

    /// The classifier's end: mean over all pixels, dropout (nothing at inference), linear layer `name`.
    pub fn classify(&mut self, input: Value, name: &str, classes: usize) -> Value {
        let mean = self.push(Op::GlobalMean, input);
        let name = format!("{}{name}", self.prefix);
        self.push(Op::Linear { name, channels: classes }, mean)
    }

    /// Names a result made of `parts`, laid one behind the other.
    pub fn output(&mut self, name: &'static str, parts: Vec<Value>) {
        self.outputs.push(Output { name, parts });
    }

    /// The network.
    #[must_use]
    pub fn finish(self) -> Network {
        Network { name: self.name, nodes: self.nodes, outputs: self.outputs }
    }
}
