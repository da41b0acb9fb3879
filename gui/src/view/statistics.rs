//! How fast it goes.

use egui::{Align, Layout, RichText, Ui};

use super::title;
use crate::state::{Playback, State};

pub(super) fn show(ui: &mut Ui, state: &State) {
    title(ui, "Speed");
    let rate = match (state.playback, state.stats.rate()) {
        (Playback::Playing, Some(rate)) => format!("{rate:.1}"),
        _ => "–".to_owned(),
    };
    let times = state.stats.stage_times();
    let total = times.map_or_else(|| "–".to_owned(), |times| millis(times.total()));
    ui.columns(2, |columns| {
        if let [left, right] = columns {
            figure(left, &rate, "frames a second");
            figure(right, &total, "for inference");
        }
    });
    ui.add_space(4.0);
    // Rows of plain text need not be as high as buttons.
    ui.spacing_mut().interact_size.y = 16.0;
    let stage = |f: fn(&crate::stats::StageTimes) -> f32| times.as_ref().map(f);
    line(ui, "Preprocess", stage(|t| t.preprocess));
    line(ui, "Network", stage(|t| t.network));
    line(ui, "Decode and suppress", stage(|t| t.postprocess));
}

fn figure(ui: &mut Ui, value: &str, unit: &str) {
    ui.label(RichText::new(value).size(24.0).strong());
    ui.small(unit);
}

fn line(ui: &mut Ui, name: &str, time: Option<f32>) {
    ui.horizontal(|ui| {
        ui.label(name);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.monospace(time.map_or_else(|| "–".to_owned(), millis));
        });
    });
}

/// Milliseconds with as many digits as mean something.
fn millis(time: f32) -> String {
    if time < 10.0 { format!("{time:.2} ms") } else { format!("{time:.1} ms") }
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits() {
        assert_eq!(super::millis(0.126), "0.13 ms");
        assert_eq!(super::millis(23.46), "23.5 ms");
    }
}
