//! What a picture is of: an ImageNet classifier.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use image::imageops::FilterType;
use image::{ImageBuffer, Rgb};
#[cfg(feature = "cuda")]
use sandglass_backbone::cuda;
use sandglass_backbone::{Backbone, CpuEngine, Engine, Plan, Weights};

use crate::error::Error;
use crate::frame::Frame;
use crate::recognise::recognise;
use crate::settings::Device;

/// The short side of a picture before its middle is cut out, over the side of what is cut out: 256 to 224.
const SHORT_SIDE: f64 = 256.0 / 224.0;

/// A class that a picture may be of.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// Its name.
    pub label: Arc<str>,
    /// Its number, from 0.
    pub class_id: usize,
    /// Softmax probability, 0 to 1.
    pub probability: f32,
}

/// Tells what a picture is of. One may be shared between threads, which then take turns.
pub struct Classifier {
    engine: Mutex<Box<dyn Engine>>,
    labels: Vec<Arc<str>>,
    side: usize,
    backbone: Backbone,
    description: String,
}

impl Classifier {
    /// Loads a classifier's weights (safetensors, named as torchvision names them). What the file does not say of
    /// itself is taken from names and shapes ([`recognise`]).
    ///
    /// # Errors
    /// [`Error::Backbone`] where the file cannot be read or does not fit, [`Error::Model`] where it is of a detector
    /// or of no network that is known.
    pub fn open(path: &Path, backbone: Option<&str>, device: Device, threads: usize) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Model { path: path.to_owned(), reason };
        let asked = backbone.map(str::parse::<Backbone>).transpose()?;
        let weights = Weights::open(path)?;
        let info = match weights.info() {
            Ok(info) => info,
            Err(_) => recognise(&weights, path, asked.clone(), None)?,
        };
        if !info.anchors.is_empty() {
            return Err(refuse("these are weights of a detector, not of a classifier".into()));
        }
        if let Some(asked) = asked.filter(|asked| *asked != info.backbone) {
            return Err(refuse(format!("these are weights of {}, not of {asked}", info.backbone)));
        }
        let network = info.backbone.classifier(info.classes.len());
        let mut plan = Plan::new(&network, &weights, info.input_size, info.input_size)?;
        plan.take_pixels(&info.normalisation);
        let engine = engine(device, plan, threads)?;
        Ok(Self {
            description: engine.describe(),
            engine: Mutex::new(engine),
            labels: info.classes.iter().map(|name| Arc::from(name.as_str())).collect(),
            side: info.input_size,
            backbone: info.backbone,
        })
    }

    /// The most probable `top` classes of a frame, best first. The short side is made 256 pixels (of 224), smoothly, and
    /// the middle is looked at, as in torchvision's evaluation.
    ///
    /// # Errors
    /// [`Error::Backbone`] where a GPU fails.
    pub fn classify(&self, frame: &Frame, top: usize) -> Result<Vec<Guess>, Error> {
        let pixels = middle(frame, self.side)?;
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.run_pixels(&pixels)?;
        let logits = engine.output(0);
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|l| f64::from(l - most).exp()).sum();
        let mut order: Vec<usize> = (0..logits.len().min(self.labels.len())).collect();
        // The order of equal ones is that of the classes.
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let guess = |class_id: usize| {
            let probability = (f64::from(logits[class_id] - most).exp() / sum) as f32;
            Guess { label: Arc::clone(&self.labels[class_id]), class_id, probability }
        };
        Ok(order.into_iter().take(top).map(guess).collect())
    }

    /// The classes by number.
    #[must_use]
    pub fn classes(&self) -> &[Arc<str>] {
        &self.labels
    }

    /// The network.
    #[must_use]
    pub fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    /// What the network runs on, for people.
    #[must_use]
    pub fn engine(&self) -> &str {
        &self.description
    }
}

/// A classifier's input of `side` pixels: a square of the middle, a byte a channel.
pub(crate) fn middle(frame: &Frame, side: usize) -> Result<Vec<u8>, Error> {
    let (width, height) = (frame.width(), frame.height());
    let short = (side as f64 * SHORT_SIDE).round();
    let scale = short / f64::from(width.min(height));
    // torchvision cuts the long side's fraction off.
    let scaled = |side: u32| ((f64::from(side) * scale + 1e-9) as u32).max(1);
    let pixels: Vec<u8> = (0..height).flat_map(|y| frame.row(y)).copied().collect();
    let refuse = |reason: &str| Error::Frame { width, height, reason: reason.into() };
    let picture: ImageBuffer<Rgb<u8>, _> =
        ImageBuffer::from_raw(width, height, pixels).ok_or_else(|| refuse("its rows are not whole"))?;
    let (wide, high) = (scaled(width), scaled(height));
    if u64::from(wide.max(high)) > u64::from(crate::frame::MAX_SIDE) {
        return Err(refuse("too long and thin to be cut to a square"));
    }
    let picture = match (wide, high) == (width, height) {
        true => picture,
        false => image::imageops::resize(&picture, wide, high, FilterType::Triangle),
    };
    let side = side as u32;
    let start = |length: u32| (f64::from(length.saturating_sub(side)) / 2.0).round_ties_even() as u32;
    let (left, top) = (start(wide), start(high));
    Ok(image::imageops::crop_imm(&picture, left, top, side, side).to_image().into_raw())
}

