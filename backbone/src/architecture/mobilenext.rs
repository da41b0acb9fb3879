//! MobileNeXt: Daquan Zhou et al., "Rethinking Bottleneck Structure for Efficient Mobile Network Design",
//! ECCV 2020, arXiv 2007.02269, table 2, and the authors' code where it says more.
//!
//! The sandglass block turns the inverted residual inside out: the shortcut and both depthwise
//! convolutions are at the wide ends, the bottleneck is in the middle and linear.
//!
//! ```text
//! x ── depthwise 3×3, ReLU6 ── 1×1 reduce ── 1×1 expand, ReLU6 ── depthwise 3×3 ── + ──▶
//! └──────────────────── the first channels of x ─────────────────────────────────┘
//! ```

use super::{Backbone, Family, Features, Published, Sequential, round_channels};
use crate::network::{
    Activation::{Linear, Relu6},
    Kind, NetworkBuilder, Value,
};

pub(super) const FAMILY: Family = Family {
    name: "mobilenext",
    title: "MobileNeXt",
    paper: "arXiv 2007.02269",
    widths: WIDTHS,
    identity_divisors: IDENTITY_DIVISORS,
    published: &[
        ("mobilenext-1.4", Published::top1(76.1)),
        ("mobilenext-1.0", Published::timed(74.02, 211.0)),
        ("mobilenext-1.0-id2", Published::timed(74.09, 196.0)),
        ("mobilenext-1.0-id3", Published::timed(73.91, 195.0)),
        ("mobilenext-1.0-id6", Published::timed(73.68, 188.0)),
        ("mobilenext-0.75", Published::top1(72.0)),
        ("mobilenext-0.5", Published::top1(67.7)),
        ("mobilenext-0.35", Published::top1(64.7)),
    ],
    features,
    extra,
    extras: EXTRAS,
};

/// The paper's widths, in hundredths.
pub(super) const WIDTHS: &[u32] = &[140, 100, 75, 50, 35];

/// The paper's identity multipliers: 1, 1/2, 1/3, 1/6.
pub(super) const IDENTITY_DIVISORS: &[u32] = &[1, 2, 3, 6];

/// Hidden and output channels of a detector's extra blocks.
pub(super) const EXTRAS: [(usize, usize); 4] = [(256, 512), (128, 256), (128, 256), (128, 128)];

/// Reduction, channels, blocks, stride. The paper's table has two blocks of 960, the authors' code three.
pub(super) const STAGES: [(usize, usize, usize, usize); 8] = [
    (2, 96, 1, 2),
    (6, 144, 1, 1),
    (6, 192, 3, 2),
    (6, 288, 3, 2),
    (6, 384, 4, 1),
    (6, 576, 4, 2),
    (6, 960, 3, 1),
    (6, 1280, 1, 1),
];

/// The layers inside which a detector reads, before their last depthwise.
const TAPS: [usize; 2] = [13, 20];

fn features(builder: &mut NetworkBuilder, backbone: &Backbone) -> Features {
    let width = backbone.width();
    let mut taps = [builder.input(); 2];
    let mut stem = Sequential::new(builder, "features.0", taps[0]);
    let mut x = stem.conv(Kind::Full { stride: 2 }, round_channels(32.0 * width, 8), Relu6).value;
    let mut layer = 1;
    for (reduction, channels, blocks, stride) in STAGES {
        let out = channels_out(channels, width);
        for i in 0..blocks {
            let repeated = i > 0;
            // The stages of one block without a stride (144 and 1280 channels) are whole, but have no
            // shortcut. Elsewhere a stage's first block starts without a depthwise, and ends without one
            // where it has no stride either; the very first block is whole.
            let alone = blocks == 1 && stride == 1;
            let block = Block {
                hidden: hidden_channels(builder.channels(x), out, reduction),
                out,
                stride: if repeated { 1 } else { stride },
                leading: repeated || alone || reduction == 2,
                trailing: repeated || alone || stride == 2,
                shared: if repeated { backbone.identity_channels(builder.channels(x)) } else { 0 },
            };
            let widest;
            (x, widest) = block.write(builder, &format!("features.{layer}.conv"), x);
            if let Some(tap) = TAPS.iter().position(|&tap| tap == layer) {
                taps[tap] = widest;
            }
            layer += 1;
        }
    }
    Features { taps, last: x }
}

/// The channels of a stage's blocks at a width. The last stage never has fewer than the paper's table.
pub(super) fn channels_out(channels: usize, width: f64) -> usize {
    if channels == 1280 && width < 1.0 { channels } else { round_channels(channels as f64 * width, 8) }
}

/// The width of the bottleneck: the input over the reduction, but at least a sixth of the output, which
/// is then rounded up to 16.
pub(super) fn hidden_channels(input: usize, out: usize, reduction: usize) -> usize {
    let hidden = input / reduction;
    if hidden * 6 < out { round_channels(out.div_ceil(6) as f64, 16) } else { hidden }
}

/// One sandglass block.
struct Block {
    /// Channels of the bottleneck.
    hidden: usize,
    /// Channels of the output.
    out: usize,
    /// Of the trailing depthwise.
    stride: usize,
    /// Whether the leading depthwise is there.
    leading: bool,
    /// Whether the trailing depthwise is there.
    trailing: bool,
    /// Channels of the shortcut, 0 for none.
    shared: usize,
}

impl Block {
    /// The block's output and its widest map: what the expansion makes, where a detector reads.
    fn write(&self, builder: &mut NetworkBuilder, name: &str, input: Value) -> (Value, Value) {
        let mut layers = Sequential::new(builder, name, input);
        if self.leading {
            layers.depthwise(1, Relu6);
        }
        let widest = layers.pointwise(self.hidden, Linear).pointwise(self.out, Relu6).value;
        if self.trailing {
            layers.depthwise(self.stride, Linear);
        }
        let last = layers.value;
        (builder.add_first(last, input, self.shared), widest)
    }
}

/// A detector's extra block: stride-2 depthwise, linear reduction, expansion.
fn extra(builder: &mut NetworkBuilder, input: Value, name: &str, hidden: usize, out: usize) -> Value {
    let mut layers = Sequential::new(builder, name, input);
    layers.depthwise(2, Relu6).pointwise(hidden, Linear).pointwise(out, Relu6).value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bottlenecks() {
        assert_eq!(hidden_channels(32, 96, 2), 16);
        assert_eq!(hidden_channels(96, 144, 6), 32); // 16 would be less than a sixth of 144
        assert_eq!(hidden_channels(288, 288, 6), 48);
        assert_eq!(hidden_channels(1344, 1792, 6), 304);
    }
}
