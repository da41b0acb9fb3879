//! What follows from what the user does, without a window.

mod common;

use std::path::PathBuf;
use std::time::Duration;

use common::{choice, detection, detections, found, models, moment, opened, ready, shot};
use sandglass::command::Command;
use sandglass::engine::ModelChoice;
use sandglass::message::{Errand, Event, Look, Moment, Order, Progress, Role};
use sandglass::settings::{Settings, Theme, Thresholds};
use sandglass::state::{Action, Playback, Recording, State};
use sandglass::status::Severity;

fn started() -> State {
    let mut state = State::new(Settings::default(), models());
    state.start(Some("demo"), None, None);
    state.apply(opened(1));
    state.apply(ready(Role::Main, "alpha"));
    assert!(state.show(shot(moment(1), 0)));
    assert!(state.see(found(moment(1), 0, Ok(detections(0.87)))));
    state
}

fn model(backbone: Option<&str>, weights: Option<&str>) -> Order {
    let (backbone, weights) = (backbone.map(Into::into), weights.map(PathBuf::from));
    Order::Model(Role::Main, ModelChoice { backbone, weights, threads: 0 })
}

#[test]
fn the_command_line_comes_before_memory() {
    let remembered = Settings { backbone: Some("beta".into()), ..Settings::default() };
    let first = |backbone: Option<&str>, weights: Option<&str>| {
        let mut state = State::new(remembered.clone(), models());
        let orders = state.start(Some("demo"), backbone.map(Into::into), weights.map(PathBuf::from));
        orders.into_iter().find(|order| matches!(order, Order::Model(..))).unwrap()
    };
    assert_eq!(first(None, None), model(Some("beta"), None));
    assert_eq!(first(Some("gamma"), None), model(Some("gamma"), None));
    assert_eq!(first(None, Some("w")), model(None, Some("w")));
}

#[test]
fn a_remembered_backbone_that_is_gone_and_wild_thresholds_are_mended() {
    let thresholds = Thresholds { score: f32::NAN, iou: 7.0, max_detections: 0 };
    let settings = Settings { backbone: Some("old".into()), thresholds, ..Settings::default() };
    let state = State::new(settings, models());
    assert_eq!(state.settings.backbone, None);
    assert_eq!(state.settings.thresholds, Thresholds { score: 0.3, iou: 0.95, max_detections: 1 });
}

#[test]
fn weights_of_the_command_line_belong_to_their_backbone() {
    let mut state = State::new(Settings::default(), models());
    state.start(Some("demo"), None, Some("w".into()));
    let Event::ModelReady { role, backbone, trained, engine, classes, .. } = ready(Role::Main, "beta") else {
        unreachable!()
    };
    let choice = ModelChoice { backbone: None, weights: Some("w".into()), threads: 0 };
    state.apply(Event::ModelReady { role, choice, backbone, trained, engine, classes });
    assert_eq!(state.act(Action::Backbone("gamma".into())), [model(Some("gamma"), None)]);
    assert_eq!(state.act(Action::Backbone("beta".into())), [model(Some("beta"), Some("w"))]);
}

#[test]
fn space_plays_pauses_and_starts_over() {
    let mut state = started();
    assert_eq!(state.act(Action::Do(Command::TogglePlay)), [Order::Play(false)]);
    assert_eq!(state.playback, Playback::Paused);
    assert_eq!(state.act(Action::Do(Command::TogglePlay)), [Order::Play(true)]);
    state.apply(Event::Ended { generation: 1, frames: 50 });
    assert!(state.status()[0].text.contains("has ended"));
    assert_eq!(state.act(Action::Do(Command::TogglePlay)), [Order::Restart]);
    state.apply(opened(1));
    assert_eq!(state.playback, Playback::Playing);
}

