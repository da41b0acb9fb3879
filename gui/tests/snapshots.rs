//! What the window looks like, as pictures in `tests/snapshots`. After a change that is meant to be seen:
//! `UPDATE_SNAPSHOTS=1 cargo test -p sandglass --test snapshots`, and look at them.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::raster::Raster;
use common::{FakeLink, detection, detections, found, models, moment, opened, ready, shot};
use egui::{Color32, ColorImage, Key};
use egui_kittest::{Harness, SnapshotOptions};
use sandglass::message::{Event, Found, Look, Order, Picture, Progress, Role};
use sandglass::settings::{Settings, Theme};
use sandglass::{App, Options, view};
use sandglass_detector::{BoxXyxy, Detections};

const SIZE: [usize; 2] = [320, 180];

/// Sky, ground and something to stand in for a cat.
fn scene() -> Arc<ColorImage> {
    let [w, h] = SIZE;
    let pixel = |at: usize| {
        let (x, y) = (at % w, at / w);
        let cat = (x as f32 - 110.0).hypot((y as f32 - 100.0) * 0.8) < 46.0;
        match (cat, y < 70) {
            (true, _) => Color32::from_rgb(200, 140, 70),
            (_, true) => Color32::from_rgb(120, 160 + (y / 2) as u8, 220),
            _ => Color32::from_rgb(80, 110 - (y / 4) as u8, 60),
        }
    };
    Arc::new(ColorImage::new(SIZE, (0..w * h).map(pixel).collect()))
}

fn objects() -> Detections {
    let mut cat = detection("cat", 8, 0.87);
    cat.bounds = BoxXyxy { x1: 60.0, y1: 42.0, x2: 160.0, y2: 160.0 };
    let mut person = detection("person", 15, 0.42);
    person.bounds = BoxXyxy { x1: 220.0, y1: 20.0, x2: 270.0, y2: 150.0 };
    Detections { items: vec![cat, person], width: 320, height: 180, ..detections(0.0) }
}

struct Scene {
    window: Harness<'static, App>,
    link: FakeLink,
}

impl Scene {
    fn new(settings: Settings, size: [f32; 2]) -> Self {
        let link = FakeLink::default();
        let options = Options { source: Some("street.mp4".into()), ..Options::default() };
        let app = App::new(settings, models(), Box::new(link.clone()), &options);
        let show = |ui: &mut egui::Ui, app: &mut App| {
            app.update(ui.ctx());
            app.show(ui);
        };
        let window = Harness::builder()
            .with_size(size)
            .with_context_setup(view::style)
            .renderer(Raster::default())
            .build_ui_state(show, app);
        let mut scene = Self { window, link };
        scene.link.event(opened(1));
        scene.link.event(ready(Role::Main, "alpha"));
        scene.frame(found(moment(1), 11, Ok(objects())));
        scene
    }

    fn dark() -> Self {
        Self::new(Settings { theme: Theme::Dark, ..Settings::default() }, [1180.0, 740.0])
    }

    fn frame(&mut self, found: Found) {
        let shot = sandglass::message::Shot {
            size: SIZE.map(|side| side as u32),
            name: "street.mp4".into(),
            ..shot(found.moment, found.index)
        };
        self.link.frame(found);
        if let Some(report) = self.link.report.borrow_mut().as_mut() {
            report.picture = Some(Picture { image: scene(), shot });
        }
        self.window.run_steps(3);
    }

    fn press(&mut self, key: Key) {
        self.window.key_press(key);
        self.window.run_steps(3);
    }

    fn check(mut self, name: &str) {
        self.window.remove_cursor();
        self.window.run_steps(3);
        // Another processor may round a few edges another way.
        let options = SnapshotOptions::new().max_failed_pixels(300_usize);
        self.window.snapshot_options(name, &options);
    }
}

#[test]
fn playing_dark() {
    Scene::dark().check("playing_dark");
}

#[test]
fn playing_light() {
    let settings = Settings { theme: Theme::Light, ..Settings::default() };
    Scene::new(settings, [1180.0, 740.0]).check("playing_light");
}

#[test]
fn paused_with_an_object_pointed_out() {
    let mut scene = Scene::dark();
    scene.press(Key::Space);
    let cat = objects().items.remove(0);
    let mut orders = Vec::new();
    // As a click on the table does.
    orders.extend(scene.window.state_mut().act(sandglass::state::Action::Highlight(Some(cat))));
    assert_eq!(orders, Vec::<Order>::new());
    scene.window.run_steps(3);
    scene.check("paused");
}

#[test]
fn comparing() {
    let mut scene = Scene::dark();
    scene.press(Key::X);
    scene.link.event(ready(Role::Rival, "beta"));
    let mut both = found(moment(1), 12, Ok(objects()));
    let mut other = objects();
    other.items.truncate(1);
    both.rival = Some(Look { backbone: "beta".into(), outcome: Ok(other) });
    scene.frame(both);
    scene.check("comparing");
}

#[test]
fn recording() {
    let mut scene = Scene::dark();
    let (duration, bytes) = (Duration::from_secs(75), 12_340_000);
    scene.link.event(Event::Recording(Progress { duration, bytes, dropped: 3, ..Progress::default() }));
    scene.window.run_steps(3);
    scene.check("recording");
}

#[test]
fn a_problem() {
    let mut scene = Scene::dark();
    let reason = "street.mp4: the file ends in the middle of frame 12; it may not have been copied whole";
    scene.link.event(Event::SourceFailed { generation: 1, reason: reason.into(), over: true });
    scene.window.run_steps(3);
    scene.check("problem");
}

#[test]
fn narrow() {
    let settings = Settings { theme: Theme::Dark, ..Settings::default() };
    Scene::new(settings, [760.0, 480.0]).check("narrow");
}

#[test]
fn help() {
    let mut scene = Scene::dark();
    scene.press(Key::Questionmark);
    scene.check("help");
}

#[test]
fn options() {
    let mut scene = Scene::dark();
    scene.press(Key::N);
    // The folder differs from one machine to the next.
    scene.link.event(Event::PickedRecordings(Some("/home/someone/Videos/Sandglass".into())));
    scene.window.run_steps(3);
    scene.check("options");
}
