//! The window, driven by what its controls are called.

mod common;

use std::time::Duration;

use common::{FakeLink, choice, detections, found, models, moment, opened, ready};
use egui::accesskit::Role as NodeRole;
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use sandglass::command::{Command, Menu};
use sandglass::message::{Errand, Event, Order, Progress, Role};
use sandglass::settings::{Settings, Tab, Theme};
use sandglass::state::{Layout, Playback};
use sandglass::{App, Options, view};

fn window(link: &FakeLink, settings: Settings) -> Harness<'static, App> {
    let options = Options { source: Some("street.mp4".into()), ..Options::default() };
    let app = App::new(settings, models(), Box::new(link.clone()), &options);
    let show = |ui: &mut egui::Ui, app: &mut App| {
        app.update(ui.ctx());
        app.show(ui);
    };
    Harness::builder().with_size([1180.0, 740.0]).with_context_setup(view::style).build_ui_state(show, app)
}

/// A window in which a video plays and a cat was found.
fn playing_with(settings: Settings) -> (Harness<'static, App>, FakeLink) {
    let link = FakeLink::default();
    let mut window = window(&link, settings);
    link.event(opened(1));
    link.event(ready(Role::Main, "alpha"));
    link.frame(found(moment(1), 11, Ok(detections(0.87))));
    window.run();
    link.taken();
    (window, link)
}

fn playing() -> (Harness<'static, App>, FakeLink) {
    playing_with(Settings::default())
}

fn on(tab: Tab) -> (Harness<'static, App>, FakeLink) {
    playing_with(Settings { tab, ..Settings::default() })
}

fn click(window: &mut Harness<'static, App>, label: &str) {
    window.get_by_label(label).click();
    window.run();
}

#[test]
fn it_starts_with_what_is_asked_for() {
    let link = FakeLink::default();
    let window = window(&link, Settings::default());
    let opening = Order::Open { source: "street.mp4".into(), format: None, generation: 1 };
    assert!(link.taken().contains(&opening));
    window.get_by_label("Opening street.mp4…");
}

#[test]
fn detections_are_listed_and_described() {
    let (window, _) = playing();
    window.get_by_label("cat");
    window.get_by_label("Video: 1 object: cat 87 %");
    window.get_by_label_contains("12 / 50");
    window.get_by_label("CPU, scalar, 1 thread");
}

#[test]
fn the_backbone_menu_switches() {
    let (mut window, link) = playing();
    window.get_by_value("alpha").click();
    window.run();
    window.get_by_label_contains("gamma  (untrained)");
    window.get_by_label_contains("beta  (untrained)").click();
    window.run();
    assert_eq!(link.taken(), [Order::Model(Role::Main, choice("beta"))]);
    window.get_by_label("Loading beta…");
    link.event(ready(Role::Main, "beta"));
    window.run();
    window.get_by_label_contains("Untrained");
}

#[test]
fn sliders_change_the_thresholds() {
    let (mut window, link) = playing();
    for (name, value) in [("Score threshold", 0.7), ("IoU threshold", 0.6), ("Max detections", 9.0)] {
        slide(&mut window, name, value);
    }
    let orders = link.taken();
    let Some(Order::Thresholds(last)) = orders.last() else { panic!("{orders:?}") };
    assert!((last.score - 0.7).abs() < 1e-6 && (last.iou - 0.6).abs() < 1e-6, "{last:?}");
    assert_eq!(last.max_detections, 9);
}

fn slide(window: &mut Harness<'static, App>, name: &str, value: f64) {
    let slider = |node: &egui_kittest::Node<'_>| node.accesskit_node().role() == NodeRole::Slider;
    window
        .get_all_by_label(name)
        .find(slider)
        .into_iter()
        .for_each(|slider| slider.set_value_accesskit(value));
    window.run();
}

#[test]
fn pause_by_button_and_key() {
    let (mut window, link) = playing();
    click(&mut window, "Pause");
    assert_eq!(link.taken(), [Order::Play(false)]);
    window.get_by_label("Paused; Space goes on");
    window.key_press(Key::Space);
    window.run();
    assert_eq!(link.taken(), [Order::Play(true)]);
    assert_eq!(window.state().state().playback, Playback::Playing);
}

