//! The pipeline: a frame in, detections out.

mod batch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sandglass_backbone::{Backbone, ModelInfo, Plan, Weights};

use crate::detections::{Detection, Detections, Timing};
use crate::error::Error;
use crate::frame::{Frame, FrameView};
use crate::heads::{INPUT_SIZE, ssdlite};
use crate::models;
use crate::nms::Scored;
use crate::settings::{ClassFilter, Device, Settings};
use crate::work::{Prepared, Work};

pub use batch::Opened;

/// Collects what a [`Detector`] needs; see [`Detector::builder`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct DetectorBuilder {
    backbone: Option<String>,
    weights: Option<PathBuf>,
    device: Device,
    threads: usize,
    settings: Settings,
    classes: ClassFilter,
}

impl DetectorBuilder {
    /// The backbone by name, such as `mobilenext-1.0` ([`models::all`] lists them). Not needed where the
    /// weights say it; [`models::DEFAULT`] without either.
    pub fn backbone(mut self, name: impl Into<String>) -> Self {
        self.backbone = Some(name.into());
        self
    }

    /// A safetensors file with the weights, instead of those that come with the program.
    pub fn weights(mut self, path: impl Into<PathBuf>) -> Self {
        self.weights = Some(path.into());
        self
    }

    /// What the network runs on.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Threads that work on one frame; 0, the default, for one a processor.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Detections of this score or below are left out; 0 to 1, at first 0.3.
    pub fn score_threshold(mut self, threshold: f32) -> Self {
        self.settings.score_threshold = threshold;
        self
    }

    /// A box goes when it overlaps a better one of its class by more than this; 0 to 1, at first 0.45.
    pub fn iou_threshold(mut self, threshold: f32) -> Self {
        self.settings.iou_threshold = threshold;
        self
    }

    /// The most detections of a frame, at first 100.
    pub fn max_detections(mut self, count: usize) -> Self {
        self.settings.max_detections = count;
        self
    }

    /// All settings at once.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Which classes are looked for.
    pub fn classes(mut self, classes: ClassFilter) -> Self {
        self.classes = classes;
        self
    }

    /// Loads the weights and makes the network ready.
    ///
    /// # Errors
    /// [`Error`] where the backbone or a class is unknown, the weights cannot be read or do not fit, a
    /// setting is out of range, or the device is not there.
    pub fn build(self) -> Result<Detector, Error> {
        self.settings.check()?;
        let Self { backbone, weights, device, threads, settings, classes } = self;
        let network = Loaded::new(backbone.as_deref(), weights.as_deref(), device, threads, &settings)?;
        let mut detector = Detector {
            settings,
            classes: ClassFilter::All,
            allowed: vec![true; network.labels.len()],
            device,
            threads,
            network,
        };
        detector.set_classes(classes)?;
        Ok(detector)
    }
}

/// Finds objects in frames. Made by [`Detector::builder`]; one may be shared between threads, which then
/// take turns.
///
/// ```
/// use sandglass_detector::{Detector, Device, Frame};
///
/// let detector = Detector::builder().backbone("mobilenext-0.35").device(Device::Cpu).build()?;
/// let frame = Frame::rgb8(64, 48, vec![128; 64 * 48 * 3])?;
/// let detections = detector.detect(&frame)?;
/// for found in &detections.items {
///     println!("{} {:.2} {:?}", found.label, found.score, found.bounds);
/// }
/// # Ok::<(), sandglass_detector::Error>(())
/// ```
pub struct Detector {
    settings: Settings,
    classes: ClassFilter,
    /// By class, whether it is looked for.
    allowed: Vec<bool>,
    /// What was asked for.
    device: Device,
    threads: usize,
    network: Loaded,
}

