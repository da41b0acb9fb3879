//! MobileNetV1: Andrew Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile
//! Vision Applications", arXiv 1704.04861, table 1. Padded on all sides, as PyTorch does it.

use super::{Backbone, Family, Features, Published, Sequential, mobilenet_v2, round_channels};
use crate::network::{Activation::Relu6, Kind, NetworkBuilder};

pub(super) const FAMILY: Family = Family {
    name: "mobilenet-v1",
    title: "MobileNetV1",
    paper: "arXiv 1704.04861",
    widths: &[100, 75, 50, 25],
    identity_divisors: &[1],
    // Of its own paper, table 6.
    published: &[
        ("mobilenet-v1-1.0", Published::top1(70.6)),
        ("mobilenet-v1-0.75", Published::top1(68.4)),
        ("mobilenet-v1-0.5", Published::top1(63.7)),
        ("mobilenet-v1-0.25", Published::top1(50.6)),
    ],
    features,
    extra: mobilenet_v2::inverted_residual_extra,
    extras: mobilenet_v2::EXTRAS,
};

/// Channels and stride of each depthwise-separable layer.
const LAYERS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

/// The last layer of 512 channels, after which a detector reads first; it reads the last layer next.
const FIRST_TAP: usize = 11;

fn features(builder: &mut NetworkBuilder, backbone: &Backbone) -> Features {
    let width = backbone.width();
    let input = builder.input();
    let mut stem = Sequential::new(builder, "features.0", input);
    let mut x = stem.conv(Kind::Full { stride: 2 }, round_channels(32.0 * width, 8), Relu6).value;
    let mut first_tap = x;
    for (i, (channels, stride)) in LAYERS.into_iter().enumerate() {
        let layer = i + 1;
        let out = round_channels(channels as f64 * width, 8);
        let mut layers = Sequential::new(builder, &format!("features.{layer}"), x);
        x = layers.depthwise(stride, Relu6).pointwise(out, Relu6).value;
        if layer == FIRST_TAP {
            first_tap = x;
        }
    }
    Features { taps: [first_tap, x], last: x }
}