#[test]
fn backbones_go_round() {
    let mut state = started();
    let mut step = |command| state.act(Action::Do(command));
    assert_eq!(step(Command::PreviousBackbone), [model(Some("gamma"), None)]);
    assert_eq!(step(Command::NextBackbone), [model(Some("alpha"), None)]);
    assert_eq!(step(Command::NextBackbone), [model(Some("beta"), None)]);
}

#[test]
fn a_failed_switch_leaves_the_old_model_and_says_so() {
    let mut state = started();
    state.act(Action::Backbone("beta".into()));
    assert!(state.status().iter().any(|s| s.text == "Loading beta…"));
    let (role, choice) = (Role::Main, choice("beta"));
    state.apply(Event::ModelFailed { role, choice, reason: "out of luck".into() });
    assert_eq!(state.settings.backbone.as_deref(), Some("alpha"));
    let status = &state.status()[0];
    assert_eq!(status.severity, Severity::Problem);
    assert_eq!(status.text, "beta could not be loaded: out of luck");
    assert_eq!(state.playback, Playback::Playing);
}

#[test]
fn score_keys_move_in_steps_and_stop_at_the_ends() {
    let mut state = started();
    for _ in 0..40 {
        state.act(Action::Do(Command::RaiseScore));
    }
    assert_eq!(state.settings.thresholds.score, 0.99);
    assert_eq!(state.act(Action::Do(Command::RaiseScore)), []);
    state.act(Action::Do(Command::LowerScore));
    assert!((state.settings.thresholds.score - 0.95).abs() < 1e-6);
}

#[test]
fn news_of_a_source_that_was_left_is_ignored() {
    let mut state = started();
    state.act(Action::Open("b.mp4".into()));
    assert!(!state.show(shot(moment(1), 9)));
    state.apply(Event::Ended { generation: 1, frames: 50 });
    state.apply(Event::SourceFailed { generation: 1, reason: "late".into(), over: true });
    assert_eq!(state.playback, Playback::Opening);
    assert!(state.source_problem.is_none() && state.shot.is_none());
}

#[test]
fn a_single_picture_is_not_called_ended() {
    let mut state = started();
    state.apply(Event::Ended { generation: 1, frames: 1 });
    assert_eq!(state.status()[0].text, "1 object");
}

#[test]
fn settings_survive_being_written_and_read() {
    let settings = Settings { theme: Theme::Dark, looped: false, ..Settings::default() };
    let mut state = State::new(settings, models());
    state.apply(ready(Role::Main, "beta"));
    let json = serde_json::to_string(&state.settings).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), state.settings);
    assert_eq!(serde_json::from_str::<Settings>("{}").unwrap(), Settings::default());
}

#[test]
fn without_a_source_it_is_the_first_camera_or_the_demo() {
    let camera = || sandglass::engine::CameraEntry { source: "camera:0".into(), name: "Cam".into() };
    let opening = |orders: &[Order]| match orders {
        [Order::Open { source, .. }] => source.clone(),
        other => panic!("{other:?}"),
    };
    let mut state = State::new(Settings::default(), models());
    assert!(!state.start(None, None, None).iter().any(|order| matches!(order, Order::Open { .. })));
    assert_eq!(opening(&state.apply(Event::Cameras(Ok(vec![camera()])))), "camera:0");
    // Nobody asked for it: where it cannot be opened, the demo is shown, and why.
    let failed = Event::SourceFailed { generation: 1, reason: "in use".into(), over: true };
    assert_eq!(opening(&state.apply(failed)), "demo");
    assert!(state.log.all().any(|notice| notice.text == "in use"));

    let mut state = State::new(Settings::default(), models());
    state.start(None, None, None);
    assert_eq!(opening(&state.apply(Event::Cameras(Ok(Vec::new())))), "demo");
    assert!(state.log.all().any(|notice| notice.text.contains("No camera was found")));

    // With a source the cameras are only listed.
    let mut state = started();
    assert_eq!(state.apply(Event::Cameras(Ok(vec![camera()]))), []);
    // Asked for by hand, a failure stays a failure.
    assert_eq!(state.act(Action::Do(Command::OpenCamera)), [Order::Run(Errand::Cameras)]);
    assert_eq!(state.apply(Event::Cameras(Ok(Vec::new()))), []);
    assert_eq!(state.source, "demo");
}

