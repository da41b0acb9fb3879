//! The classic bottleneck with depthwise convolutions: figure 3a of the MobileNeXt paper (arXiv 2007.02269), what its
//! sandglass block is compared with. Both depthwise convolutions are where the map is narrow, the shortcut is at the
//! wide ends.
//!
//! ```text
//! x ── 1×1 reduce, ReLU6 ── depthwise 3×3, ReLU6 ── depthwise 3×3, ReLU6 ── 1×1 expand ── + ──▶
//! └────────────────────────── the first channels of x ────────────────────────────────────┘
//! ```
//!
//! The skeleton is MobileNeXt's: the same stages, widths and reductions. What the paper leaves open is ours: ReLU6
//! after each depthwise as in its other blocks, a linear end, the stride in the second depthwise, no block without
//! depthwise, and the taps of a detector, which are whole outputs of blocks.

use super::mobilenext::{EXTRAS, IDENTITY_DIVISORS, STAGES, WIDTHS, channels_out, hidden_channels};
use super::{Backbone, Family, Features, Sequential, round_channels};
use crate::network::{
    Activation::{Linear, Relu6},
    Kind, NetworkBuilder, Value,
};

pub(super) const FAMILY: Family = Family {
    name: "classic",
    title: "Classic bottleneck",
    paper: "arXiv 2007.02269, figure 3a",
    widths: WIDTHS,
    identity_divisors: IDENTITY_DIVISORS,
    // Its paper compares at one size, and has no figure for a whole family.
    published: &[],
    features,
    extra,
    extras: EXTRAS,
};

/// The layers after which a detector reads: the last of stride 16, and the last.
const TAPS: [usize; 2] = [12, 20];

fn features(builder: &mut NetworkBuilder, backbone: &Backbone) -> Features {
    let width = backbone.width();
    let mut taps = [builder.input(); 2];
    let mut stem = Sequential::new(builder, "features.0", taps[0]);
    let mut x = stem.conv(Kind::Full { stride: 2 }, round_channels(32.0 * width, 8), Relu6).value;
    let mut layer = 1;
    for (reduction, channels, blocks, stride) in STAGES {
        let out = channels_out(channels, width);
        for i in 0..blocks {
            let input = builder.channels(x);
            let (stride, shared) = if i == 0 { (stride, 0) } else { (1, backbone.identity_channels(input)) };
            let hidden = hidden_channels(input, out, reduction);
            let end = block(builder, x, &format!("features.{layer}.conv"), hidden, out, stride);
            x = builder.add_first(end, x, shared);
            if let Some(tap) = TAPS.iter().position(|&tap| tap == layer) {
                taps[tap] = x;
            }
            layer += 1;
        }
    }
    Features { taps, last: x }
}

/// What a block adds to its shortcut.
fn block(
    builder: &mut NetworkBuilder,
    input: Value,
    name: &str,
    hidden: usize,
    out: usize,
    stride: usize,
) -> Value {
    let mut layers = Sequential::new(builder, name, input);
    layers.pointwise(hidden, Relu6).depthwise(1, Relu6).depthwise(stride, Relu6).pointwise(out, Linear).value
}

/// A detector's extra block.
fn extra(builder: &mut NetworkBuilder, input: Value, name: &str, hidden: usize, out: usize) -> Value {
    block(builder, input, &format!("{name}.conv"), hidden, out, 2)
}
