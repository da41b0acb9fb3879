//! The facts that travel with a model: what it is, what it finds, how its input is prepared.

use std::collections::BTreeMap;

use super::quantised::QUANTISATION;
use crate::architecture::Backbone;

/// How RGB values of 0 to 255 become a network's input: `(value - mean) / deviation`, a channel each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    /// Subtracted, for R, G, B.
    pub mean: [f32; 3],
    /// Divided by, for R, G, B.
    pub deviation: [f32; 3],
}

impl Normalisation {
    /// The authors' SSDLite detector: mean (123, 117, 104), ImageNet's deviation.
    pub const SSDLITE: Self = Self { mean: [123.0, 117.0, 104.0], deviation: [58.395, 57.12, 57.375] };
    /// ImageNet classifiers of torchvision.
    pub const IMAGENET: Self = Self { mean: [123.675, 116.28, 103.53], deviation: [58.395, 57.12, 57.375] };
}

/// What a weights file says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// Which network.
    pub backbone: Backbone,
    /// Class names in the order of the network's outputs; a detector's first is the background.
    pub classes: Vec<String>,
    /// Side of the square input in pixels.
    pub input_size: usize,
    /// How the input is prepared.
    pub normalisation: Normalisation,
    /// Which anchors a detector uses (`voc320`); empty for a classifier.
    pub anchors: String,
}

impl ModelInfo {
    /// As names and texts, for a file.
    #[must_use]
    pub fn to_metadata(&self) -> BTreeMap<String, String> {
        let numbers = |v: [f32; 3]| v.map(|x| x.to_string()).join(",");
        let int8 = self.backbone.is_int8().then(|| (QUANTISATION, "int8".to_owned()));
        let identity = match self.backbone.identity_divisor() {
            1 => "1".to_owned(),
            divisor => format!("1/{divisor}"),
        };
        BTreeMap::from_iter(
            [
                ("architecture", self.backbone.family().name.to_owned()),
                ("width", format!("{:?}", self.backbone.width())),
                ("identity_multiplier", identity),
                ("classes", self.classes.join(",")),
                ("input_size", self.input_size.to_string()),
                ("mean", numbers(self.normalisation.mean)),
                ("std", numbers(self.normalisation.deviation)),
                ("anchors", self.anchors.clone()),
            ]
            .into_iter()
            .chain(int8)
            .map(|(name, text)| (name.to_owned(), text)),
        )
    }

    /// From names and texts.
    pub(super) fn from_metadata(facts: &BTreeMap<String, String>) -> Result<Self, String> {
        let text = |name: &str| {
            facts.get(name).map(String::as_str).ok_or_else(|| format!("its metadata has no {name:?}"))
        };
        let wrong = |name: &str, value: &str| format!("its metadata's {name:?} is {value:?}");
        let triple = |name: &str| -> Result<[f32; 3], String> {
            let value = text(name)?;
            let parts: Vec<f32> = value.split(',').filter_map(|part| part.trim().parse().ok()).collect();
            match <[f32; 3]>::try_from(parts) {
                Ok(numbers) if numbers.iter().all(|x| x.is_finite()) => Ok(numbers),
                _ => Err(wrong(name, value)),
            }
        };
        let width = text("width")?;
        let identity = text("identity_multiplier")?;
        let divisor = match identity.split_once('/') {
            Some((_, divisor)) => divisor.trim().parse().unwrap_or(0.0),
            None => 1.0 / identity.trim().parse::<f64>().unwrap_or(0.0),
        };
        let architecture = text("architecture")?;
        let divisor = Some(divisor.round()).filter(|rounded| (rounded - divisor).abs() < 0.05);
        let backbone = divisor
            .zip(width.trim().parse().ok())
            .and_then(|(divisor, width)| Backbone::new(architecture, width, divisor as u32));
        let backbone = backbone.ok_or_else(|| {
            format!("there is no {architecture} of width {width} with identity multiplier {identity}")
        })?;
        let size = text("input_size")?;
        let input_size = size.trim().parse().ok().filter(|side| (32..=4096).contains(side));
        let normalisation = Normalisation { mean: triple("mean")?, deviation: triple("std")? };
        if normalisation.deviation.iter().any(|&x| x <= 0.0) {
            return Err(wrong("std", text("std")?));
        }
        let backbone = backbone.with_int8(facts.contains_key(QUANTISATION));
        Ok(Self {
            backbone,
            classes: text("classes")?.split(',').map(|class| class.trim().to_owned()).collect(),
            input_size: input_size.ok_or_else(|| wrong("input_size", size))?,
            normalisation,
            anchors: facts.get("anchors").cloned().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str) -> ModelInfo {
        ModelInfo {
            backbone: name.parse().unwrap(),
            classes: vec!["background".into(), "cat".into()],
            input_size: 320,
            normalisation: Normalisation::SSDLITE,
            anchors: "voc320".into(),
        }
    }

    #[test]
    fn every_backbone_round_trips() {
        for backbone in Backbone::all().flat_map(|b| [b.with_int8(true), b]) {
            let written = info(&backbone.to_string());
            assert_eq!(ModelInfo::from_metadata(&written.to_metadata()), Ok(written));
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (name, value) in [("std", "0,1,1"), ("mean", "1,2"), ("width", "7"), ("input_size", "1e9")] {
            let mut facts = info("mobilenext-1.0").to_metadata();
            facts.insert(name.into(), value.into());
            let wrong = ModelInfo::from_metadata(&facts).unwrap_err();
            assert!(wrong.contains(name) && wrong.contains(value), "{wrong}");
            facts.remove(name);
            assert!(ModelInfo::from_metadata(&facts).unwrap_err().contains(name));
        }
        let mut facts = info("mobilenext-1.0").to_metadata();
        facts.insert("identity_multiplier".into(), "0.5".into());
        assert_eq!(ModelInfo::from_metadata(&facts).unwrap().backbone.to_string(), "mobilenext-1.0-id2");
    }
}
