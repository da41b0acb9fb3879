//! The bar below: play, restart, loop, where in the source, and the status line.

use std::time::Duration;

use egui::{Align, Color32, Label, Layout, ProgressBar, RichText, Ui};

use super::button;
use crate::command::Command;
use crate::state::{Action, Playback, State};
use crate::status::Severity;

pub(super) fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let playing = matches!(state.playback, Playback::Playing | Playback::Opening);
        button(ui, Command::TogglePlay, if playing { "Pause" } else { "Play" }, false, actions);
        button(ui, Command::Restart, "Restart", false, actions);
        button(ui, Command::ToggleLoop, "Loop", state.settings.looped, actions);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if let Some(text) = position(state) {
                ui.label(RichText::new(text).monospace());
            }
            if let Some(share) = progress(state) {
                ui.add(ProgressBar::new(share).desired_height(6.0));
            }
        });
    });
    status(ui, state);
}

/// Time and frame number, where a frame is shown.
fn position(state: &State) -> Option<String> {
    let shown = state.shown.as_ref()?;
    let frame = shown.index + 1;
    Some(match state.frame_count {
        Some(count) => format!("{}  {frame} / {count}", clock(shown.captured)),
        None => format!("{}  {frame}", clock(shown.captured)),
    })
}

fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}.{}", seconds / 60, seconds % 60, time.subsec_millis() / 100)
}

/// How much of the source was shown, 0 to 1; a single picture has no progress.
fn progress(state: &State) -> Option<f32> {
    let (shown, count) = (state.shown.as_ref()?, state.frame_count?);
    (count > 1).then(|| ((shown.index + 1) as f32 / count as f32).min(1.0))
}

fn status(ui: &mut Ui, state: &State) {
    let problem = if ui.visuals().dark_mode {
        Color32::from_rgb(0xff, 0x8a, 0x80)
    } else {
        Color32::from_rgb(0xb0, 0x10, 0x20)
    };
    for line in state.status() {
        let text = RichText::new(&line.text);
        let text = match line.severity {
            Severity::Problem => text.color(problem),
            Severity::Info => text,
        };
        ui.add(Label::new(text).truncate()).on_hover_text(&line.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_reads_minutes_seconds_tenths() {
        assert_eq!(clock(Duration::from_millis(75_460)), "1:15.4");
    }
}
