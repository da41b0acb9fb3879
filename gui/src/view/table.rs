//! The objects of the current frame as a table.

use egui::{Button, CornerRadius, RichText, ScrollArea, Sense, Ui};

use super::{boxes, title};
use crate::state::{Action, State};

/// The columns, in points.
const COLUMNS: [f32; 4] = [20.0, 104.0, 52.0, 96.0];

pub(super) fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    title(ui, &state.objects());
    let items = state.items();
    if items.is_empty() {
        return;
    }
    ui.spacing_mut().item_spacing = egui::vec2(4.0, 2.0);
    ui.horizontal(|ui| {
        for (width, name) in COLUMNS.into_iter().zip(["", "Class", "Score", "Size"]) {
            text(ui, width, RichText::new(name).small());
        }
    });
    let rows = ScrollArea::vertical().id_salt("objects").auto_shrink([false, true]);
    let height = ui.available_height().max(160.0);
    rows.max_height(height).show_rows(ui, 22.0, items.len(), |ui, rows| {
        for (at, item) in items.iter().enumerate().skip(rows.start).take(rows.len()) {
            let chosen = state.highlight.as_ref() == Some(item);
            let mut clicked = false;
            ui.push_id(at, |ui| {
                ui.horizontal(|ui| {
                    let (rect, _) = ui.allocate_exact_size(egui::vec2(COLUMNS[0], 20.0), Sense::hover());
                    let swatch = egui::Rect::from_center_size(rect.center(), egui::vec2(11.0, 11.0));
                    let colour = boxes::colour(item, state.settings.overlay.colours);
                    ui.painter().rect_filled(swatch, CornerRadius::same(3), colour);
                    clicked = cell(ui, COLUMNS[1], |ui| {
                        let response = ui.add(Button::selectable(chosen, &*item.label).truncate());
                        response.on_hover_text("Click to point it out in the picture").clicked()
                    });
                    text(ui, COLUMNS[2], RichText::new(percent(item.score)).monospace());
                    let (w, h) = (item.bounds.x2 - item.bounds.x1, item.bounds.y2 - item.bounds.y1);
                    text(ui, COLUMNS[3], RichText::new(format!("{w:.0} × {h:.0}")).monospace());
                });
            });
            if clicked {
                actions.push(Action::Highlight((!chosen).then(|| item.clone())));
            }
        }
    });
}

/// A cell of a fixed width.
fn cell<R>(ui: &mut Ui, width: f32, content: impl FnOnce(&mut Ui) -> R) -> R {
    let (rect, _) = ui.allocate_exact_size(egui::vec2(width, 20.0), Sense::hover());
    let layout = egui::Layout::left_to_right(egui::Align::Center);
    let mut inside = ui.new_child(egui::UiBuilder::new().max_rect(rect).layout(layout));
    inside.spacing_mut().button_padding = egui::vec2(3.0, 1.0);
    content(&mut inside)
}

fn text(ui: &mut Ui, width: f32, text: RichText) {
    cell(ui, width, |ui| ui.add(egui::Label::new(text).truncate()));
}

/// A share of 1 as people say it.
pub(super) fn percent(share: f32) -> String {
    format!("{:.0} %", share * 100.0)
}
