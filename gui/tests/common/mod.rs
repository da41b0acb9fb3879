//! Stand-ins for the detector crate and the workers.
#![allow(dead_code, reason = "every test file uses its own part")]

pub(crate) mod raster;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use egui::{Color32, ColorImage};
use sandglass::engine::{Backend, CameraEntry, Engine, ModelChoice};
use sandglass::message::{Event, Found, Link, Look, Moment, Order, Picture, Report, Role, Shot};
use sandglass::settings::Thresholds;
use sandglass::state::ModelInfo;
use sandglass_detector::source::FrameSource;
use sandglass_detector::{BoxXyxy, Detection, Detections, Error, Frame, Timing};

/// A menu of three.
pub(crate) fn models() -> Vec<ModelInfo> {
    let model = |name: &str, trained| ModelInfo {
        name: name.into(),
        parameters: 3_400_000,
        multiply_adds: 700_000_000,
        trained,
        preliminary: false,
        map: trained.then_some(0.681),
        family: "Letters",
        top1: Some(72.0),
    };
    vec![model("alpha", true), model("beta", false), model("gamma", false)]
}

/// An object in the middle.
pub(crate) fn detection(label: &str, class_id: usize, score: f32) -> Detection {
    let bounds = BoxXyxy { x1: 10.0, y1: 10.0, x2: 30.0, y2: 20.0 };
    Detection { label: label.into(), class_id, score, bounds }
}

/// A cat in the middle.
pub(crate) fn detections(score: f32) -> Detections {
    let timing = Timing { network: Duration::from_millis(20), ..Timing::default() };
    Detections { items: vec![detection("cat", 8, score)], width: 40, height: 30, timing }
}

pub(crate) fn moment(generation: u64) -> Moment {
    Moment { generation, jump: 0 }
}

/// A frame as the workers would hand it over.
pub(crate) fn shot(moment: Moment, index: u64) -> Shot {
    Shot {
        moment,
        name: "fake".into(),
        index,
        position: Duration::from_millis(40 * index),
        size: [40, 30],
        taken: Instant::now(),
        captured: index + 1,
        lost: 0,
    }
}

/// What was found in it.
pub(crate) fn found(moment: Moment, index: u64, outcome: Result<Detections, String>) -> Found {
    Found {
        moment,
        index,
        position: Duration::from_millis(40 * index),
        main: Some(Look { backbone: "alpha".into(), outcome }),
        rival: None,
        taken: Instant::now(),
        finished: Instant::now(),
        fresh: true,
    }
}

/// The event of a source that is open and plays for two seconds.
pub(crate) fn opened(generation: u64) -> Event {
    let duration = Some(Duration::from_secs(2));
    Event::Opened { generation, frames: Some(50), duration, live: false, remark: None }
}

/// The choice of a backbone by name.
pub(crate) fn choice(name: &str) -> ModelChoice {
    ModelChoice { backbone: Some(name.into()), weights: None, threads: 0 }
}

/// The event of a detector that took over.
pub(crate) fn ready(role: Role, name: &str) -> Event {
    Event::ModelReady {
        role,
        choice: choice(name),
        backbone: name.into(),
        trained: name == "alpha",
        engine: "CPU, scalar, 1 thread".into(),
        classes: ["bird", "cat", "dog", "person"].map(Into::into).to_vec(),
    }
}

/// A line without workers: notes orders, gives what the test puts in.
#[derive(Clone, Default)]
pub(crate) struct FakeLink {
    pub(crate) orders: Rc<RefCell<Vec<Order>>>,
    pub(crate) report: Rc<RefCell<Option<Report>>>,
}

impl FakeLink {
    /// The orders since the last call.
    pub(crate) fn taken(&self) -> Vec<Order> {
        self.orders.take()
    }

    pub(crate) fn event(&self, event: Event) {
        self.report.borrow_mut().get_or_insert_default().events.push(event);
    }

    /// A frame of a source and what was found in it.
    pub(crate) fn frame(&self, found: Found) {
        let image = Arc::new(ColorImage::filled([40, 30], Color32::from_rgb(70, 90, 110)));
        let shot = shot(found.moment, found.index);
        let mut report = self.report.borrow_mut();
        let report = report.get_or_insert_default();
        report.picture = Some(Picture { image, shot });
        report.found = Some(found);
    }
}