#[test]
fn one_can_move_in_a_file() {
    let seconds = Duration::from_secs;
    let mut state = started();
    let orders = state.act(Action::Seek(seconds(1)));
    assert_eq!(orders, [Order::Seek { to: seconds(1), jump: 1 }]);
    // The bar stays where it was put, and what was found elsewhere is gone.
    assert_eq!(state.position(), Some(seconds(1)));
    assert!(state.found.is_none() && state.drawn.is_empty());
    assert!(!state.show(shot(moment(1), 1)) && !state.see(found(moment(1), 1, Ok(detections(0.5)))));
    let there = Moment { generation: 1, jump: 1 };
    assert!(state.show(shot(there, 25)));
    assert_eq!(state.position(), Some(seconds(1)));
    // Not beyond the ends.
    assert_eq!(state.act(Action::Do(Command::JumpForward)), [Order::Seek { to: seconds(2), jump: 2 }]);
    state.act(Action::Seek(seconds(1)));
    assert_eq!(state.act(Action::Do(Command::JumpBack)), [Order::Seek { to: Duration::ZERO, jump: 4 }]);
    // A step back holds, and lands in the middle of the frame before.
    state.act(Action::Seek(seconds(1)));
    let orders = state.act(Action::Do(Command::StepBack));
    assert_eq!(orders, [Order::Play(false), Order::Seek { to: Duration::from_millis(980), jump: 6 }]);
    assert_eq!(state.playback, Playback::Paused);
    assert_eq!(state.act(Action::Do(Command::StepForward)), [Order::StepForward]);
    // What has ended goes on from where one moves to.
    state.apply(Event::Ended { generation: 1, frames: 50 });
    assert_eq!(state.act(Action::Seek(seconds(0))).len(), 2);
    assert_eq!(state.playback, Playback::Playing);
}

#[test]
fn nobody_can_move_in_a_camera() {
    let mut state = started();
    state.act(Action::Open("camera".into()));
    state.apply(Event::Opened { generation: 2, frames: None, duration: None, live: true, remark: None });
    assert_eq!(state.act(Action::Seek(Duration::from_secs(1))), []);
    assert_eq!(state.act(Action::Do(Command::StepBack)), []);
}

#[test]
fn speeds_go_up_and_down_to_the_ends() {
    let mut state = started();
    assert_eq!(state.act(Action::Do(Command::Faster)), [Order::Speed(2.0)]);
    for _ in 0..20 {
        state.act(Action::Do(Command::Slower));
    }
    assert_eq!(state.speed, 0.25);
}

#[test]
fn hidden_classes_are_left_out_everywhere_but_in_the_counts() {
    let mut state = started();
    let hidden = std::collections::BTreeSet::from(["cat".to_owned()]);
    assert_eq!(state.act(Action::Hide(hidden.clone())), [Order::Hide(hidden)]);
    assert!(state.items().is_empty() && state.drawn.is_empty());
    assert_eq!(state.class_counts().get("cat"), Some(&1));
    assert_eq!(state.objects(), "No objects");
}

#[test]
fn what_is_pointed_out_is_followed() {
    let mut state = started();
    let cat = state.items()[0].clone();
    state.act(Action::Highlight(Some(cat.clone())));
    let mut moved = detections(0.6);
    moved.items[0].bounds.x1 += 2.0;
    moved.items[0].bounds.x2 += 2.0;
    state.see(found(moment(1), 1, Ok(moved.clone())));
    assert_eq!(state.highlight.as_ref(), Some(&moved.items[0]));
    moved.items = vec![detection("dog", 12, 0.9)];
    state.see(found(moment(1), 2, Ok(moved)));
    assert_eq!(state.highlight, None);
}

