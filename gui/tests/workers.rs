//! The threads, with a fake detector and fake sources.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::FakeBackend;
use sandglass::engine::ModelChoice;
use sandglass::message::{Event, Link, Order};
use sandglass::settings::Thresholds;
use sandglass::state::FrameResult;
use sandglass::worker::Workers;

/// Long enough on a busy machine; a healthy run waits for none of it.
const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    workers: Workers,
    backend: Arc<FakeBackend>,
    woken: Arc<AtomicUsize>,
    events: Vec<Event>,
    shown: Vec<FrameResult>,
}

impl Rig {
    fn new(build_time: Duration) -> std::io::Result<Self> {
        let backend = Arc::new(FakeBackend { build_time, ..FakeBackend::default() });
        let woken = Arc::new(AtomicUsize::new(0));
        let wake = {
            let woken = Arc::clone(&woken);
            Arc::new(move || {
                woken.fetch_add(1, Ordering::Relaxed);
            })
        };
        let workers = Workers::start(backend.clone(), wake)?;
        Ok(Self { workers, backend, woken, events: Vec::new(), shown: Vec::new() })
    }

    fn open(&self, source: &str, looped: bool) {
        self.workers.send(Order::Loop(looped));
        self.workers.send(Order::Open { source: source.into(), generation: 1 });
    }

    fn model(&self, name: &str) {
        self.workers.send(Order::Model(ModelChoice { backbone: Some(name.into()), weights: None }));
    }

    fn poll(&mut self) {
        if let Some(report) = self.workers.poll() {
            self.events.extend(report.events);
            self.shown.extend(report.shown.map(|shown| shown.result));
        }
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "{what} did not happen; events: {:?}", self.events);
            std::thread::sleep(Duration::from_millis(2));
            self.poll();
        }
    }

    fn ready(&self, name: &str) -> bool {
        self.events.iter().any(|e| matches!(e, Event::ModelReady { backbone, .. } if backbone == name))
    }
}

#[test]
fn a_source_plays_to_its_end() {
    let mut rig = Rig::new(Duration::ZERO).unwrap();
    rig.model("alpha");
    rig.until("the model", |rig| rig.ready("alpha"));
    rig.open("5", false);
    rig.until("the end", |rig| rig.events.contains(&Event::Ended { generation: 1, frames: 5 }));
    rig.until("the last frame", |rig| rig.shown.last().is_some_and(|s| s.index == 4));
    assert!(rig.events.contains(&Event::Opened { generation: 1, frames: Some(5) }));
    let last = rig.shown.last().unwrap();
    assert_eq!(last.detections.as_ref().unwrap().items.len(), 1);
    assert_eq!(last.captured, Duration::from_millis(40));
}

#[test]
fn loops_begin_again_but_a_single_picture_stays() {
    let mut rig = Rig::new(Duration::ZERO).unwrap();
    rig.open("3", true);
    rig.until("three rounds", |rig| rig.backend.opened.load(Ordering::Relaxed) > 3);
    assert!(!rig.events.iter().any(|e| matches!(e, Event::Ended { .. })));
    rig.open("1", true);
    rig.until("the end", |rig| rig.events.contains(&Event::Ended { generation: 1, frames: 1 }));
}

#[test]
fn a_pause_stops_frames_and_wakes_nobody() {
    let mut rig = Rig::new(Duration::ZERO).unwrap();
    rig.model("alpha");
    rig.open("1000000", true);
    rig.until("frames", |rig| rig.shown.len() > 3);
    rig.workers.send(Order::Play(false));
    std::thread::sleep(Duration::from_millis(150));
    rig.poll();
    let (woken, frames) = (rig.woken.load(Ordering::Relaxed), rig.shown.len());
    std::thread::sleep(Duration::from_millis(150));
    rig.poll();
    assert_eq!((rig.woken.load(Ordering::Relaxed), rig.shown.len()), (woken, frames));

    // A threshold changes what is shown of the held frame, once.
    let held = rig.shown.last().unwrap().index;
    rig.workers.send(Order::Thresholds(Thresholds { score: 0.9, ..Thresholds::default() }));
    rig.until("another look", |rig| rig.shown.len() > frames);
    let again = rig.shown.last().unwrap();
    assert!(again.detections.as_ref().unwrap().items.is_empty());
    assert_eq!((again.index, again.fresh), (held, false));

    rig.workers.send(Order::Play(true));
    rig.until("more frames", |rig| rig.shown.last().is_some_and(|s| s.index > held));
}

#[test]
fn the_video_goes_on_while_a_model_is_built() {
    let mut rig = Rig::new(Duration::from_millis(200)).unwrap();
    rig.open("1000000", true);
    rig.model("beta");
    rig.until("bare frames", |rig| rig.shown.iter().filter(|s| s.detections.is_none()).count() > 3);
    assert!(!rig.ready("beta"));
    rig.until("the model", |rig| rig.ready("beta"));
    rig.until("detections", |rig| rig.shown.last().is_some_and(|s| s.detections.is_some()));
    // Of three wishes in a row the one in the middle may be skipped, the last never.
    for name in ["gamma", "missing", "alpha"] {
        rig.model(name);
    }
    rig.until("the last wish", |rig| rig.ready("alpha"));
}

#[test]
fn failures_are_reported_and_survived() {
    let mut rig = Rig::new(Duration::ZERO).unwrap();
    rig.open("nothing", true);
    let failed = |rig: &Rig, text: &str| {
        rig.events
            .iter()
            .any(|e| matches!(e, Event::SourceFailed { reason, over: true, .. } if reason.contains(text)))
    };
    rig.until("the missing file", |rig| failed(rig, "no such file"));
    rig.open("damaged", true);
    rig.until("the damaged file", |rig| failed(rig, "cut short"));
    rig.model("missing");
    rig.until("the missing model", |rig| rig.events.iter().any(|e| matches!(e, Event::ModelFailed { .. })));
    rig.model("broken");
    rig.open("4", false);
    rig.until("a failing detector", |rig| rig.shown.iter().any(|s| s.problem.is_some()));
    rig.model("alpha");
    rig.until("recovery", |rig| rig.shown.last().is_some_and(|s| s.detections.is_some()));
}
