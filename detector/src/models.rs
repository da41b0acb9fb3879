//! The detectors there are: which backbones, which of them have trained weights, what is known of them.

use std::sync::Arc;

use sandglass_backbone::{Backbone, ModelInfo, Normalisation, Published, Weights};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::heads::{INPUT_SIZE, ssdlite};

/// The backbone of the default detector.
pub const DEFAULT: &str = "mobilenet-v2-1.0";

/// The classes of Pascal VOC in the order of the networks' outputs; 0 is the background.
pub const VOC_CLASSES: [&str; 21] = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
];

/// ImageNet's 1,000 classes, one a line, in torchvision's order and words.
pub const IMAGENET_CLASSES: &str = include_str!("../../assets/labels/imagenet.txt");

/// What the anchors of `anchors.rs` are called in a weights file.
pub(crate) const ANCHORS: &str = "voc320";

/// Weights that come inside the program.
struct Embedded {
    backbone: &'static str,
    bytes: &'static [u8],
    /// 11-point mAP on VOC2007 test, 0 to 1, as `sandglass-eval --voc VOC2007 --split test` printed it; see
    /// assets/MODELS.md.
    map: f64,
    /// Whether their training ended long before they were as good as the network can be.
    preliminary: bool,
}

#[cfg(feature = "embedded-weights")]
const EMBEDDED: &[Embedded] = &[
    Embedded {
        backbone: DEFAULT,
        bytes: include_bytes!("../../assets/weights/ssdlite-mobilenet-v2-1.0.safetensors"),
        map: 0.6173,
        preliminary: false,
    },
    Embedded {
        backbone: "mobilenet-v2-1.0-int8",
        bytes: include_bytes!("../../assets/weights/ssdlite-mobilenet-v2-1.0-int8.safetensors"),
        map: 0.6104,
        preliminary: false,
    },
    Embedded {
        backbone: "mobilenext-1.0",
        bytes: include_bytes!("../../assets/weights/ssdlite-mobilenext-1.0.safetensors"),
        map: 0.4290,
        preliminary: true,
    },
    Embedded {
        backbone: "mobilenext-1.0-int8",
        bytes: include_bytes!("../../assets/weights/ssdlite-mobilenext-1.0-int8.safetensors"),
        map: 0.4270,
        preliminary: true,
    },
];
#[cfg(not(feature = "embedded-weights"))]
const EMBEDDED: &[Embedded] = &[];

/// One detector as a list shows it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The backbone's name, such as `mobilenext-1.0-id2`.
    pub name: String,
    /// The family as a text writes it, such as `MobileNeXt`.
    pub family: &'static str,
    /// Trained values in the whole detector, 21 classes.
    pub parameters: usize,
    /// Multiply-adds for one picture of 320×320.
    pub multiply_adds: usize,
    /// Whether trained weights come with the program.
    pub trained: bool,
    /// Whether those weights are preliminary: their training was short, and another network detects better.
    pub preliminary: bool,
    /// 11-point mAP on VOC2007 test, 0 to 1, where it was measured.
    pub map: Option<f64>,
    /// What the backbone's authors published of it, in floating point.
    pub published: Option<Published>,
}

/// Every detector that can be asked for by name. Of those of eight bits only what comes with the program.
#[must_use]
pub fn all() -> Vec<Model> {
    let int8 = |backbone: &Backbone| {
        let int8 = backbone.with_int8(true);
        EMBEDDED.iter().any(|e| e.backbone == int8.to_string()).then_some(int8)
    };
    Backbone::all()
        .flat_map(|b| {
            let int8 = int8(&b);
            std::iter::once(b).chain(int8)
        })
        .map(|backbone| model(&backbone))
        .collect()
}

/// The detector of a backbone, be it listed or of a width of one's own.
#[must_use]
pub fn model(backbone: &Backbone) -> Model {
    let name = backbone.to_string();
    let network = ssdlite(backbone, VOC_CLASSES.len());
    let embedded = EMBEDDED.iter().find(|e| e.backbone == name);
    Model {
        family: backbone.family().title,
        parameters: network.parameter_count(),
        multiply_adds: network.multiply_adds(INPUT_SIZE, INPUT_SIZE).unwrap_or(0),
        trained: embedded.is_some(),
        preliminary: embedded.is_some_and(|e| e.preliminary),
        map: embedded.map(|e| e.map),
        published: backbone.published().filter(|_| !backbone.is_int8()),
        name,
    }
}

