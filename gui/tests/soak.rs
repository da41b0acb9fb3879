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

/// The viewer's own: memory is what is watched here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

/// The mean memory of the process over a part of the run, in MB. Single moments do not compare: one has a
/// second detector, a recording or a frame more in flight.
#[derive(Default)]
struct Memory {
    sum: f64,
    samples: usize,
}

impl Memory {
    fn sample(&mut self) {
        if let Some(memory) = memory_stats::memory_stats() {
            self.sum += memory.physical_mem as f64 / 1e6;
            self.samples += 1;
        }
    }

    fn mean(&self) -> f64 {
        self.sum / self.samples.max(1) as f64
    }
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
    let backend = Arc::new(DetectorBackend::default());
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
    let (mut thirds, mut done) = (<[Memory; 3]>::default(), Vec::new());
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
        let third = (start.elapsed().as_secs_f64() * 3.0 / length.as_secs_f64()) as usize;
        thirds[third.min(2)].sample();
    }
    let [_, before, after] = thirds.map(|third| third.mean());
    let mut state = window.into_state();
    println!(
        "{} clicks with seed {seed} in {:?}, memory {before:.0} MB in the second third, {after:.0} MB in the last, pass p95 {:?} ms",
        done.len(),
        start.elapsed(),
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
        assert!(after <= before * 1.05, "memory grew from {before:.0} to {after:.0} MB");
    }
}
