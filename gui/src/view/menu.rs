//! The bar above: menus, what is being watched, recording.

use egui::{Align, Button, Color32, Label, Layout, MenuBar, RichText, Ui};

use super::{button, detect};
use crate::command::{Command, Menu};
use crate::message::Errand;
use crate::state::{Action, Playback, Recording, SPEEDS, State};

pub(super) fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let size = egui::vec2(ui.available_width(), ui.spacing().interact_size.y);
    ui.allocate_ui_with_layout(size, Layout::right_to_left(Align::Center), |ui| {
        record(ui, state, actions);
        button(ui, Command::Snapshot, "Snapshot", false, actions);
        // What is left belongs to the menus and the name, which is shortened where it is too long.
        ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
            MenuBar::new().ui(ui, |ui| {
                for menu in Menu::ALL {
                    ui.menu_button(menu.name(), |ui| list(ui, state, menu, actions));
                }
                ui.separator();
                ui.add(Label::new(name(state)).truncate());
            });
        });
    });
}

fn list(ui: &mut Ui, state: &State, menu: Menu, actions: &mut Vec<Action>) {
    ui.set_min_width(230.0);
    for command in Command::ALL.into_iter().filter(|command| command.menu() == menu) {
        entry(ui, state, command, actions);
    }
    more(ui, state, menu, actions);
}

/// A line of a menu.
fn entry(ui: &mut Ui, state: &State, command: Command, actions: &mut Vec<Action>) {
    let line = Button::selectable(is_on(state, command), name_of(state, command));
    if ui.add(line.shortcut_text(command.keys())).on_hover_text(command.tooltip()).clicked() {
        actions.push(Action::Do(command));
        ui.close();
    }
}

/// What a command is called as things are.
fn name_of(state: &State, command: Command) -> &'static str {
    match command {
        Command::TogglePlay if state.playback == Playback::Playing => "Pause",
        Command::TogglePlay => "Play",
        Command::ToggleRecord if state.recording != Recording::Off => "Stop recording",
        Command::Benchmark if state.benchmark.as_ref().is_some_and(|b| b.running) => "Stop measuring",
        other => other.name(),
    }
}

/// Whether what a command turns on and off is on.
fn is_on(state: &State, command: Command) -> bool {
    let overlay = &state.settings.overlay;
    match command {
        Command::ToggleLoop => state.settings.looped,
        Command::ToggleCompare => state.comparison.is_some(),
        Command::ToggleBoxes => overlay.boxes,
        Command::ToggleMirror => overlay.mirror,
        Command::ToggleSmooth => overlay.smooth,
        Command::ToggleInStep => state.settings.in_step,
        Command::ToggleSide => state.settings.side,
        Command::Fullscreen => state.fullscreen,
        _ => false,
    }
}

/// What a menu holds besides its commands.
fn more(ui: &mut Ui, state: &State, menu: Menu, actions: &mut Vec<Action>) {
    match menu {
        Menu::Source => {
            ui.separator();
            ui.menu_button("Cameras", |ui| cameras(ui, state, actions));
            ui.menu_button("Recent", |ui| recent(ui, state, actions));
        }
        Menu::Playback => {
            ui.menu_button("Speed", |ui| {
                for speed in SPEEDS {
                    if ui.add(Button::selectable(speed == state.speed, format!("{speed} ×"))).clicked() {
                        actions.push(Action::Speed(speed));
                        ui.close();
                    }
                }
            });
        }
        Menu::Detection => {
            ui.menu_button("Backbone", |ui| detect::backbones(ui, state, actions));
        }
        Menu::Recording | Menu::View | Menu::Help => {}
    }
}

fn cameras(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.set_min_width(220.0);
    match &state.cameras {
        None => {
            ui.weak("Looking…");
        }
        Some(Err(reason)) => {
            ui.label(reason);
        }
        Some(Ok(cameras)) if cameras.is_empty() => {
            ui.weak("No camera was found");
        }
        Some(Ok(cameras)) => {
            for camera in cameras {
                ui.menu_button(&camera.name, |ui| formats(ui, state, &camera.source, actions));
            }
        }
    }
    ui.separator();
    if ui.button("Look again").clicked() {
        actions.push(Action::Run(Errand::Cameras));
    }
}

/// The formats of a camera; they are looked up when this is opened.
fn formats(ui: &mut Ui, state: &State, camera: &str, actions: &mut Vec<Action>) {
    ui.set_min_width(200.0);
    if ui.button("Open, about 1280 × 720").clicked() {
        actions.push(Action::Open(camera.to_owned()));
        ui.close();
    }
    ui.separator();
    match state.formats.get(camera) {
        None => {
            actions.push(Action::Run(Errand::Formats(camera.to_owned())));
            ui.weak("Asking the camera…");
        }
        Some(None) => {
            ui.weak("Asking the camera…");
        }
        Some(Some(Err(reason))) => {
            ui.label(reason);
        }
        Some(Some(Ok(formats))) => {
            egui::ScrollArea::vertical().max_height(360.0).show(ui, |ui| {
                for format in formats {
                    if ui.button(format.replace('x', " × ").replace('@', " at ").replace(':', ", ")).clicked()
                    {
                        actions.push(Action::OpenCamera(camera.to_owned(), format.clone()));
                        ui.close();
                    }
                }
            });
        }
    }
}

fn recent(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.set_min_width(220.0);
    if state.settings.recent.is_empty() {
        ui.weak("Nothing yet");
    }
    for source in &state.settings.recent {
        if ui.add(Button::new(source).truncate()).on_hover_text(source).clicked() {
            actions.push(Action::Open(source.clone()));
            ui.close();
        }
    }
}

/// What is being watched, as it calls itself.
fn name(state: &State) -> String {
    let shot = state.shot.as_ref();
    let name = shot.map(|shot| shot.name.as_str()).filter(|name| !name.is_empty());
    let name = name.unwrap_or(&state.source);
    match shot {
        Some(shot) => format!("{name}  ·  {} × {}", shot.size[0], shot.size[1]),
        None => name.to_owned(),
    }
}

/// The button that records, and how the recording stands.
fn record(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let (sign, text, progress) = match &state.recording {
        Recording::Off => ("●", "Record", None),
        Recording::Starting => ("●", "Starting…", None),
        Recording::On(progress) => ("■", "Stop", Some(progress)),
        Recording::Ending(progress) => ("■", "Finishing…", Some(progress)),
    };
    let red = Color32::from_rgb(0xd0, 0x24, 0x2f);
    let on = state.recording != Recording::Off;
    let ink = if on { Color32::WHITE } else { ui.visuals().text_color() };
    // Only the font of fixed width has these signs.
    let sign = RichText::new(sign).monospace().color(if on { Color32::WHITE } else { red });
    let look = Button::new((sign, RichText::new(text).color(ink)));
    let response = ui.add(if on { look.fill(red) } else { look }).on_hover_text(Command::ToggleRecord.hint());
    if response.clicked() {
        actions.push(Action::Do(Command::ToggleRecord));
    }
    if let Some(progress) = progress {
        let seconds = progress.duration.as_secs();
        let mut text = format!("{}:{:02}  {:.1} MB", seconds / 60, seconds % 60, progress.bytes as f64 / 1e6);
        if progress.dropped > 0 {
            text.push_str(&format!("  {} dropped", progress.dropped));
        }
        let hint = format!("{}: {} frames", progress.file.display(), progress.frames);
        ui.label(RichText::new(text).monospace()).on_hover_text(hint);
    }
}