/// What a detector with Pascal VOC's classes says of itself when its weights say nothing.
#[must_use]
pub fn voc_info(backbone: Backbone, normalisation: Normalisation) -> ModelInfo {
    ModelInfo {
        backbone,
        classes: VOC_CLASSES.map(String::from).to_vec(),
        input_size: INPUT_SIZE,
        normalisation,
        anchors: ANCHORS.into(),
    }
}

/// The weights that come with the program for a backbone, or untrained ones.
pub fn weights(backbone: &Backbone) -> Result<(Weights, ModelInfo), Error> {
    let name = backbone.to_string();
    match EMBEDDED.iter().find(|e| e.backbone == name) {
        Some(embedded) => {
            let weights = Weights::from_bytes(&format!("embedded weights of {name}"), embedded.bytes)?;
            let info = weights.info()?;
            Ok((weights, info))
        }
        None if backbone.is_int8() => Err(Error::Model {
            path: name.into(),
            reason: "no such weights of eight bits come with the program; `sandglass-detect quantize` makes them of \
                     weights of floating point"
                .into(),
        }),
        None => {
            let weights = Weights::untrained(&ssdlite(backbone, VOC_CLASSES.len()));
            Ok((weights, voc_info(backbone.clone(), Normalisation::SSDLITE)))
        }
    }
}

/// The sums of the weights that come with the program, as `sha256sum` writes them.
#[cfg(feature = "embedded-weights")]
const SUMS: &str = include_str!("../../assets/weights/SHA256SUMS");
#[cfg(not(feature = "embedded-weights"))]
const SUMS: &str = "";

/// Tells of all weights inside the program whether they are those it was built with: by name what was found, or what is
/// wrong.
pub(crate) fn check_embedded(tell: &mut dyn FnMut(&str, Result<String, String>)) {
    for embedded in EMBEDDED {
        let sum: String = Sha256::digest(embedded.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let file = format!("ssdlite-{}.safetensors", embedded.backbone);
        let lines = SUMS.lines().filter_map(|line| line.split_once("  "));
        let outcome = match lines.filter(|(_, name)| *name == file).map(|(expected, _)| expected).next() {
            Some(expected) if expected == sum => Ok(format!("SHA-256 {}… as built", &sum[..12])),
            Some(_) => Err("they are not the bytes that the program was built with: get it anew".into()),
            None => Err("there is no sum to compare with".into()),
        };
        tell(embedded.backbone, outcome);
    }
}

/// Class names, shared by all detections.
pub(crate) fn labels(info: &ModelInfo) -> Arc<[Arc<str>]> {
    info.classes.iter().map(|name| Arc::from(name.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_the_papers() {
        let models = all();
        let counts = |name: &str| {
            let model = models.iter().find(|m| m.name == name).unwrap();
            (model.parameters, model.multiply_adds)
        };
        assert_eq!(counts("mobilenext-1.0"), (3_476_308, 708_726_528));
        assert_eq!(counts("mobilenet-v2-1.0"), (3_425_988, 682_447_872));
    }

    #[cfg(feature = "embedded-weights")]
    #[test]
    fn embedded_weights_fit_and_say_what_they_are() {
        for model in all().into_iter().filter(|m| m.trained) {
            let backbone: Backbone = model.name.parse().unwrap();
            let (weights, info) = weights(&backbone).unwrap();
            assert_eq!(info.backbone, backbone);
            assert_eq!(info.classes, VOC_CLASSES);
            assert_eq!((info.input_size, info.anchors.as_str()), (INPUT_SIZE, ANCHORS));
            weights.check(&ssdlite(&backbone, info.classes.len())).unwrap();
            assert_eq!(weights.metadata()["map_11_point"], format!("{:.4}", model.map.unwrap()));
            assert_eq!(weights.metadata()["training"].contains("preliminary"), model.preliminary);
        }
    }
}
