//! Stand-ins for the detector crate and the workers.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use egui::{Color32, ColorImage};
use sandglass::engine::{Backend, Engine, ModelChoice};
use sandglass::message::{Event, Link, Order, Report, Shown};
use sandglass::settings::Thresholds;
use sandglass::state::{FrameResult, ModelInfo};
use sandglass_detector::source::FrameSource;
use sandglass_detector::{BoxXyxy, Detection, Detections, Error, Frame, Timing};

/// A menu of three.
pub(crate) fn models() -> Vec<ModelInfo> {
    let model = |name: &str, trained| ModelInfo {
        name: name.into(),
        parameters: 3_400_000,
        multiply_adds: 700_000_000,
        trained,
        map: trained.then_some(0.681),
    };
    vec![model("alpha", true), model("beta", false), model("gamma", false)]
}

/// A cat in the middle.
pub(crate) fn detections(score: f32) -> Detections {
    let bounds = BoxXyxy { x1: 10.0, y1: 10.0, x2: 30.0, y2: 20.0 };
    let cat = Detection { label: "cat".into(), class_id: 8, score, bounds };
    let timing = Timing { network: Duration::from_millis(20), ..Timing::default() };
    Detections { items: vec![cat], width: 40, height: 30, timing }
}

/// A frame as the workers would hand it over.
pub(crate) fn result(generation: u64, index: u64) -> FrameResult {
    FrameResult {
        generation,
        name: "fake".into(),
        index,
        captured: Duration::from_millis(40 * index),
        size: [40, 30],
        detections: Some(detections(0.87)),
        problem: None,
        finished: Instant::now(),
        fresh: true,
    }
}

/// The event of a detector that took over.
pub(crate) fn ready(name: &str) -> Event {
    Event::ModelReady {
        choice: ModelChoice { backbone: Some(name.into()), weights: None },
        backbone: name.into(),
        trained: name == "alpha",
        engine: "CPU, scalar, 1 thread".into(),
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

    pub(crate) fn frame(&self, result: FrameResult) {
        let image = Arc::new(ColorImage::filled([40, 30], Color32::GRAY));
        self.report.borrow_mut().get_or_insert_default().shown = Some(Shown { image, result });
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
    /// How long a detector takes to build.
    pub(crate) build_time: Duration,
}

struct FakeEngine(String);

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
    fn detect(&mut self, _: &Frame, thresholds: &Thresholds) -> Result<Detections, Error> {
        if self.0 == "broken" {
            return Err(Error::Device("the device went away".into()));
        }
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
            name => Ok(Box::new(FakeEngine(name.into()))),
        }
    }
    fn open(&self, source: &str) -> Result<Box<dyn FrameSource>, Error> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        match source.parse() {
            Ok(count) => Ok(Box::new(FakeSource { count, next: 0 })),
            Err(_) if source == "damaged" => Ok(Box::new(Damaged(false))),
            Err(_) => Err(Error::Source(format!("{source}: there is no such file"))),
        }
    }
}

struct FakeSource {
    count: u64,
    next: u64,
}

impl FrameSource for FakeSource {
    fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        if self.next == self.count {
            return Ok(None);
        }
        let frame = Frame::rgb8(40, 30, vec![90; 40 * 30 * 3])?.at(Duration::from_millis(10 * self.next));
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
        Some(Duration::from_millis(10))
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
