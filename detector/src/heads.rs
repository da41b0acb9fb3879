//! The SSDLite detector around a backbone: a class head and a box head on each of the trunk's six maps.
//!
//! As in the authors' VOC configuration: a head is a depthwise 3×3 with bias, batch norm and ReLU6, then
//! a 1×1 with bias; the last map, of one pixel, has a plain 1×1. Weights are named
//! `box_head.predictor.{cls,reg}_headers.LEVEL…`.

use sandglass_backbone::network::{Activation, Kind};
use sandglass_backbone::{Backbone, Network, NetworkBuilder};

use crate::anchors::BOXES_PER_CELL;

/// Side of the input in pixels.
pub const INPUT_SIZE: usize = 320;

/// Where the class logits are among the network's outputs: (anchors, classes).
pub(crate) const CLASS_LOGITS: usize = 0;
/// Where the box offsets are: (anchors, 4).
pub(crate) const BOX_DELTAS: usize = 1;

/// The whole detector with `classes` classes, the background included. Its outputs are `class_logits`
/// (anchors × classes) and `box_deltas` (anchors × 4), anchors by level, row, column and box.
#[must_use]
pub fn ssdlite(backbone: &Backbone, classes: usize) -> Network {
    let mut builder = NetworkBuilder::new(format!("SSDLite with {backbone}"));
    let maps = backbone.trunk(&mut builder);
    for (output, kind, values) in [("class_logits", "cls", classes), ("box_deltas", "reg", 4)] {
        let mut parts = Vec::with_capacity(maps.len());
        for (level, &map) in maps.iter().enumerate() {
            let name = format!("box_head.predictor.{kind}_headers.{level}");
            let channels = builder.channels(map);
            let outputs = BOXES_PER_CELL * values;
            let part = if level + 1 == maps.len() {
                builder.conv_bias(map, Kind::Pointwise, outputs, name, None, Activation::Linear)
            } else {
                let depthwise = Kind::Depthwise { stride: 1 };
                let (first, norm) = (format!("{name}.conv.0"), format!("{name}.conv.1"));
                let x = builder.conv_bias(map, depthwise, channels, first, Some(norm), Activation::Relu6);
                let last = format!("{name}.conv.3");
                builder.conv_bias(x, Kind::Pointwise, outputs, last, None, Activation::Linear)
            };
            parts.push(part);
        }
        builder.output(output, parts);
    }
    builder.finish()
}