/// A network with its weights, ready to run.
struct Loaded {
    backbone: Backbone,
    /// The file with the weights, where it is not the program that has them.
    file: Option<PathBuf>,
    labels: Arc<[Arc<str>]>,
    trained: bool,
    /// Where it runs.
    device: Device,
    description: String,
    fallback: Option<Error>,
    work: Mutex<Work>,
    /// For batches, made when the first comes: of each thread its own.
    lanes: Mutex<Vec<Work>>,
}

impl Loaded {
    fn new(
        backbone: Option<&str>,
        path: Option<&Path>,
        device: Device,
        threads: usize,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let asked = backbone.map(str::parse::<Backbone>).transpose()?;
        let (weights, info) = load(asked.as_ref(), path)?;
        let network = ssdlite(&info.backbone, info.classes.len());
        let mut plan = Plan::new(&network, &weights, INPUT_SIZE, INPUT_SIZE)?;
        plan.take_pixels(&info.normalisation);
        let Prepared { work, device, description, fallback } =
            Work::prepare(device, plan, info.classes.len(), threads, settings)?;
        Ok(Self {
            labels: models::labels(&info),
            backbone: info.backbone,
            file: path.map(Path::to_owned),
            trained: weights.is_trained(),
            device,
            description,
            fallback,
            work: Mutex::new(work),
            lanes: Mutex::default(),
        })
    }
}

/// The weights of a file, or those that come with the program, and what they are of.
pub(crate) fn load(asked: Option<&Backbone>, path: Option<&Path>) -> Result<(Weights, ModelInfo), Error> {
    match path {
        Some(path) => {
            let weights = Weights::open(path)?;
            let info = detector_info(&weights, path, asked)?;
            Ok((weights, info))
        }
        None => models::weights(&match asked {
            Some(backbone) => backbone.clone(),
            None => models::DEFAULT.parse()?,
        }),
    }
}

/// What a file says of itself, where that makes a detector of the backbone asked for.
fn detector_info(weights: &Weights, path: &Path, asked: Option<&Backbone>) -> Result<ModelInfo, Error> {
    let refuse = |reason: String| Error::Model { path: path.to_owned(), reason };
    let info = weights.info()?;
    match asked {
        Some(asked) if *asked != info.backbone => {
            return Err(refuse(format!("these are weights of {}, not of {asked}", info.backbone)));
        }
        _ => {}
    }
    if info.anchors != models::ANCHORS || info.input_size != INPUT_SIZE || info.classes.len() < 2 {
        return Err(refuse(format!(
            "a detector with the anchors {} of input size {INPUT_SIZE} was expected; this has the anchors {:?}, \
             input size {} and {} classes",
            models::ANCHORS,
            info.anchors,
            info.input_size,
            info.classes.len()
        )));
    }
    Ok(info)
}

impl Detector {
    /// Begins with the default backbone, its weights, all processors.
    pub fn builder() -> DetectorBuilder {
        DetectorBuilder::default()
    }

    /// Finds the objects of a frame, best score first. Boxes are in the frame's pixels.
    ///
    /// # Errors
    /// [`Error::Setting`] where a setting was changed to something out of range.
    pub fn detect(&self, frame: &Frame) -> Result<Detections, Error> {
        let mut detections = Detections::default();
        self.detect_into(frame, &mut detections)?;
        Ok(detections)
    }

    /// As [`Detector::detect`] for pixels that belong to somebody else.
    ///
    /// # Errors
    /// As [`Detector::detect`].
    pub fn detect_view(&self, view: FrameView<'_>) -> Result<Detections, Error> {
        let mut detections = Detections::default();
        self.look_alone(view, &mut detections)?;
        Ok(detections)
    }

    /// As [`Detector::detect`], into detections of an earlier frame: after the first frames nothing is
    /// allocated. Where it fails, they may be of either frame.
    ///
    /// # Errors
    /// As [`Detector::detect`].
    pub fn detect_into(&self, frame: &Frame, into: &mut Detections) -> Result<(), Error> {
        self.look_alone(frame.view(), into)
    }

