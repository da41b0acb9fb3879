//! Which network weights are of, by their names and shapes: for files that do not say it themselves.

use std::path::Path;

use sandglass_backbone::{Backbone, ModelInfo, Network, Normalisation, Weights};

use crate::error::Error;
use crate::heads::ssdlite;
use crate::models::{IMAGENET_CLASSES, VOC_CLASSES, voc_info};

/// The facts about weights that are laid out as the authors' SSDLite detector (`backbone.…`, `box_head.…`) or as
/// torchvision's classifiers (`features.…`, `classifier.…`).
///
/// Shapes do not tell how much of the shortcut is carried: without `backbone` it is taken to be all of it.
/// A detector is taken to have the authors' preprocessing, a classifier ImageNet's mean and deviation (and
/// MobileNetV1's classifiers the range -1 to 1, as TensorFlow trained them). `classes` names the classes,
/// a detector's without the background; 20 of a detector are taken to be Pascal VOC's, 1,000 of a classifier
/// ImageNet's in torchvision's order.
///
/// # Errors
/// [`Error::Backbone`] where the weights do not fit, with every tensor that is missing, left over, of another shape or
/// not finite; [`Error::Model`] where they are of neither kind, or the number of classes is another.
pub fn recognise(
    weights: &Weights,
    path: &Path,
    backbone: Option<Backbone>,
    classes: Option<Vec<String>>,
) -> Result<ModelInfo, Error> {
    let refuse = |reason: String| Error::Model { path: path.to_owned(), reason };
    let rows = |name: &str| weights.shape(name).and_then(|shape| shape.first().copied());
    let is_detector = weights.names().any(|name| name.starts_with("box_head."));
    let outputs = match is_detector {
        // The last class head is a plain 1×1 with six boxes.
        true => rows("box_head.predictor.cls_headers.5.bias").map(|n| n / crate::anchors::BOXES_PER_CELL),
        false => rows("classifier.1.bias"),
    };
    let outputs = outputs.filter(|n| (2..=100_000).contains(n)).ok_or_else(|| {
        refuse(
            "neither a detector laid out as the authors' SSDLite (box_head.predictor.cls_headers.5.bias) nor a \
             classifier laid out as torchvision's MobileNetV2 (classifier.1.bias)"
                .into(),
        )
    })?;
    let network =
        |b: &Backbone| -> Network { if is_detector { ssdlite(b, outputs) } else { b.classifier(outputs) } };
    let backbone = match backbone {
        Some(backbone) => backbone,
        None => {
            closest(weights, network).ok_or_else(|| refuse("there is no backbone to compare with".into()))?
        }
    };
    weights.check(&network(&backbone))?;

    let normalisation = match (is_detector, backbone.family().name) {
        (true, _) => Normalisation::SSDLITE,
        (false, "mobilenet-v1") => Normalisation { mean: [127.5; 3], deviation: [127.5; 3] },
        (false, _) => Normalisation::IMAGENET,
    };
    let mut info = voc_info(backbone, normalisation);
    let named = outputs - usize::from(is_detector);
    let names = match classes {
        Some(names) if names.len() != named => {
            return Err(refuse(format!(
                "{} class names were given, the network has {named} classes",
                names.len()
            )));
        }
        Some(names) => names,
        None if is_detector && outputs == VOC_CLASSES.len() => {
            VOC_CLASSES[1..].iter().map(|c| (*c).into()).collect()
        }
        None if !is_detector && named == IMAGENET_CLASSES.lines().count() => {
            IMAGENET_CLASSES.lines().map(str::to_owned).collect()
        }
        None => (0..named).map(|i| format!("class{i}")).collect(),
    };
    info.classes = is_detector.then(|| VOC_CLASSES[0].to_owned()).into_iter().chain(names).collect();
    if !is_detector {
        (info.input_size, info.anchors) = (224, String::new());
    }
    Ok(info)
}

/// The backbone whose network fits the weights best.
fn closest(weights: &Weights, network: impl Fn(&Backbone) -> Network) -> Option<Backbone> {
    let misfits = |backbone: &Backbone| {
        let parameters = network(backbone).parameters();
        let fit = parameters.iter().filter(|p| weights.shape(&p.name) == Some(&p.shape)).count();
        parameters.len().max(weights.names().count()) - fit
    };
    Backbone::all().filter(|b| b.identity_divisor() == 1).min_by_key(misfits)
}
