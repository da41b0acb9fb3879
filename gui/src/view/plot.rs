//! The history of stage times, one on top of the other.

use egui::{Color32, Stroke, Ui};
use egui_plot::{FilledArea, Plot};

use crate::state::State;
use crate::stats::{HISTORY, STAGES};

/// The colours of [`STAGES`], apart in light and dark and for the colour-blind (after Okabe and Ito).
pub(super) const COLOURS: [Color32; 4] = [
    Color32::from_rgb(0x99, 0x99, 0x99),
    Color32::from_rgb(0xe6, 0x9f, 0x00),
    Color32::from_rgb(0x00, 0x72, 0xb2),
    Color32::from_rgb(0x00, 0x9e, 0x73),
];

pub(super) fn show(ui: &mut Ui, state: &State) {
    let history = state.stats.history();
    let plot = Plot::new("stage history")
        .height(130.0)
        .show_x(false)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .show_axes([false, true])
        .show_grid([false, true])
        .include_x(0.0)
        .include_x(HISTORY as f64)
        .include_y(0.0)
        .y_axis_formatter(|mark, _| format!("{:.0} ms", mark.value));
    plot.show(ui, |plot| {
        let xs: Vec<f64> = (0..history.len()).map(|at| (HISTORY - history.len() + at) as f64).collect();
        let mut below = vec![0.0; history.len()];
        for (stage, (name, colour)) in STAGES.iter().zip(COLOURS).enumerate() {
            let times = history.iter().map(|times| f64::from(times.get(stage).copied().unwrap_or(0.0)));
            let above: Vec<f64> = below.iter().zip(times).map(|(below, time)| below + time).collect();
            if !xs.is_empty() {
                let area = FilledArea::new(*name, &xs, &below, &above).fill_color(colour);
                plot.add(area.stroke(Stroke::NONE).allow_hover(false));
            }
            below = above;
        }
    });
}