    fn look_alone(&self, frame: FrameView<'_>, into: &mut Detections) -> Result<(), Error> {
        self.settings.check()?;
        // A thread that panicked has left nothing that the next frame reads.
        let mut work = self.network.work.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(&mut work, frame, into)
    }

    fn look(&self, work: &mut Work, frame: FrameView<'_>, into: &mut Detections) -> Result<(), Error> {
        let (found, timing) = work.run(frame, &self.allowed, &self.settings)?;
        self.tell(found, frame, timing, into);
        Ok(())
    }

    /// Writes down what was found.
    fn tell(&self, found: &[Scored], frame: FrameView<'_>, timing: Timing, into: &mut Detections) {
        into.items.clear();
        into.items.extend(found.iter().filter_map(|found| {
            let class_id = found.class as usize;
            let label = Arc::clone(self.network.labels.get(class_id)?);
            Some(Detection { label, class_id, score: found.score, bounds: found.bounds })
        }));
        (into.width, into.height) = frame.full_size();
        into.timing = timing;
    }

    /// Changes the network; settings and classes stay. Where it fails, the old one stays, too.
    ///
    /// # Errors
    /// As [`DetectorBuilder::build`].
    pub fn switch_backbone(&mut self, name: &str, weights: Option<&Path>) -> Result<(), Error> {
        let network = Loaded::new(Some(name), weights, self.device, self.threads, &self.settings)?;
        let allowed = allowed(&self.classes, &network.labels)?;
        (self.network, self.allowed) = (network, allowed);
        Ok(())
    }

    /// Changes what the network runs on; all else stays. Where it fails, the old device stays, too. This is how to go
    /// on when a GPU fails in the middle of a video.
    ///
    /// # Errors
    /// As [`DetectorBuilder::build`].
    pub fn switch_device(&mut self, device: Device) -> Result<(), Error> {
        let Loaded { backbone, file, .. } = &self.network;
        let name = backbone.to_string();
        self.network = Loaded::new(Some(&name), file.as_deref(), device, self.threads, &self.settings)?;
        self.device = device;
        Ok(())
    }

    /// The settings in use.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings, to change from the next frame on.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Changes which classes are looked for.
    ///
    /// # Errors
    /// [`Error::UnknownClass`] where the network does not know one of them.
    pub fn set_classes(&mut self, classes: ClassFilter) -> Result<(), Error> {
        self.allowed = allowed(&classes, &self.network.labels)?;
        self.classes = classes;
        Ok(())
    }

    /// All class names by number; 0 is the background.
    #[must_use]
    pub fn classes(&self) -> &[Arc<str>] {
        &self.network.labels
    }

    /// The backbone in use.
    #[must_use]
    pub fn backbone(&self) -> &Backbone {
        &self.network.backbone
    }

    /// Whether the weights were ever trained. Without that, detections mean nothing.
    #[must_use]
    pub fn is_trained(&self) -> bool {
        self.network.trained
    }

    /// Where the network runs: what [`Device::Auto`] became.
    #[must_use]
    pub fn device(&self) -> Device {
        self.network.device
    }

    /// Why [`Device::Auto`] became the CPU: what the GPU's driver, or its absence, says.
    #[must_use]
    pub fn fallback(&self) -> Option<&Error> {
        self.network.fallback.as_ref()
    }

    /// What the network runs on, for people: `CPU, AVX2, 2 threads`.
    #[must_use]
    pub fn engine(&self) -> &str {
        &self.network.description
    }
}

