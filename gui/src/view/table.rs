//! The objects of the current frame as a table.

use egui::{CornerRadius, RichText, ScrollArea, Sense, Ui};

use super::{title, video};
use crate::state::State;

pub(super) fn show(ui: &mut Ui, state: &State) {
    title(ui, &state.objects());
    let found = state.shown.as_ref().and_then(|shown| shown.detections.as_ref());
    let items = found.map_or(&[][..], |found| &found.items);
    if items.is_empty() {
        return;
    }
    // The space of all columns together stays inside the panel.
    let columns = [20.0, 104.0, 52.0, 96.0];
    let cell = |ui: &mut Ui, width: f32, text: RichText| {
        let (rect, _) = ui.allocate_exact_size(egui::vec2(width, 20.0), Sense::hover());
        let layout = egui::Layout::left_to_right(egui::Align::Center);
        let mut inside = ui.new_child(egui::UiBuilder::new().max_rect(rect).layout(layout));
        inside.add(egui::Label::new(text).truncate());
    };
    ui.spacing_mut().item_spacing = egui::vec2(4.0, 2.0);
    ui.horizontal(|ui| {
        for (width, name) in columns.into_iter().zip(["", "Class", "Score", "Size"]) {
            cell(ui, width, RichText::new(name).small());
        }
    });
    ScrollArea::vertical().auto_shrink([false, false]).show_rows(ui, 20.0, items.len(), |ui, rows| {
        for item in items.get(rows).unwrap_or(&[]) {
            ui.horizontal(|ui| {
                let (rect, _) = ui.allocate_exact_size(egui::vec2(columns[0], 20.0), Sense::hover());
                let swatch = egui::Rect::from_center_size(rect.center(), egui::vec2(11.0, 11.0));
                ui.painter().rect_filled(swatch, CornerRadius::same(3), video::colour(item.class_id));
                cell(ui, columns[1], RichText::new(&*item.label));
                cell(ui, columns[2], RichText::new(percent(item.score)).monospace());
                let (w, h) = (item.bounds.x2 - item.bounds.x1, item.bounds.y2 - item.bounds.y1);
                cell(ui, columns[3], RichText::new(format!("{w:.0} × {h:.0}")).monospace());
            });
        }
    });
}

/// A score as people say it.
pub(super) fn percent(score: f32) -> String {
    format!("{:.0} %", score * 100.0)
}
