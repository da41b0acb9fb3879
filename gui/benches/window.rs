//! The window at work on a 1280×720 video of 30 frames a second, without a graphics card: our own time in
//! a pass, the rate of the picture while detection keeps the processor busy, and how long a switch of the
//! backbone takes. `cargo bench -p sandglass --bench window` prints the figures.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use egui_kittest::Harness;
use sandglass::backend::DetectorBackend;
use sandglass::command::Command;
use sandglass::engine::Backend;
use sandglass::settings::{Settings, Tab};
use sandglass::state::Action;
use sandglass::worker::Workers;
use sandglass::{App, Options, view};
use sandglass_detector::Frame;
use sandglass_detector::record::{Recorder, RecorderOptions};

const FRAMES: u64 = 240;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.mp4");
    make(&clip);
    for threads in [1, 0] {
        for tab in [Tab::Detect, Tab::Speed] {
            measure(&clip, tab, threads);
        }
    }
}

/// A clip in which everything moves.
fn make(path: &std::path::Path) {
    let photo = concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/demo/chelsea.jpg");
    let photo = sandglass_detector::source::load_image(std::path::Path::new(photo)).unwrap();
    let mut recorder = Recorder::create(path, &RecorderOptions::default()).unwrap();
    let (w, h) = (1280_u32, 720_u32);
    for at in 0..FRAMES {
        let photo = &photo;
        let pixel = move |x: u32, y: u32| {
            let row = photo.row(y * photo.height() / h);
            let start = ((x + at as u32 * 3) * photo.width() / w % photo.width()) as usize * 3;
            [row[start], row[start + 1], row[start + 2]]
        };
        let pixels = (0..h).flat_map(|y| (0..w).flat_map(move |x| pixel(x, y))).collect();
        let frame = Frame::rgb8(w, h, pixels).unwrap().at(Duration::from_nanos(at * 1_000_000_000 / 30));
        recorder.push(&frame).unwrap();
    }
    recorder.finish().unwrap();
}

fn measure(clip: &std::path::Path, tab: Tab, threads: usize) {
    let backend = Arc::new(DetectorBackend::default());
    let models = backend.models();
    let workers = Workers::start(backend, Arc::new(|| {})).unwrap();
    let source = Some(clip.display().to_string());
    let options = Options { source, threads: Some(threads), ..Options::default() };
    let settings = Settings { tab, ..Settings::default() };
    let app = App::new(settings, models, Box::new(workers), &options);
    let show = |ui: &mut egui::Ui, app: &mut App| {
        app.update(ui.ctx());
        app.show(ui);
    };
    let mut window = Harness::builder()
        .with_size([1180.0, 740.0])
        .with_context_setup(view::style)
        .build_ui_state(show, app);
    let run = |window: &mut Harness<'_, App>, length: Duration| {
        let start = Instant::now();
        while start.elapsed() < length {
            window.step();
            std::thread::sleep(Duration::from_millis(4));
        }
    };
    run(&mut window, Duration::from_secs(8));
    let stats = &window.state().state().stats;
    let (pass, rate) = (stats.window().unwrap(), |rate: Option<f32>| rate.unwrap_or_default());
    println!(
        "{} threads, {}: pass p50 {:.2} ms, p95 {:.2} ms; a second {:.1} captured, {:.1} shown, {:.1} looked at",
        if threads == 0 { "all".to_owned() } else { threads.to_string() },
        tab.name(),
        pass.median,
        pass.p95,
        rate(stats.capture.rate()),
        rate(stats.display.rate()),
        rate(stats.detection.rate()),
    );
    let mut times = Vec::new();
    for _ in 0..8 {
        let before = window.state().state().active.as_ref().map(|active| active.backbone.clone());
        let start = Instant::now();
        window.state_mut().act(Action::Do(Command::NextBackbone));
        let new = |app: &App| {
            let found = app.state().found.as_ref().and_then(|found| found.main.as_ref());
            let changed = found.is_some_and(|look| Some(&look.backbone) != before.as_ref());
            changed && app.state().active.as_ref().map(|active| &active.backbone) != before.as_ref()
        };
        while !new(window.state()) {
            window.step();
            std::thread::sleep(Duration::from_millis(2));
        }
        times.push(start.elapsed().as_secs_f32() * 1000.0);
    }
    times.sort_by(f32::total_cmp);
    println!("  switch to first detections: median {:.0} ms, worst {:.0} ms", times[4], times[7]);
}
