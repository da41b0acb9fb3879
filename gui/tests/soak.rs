//! Random clicks and keys on every control, with the real detector at work. A few seconds by default;
//! `SANDGLASS_SOAK_SECONDS=600 cargo test --release -p sandglass --test soak -- --nocapture` runs it long,
//! and then memory has to stay flat.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use egui::accesskit::{self, Role};
use egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::NodeT as _;
use sandglass::backend::DetectorBackend;
use sandglass::command::Command;
use sandglass::engine::Backend;
use sandglass::message::{Errand, Link, Order, Report};
use sandglass::settings::Settings;
use sandglass::state::{Action, Recording};
use sandglass::worker::Workers;
use sandglass::{App, Options, view};

/// The workers, except that dialogs stay closed and files go where they can be thrown away.
struct Fenced {
    workers: Workers,
    folder: PathBuf,
}

impl Link for Fenced {
    fn send(&self, order: Order) {
        let order = match order {
            Order::Run(Errand::Cameras | Errand::Formats(_)) => order,
            Order::Run(_) => return,
            Order::Record(mut plan) => {
                plan.folder.clone_from(&self.folder);
                Order::Record(plan)
            }
            Order::Snapshot { annotated, .. } => Order::Snapshot { folder: self.folder.clone(), annotated },
            other => other,
        };
        self.workers.send(order);
    }

    fn poll(&self) -> Option<Report> {
        self.workers.poll()
    }
}

/// Xorshift: a run can be repeated by its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % count.max(1) as u64) as usize
    }
}

/// Memory with one detector at work on the demo and nothing else going on, so that two moments compare.
fn at_rest(window: &mut Harness<'static, App>) -> usize {
    let mut wanted = vec![Action::Do(Command::OpenDemo), Action::Threads(0)];
    let state = window.state().state();
    wanted.extend(state.comparison.is_some().then_some(Action::Do(Command::ToggleCompare)));
    wanted.extend(matches!(state.recording, Recording::On(_)).then_some(Action::Do(Command::ToggleRecord)));
    wanted.push(Action::Backbone("mobilenet-v2-1.0".into()));
    for action in wanted {
        window.state_mut().act(action);
    }
    for _ in 0..200 {
        window.step();
        std::thread::sleep(Duration::from_millis(10));
    }
    memory_stats::memory_stats().map_or(0, |memory| memory.physical_mem)
}

/// Clicks on a control, moves a slider or presses a shortcut, whatever the dice say.
fn play(window: &Harness<'static, App>, dice: &mut Dice) -> String {
    if dice.below(4) == 0 {
        let command = Command::ALL[dice.below(Command::ALL.len())];
        let keys = command.shortcut();
        window.key_press_modifiers(keys.modifiers, keys.logical_key);
        return command.name().to_owned();
    }
    let roles = [Role::Button, Role::CheckBox, Role::Slider, Role::ComboBox, Role::SpinButton, Role::Image];
    let nodes: Vec<_> = window.root().children_recursive().collect();
    let nodes: Vec<_> = nodes.iter().filter(|node| roles.contains(&node.accesskit_node().role())).collect();
    if nodes.is_empty() {
        return "nothing".to_owned();
    }
    let node = nodes[dice.below(nodes.len())];
    let inner = node.accesskit_node();
    let name = inner.label().or_else(|| inner.value()).unwrap_or_default();
    match inner.role() {
        Role::Slider if inner.data().supports_action(accesskit::Action::SetValue) => {
            let (least, most) =
                (inner.min_numeric_value().unwrap_or(0.0), inner.max_numeric_value().unwrap_or(1.0));
            node.set_value_accesskit(least + (most - least) * dice.below(101) as f64 / 100.0);
        }
        _ => node.click(),
    }
    name
}

#[test]
fn random_clicks_break_nothing() {
    let seconds = std::env::var("SANDGLASS_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(6));
    let seed = std::env::var("SANDGLASS_SOAK_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(7);
    let folder = tempfile::tempdir().unwrap();
    let backend = Arc::new(DetectorBackend);
    let models = backend.models();
    let news = Arc::new(AtomicBool::new(false));
    let wake = Arc::clone(&news);
    let workers = Workers::start(backend, Arc::new(move || wake.store(true, Ordering::Relaxed))).unwrap();
    let link = Fenced { workers, folder: folder.path().into() };
    let options = Options { source: Some("demo".into()), ..Options::default() };
    let app = App::new(Settings::default(), models, Box::new(link), &options);
    let show = |ui: &mut egui::Ui, app: &mut App| {
        app.update(ui.ctx());
        app.show(ui);
    };
    let mut window = Harness::builder()
        .with_size([1180.0, 740.0])
        .with_context_setup(view::style)
        .build_ui_state(show, app);
    let (mut dice, start) = (Dice(seed), Instant::now());
    let (mut settled, mut done) = (None, Vec::new());
    while start.elapsed() < length {
        let what = play(&window, &mut dice);
        done.push(what);
        for _ in 0..5 {
            window.step();
            std::thread::sleep(Duration::from_millis(10));
        }
        // The source may have been left, paused or shown to its end: now and then all begins anew.
        if dice.below(60) == 0 {
            window.key_press_modifiers(Modifiers::NONE, Key::Escape);
            window.step();
            window.state_mut().act(Action::Do(Command::OpenDemo));
        }
        if start.elapsed() > length / 3 && settled.is_none() {
            settled = Some(at_rest(&mut window));
        }
    }
    let (before, after) = (settled.unwrap_or_default(), at_rest(&mut window));
    let mut state = window.into_state();
    println!(
        "{} clicks with seed {seed} in {:?}, memory {:.0} MB after a third, {:.0} MB at the end, pass p95 {:?} ms",
        done.len(),
        start.elapsed(),
        before as f64 / 1e6,
        after as f64 / 1e6,
        state.state().stats.window().map(|spread| spread.p95),
    );
    // It still detects, and a recording that is on is finished.
    state.act(Action::Do(Command::OpenDemo));
    let recording = matches!(state.state().recording, Recording::On(_));
    drop(state);
    let videos = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let whole = |path: &PathBuf| {
        path.extension().is_none_or(|e| e != "mp4")
            || sandglass_detector::source::open(&path.display().to_string()).is_ok()
    };
    assert!(videos().all(|path| whole(&path)), "a recording does not open; one was on: {recording}");
    if seconds.is_some_and(|seconds: u64| seconds >= 120) {
        assert!(after as f64 <= before as f64 * 1.05, "memory grew from {before} to {after} bytes");
    }
}