impl Link for FakeLink {
    fn send(&self, order: Order) {
        self.orders.borrow_mut().push(order);
    }

    fn poll(&self) -> Option<Report> {
        self.report.take()
    }
}

/// Detectors that find a cat of score 0.5, sources of as many frames as their name says.
#[derive(Default)]
pub(crate) struct FakeBackend {
    pub(crate) opened: AtomicUsize,
    /// How long a detector takes to build, and to look at a frame.
    pub(crate) build_time: Duration,
    pub(crate) detect_time: Duration,
}

struct FakeEngine(String, Duration);

impl Engine for FakeEngine {
    fn backbone(&self) -> String {
        self.0.clone()
    }
    fn is_trained(&self) -> bool {
        self.0 == "alpha"
    }
    fn describe(&self) -> String {
        "fake".into()
    }
    fn classes(&self) -> Vec<Arc<str>> {
        vec!["cat".into(), "dog".into()]
    }
    fn detect(&mut self, _: &Frame, thresholds: &Thresholds) -> Result<Detections, Error> {
        if self.0 == "broken" {
            return Err(Error::Device("the device went away".into()));
        }
        assert!(self.0 != "crashing", "a mistake in the detector, made up for the test");
        std::thread::sleep(self.1);
        let mut found = detections(0.5);
        found.items.retain(|d| d.score >= thresholds.score);
        Ok(found)
    }
}

impl Backend for FakeBackend {
    fn models(&self) -> Vec<ModelInfo> {
        models()
    }
    fn build(&self, choice: &ModelChoice) -> Result<Box<dyn Engine>, Error> {
        std::thread::sleep(self.build_time);
        match choice.backbone.as_deref().unwrap_or("alpha") {
            "missing" => Err(Error::Device("no such network".into())),
            name => Ok(Box::new(FakeEngine(name.into(), self.detect_time))),
        }
    }
    fn open(&self, source: &str, _format: Option<&str>) -> Result<Box<dyn FrameSource>, Error> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        match source.parse() {
            Ok(count) => Ok(Box::new(FakeSource { count, next: 0 })),
            Err(_) if source == "damaged" => Ok(Box::new(Damaged(false))),
            Err(_) => Err(Error::Source(format!("{source}: there is no such file"))),
        }
    }
    fn cameras(&self) -> Result<Vec<CameraEntry>, Error> {
        Ok(vec![CameraEntry { source: "camera:0".into(), name: "Fake camera".into() }])
    }
    fn formats(&self, camera: &str) -> Result<Vec<String>, Error> {
        Err(Error::Device(format!("{camera} is in use")))
    }
}

/// Frames of 40×30 pixels, 10 ms apart.
struct FakeSource {
    count: u64,
    next: u64,
}

const INTERVAL: Duration = Duration::from_millis(10);

impl FrameSource for FakeSource {
    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        if self.next == self.count {
            return Ok(None);
        }
        let frame = Frame::rgb8(40, 30, vec![90; 40 * 30 * 3])?.at(INTERVAL * self.next as u32);
        self.next += 1;
        Ok(Some(frame))
    }
    fn name(&self) -> String {
        "fake".into()
    }
    fn frame_count(&self) -> Option<u64> {
        Some(self.count)
    }
    fn frame_interval(&self) -> Option<Duration> {
        Some(INTERVAL)
    }
    fn duration(&self) -> Option<Duration> {
        Some(INTERVAL * self.count as u32)
    }
    fn seek(&mut self, to: Duration) -> Result<(), Error> {
        self.next = ((to.as_millis() / 10) as u64).min(self.count.saturating_sub(1));
        Ok(())
    }
}

/// Fails at its first frame.
struct Damaged(bool);

impl FrameSource for Damaged {
    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        if std::mem::replace(&mut self.0, true) {
            return Ok(None);
        }
        Err(Error::Source("the file is cut short".into()))
    }
    fn name(&self) -> String {
        "damaged".into()
    }
}
