//! Detectors and classifiers in eight bits: pictures in, a weights file out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use sandglass_backbone::quantise::Method;
use sandglass_backbone::quantise::quantise;
use sandglass_backbone::weights::quantised::{FLOAT_LAYERS, QUANTISATION, save};
use sandglass_backbone::{Backbone, ModelInfo, Network, Plan, Weights};

use crate::classify::middle;
use crate::error::Error;
use crate::frame::Frame;
use crate::heads::ssdlite;
use crate::pipeline::load;
use crate::preprocess::Preprocessor;
use crate::recognise::recognise;

/// Pictures below which scales are guesses.
const FEW: usize = 50;
/// Values between the darkest and the brightest below which there is nothing on a picture.
const BLANK: u8 = 8;

/// Collects the pictures that a network is calibrated with, see [`Calibration::finish`].
pub struct Calibration {
    info: ModelInfo,
    plan: Plan,
    /// Facts of the weights that the result keeps.
    facts: BTreeMap<String, String>,
    trained: bool,
    preprocessor: Preprocessor,
    pictures: Vec<Vec<u8>>,
    blank: usize,
}

/// A network in eight bits.
pub struct QuantisedModel {
    info: ModelInfo,
    plan: Plan,
    facts: BTreeMap<String, String>,
    /// Of each output the ratio of signal to error in decibels, over some of the pictures.
    pub signal_to_error: Vec<(&'static str, f64)>,
    /// The layers that stay in floating point.
    pub float_layers: Vec<String>,
}

impl Calibration {
    /// For a detector, or a classifier where `weights` are of one. Backbone and weights as in
    /// [`crate::DetectorBuilder`].
    ///
    /// # Errors
    /// [`Error`] where the backbone is unknown, the weights cannot be read or do not fit, or are of eight bits
    /// already.
    pub fn open(backbone: Option<&str>, weights: Option<&Path>) -> Result<Self, Error> {
        let asked = backbone.map(str::parse::<Backbone>).transpose()?;
        let (weights, info) = open(asked.as_ref(), weights)?;
        if weights.is_quantised() {
            let reason = "these weights are of eight bits already; give those of floating point".into();
            return Err(Error::Model { path: weights.path().to_owned(), reason });
        }
        let is_detector = !info.anchors.is_empty();
        let network: Network = match is_detector {
            true => ssdlite(&info.backbone, info.classes.len()),
            false => info.backbone.classifier(info.classes.len()),
        };
        Ok(Self {
            plan: Plan::new(&network, &weights, info.input_size, info.input_size)?,
            facts: weights.metadata().clone(),
            trained: weights.is_trained(),
            preprocessor: Preprocessor::new(info.input_size),
            info,
            pictures: Vec::new(),
            blank: 0,
        })
    }

    /// Takes a picture in, prepared as the network will see it: about 300 kB of memory each.
    ///
    /// # Errors
    /// [`Error::Frame`] where a classifier cannot cut a square out of it.
    pub fn add(&mut self, frame: &Frame) -> Result<(), Error> {
        let side = self.info.input_size;
        let picture = if self.info.anchors.is_empty() {
            middle(frame, side)?
        } else {
            let mut picture = vec![0; side * side * 3];
            self.preprocessor.run(frame.view(), &mut picture);
            picture
        };
        let (darkest, brightest) = picture.iter().fold((255, 0), |(d, b), &v| (v.min(d), v.max(b)));
        self.blank += usize::from(brightest.saturating_sub(darkest) < BLANK);
        self.pictures.push(picture);
        Ok(())
    }

    /// How many pictures there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// What may make the result poor, in words.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let count = self.pictures.len();
        if (1..FEW).contains(&count) {
            warnings.push(format!(
                "{count} picture{} to calibrate with; scales are reliable from a few hundred on",
                if count == 1 { "" } else { "s" }
            ));
        }
        if self.blank > 0 {
            warnings.push(format!(
                "{} of {count} pictures are blank: nothing can be learned from them",
                self.blank
            ));
        }
        if !self.trained {
            warnings.push("the weights are untrained: so is the result".into());
        }
        warnings
    }

    /// Quantises. `progress` is told how many of how many runs of the network are done.
    ///
    /// # Errors
    /// [`Error::Source`] where there is no picture with anything on it, [`Error::Backbone`] where the network has a
    /// form that is not run in integers.
    pub fn finish(
        self,
        method: Method,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<QuantisedModel, Error> {
        if self.blank == self.pictures.len() {
            return Err(Error::Source(match self.blank {
                0 => "there are no pictures to calibrate with; give a few hundred of the kind that the network will see"
                    .into(),
                n => format!("all {n} pictures are blank: nothing can be learned from them; give real ones"),
            }));
        }
        let quantised = quantise(&self.plan, &self.info.normalisation, &self.pictures, method, progress)?;
        let steps =
            quantised.plan.steps.iter().zip(quantised.plan.quantisation.iter().flat_map(|q| &q.steps));
        let float_layers: Vec<String> = steps
            .filter(|(step, integers)| integers.is_none() && !step.weights.is_empty())
            .map(|(step, _)| step.name.clone())
            .collect();
        let info = ModelInfo { backbone: self.info.backbone.with_int8(true), ..self.info };
        let mut facts = self.facts;
        facts.extend(info.to_metadata());
        let name = match method {
            Method::MinMax => "minmax",
            Method::Percentile => "percentile",
            Method::Mse => "mse",
        };
        let count = self.pictures.len();
        facts.insert(
            QUANTISATION.into(),
            format!("int8 weights by output channel, uint8 maps by tensor; {name}, {count} pictures"),
        );
        facts.insert(FLOAT_LAYERS.into(), float_layers.join(","));
        // What was measured was measured in floating point.
        facts.retain(|name, _| !name.starts_with("map"));
        Ok(QuantisedModel {
            info,
            plan: quantised.plan,
            facts,
            signal_to_error: quantised.signal_to_error,
            float_layers,
        })
    }
}

impl QuantisedModel {
    /// Which network it is.
    #[must_use]
    pub fn backbone(&self) -> &Backbone {
        &self.info.backbone
    }

    /// Writes the weights file. It appears whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Backbone`] where it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let part = PathBuf::from(format!("{}.part", path.display()));
        let written = save(&self.plan, &part, &self.facts).map_err(Error::from).and_then(|()| {
            std::fs::rename(&part, path).map_err(|source| Error::Io { path: path.to_owned(), source })
        });
        if written.is_err() {
            // What is there of it is of no use; that it cannot be removed, either, changes nothing.
            let _ = std::fs::remove_file(&part);
        }
        written
    }
}

/// The weights, of a detector or a classifier, and what they are of.
fn open(asked: Option<&Backbone>, path: Option<&Path>) -> Result<(Weights, ModelInfo), Error> {
    let Some(path) = path else { return load(asked, None) };
    let weights = Weights::open(path)?;
    let info = match weights.info() {
        Ok(info) => info,
        Err(_) => recognise(&weights, path, asked.cloned(), None)?,
    };
    if !info.anchors.is_empty() {
        drop(weights);
        return load(asked, Some(path));
    }
    match asked {
        Some(asked) if *asked != info.backbone => Err(Error::Model {
            path: path.to_owned(),
            reason: format!("these are weights of {}, not of {asked}", info.backbone),
        }),
        _ => Ok((weights, info)),
    }
}
