//! What follows from what the user does, without a window.

mod common;

use std::path::PathBuf;

use common::{models, ready, result};
use sandglass::command::Command;
use sandglass::engine::ModelChoice;
use sandglass::message::{Event, Order};
use sandglass::settings::{Settings, Theme, Thresholds};
use sandglass::state::{Action, Playback, State};
use sandglass::status::Severity;

fn started() -> State {
    let mut state = State::new(Settings::default(), models());
    state.start("demo", None, None);
    state.apply(Event::Opened { generation: 1, frames: Some(50) });
    state.apply(ready("alpha"));
    assert!(state.show(result(1, 0)));
    state
}

fn model(backbone: Option<&str>, weights: Option<&str>) -> Order {
    Order::Model(ModelChoice { backbone: backbone.map(Into::into), weights: weights.map(PathBuf::from) })
}

#[test]
fn the_command_line_comes_before_memory() {
    let remembered = Settings { backbone: Some("beta".into()), ..Settings::default() };
    let first = |backbone: Option<&str>, weights: Option<&str>| {
        let mut state = State::new(remembered.clone(), models());
        let orders = state.start("demo", backbone.map(Into::into), weights.map(PathBuf::from));
        orders.into_iter().find(|order| matches!(order, Order::Model(_))).unwrap()
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
    state.start("demo", None, Some("w".into()));
    let choice = ModelChoice { backbone: None, weights: Some("w".into()) };
    state.apply(Event::ModelReady { choice, backbone: "beta".into(), trained: true, engine: "x".into() });
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
    state.apply(Event::Opened { generation: 1, frames: Some(50) });
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
    let choice = ModelChoice { backbone: Some("beta".into()), weights: None };
    state.apply(Event::ModelFailed { choice, reason: "out of luck".into() });
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
    assert!(!state.show(result(1, 9)));
    state.apply(Event::Ended { generation: 1, frames: 50 });
    state.apply(Event::SourceFailed { generation: 1, reason: "late".into(), over: true });
    assert_eq!(state.playback, Playback::Opening);
    assert!(state.source_problem.is_none() && state.shown.is_none());
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
    state.apply(ready("beta"));
    let json = serde_json::to_string(&state.settings).unwrap();
    assert_eq!(serde_json::from_str::<Settings>(&json).unwrap(), state.settings);
    assert_eq!(serde_json::from_str::<Settings>("{}").unwrap(), Settings::default());
}
