//! The threads, with a fake detector and fake sources.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{FakeBackend, choice};
use sandglass::message::{Event, Found, Link, Order, RecordPlan, Role, Shot};
use sandglass::settings::Thresholds;
use sandglass::worker::Workers;

/// Long enough on a busy machine; a healthy run waits for none of it.
const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    workers: Workers,
    backend: Arc<FakeBackend>,
    woken: Arc<AtomicUsize>,
    events: Vec<Event>,
    shots: Vec<Shot>,
    found: Vec<Found>,
}

impl Rig {
    fn new(build_time: Duration) -> std::io::Result<Self> {
        Self::with(FakeBackend { build_time, ..FakeBackend::default() })
    }

    fn with(backend: FakeBackend) -> std::io::Result<Self> {
        let backend = Arc::new(backend);
        let woken = Arc::new(AtomicUsize::new(0));
        let wake = {
            let woken = Arc::clone(&woken);
            Arc::new(move || {
                woken.fetch_add(1, Ordering::Relaxed);
            })
        };
        let workers = Workers::start(backend.clone(), wake)?;
        Ok(Self { workers, backend, woken, events: Vec::new(), shots: Vec::new(), found: Vec::new() })
    }

    fn open(&self, source: &str, looped: bool) {
        self.workers.send(Order::Loop(looped));
        self.workers.send(Order::Open { source: source.into(), format: None, generation: 1 });
    }

    fn model(&self, name: &str) {
        self.workers.send(Order::Model(Role::Main, choice(name)));
    }