#[test]
fn transport_moves_in_the_source() {
    let (mut window, link) = playing();
    slide(&mut window, "Position", 1.5);
    assert_eq!(link.taken(), [Order::Seek { to: Duration::from_millis(1500), jump: 1 }]);
    click(&mut window, "One frame forward");
    click(&mut window, "One frame back");
    let orders = link.taken();
    assert_eq!(orders[..2], [Order::StepForward, Order::Play(false)]);
    assert!(matches!(orders[2], Order::Seek { .. }));
    click(&mut window, "Restart");
    click(&mut window, "Loop");
    assert_eq!(link.taken(), [Order::Restart, Order::Loop(false)]);
    window.get_by_value("1 ×").click();
    window.run();
    click(&mut window, "0.5 ×");
    assert_eq!(link.taken(), [Order::Speed(0.5)]);
}

#[test]
fn a_live_source_has_no_seek_bar() {
    let (mut window, link) = playing();
    link.event(Event::Opened { generation: 1, frames: None, duration: None, live: true, remark: None });
    window.run();
    window.get_by_label("live");
    assert!(window.query_by_label("Position").is_none() && window.query_by_label("Restart").is_none());
}

#[test]
fn nothing_is_drawn_again_when_nothing_changed() {
    let (mut window, link) = playing();
    window.key_press(Key::Space);
    window.run();
    link.taken();
    window.step();
    assert!(!window.ctx.has_requested_repaint());
}

#[test]
fn errors_pop_up_with_a_way_out_and_the_window_lives_on() {
    let (mut window, link) = playing();
    link.event(Event::SourceFailed { generation: 1, reason: "street.mp4: cut short".into(), over: true });
    link.frame(found(moment(1), 12, Err("the device went away".into())));
    window.run_steps(4);
    // In the status line and above the video.
    assert_eq!(window.query_all_by_label("street.mp4: cut short").count(), 2);
    assert!(window.query_all_by_label_contains("Detection failed: the device went away").count() >= 1);
    window.get_by_label("Open the demo").click();
    window.run_steps(4);
    assert_eq!(link.taken(), [Order::Open { source: "demo".into(), format: None, generation: 2 }]);
    // Read, it is gone from the video and still in the log.
    assert!(window.query_by_label("street.mp4: cut short").is_none());
    window.get_by_label("Log").click();
    window.run_steps(4);
    window.get_by_label("street.mp4: cut short");
    window.get_by_label("Clear").click();
    window.run_steps(4);
    assert!(window.query_by_label("street.mp4: cut short").is_none());
}

#[test]
fn every_command_is_in_a_menu_and_in_the_help() {
    let (mut window, _) = playing();
    for menu in Menu::ALL {
        click(&mut window, menu.name());
        for command in Command::ALL.into_iter().filter(|command| command.menu() == menu) {
            let name = if command == Command::TogglePlay { "Pause" } else { command.name() };
            assert!(window.query_all_by_label_contains(name).count() > 0, "{command:?}");
        }
        window.key_press(Key::Escape);
        window.run();
    }
    window.key_press(Key::Questionmark);
    window.run();
    for command in Command::ALL {
        assert!(window.query_all_by_label(command.name()).next().is_some(), "{command:?}");
    }
    window.key_press(Key::Escape);
    window.run();
    assert!(!window.state().state().help);
}

#[test]
fn a_command_of_a_menu_is_carried_out() {
    let (mut window, link) = playing();
    click(&mut window, "Source");
    window.get_by_label_contains("Open a folder of pictures").click();
    window.run();
    assert_eq!(link.taken(), [Order::Run(Errand::PickFolder)]);
}

#[test]
fn cameras_and_their_formats_are_in_the_menu() {
    let (mut window, link) = playing();
    let camera = sandglass::engine::CameraEntry { source: "camera:0".into(), name: "Front".into() };
    link.event(Event::Cameras(Ok(vec![camera])));
    window.run();
    click(&mut window, "Source");
    window.get_by_label_contains("Cameras").hover();
    window.run();
    window.get_by_label_contains("Front").hover();
    window.run();
    assert_eq!(link.taken(), [Order::Run(Errand::Formats("camera:0".into()))]);
    link.event(Event::Formats { camera: "camera:0".into(), formats: Ok(vec!["640x480@30:YUYV".into()]) });
    window.run();
    click(&mut window, "640 × 480 at 30, YUYV");
    let format = Some("640x480@30:YUYV".into());
    assert_eq!(link.taken(), [Order::Open { source: "camera:0".into(), format, generation: 2 }]);
}