/// An engine for a plan that takes pixels, where any device will do for [`Device::Auto`].
fn engine(device: Device, plan: Plan, threads: usize) -> Result<Box<dyn Engine>, Error> {
    #[cfg(feature = "cuda")]
    {
        let on = |gpu: cuda::Device, plan: Plan| -> Result<Box<dyn Engine>, Error> {
            Ok(Box::new(cuda::CudaEngine::new(&gpu, plan, cuda::CudaOptions::default())?))
        };
        match device {
            Device::Cpu => {}
            Device::Cuda(index) => return on(cuda::Device::open(index)?, plan),
            Device::Auto => {
                if let Ok(gpu) = cuda::Device::open(0) {
                    return on(gpu, plan);
                }
            }
        }
    }
    #[cfg(not(feature = "cuda"))]
    if let Device::Cuda(_) = device {
        return Err(Error::Device(
            "this program was built without CUDA; choose the device cpu or auto".into(),
        ));
    }
    Ok(Box::new(CpuEngine::new(plan, threads)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHTS: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/weights/imagenet-mobilenet-v1-1.0.safetensors");

    #[test]
    fn probabilities_are_those_of_pytorch() {
        if !Path::new(WEIGHTS).exists() {
            return eprintln!("skipped: {WEIGHTS} does not ship");
        }
        let classifier = Classifier::open(Path::new(WEIGHTS), None, Device::Cpu, 1).unwrap();
        assert_eq!(classifier.backbone().to_string(), "mobilenet-v1-1.0");
        // A made-up picture that needs no resizing, and what PyTorch says of its middle.
        let side = 256_i64;
        let pixel = |x: i64, y: i64| {
            let centre = (x - 128) * (x - 128) + (y - 128) * (y - 128);
            [x * x / 60 + y * 3, y * y / 90 + x * 2, centre / 80].map(|v| (v % 256) as u8)
        };
        let pixels = (0..side * side).flat_map(|i| pixel(i % side, i / side)).collect();
        let frame = Frame::rgb8(256, 256, pixels).unwrap();
        let guesses = classifier.classify(&frame, 6).unwrap();
        let expected =
            [(723, 0.91956), (905, 0.04876), (506, 0.00655), (557, 0.00459), (811, 0.00257), (417, 0.00255)];
        for (guess, (class_id, probability)) in guesses.iter().zip(expected) {
            assert_eq!(guess.class_id, class_id);
            assert!((guess.probability - probability).abs() < 1e-3, "{guess:?}");
        }
        // The cat is a cat of the right kind, to what another decoder and another resizing change.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo/chelsea.jpg");
        let frame = crate::source::load_image(Path::new(path)).unwrap();
        let guesses = classifier.classify(&frame, 2).unwrap();
        assert_eq!((&*guesses[0].label, &*guesses[1].label), ("Egyptian cat", "tabby"));
        assert!((guesses[0].probability - 0.561).abs() < 0.01);
    }

    #[test]
    fn a_detector_is_no_classifier_and_odd_shapes_are_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("classifier.safetensors");
        let backbone: Backbone = "mobilenext-0.35".parse().unwrap();
        let weights = Weights::untrained(&backbone.classifier(1000));
        let stored = sandglass_backbone::weights::StoredAs::F16;
        weights.save(&path, &std::collections::BTreeMap::new(), stored).unwrap();
        let classifier = Classifier::open(&path, None, Device::Cpu, 1).unwrap();
        assert_eq!((classifier.backbone(), &*classifier.classes()[285]), (&backbone, "Egyptian cat"));
        for (width, height) in [(1, 1), (224, 223), (5, 200), (300, 7)] {
            let frame = Frame::rgb8(width, height, vec![90; (width * height * 3) as usize]).unwrap();
            let guesses = classifier.classify(&frame, 2000).unwrap();
            assert_eq!(guesses.len(), 1000);
            assert!((guesses.iter().map(|g| g.probability).sum::<f32>() - 1.0).abs() < 1e-3);
        }
        // 1 × 16,000 would be 256 × four million.
        let frame = Frame::rgb8(1, 16_000, vec![0; 48_000]).unwrap();
        assert!(matches!(classifier.classify(&frame, 1), Err(Error::Frame { .. })));
        assert!(Classifier::open(&path, Some("mobilenet-v1-1.0"), Device::Cpu, 1).is_err());
        assert!(Classifier::open(Path::new("/no/such.safetensors"), None, Device::Cpu, 1).is_err());
        let detector =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/weights/ssdlite-mobilenet-v2-1.0.safetensors");
        let error = Classifier::open(Path::new(detector), None, Device::Cpu, 1).err().unwrap();
        assert!(error.to_string().contains("of a detector"), "{error}");
    }
}
