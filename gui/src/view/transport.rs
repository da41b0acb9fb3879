//! The bar below: play, step, loop, speed, where in the source, and the status line.

use std::time::Duration;

use egui::{Align, Button, ComboBox, Label, Layout, RichText, Role, Slider, Ui, WidgetInfo};

use super::{button, problem};
use crate::command::Command;
use crate::state::{Action, Playback, SPEEDS, State};
use crate::status::Severity;

pub(super) fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let playing = matches!(state.playback, Playback::Playing | Playback::Opening);
        button(ui, Command::TogglePlay, if playing { "Pause" } else { "Play" }, false, actions);
        // What is live cannot be moved in.
        if !state.live {
            icon(ui, Command::StepBack, "◀", actions);
            icon(ui, Command::StepForward, "▶", actions);
            button(ui, Command::Restart, "Restart", false, actions);
            button(ui, Command::ToggleLoop, "Loop", state.settings.looped, actions);
            speed(ui, state, actions);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if let Some(text) = position(state) {
                ui.label(RichText::new(text).monospace());
            }
            if state.live {
                ui.label(RichText::new("live").strong());
            } else {
                seek_bar(ui, state, actions);
            }
        });
    });
    status(ui, state);
}

/// A button with a picture in place of words.
fn icon(ui: &mut Ui, command: Command, glyph: &str, actions: &mut Vec<Action>) {
    let response = button(ui, command, RichText::new(glyph).monospace(), false, actions);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, command.name()));
}

fn speed(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let name = |speed: f64| format!("{speed} ×");
    let menu = ComboBox::from_id_salt("speed").width(64.0).selected_text(name(state.speed));
    let response = menu.show_ui(ui, |ui| {
        for speed in SPEEDS {
            if ui.add(Button::selectable(speed == state.speed, name(speed))).clicked() {
                actions.push(Action::Speed(speed));
            }
        }
    });
    let hint = format!("Speed ({} and {})", Command::Slower.keys(), Command::Faster.keys());
    response.response.on_hover_text(hint);
}

/// Where in the source; dragging moves in it.
fn seek_bar(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let (Some(duration), Some(at)) = (state.duration, state.position()) else { return };
    let length = duration.as_secs_f64();
    // A single picture has nowhere to go.
    if state.frame_count == Some(1) || length <= 0.0 {
        return;
    }
    let mut seconds = at.as_secs_f64().min(length);
    ui.spacing_mut().slider_width = (ui.available_width() - 12.0).max(40.0);
    let slider = Slider::new(&mut seconds, 0.0..=length).show_value(false).trailing_fill(true);
    let response = ui.add(slider);
    response.widget_info(|| WidgetInfo::slider(true, seconds, "Position"));
    let hint = format!("Move in the video ({}, {})", Command::JumpBack.keys(), Command::JumpForward.keys());
    if response.on_hover_text(hint).changed() {
        actions.push(Action::Seek(Duration::from_secs_f64(seconds.max(0.0))));
    }
}

/// Time and frame number, where a frame is shown.
fn position(state: &State) -> Option<String> {
    let shot = state.shot.as_ref()?;
    let frame = shot.index.saturating_add(1);
    let at = clock(state.position()?);
    Some(match (state.frame_count, state.duration) {
        (Some(count), Some(duration)) => format!("{at} / {}  {frame} / {count}", clock(duration)),
        (Some(count), None) => format!("{at}  {frame} / {count}"),
        (None, _) => format!("{at}  {frame}"),
    })
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let tenths = time.subsec_millis() / 100;
    match hours {
        0 => format!("{minutes}:{seconds:02}.{tenths}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}.{tenths}"),
    }
}

fn status(ui: &mut Ui, state: &State) {
    let lines = state.status();
    let text = |line: &crate::status::Status| {
        let text = RichText::new(&line.text);
        match line.severity {
            Severity::Problem => text.color(problem(ui)),
            Severity::Info => text,
        }
    };
    // One line, whatever there is to say: the video above keeps its size.
    let Some(first) = lines.first() else { return };
    let all: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    let rest = if lines.len() > 1 { all.get(1..).unwrap_or(&[]).join("  ·  ") } else { String::new() };
    let first = text(first);
    ui.horizontal(|ui| {
        let response = ui.add(Label::new(first).truncate());
        response.on_hover_text(all.join("\n"));
        if !rest.is_empty() {
            ui.separator();
            ui.add(Label::new(rest).truncate());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_reads_hours_minutes_seconds_tenths() {
        assert_eq!(clock(Duration::from_millis(75_460)), "1:15.4");
        assert_eq!(clock(Duration::from_millis(3_675_460)), "1:01:15.4");
    }
}