    fn poll(&mut self) {
        if let Some(report) = self.workers.poll() {
            self.events.extend(report.events);
            self.shots.extend(report.picture.map(|picture| picture.shot));
            self.found.extend(report.found);
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

    fn looked(&self) -> bool {
        self.found.last().is_some_and(|found| found.main.as_ref().is_some_and(|look| look.outcome.is_ok()))
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
    rig.until("the last frame", |rig| rig.shots.last().is_some_and(|s| s.index == 4));
    rig.until("its detections", |rig| rig.found.last().is_some_and(|f| f.index == 4));
    let (frames, duration) = (Some(5), Some(Duration::from_millis(50)));
    let opened = Event::Opened { generation: 1, frames, duration, live: false, remark: None };
    assert!(rig.events.contains(&opened));
    let last = rig.found.last().unwrap();
    assert_eq!(last.main.as_ref().unwrap().outcome.as_ref().unwrap().items.len(), 1);
    assert_eq!(last.position, Duration::from_millis(40));
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
    rig.until("frames", |rig| rig.found.len() > 3 && rig.looked());
    rig.workers.send(Order::Play(false));
    std::thread::sleep(Duration::from_millis(150));
    rig.poll();
    let (woken, frames) = (rig.woken.load(Ordering::Relaxed), rig.shots.len());
    std::thread::sleep(Duration::from_millis(150));
    rig.poll();
    assert_eq!((rig.woken.load(Ordering::Relaxed), rig.shots.len()), (woken, frames));

    // A threshold changes what is found in the held frame, once.
    let (held, looks) = (rig.shots.last().unwrap().index, rig.found.len());
    rig.workers.send(Order::Thresholds(Thresholds { score: 0.9, ..Thresholds::default() }));
    rig.until("another look", |rig| rig.found.len() > looks);
    let again = rig.found.last().unwrap();
    assert!(again.main.as_ref().unwrap().outcome.as_ref().unwrap().items.is_empty());
    assert_eq!((again.index, again.fresh), (held, false));

    // Steps show one frame each, jumps one frame from there.
    rig.workers.send(Order::StepForward);
    rig.until("a step", |rig| rig.shots.last().is_some_and(|s| s.index == held + 1));
    rig.workers.send(Order::Seek { to: Duration::from_millis(70_000), jump: 1 });
    rig.until("a jump", |rig| rig.shots.last().is_some_and(|s| s.moment.jump == 1));
    let there = rig.shots.last().unwrap();
    assert_eq!((there.index, there.position), (7000, Duration::from_millis(70_000)));
    rig.until("what is found there", |rig| rig.found.last().is_some_and(|f| f.index == 7000));

    rig.workers.send(Order::Play(true));
    rig.until("more frames", |rig| rig.shots.last().is_some_and(|s| s.index > 7000));
}

#[test]
fn the_video_goes_on_while_a_model_is_built() {
    let mut rig = Rig::new(Duration::from_millis(200)).unwrap();
    rig.open("1000000", true);
    rig.model("beta");
    rig.until("bare frames", |rig| rig.found.iter().filter(|f| f.main.is_none()).count() > 3);
    assert!(!rig.ready("beta"));
    rig.until("the model", |rig| rig.ready("beta"));
    rig.until("detections", Rig::looked);
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
    let fails = |f: &Found| f.main.as_ref().is_some_and(|look| look.outcome.is_err());
    rig.until("a failing detector", |rig| rig.found.iter().any(fails));
    rig.model("alpha");
    rig.until("recovery", Rig::looked);
}

#[test]
fn the_picture_keeps_its_rate_while_the_detector_is_slow() {
    let detect_time = Duration::from_millis(300);
    let mut rig = Rig::with(FakeBackend { detect_time, ..FakeBackend::default() }).unwrap();
    rig.model("alpha");
    rig.until("the model", |rig| rig.ready("alpha"));
    rig.open("1000000", true);
    rig.until("looks", |rig| rig.found.len() > 2);
    // A frame is due each 10 ms; even a busy machine shows far more than one a look.
    assert!(rig.shots.len() > 3 * rig.found.len(), "{} {}", rig.shots.len(), rig.found.len());

    // In step every picture comes with what was found in it.
    rig.workers.send(Order::InStep(true));
    rig.until("the change", |rig| {
        rig.shots.last().is_some_and(|s| s.index == rig.found.last().unwrap().index)
    });
    std::thread::sleep(Duration::from_millis(400));
    rig.poll();
    (rig.shots, rig.found) = (Vec::new(), Vec::new());
    rig.until("frames in step", |rig| rig.found.len() > 2);
    let indices = |rig: &Rig| -> (Vec<u64>, Vec<u64>) {
        (rig.shots.iter().map(|s| s.index).collect(), rig.found.iter().map(|f| f.index).collect())
    };
    let (shots, found) = indices(&rig);
    assert_eq!(shots, found);
}

#[test]
fn two_detectors_look_at_the_same_frame() {
    let mut rig = Rig::new(Duration::ZERO).unwrap();
    rig.model("alpha");
    rig.workers.send(Order::Model(Role::Rival, choice("beta")));
    rig.open("1000000", true);
    let both = |rig: &Rig| rig.found.last().is_some_and(|f| f.main.is_some() && f.rival.is_some());
    rig.until("both", both);
    rig.workers.send(Order::DropRival);
    rig.until("one", |rig| rig.found.last().is_some_and(|f| f.main.is_some() && f.rival.is_none()));
}

#[test]
fn recordings_are_whole_when_stopped_and_when_the_window_closes() {
    let folder = tempfile::tempdir().unwrap();
    let plan = RecordPlan { folder: folder.path().join("new"), annotated: true, sidecar: true, live: false };
    // A detector that takes longer than a frame is shown.
    let detect_time = Duration::from_millis(25);
    let mut rig = Rig::with(FakeBackend { detect_time, ..FakeBackend::default() }).unwrap();
    rig.model("alpha");
    rig.open("20", true);
    rig.until("detections", Rig::looked);
    rig.workers.send(Order::Record(plan.clone()));
    let frames = |rig: &Rig| match rig.events.last() {
        Some(Event::Recording(progress)) => progress.frames,
        _ => 0,
    };
    rig.until("recorded frames", |rig| frames(rig) > 30);
    rig.workers.send(Order::StopRecording);
    let done = |rig: &Rig| matches!(rig.events.last(), Some(Event::Recorded(Ok(_))));
    rig.until("the file", done);
    let Some(Event::Recorded(Ok(summary))) = rig.events.last() else { unreachable!() };
    let file = summary.files[0].clone();
    let count = |file: &std::path::Path| {
        sandglass_detector::source::open(&file.display().to_string()).unwrap().frame_count().unwrap()
    };
    assert!(summary.frames > 30 && count(&file) == summary.frames);
    // A line for each frame, and of a file no frame was left out.
    let lines = std::fs::read_to_string(file.with_extension("jsonl")).unwrap();
    let line =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["frame"].as_u64().unwrap();
    let numbers: Vec<u64> = lines.lines().map(line).collect();
    assert_eq!(numbers.len() as u64, summary.frames);
    let first_gap = numbers.windows(2).skip(3).find(|pair| pair[1] != (pair[0] + 1) % 20);
    assert_eq!(first_gap, None, "{numbers:?}");

    // Another one, and the window is closed in the middle of it.
    rig.events.clear();
    rig.workers.send(Order::Record(plan.clone()));
    rig.until("more frames", |rig| frames(rig) > 3);
    drop(rig);
    let videos = std::fs::read_dir(&plan.folder).unwrap().map(|entry| entry.unwrap().path());
    let videos: Vec<_> = videos.filter(|p| p.extension().is_some_and(|e| e == "mp4")).collect();
    assert_eq!(videos.len(), 2);
    assert!(videos.iter().all(|file| count(file) > 3));
}

#[test]
fn a_recording_is_closed_when_the_detector_panics() {
    let folder = tempfile::tempdir().unwrap();
    let plan = RecordPlan { folder: folder.path().into(), annotated: true, sidecar: true, live: false };
    let mut rig = Rig::new(Duration::ZERO).unwrap();
    rig.model("alpha");
    rig.open("20", true);
    rig.until("detections", Rig::looked);
    rig.workers.send(Order::Record(plan));
    let frames = |rig: &Rig| match rig.events.last() {
        Some(Event::Recording(progress)) => progress.frames,
        _ => 0,
    };
    rig.until("recorded frames", |rig| frames(rig) > 10);
    let recorded = frames(&rig);
    rig.model("crashing");
    rig.until("the new detector", |rig| rig.ready("crashing"));
    // What is open is closed while the thread unwinds; the window's end waits for it.
    drop(rig);
    let videos = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let video = videos.into_iter().find(|path| path.extension().is_some_and(|e| e == "mp4")).unwrap();
    let count =
        sandglass_detector::source::open(&video.display().to_string()).unwrap().frame_count().unwrap();
    let lines = std::fs::read_to_string(video.with_extension("jsonl")).unwrap();
    assert!(count >= recorded && lines.lines().count() as u64 == count, "{count} of {recorded}");
}

#[test]
fn a_recording_that_cannot_be_made_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let mut rig = Rig::new(Duration::ZERO).unwrap();
    rig.workers.send(Order::Record(RecordPlan {
        folder: file.clone(),
        annotated: false,
        sidecar: false,
        live: false,
    }));
    let refused =
        |e: &Event| matches!(e, Event::Recorded(Err(reason)) if reason.contains("could not be made"));
    rig.until("the refusal", |rig| rig.events.iter().any(refused));
    // Without a picture there is no snapshot either.
    rig.workers.send(Order::Snapshot { folder: file, annotated: true });
    rig.until("no snapshot", |rig| rig.events.iter().any(|e| matches!(e, Event::Snapshot(Err(_)))));
}

#[test]
fn a_snapshot_is_the_frame_with_its_boxes() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(Duration::ZERO).unwrap();
    rig.model("alpha");
    rig.open("1", false);
    rig.until("detections", Rig::looked);
    let mut snapshot = |annotated| {
        rig.events.clear();
        rig.workers.send(Order::Snapshot { folder: folder.path().into(), annotated });
        rig.until("the snapshot", |rig| matches!(rig.events.last(), Some(Event::Snapshot(Ok(_)))));
        let Some(Event::Snapshot(Ok(path))) = rig.events.last() else { unreachable!() };
        image::open(path).unwrap().into_rgb8()
    };
    let bare = snapshot(false);
    assert!(bare.dimensions() == (40, 30) && bare.pixels().all(|pixel| pixel.0 == [90; 3]));
    assert!(snapshot(true).pixels().any(|pixel| pixel.0 != [90; 3]));
}

#[test]
fn all_backbones_are_measured_while_detection_rests() {
    let mut rig = Rig::new(Duration::ZERO).unwrap();
    rig.model("alpha");
    rig.open("1000000", true);
    rig.until("detections", Rig::looked);
    rig.workers.send(Order::Benchmark(Some(1)));
    rig.until("the end", |rig| rig.events.contains(&Event::BenchmarkEnded));
    let measured = rig.events.iter().filter(|e| matches!(e, Event::Measured { millis: Ok(_), .. })).count();
    assert_eq!(measured, common::models().len());
    rig.found.clear();
    rig.until("detections again", Rig::looked);
}

#[test]
fn errands_come_back_with_what_they_found() {
    use sandglass::message::Errand;
    let mut rig = Rig::new(Duration::ZERO).unwrap();
    rig.workers.send(Order::Run(Errand::Cameras));
    rig.until(
        "cameras",
        |rig| matches!(rig.events.last(), Some(Event::Cameras(Ok(list))) if list.len() == 1),
    );
    rig.workers.send(Order::Run(Errand::Formats("camera:0".into())));
    rig.until("formats", |rig| matches!(rig.events.last(), Some(Event::Formats { formats: Err(_), .. })));
    rig.workers.send(Order::Run(Errand::Reveal("/no/such/folder".into())));
    rig.until("no folder", |rig| matches!(rig.events.last(), Some(Event::ErrandFailed(_))));
}