/// By class, whether a filter lets it through.
fn allowed(filter: &ClassFilter, labels: &[Arc<str>]) -> Result<Vec<bool>, Error> {
    let (names, listed) = match filter {
        ClassFilter::All => return Ok(vec![true; labels.len()]),
        ClassFilter::Only(names) => (names, true),
        ClassFilter::Except(names) => (names, false),
    };
    let mut allowed = vec![!listed; labels.len()];
    for name in names {
        let class = labels.iter().skip(1).position(|label| **label == **name).map(|i| i + 1);
        let class = class.ok_or_else(|| Error::UnknownClass {
            name: name.clone(),
            known: labels.iter().skip(1).map(|l| &**l).collect::<Vec<_>>().join(", "),
        })?;
        allowed[class] = listed;
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn noise(width: u32, height: u32) -> Frame {
        let pixels = (0..width * height * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        Frame::rgb8(width, height, pixels).unwrap()
    }

    #[test]
    fn settings_are_checked_and_obeyed() {
        assert!(Detector::builder().score_threshold(1.5).build().is_err());
        assert!(Detector::builder().iou_threshold(f32::NAN).build().is_err());
        assert!(Detector::builder().max_detections(0).build().is_err());
        let builder = Detector::builder().backbone("mobilenext-0.35").threads(1).score_threshold(0.0);
        let mut detector = builder.max_detections(7).build().unwrap();
        assert!(!detector.is_trained());
        let all = detector.detect(&noise(33, 21)).unwrap();
        assert_eq!(all.items.len(), 7);
        assert!(all.items.is_sorted_by(|a, b| a.score >= b.score));
        detector.set_classes(ClassFilter::Only(vec!["cat".into()])).unwrap();
        let cats = detector.detect(&noise(33, 21)).unwrap();
        assert!(!cats.items.is_empty() && cats.items.iter().all(|d| &*d.label == "cat" && d.class_id == 8));
        detector.set_classes(ClassFilter::Except(vec!["cat".into()])).unwrap();
        assert!(detector.detect(&noise(33, 21)).unwrap().items.iter().all(|d| &*d.label != "cat"));
        let unknown = detector.set_classes(ClassFilter::Only(vec!["unicorn".into()])).unwrap_err();
        assert!(unknown.to_string().contains("unicorn") && unknown.to_string().contains("tvmonitor"));
        assert!(detector.set_classes(ClassFilter::Only(vec!["background".into()])).is_err());
        detector.settings_mut().score_threshold = -1.0;
        assert!(detector.detect(&noise(33, 21)).is_err());
    }

    #[test]
    fn switching_keeps_everything_else() {
        let classes = ClassFilter::Only(vec!["dog".into()]);
        let builder = Detector::builder().backbone("mobilenext-0.35").threads(1).classes(classes);
        let mut detector = builder.score_threshold(0.0).build().unwrap();
        assert!(detector.switch_backbone("mobilenext-9", None).is_err());
        assert_eq!(detector.backbone().to_string(), "mobilenext-0.35");
        detector.switch_backbone("mobilenet-v1-0.25", None).unwrap();
        assert_eq!(detector.backbone().to_string(), "mobilenet-v1-0.25");
        let found = detector.detect(&noise(9, 9)).unwrap().items;
        assert!(!found.is_empty() && found.iter().all(|d| &*d.label == "dog"));
    }

    #[test]
    fn a_device_that_is_not_there_leaves_the_old_one() {
        let builder = Detector::builder().backbone("mobilenet-v1-0.25").threads(1).score_threshold(0.0);
        let mut detector = builder.device(Device::Cpu).build().unwrap();
        let before = detector.detect(&noise(9, 9)).unwrap().items;
        let error = detector.switch_device(Device::Cuda(99)).unwrap_err().to_string();
        assert!(error.contains("NVIDIA driver") || error.contains("without CUDA"), "{error}");
        detector.switch_device(Device::Cpu).unwrap();
        assert_eq!((detector.device(), detector.fallback().is_none()), (Device::Cpu, true));
        assert_eq!(detector.detect(&noise(9, 9)).unwrap().items, before);
        // Any device will do: the CPU then says why it is not another.
        detector.switch_device(Device::Auto).unwrap();
        let gpu = detector.device() != Device::Cpu;
        assert!(gpu || detector.fallback().is_some() || cfg!(not(feature = "cuda")));
    }
}
