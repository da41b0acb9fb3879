//! The window, driven by what its controls are called.

mod common;

use common::{FakeLink, models, ready, result};
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT as _, Queryable as _};
use sandglass::message::{Event, Order};
use sandglass::settings::Settings;
use sandglass::state::Playback;
use sandglass::{App, Options, view};

fn window(link: &FakeLink) -> Harness<'static, App> {
    let app = App::new(Settings::default(), models(), Box::new(link.clone()), &Options::default());
    let show = |ui: &mut egui::Ui, app: &mut App| {
        app.update(ui.ctx());
        app.show(ui);
    };
    Harness::builder().with_size([1100.0, 720.0]).with_context_setup(view::style).build_ui_state(show, app)
}

/// A window in which a video plays and a cat was found.
fn playing() -> (Harness<'static, App>, FakeLink) {
    let link = FakeLink::default();
    let mut window = window(&link);
    link.event(Event::Opened { generation: 1, frames: Some(50) });
    link.event(ready("alpha"));
    link.frame(result(1, 11));
    window.run();
    link.taken();
    (window, link)
}

#[test]
fn it_starts_with_the_demo() {
    let link = FakeLink::default();
    let window = window(&link);
    assert!(link.taken().contains(&Order::Open { source: "demo".into(), generation: 1 }));
    window.get_by_label("Opening demo…");
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
    window.get_by_label("beta  (untrained)").click();
    window.run();
    let orders = link.taken();
    assert!(matches!(&orders[..], [Order::Model(c)] if c.backbone.as_deref() == Some("beta")), "{orders:?}");
    window.get_by_label("Loading beta…");
    link.event(ready("beta"));
    window.run();
    window.get_by_label_contains("Untrained");
}

#[test]
fn sliders_change_the_thresholds() {
    let (mut window, link) = playing();
    let sliders = [("Score threshold", 0.7), ("IoU threshold", 0.6), ("Max detections", 9.0)];
    for (name, value) in sliders {
        let slider =
            |node: &egui_kittest::Node<'_>| node.accesskit_node().role() == egui::accesskit::Role::Slider;
        window.get_all_by_label(name).find(slider).unwrap().set_value_accesskit(value);
        window.run();
    }
    let orders = link.taken();
    let Some(Order::Thresholds(last)) = orders.last() else { panic!("{orders:?}") };
    assert!((last.score - 0.7).abs() < 1e-6 && (last.iou - 0.6).abs() < 1e-6, "{last:?}");
    assert_eq!(last.max_detections, 9);
}

#[test]
fn pause_by_button_and_key() {
    let (mut window, link) = playing();
    window.get_by_label_contains("Pause").click();
    window.run();
    assert_eq!(link.taken(), [Order::Play(false)]);
    window.get_by_label("Paused; Space goes on");
    window.key_press(Key::Space);
    window.run();
    assert_eq!(link.taken(), [Order::Play(true)]);
    assert_eq!(window.state().state().playback, Playback::Playing);
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
fn errors_are_shown_and_the_window_lives_on() {
    let (mut window, link) = playing();
    link.event(Event::SourceFailed { generation: 1, reason: "street.mp4: cut short".into(), over: true });
    let mut failed = result(1, 12);
    failed.detections = None;
    failed.problem = Some("the device went away".into());
    link.frame(failed);
    window.run();
    window.get_by_label("street.mp4: cut short");
    window.get_by_label("Detection failed: the device went away");
    window.get_by_label("Demo").click();
    window.run();
    assert_eq!(link.taken(), [Order::Open { source: "demo".into(), generation: 2 }]);
}

#[test]
fn the_help_window_lists_every_command() {
    let (mut window, _) = playing();
    window.key_press(Key::Questionmark);
    window.run();
    for command in sandglass::command::Command::ALL {
        assert!(window.query_all_by_label(command.name()).next().is_some(), "{command:?}");
    }
    window.key_press(Key::Escape);
    window.run();
    assert!(!window.state().state().help);
}

#[test]
fn shortcuts_with_shift_are_told_apart() {
    let (mut window, link) = playing();
    window.key_press_modifiers(Modifiers::SHIFT, Key::B);
    window.run();
    let orders = link.taken();
    assert!(matches!(&orders[..], [Order::Model(c)] if c.backbone.as_deref() == Some("gamma")), "{orders:?}");
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
    assert_eq!(link.taken(), [Order::Open { source: "/videos/street.mp4".into(), generation: 2 }]);
}