#[test]
fn steadied_boxes_are_drawn_and_the_table_stays_raw() {
    let mut state = started();
    state.act(Action::Do(Command::ToggleSmooth));
    state.see(found(moment(1), 1, Ok(detections(0.9))));
    state.see(found(moment(1), 2, Ok(detections(0.5))));
    assert_eq!(state.items()[0].score, 0.5);
    assert!((state.drawn[0].score - 0.7).abs() < 0.06, "{:?}", state.drawn);
}

#[test]
fn two_backbones_are_compared_on_the_same_frames() {
    let mut state = started();
    let orders = state.act(Action::Do(Command::ToggleCompare));
    assert_eq!(orders, [Order::Model(Role::Rival, choice("beta")), Order::InStep(true)]);
    state.apply(ready(Role::Rival, "beta"));
    let mut both = found(moment(1), 1, Ok(detections(0.8)));
    let look = |outcome| Look { backbone: "beta".into(), outcome };
    both.rival = Some(look(Ok(detections(0.4))));
    state.see(both);
    assert_eq!(state.agreement().unwrap().share(), Some(1.0));
    // One that cannot be loaded ends the comparison, the first goes on.
    let (role, choice) = (Role::Rival, choice("gamma"));
    state.act(Action::Rival("gamma".into()));
    state.apply(Event::ModelFailed { role, choice, reason: "no memory".into() });
    assert!(state.comparison.is_none() && state.active.is_some());
    state.act(Action::Do(Command::ToggleCompare));
    assert_eq!(state.act(Action::Do(Command::ToggleCompare)), [Order::DropRival, Order::InStep(false)]);
}

#[test]
fn a_recording_begins_goes_on_and_ends() {
    let mut state = started();
    let orders = state.act(Action::Do(Command::ToggleRecord));
    assert!(matches!(&orders[..], [Order::Record(plan)] if plan.annotated && plan.sidecar && !plan.live));
    // Pressed twice it is still one recording.
    assert_eq!(state.act(Action::Do(Command::ToggleRecord)), []);
    state.apply(Event::Recording(Progress { frames: 3, ..Progress::default() }));
    assert_eq!(state.act(Action::Do(Command::ToggleRecord)), [Order::StopRecording]);
    assert!(matches!(&state.recording, Recording::Ending(progress) if progress.frames == 3));
    state.apply(Event::Recorded(Err("the disk is full".into())));
    assert_eq!(state.recording, Recording::Off);
    assert!(state.log.all().any(|notice| notice.text.contains("the disk is full")));
}

#[test]
fn measurements_stand_beside_their_backbones() {
    let mut state = started();
    assert_eq!(state.act(Action::Do(Command::Benchmark)), [Order::Benchmark(Some(0))]);
    state.apply(Event::Measured { backbone: "beta".into(), millis: Ok(12.5) });
    state.apply(Event::Measured { backbone: "gamma".into(), millis: Err("no memory".into()) });
    assert_eq!((state.settings.millis("beta"), state.settings.millis("gamma")), (Some(12.5), None));
    state.apply(Event::BenchmarkEnded);
    assert!(!state.benchmark.as_ref().unwrap().running);
    // With other threads nothing is known yet.
    state.act(Action::Threads(1));
    assert_eq!(state.settings.millis("beta"), None);
}

#[test]
fn a_camera_that_comes_back_clears_the_problem() {
    let mut state = started();
    state.apply(Event::SourceFailed { generation: 1, reason: "unplugged".into(), over: false });
    assert_eq!(state.playback, Playback::Playing);
    assert!(state.status().iter().any(|status| status.text == "unplugged"));
    state.apply(Event::SourceBack { generation: 1 });
    assert!(state.source_problem.is_none());
}
