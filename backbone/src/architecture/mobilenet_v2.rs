//! MobileNetV2: Mark Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018,
//! arXiv 1801.04381, table 2. Weights are named as torchvision names them.

use super::{Backbone, Family, Features, Published, round_channels};
use crate::network::{
    Activation::{self, Linear, Relu6},
    Kind, NetworkBuilder, Value,
};

pub(super) const FAMILY: Family = Family {
    name: "mobilenet-v2",
    title: "MobileNetV2",
    paper: "arXiv 1801.04381",
    widths: &[140, 100, 75, 50, 35],
    identity_divisors: &[1],
    // As the MobileNeXt paper has them, trained in the same way as its own.
    published: &[
        ("mobilenet-v2-1.4", Published::top1(74.9)),
        ("mobilenet-v2-1.0", Published::top1(72.3)),
        ("mobilenet-v2-0.75", Published::top1(69.9)),
    ],
    features,
    extra: inverted_residual_extra,
    extras: EXTRAS,
};

/// Hidden and output channels of a detector's extra blocks; MobileNetV1 has the same.
pub(super) const EXTRAS: [(usize, usize); 4] = [(256, 512), (256, 256), (128, 256), (128, 64)];

/// Expansion, channels, blocks, stride.
const STAGES: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// The layer of 96 channels after which a detector reads first; it reads the last layer next.
const FIRST_TAP: usize = 13;

fn features(builder: &mut NetworkBuilder, backbone: &Backbone) -> Features {
    let width = backbone.width();
    let input = builder.input();
    let stem = round_channels(32.0 * width, 8);
    let mut x = unit(builder, input, "features.0", Kind::Full { stride: 2 }, stem, Relu6);
    let mut first_tap = x;
    let mut layer = 1;
    for (expansion, channels, blocks, stride) in STAGES {
        let out = round_channels(channels as f64 * width, 8);
        for i in 0..blocks {
            let expanded = (expansion > 1).then(|| builder.channels(x) * expansion);
            let stride = if i == 0 { stride } else { 1 };
            x = inverted_residual(builder, x, &format!("features.{layer}.conv"), expanded, out, stride);
            if layer == FIRST_TAP {
                first_tap = x;
            }
            layer += 1;
        }
    }
    let last = round_channels(1280.0 * width.max(1.0), 8);
    let last = unit(builder, x, &format!("features.{layer}"), Kind::Pointwise, last, Relu6);
    Features { taps: [first_tap, last], last }
}

/// Convolution and batch norm as `NAME.0` and `NAME.1`.
fn unit(
    builder: &mut NetworkBuilder,
    input: Value,
    name: &str,
    kind: Kind,
    channels: usize,
    activation: Activation,
) -> Value {
    builder.conv_norm(input, kind, channels, (format!("{name}.0"), format!("{name}.1")), activation)
}

/// 1×1 expand (where `expanded` is given), depthwise 3×3, 1×1 project (linear); the shortcut joins the
/// narrow ends where their shapes agree.
fn inverted_residual(
    builder: &mut NetworkBuilder,
    input: Value,
    name: &str,
    expanded: Option<usize>,
    out: usize,
    stride: usize,
) -> Value {
    let mut x = input;
    let mut index = 0;
    if let Some(expanded) = expanded {
        x = unit(builder, x, &format!("{name}.{index}"), Kind::Pointwise, expanded, Relu6);
        index += 1;
    }
    let channels = builder.channels(x);
    x = unit(builder, x, &format!("{name}.{index}"), Kind::Depthwise { stride }, channels, Relu6);
    // The projection is not wrapped in a unit of its own: its two parts are numbered in the block's list.
    let names = (format!("{name}.{}", index + 1), format!("{name}.{}", index + 2));
    x = builder.conv_norm(x, Kind::Pointwise, out, names, Linear);
    let same = stride == 1 && builder.channels(input) == out;
    builder.add_first(x, input, if same { out } else { 0 })
}

/// A detector's extra block: an inverted residual of stride 2.
pub(super) fn inverted_residual_extra(
    builder: &mut NetworkBuilder,
    input: Value,
    name: &str,
    hidden: usize,
    out: usize,
) -> Value {
    inverted_residual(builder, input, &format!("{name}.conv"), Some(hidden), out, 2)
}
