//! The backbone menu and the sliders.

use egui::{Align, Color32, ComboBox, Layout, RichText, Slider, Ui};

use super::title;
use crate::settings::Thresholds;
use crate::state::{Action, ModelInfo, State};

pub(super) fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let heading = title_id(ui, "Backbone");
    menu(ui, state, heading, actions);
    about(ui, state);
    ui.add_space(14.0);
    title(ui, "Detections to keep");
    sliders(ui, state.settings.thresholds, actions);
}

fn title_id(ui: &mut Ui, text: &str) -> egui::Id {
    ui.label(RichText::new(text).strong().size(15.0)).id
}

fn menu(ui: &mut Ui, state: &State, heading: egui::Id, actions: &mut Vec<Action>) {
    let current = state.settings.backbone.as_deref();
    let text = current.or(state.loading.as_deref()).unwrap_or("none");
    let menu = ComboBox::from_id_salt("backbone").width(ui.available_width()).height(420.0);
    let response = menu.selected_text(text).show_ui(ui, |ui| {
        for model in &state.models {
            let chosen = current == Some(model.name.as_str());
            if ui.selectable_label(chosen, entry(model)).on_hover_text(facts(model)).clicked() && !chosen {
                actions.push(Action::Backbone(model.name.clone()));
            }
        }
    });
    response.response.labelled_by(heading).on_hover_text("Switches while the video goes on (B, Shift B)");
}

/// A line of the menu.
fn entry(model: &ModelInfo) -> String {
    if model.trained { model.name.clone() } else { format!("{}  (untrained)", model.name) }
}

/// Size and quality of a model in one line.
fn facts(model: &ModelInfo) -> String {
    let size = format!(
        "{:.2} M parameters, {:.2} G multiply-adds",
        model.parameters as f64 / 1e6,
        model.multiply_adds as f64 / 1e9
    );
    match model.map {
        Some(map) => format!("{size}, mAP {:.1} %", map * 100.0),
        None => size,
    }
}

/// What is at work.
fn about(ui: &mut Ui, state: &State) {
    let Some(active) = &state.active else {
        ui.small("No detector yet: the bare picture is shown.");
        return;
    };
    if let Some(model) = state.models.iter().find(|model| model.name == active.backbone) {
        ui.small(facts(model));
    }
    ui.small(&active.engine);
    if !active.trained {
        let text = "Untrained: its boxes mean nothing, its speed does.";
        ui.label(RichText::new(text).small().color(warning(ui.visuals().dark_mode)));
    }
}

/// A colour for warnings that can be read on the panel.
fn warning(dark: bool) -> Color32 {
    if dark { Color32::from_rgb(0xff, 0xb8, 0x4d) } else { Color32::from_rgb(0x8a, 0x4b, 0x00) }
}

fn sliders(ui: &mut Ui, thresholds: Thresholds, actions: &mut Vec<Action>) {
    let mut new = thresholds;
    let score = Slider::new(&mut new.score, Thresholds::SCORE).fixed_decimals(2);
    row(ui, "Score threshold", "Objects with a lower score are left out ([ and ])", score);
    let iou = Slider::new(&mut new.iou, Thresholds::IOU).fixed_decimals(2);
    row(ui, "IoU threshold", "Of two boxes of a class that overlap more, the better one stays", iou);
    let most = Slider::new(&mut new.max_detections, Thresholds::MAX_DETECTIONS).logarithmic(true);
    row(ui, "Max detections", "At most so many objects in a picture", most);
    if new != thresholds {
        actions.push(Action::Thresholds(new));
    }
}

/// A slider right of its name, all of them in line.
fn row(ui: &mut Ui, name: &str, hint: &str, slider: Slider<'_>) {
    ui.horizontal(|ui| {
        let label = ui.label(name).on_hover_text(hint);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.allocate_ui_with_layout(egui::vec2(178.0, 24.0), Layout::left_to_right(Align::Center), |ui| {
                ui.spacing_mut().slider_width = 118.0;
                ui.add(slider).labelled_by(label.id).on_hover_text(hint);
            });
        });
    });
}