#[test]
fn a_path_can_be_typed() {
    let (mut window, link) = playing();
    window.key_press_modifiers(Modifiers::COMMAND, Key::L);
    window.run();
    // Letters go into the field, they are no shortcuts.
    window.get_by_label("Path to open").type_text("photos/*.jpg");
    window.run();
    window.key_press(Key::Enter);
    window.run();
    assert_eq!(link.taken(), [Order::Open { source: "photos/*.jpg".into(), format: None, generation: 2 }]);
    assert!(window.query_by_label("Path to open").is_none());
}

#[test]
fn shortcuts_with_shift_and_ctrl_are_told_apart() {
    let (mut window, link) = playing();
    window.key_press_modifiers(Modifiers::SHIFT, Key::B);
    window.run();
    assert_eq!(link.taken(), [Order::Model(Role::Main, choice("gamma"))]);
    window.key_press_modifiers(Modifiers::COMMAND, Key::R);
    window.run();
    assert!(matches!(&link.taken()[..], [Order::Record(_)]));
}

#[test]
fn classes_are_searched_and_hidden() {
    let (mut window, link) = playing();
    click(&mut window, "Classes: all shown");
    click(&mut window, "Only person");
    let hidden = |names: &[&str]| Order::Hide(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(link.taken(), [hidden(&["bird", "cat", "dog"])]);
    assert!(window.query_all_by_label("No objects").count() > 0);
    window.get_by_label("Classes: 1 of 4 shown");
    click(&mut window, "All");
    click(&mut window, "None");
    assert_eq!(link.taken(), [hidden(&[]), hidden(&["bird", "cat", "dog", "person"])]);
    window.get_by_label("Search classes").focus();
    window.run();
    window.get_by_label("Search classes").type_text("do");
    window.run();
    assert!(window.query_by_label("Only cat").is_none());
    window.key_press(Key::Enter);
    window.run();
    assert_eq!(link.taken(), [hidden(&["bird", "cat", "person"])]);
}

#[test]
fn two_backbones_side_by_side_or_with_an_edge() {
    let (mut window, link) = playing();
    click(&mut window, "Compare");
    assert_eq!(link.taken(), [Order::Model(Role::Rival, choice("beta")), Order::InStep(true)]);
    link.event(ready(Role::Rival, "beta"));
    let mut both = found(moment(1), 12, Ok(detections(0.8)));
    both.rival.clone_from(&both.main);
    link.frame(both);
    window.run();
    window.get_by_label("1 found by both, 0 by the first alone, 0 by the second alone");
    click(&mut window, "Wipe");
    assert_eq!(window.state().state().comparison.as_ref().unwrap().layout, Layout::Wipe);
    let video = window.get_by_label_contains("Video:").rect();
    window.drag_at(video.center());
    window.run();
    window.hover_at(video.center() + egui::vec2(60.0, 0.0));
    window.run();
    window.drop_at(video.center() + egui::vec2(60.0, 0.0));
    window.run();
    assert!(window.state().state().comparison.as_ref().unwrap().edge > 0.52);
    click(&mut window, "Compare");
    assert_eq!(link.taken(), [Order::DropRival, Order::InStep(false)]);
}

#[test]
fn objects_are_pointed_out_in_the_table_and_the_picture() {
    let (mut window, _) = playing();
    click(&mut window, "cat");
    assert!(window.state().state().highlight.is_some());
    click(&mut window, "cat");
    assert!(window.state().state().highlight.is_none());
    let video = window.get_by_label_contains("Video:").rect();
    window.hover_at(video.center());
    window.run();
    window.get_by_label_contains("class 8");
    window.drag_at(video.center());
    window.drop_at(video.center());
    window.run();
    assert!(window.state().state().highlight.is_some());
}

#[test]
fn options_are_set() {
    let (mut window, link) = on(Tab::Options);
    for label in ["Class names", "Scores", "Steady boxes", "Mirror", "Boxes"] {
        click(&mut window, label);
    }
    let overlay = window.state().state().settings.overlay;
    assert!(!overlay.labels && !overlay.scores && overlay.smooth && overlay.mirror && !overlay.boxes);
    click(&mut window, "Boxes");
    slide(&mut window, "Line width", 5.0);
    assert_eq!(window.state().state().settings.overlay.line_width, 5.0);
    click(&mut window, "Show only frames that were looked at");
    assert_eq!(link.taken(), [Order::InStep(true)]);
    click(&mut window, "Draw boxes and labels");
    click(&mut window, "Write detections beside the video");
    let recordings = &window.state().state().settings.recordings;
    assert!(!recordings.annotated && !recordings.sidecar);
    click(&mut window, "Change…");
    assert!(matches!(&link.taken()[..], [Order::Run(Errand::PickRecordings(_))]));
    link.event(Event::PickedRecordings(Some("/videos".into())));
    window.run();
    window.get_by_label("Folder: /videos");
    click(&mut window, "Show");
    assert_eq!(link.taken(), [Order::Run(Errand::Reveal("/videos".into()))]);
    window.get_by_value("System").click();
    window.run();
    click(&mut window, "Dark");
    assert_eq!(window.state().state().settings.theme, Theme::Dark);
}

#[test]
fn speed_is_shown_and_all_backbones_are_measured() {
    let (mut window, link) = on(Tab::Speed);
    window.get_by_label("Not looked at: detector busy");
    window.get_by_label("Measure").scroll_to_me();
    window.run();
    click(&mut window, "Measure");
    assert_eq!(link.taken(), [Order::Benchmark(Some(0))]);
    link.event(Event::Measured { backbone: "beta".into(), millis: Ok(12.5) });
    window.run();
    window.get_by_label("12.5 ms");
    window.get_by_label("Copy");
    // One alone is not drawn.
    assert!(window.query_by_label("ImageNet top-1, as published, against ms").is_none());
    link.event(Event::Measured { backbone: "alpha".into(), millis: Ok(25.0) });
    window.run();
    window.get_by_label("ImageNet top-1, as published, against ms");
    window.get_by_label("ImageNet top-1, as published, against M multiply-adds");
    window.get_by_label("Multiply-adds");
    assert!(window.query_by_label("mAP on VOC2007 test, against ms").is_none());
    click(&mut window, "Stop");
    assert_eq!(link.taken(), [Order::Benchmark(None)]);
}

#[test]
fn recording_shows_time_size_and_losses() {
    let (mut window, link) = playing();
    click(&mut window, "● Record");
    assert!(matches!(&link.taken()[..], [Order::Record(_)]));
    let (duration, bytes) = (Duration::from_secs(75), 12_340_000);
    link.event(Event::Recording(Progress { duration, bytes, dropped: 3, ..Progress::default() }));
    window.run();
    window.get_by_label("1:15  12.3 MB  3 dropped");
    click(&mut window, "■ Stop");
    assert_eq!(link.taken(), [Order::StopRecording]);
    click(&mut window, "Snapshot");
    assert!(matches!(&link.taken()[..], [Order::Snapshot { annotated: true, .. }]));
}

#[test]
fn a_dropped_file_is_opened() {
    #[derive(Debug)]
    struct File;
    impl egui::DroppedFile for File {
        fn path(&self) -> &std::path::Path {
            std::path::Path::new("/videos/street.mp4")
        }
        fn bytes(&self) -> Result<Vec<u8>, String> {
            Err("only its path is of interest".into())
        }
    }
    let (mut window, link) = playing();
    window.input_mut().dropped_files.push(std::sync::Arc::new(File));
    window.run();
    let opening = Order::Open { source: "/videos/street.mp4".into(), format: None, generation: 2 };
    assert_eq!(link.taken(), [opening]);
}

#[test]
fn every_control_has_a_name() {
    for tab in Tab::ALL {
        let (mut window, link) = on(tab);
        link.event(Event::ErrandFailed("a report".into()));
        window.run_steps(4);
        let controls = [NodeRole::Button, NodeRole::CheckBox, NodeRole::Slider, NodeRole::ComboBox];
        let mut nameless = Vec::new();
        for node in window.root().children_recursive() {
            let node = node.accesskit_node();
            let named = node.label().is_some() || node.value().is_some();
            if controls.contains(&node.role()) && !named {
                nameless.push(format!("{:?} {:?}", node.role(), node.raw_bounds()));
            }
        }
        assert!(nameless.is_empty(), "{tab:?}: {nameless:?}");
    }
}
