//! Detectors as ONNX models, for other engines.

use std::path::Path;

use sandglass_backbone::onnx::OnnxModel;
use sandglass_backbone::{Backbone, Plan};

use crate::anchors::anchors;
use crate::decode::{MOST_GROWTH, VARIANCES};
use crate::error::Error;
use crate::heads::{INPUT_SIZE, ssdlite};
use crate::pipeline::load;

/// A detector as the bytes of an ONNX file: opset 17, the batch size open.
///
/// `input` is N × 3 × 320 × 320, normalised RGB; the metadata say with which `mean` and `std`. The outputs
/// are `class_logits` (N × 3234 × classes, background first) and `box_deltas` (N × 3234 × 4); with `decoded`
/// also `scores` (the softmax of the logits) and `boxes` (x1, y1, x2, y2 as shares of the picture's width and
/// height). Suppression of overlapping boxes is left to the reader.
///
/// Backbone and weights as in [`crate::DetectorBuilder`].
///
/// # Errors
/// [`Error`] where the backbone is unknown, or the weights cannot be read or do not fit.
pub fn onnx(backbone: Option<&str>, weights: Option<&Path>, decoded: bool) -> Result<Vec<u8>, Error> {
    let asked = backbone.map(str::parse::<Backbone>).transpose()?;
    let (weights, info) = load(asked.as_ref(), weights)?;
    let network = ssdlite(&info.backbone, info.classes.len());
    let plan = Plan::new(&network, &weights, INPUT_SIZE, INPUT_SIZE)?;
    let mut model = OnnxModel::new(&plan, network.name(), &[info.classes.len(), 4]);
    for (key, value) in info.to_metadata() {
        model.fact(&key, &value);
    }
    if decoded {
        decode(&mut model, info.classes.len());
    }
    Ok(model.encode())
}

/// What [`crate::decode`] does, as nodes.
fn decode(model: &mut OnnxModel, classes: usize) {
    let anchors = anchors();
    let pairs =
        |pair: fn(&crate::anchors::Anchor) -> [f32; 2]| anchors.iter().flat_map(pair).collect::<Vec<_>>();
    let dims = [1, anchors.len(), 2];
    model.floats("anchors.centre", &dims, &pairs(|a| [a.cx, a.cy]));
    model.floats("anchors.size", &dims, &pairs(|a| [a.width, a.height]));
    model.floats("anchors.reach", &dims, &pairs(|a| [a.width * VARIANCES.0, a.height * VARIANCES.0]));
    for (name, value) in [("growth", VARIANCES.1), ("most_growth", MOST_GROWTH), ("two", 2.0)] {
        model.floats(name, &[], &[value]);
    }
    for (name, value) in [("first", 0), ("middle", 2), ("end", 4), ("last_axis", 2)] {
        model.integers(name, &[value]);
    }
    model.node("Softmax", &["class_logits"], "scores", &[("axis", &[2])]);
    model.output("scores", &[anchors.len(), classes]);
    for (op, inputs, output) in [
        ("Slice", ["box_deltas", "first", "middle", "last_axis"].as_slice(), "deltas.centre"),
        ("Slice", &["box_deltas", "middle", "end", "last_axis"], "deltas.size"),
        ("Mul", &["deltas.centre", "anchors.reach"], "moved"),
        ("Add", &["moved", "anchors.centre"], "centre"),
        ("Mul", &["deltas.size", "growth"], "grown"),
        ("Min", &["grown", "most_growth"], "held"),
        ("Exp", &["held"], "factor"),
        ("Mul", &["factor", "anchors.size"], "size"),
        ("Div", &["size", "two"], "half"),
        ("Sub", &["centre", "half"], "corner.first"),
        ("Add", &["centre", "half"], "corner.last"),
    ] {
        model.node(op, inputs, output, &[]);
    }
    model.node("Concat", &["corner.first", "corner.last"], "boxes", &[("axis", &[2])]);
    model.output("boxes", &[anchors.len(), 4]);
}
