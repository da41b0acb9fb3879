//! Backbone, thresholds, classes and the objects found.

use egui::{Align, ComboBox, Layout, RichText, Slider, Ui};

use super::{button, classes, gap, line, millis, table, title, warning};
use crate::command::Command;
use crate::settings::Thresholds;
use crate::state::{Action, Layout as Arrangement, ModelInfo, State};

pub(super) fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let heading = title(ui, "Backbone").id;
    menu(ui, state, heading, actions);
    about(ui, state);
    ui.add_space(4.0);
    ui.horizontal(|ui| {
        threads(ui, state, actions);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            button(ui, Command::ToggleCompare, "Compare", state.comparison.is_some(), actions);
        });
    });
    comparison(ui, state, actions);
    gap(ui);
    title(ui, "Detections to keep");
    sliders(ui, state.settings.thresholds, actions);
    ui.add_space(4.0);
    classes::show(ui, state, actions);
    gap(ui);
    table::show(ui, state, actions);
}

fn menu(ui: &mut Ui, state: &State, heading: egui::Id, actions: &mut Vec<Action>) {
    let current = state.settings.backbone.as_deref();
    let text = current.or(state.loading.as_deref()).unwrap_or("none");
    let menu = ComboBox::from_id_salt("backbone").width(ui.available_width()).height(420.0);
    let response = menu.selected_text(text).show_ui(ui, |ui| backbones(ui, state, actions));
    response.response.labelled_by(heading).on_hover_text("Switches while the video goes on (B, Shift B)");
}

/// The lines of the backbone menu.
pub(super) fn backbones(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.set_min_width(300.0);
    let current = state.settings.backbone.as_deref();
    for model in &state.models {
        let chosen = current == Some(model.name.as_str());
        if entry(ui, state, model, chosen) && !chosen {
            actions.push(Action::Backbone(model.name.clone()));
        }
    }
}

/// A line of a backbone menu: name, quality and speed; says whether it was clicked.
fn entry(ui: &mut Ui, state: &State, model: &ModelInfo, chosen: bool) -> bool {
    let from_file = state.has_file_for(&model.name);
    let name = match (model.trained, model.preliminary) {
        _ if from_file => format!("{}  (from a file)", model.name),
        (true, false) => model.name.clone(),
        (true, true) => format!("{}  (preliminary)", model.name),
        (false, _) => format!("{}  (untrained)", model.name),
    };
    let quality = model.map.filter(|_| !from_file).map(|map| format!("mAP {:.1} %", map * 100.0));
    let speed = state.settings.millis(&model.name).map(millis);
    let right: Vec<String> = quality.into_iter().chain(speed).collect();
    let line = egui::Button::selectable(chosen, name).right_text(RichText::new(right.join("   ")).weak());
    let response = ui.add(line.min_size(egui::vec2(ui.available_width(), 0.0)));
    response.on_hover_text(facts(state, model)).clicked()
}

/// Size, quality and speed of a model in words.
pub(super) fn facts(state: &State, model: &ModelInfo) -> String {
    let size = format!(
        "{:.2} M parameters, {:.2} G multiply-adds",
        model.parameters as f64 / 1e6,
        model.multiply_adds as f64 / 1e9
    );
    let from_file = state.has_file_for(&model.name);
    let known = model.map.filter(|_| !from_file);
    let mut map = known.map(|map| format!(", mAP {:.1} %", map * 100.0)).unwrap_or_default();
    if model.preliminary && !from_file {
        map += ", trained for a short time";
    }
    match state.settings.millis(&model.name) {
        Some(time) => format!("{size}{map}, {} here", millis(time)),
        None => format!("{size}{map}"),
    }
}

/// What is at work.
fn about(ui: &mut Ui, state: &State) {
    let Some(active) = &state.active else {
        ui.small("No detector yet: the bare picture is shown.");
        return;
    };
    if let Some(model) = state.models.iter().find(|model| model.name == active.backbone) {
        ui.small(facts(state, model));
    }
    ui.small(&active.engine);
    if !active.trained {
        let text = "Untrained: its boxes mean nothing, its speed does.";
        ui.label(RichText::new(text).small().color(warning(ui)));
    }
}

fn threads(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let current = state.settings.threads;
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    let name = |threads: usize| match threads {
        0 => "All processors".to_owned(),
        1 => "1 thread".to_owned(),
        n => format!("{n} threads"),
    };
    let label = ui.label("CPU");
    let menu = ComboBox::from_id_salt("threads").width(124.0).selected_text(name(current));
    let response = menu.show_ui(ui, |ui| {
        for threads in 0..=most {
            if ui.selectable_label(threads == current, name(threads)).clicked() && threads != current {
                actions.push(Action::Threads(threads));
            }
        }
    });
    response.response.labelled_by(label.id).on_hover_text("Threads that work on one frame");
}

/// The second backbone and how far the two agree.
fn comparison(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let Some(comparison) = &state.comparison else { return };
    ui.horizontal(|ui| {
        let label = ui.label("with");
        let menu = ComboBox::from_id_salt("rival").width(ui.available_width()).height(420.0);
        let response = menu.selected_text(&comparison.backbone).show_ui(ui, |ui| {
            ui.set_min_width(300.0);
            for model in &state.models {
                let chosen = comparison.backbone == model.name;
                if entry(ui, state, model, chosen) && !chosen {
                    actions.push(Action::Rival(model.name.clone()));
                }
            }
        });
        response.response.labelled_by(label.id).on_hover_text("The second backbone looks at the same frames");
    });
    ui.horizontal(|ui| {
        for (layout, name) in [(Arrangement::SideBySide, "Side by side"), (Arrangement::Wipe, "Wipe")] {
            if ui.selectable_label(comparison.layout == layout, name).clicked() {
                actions.push(Action::Layout(layout));
            }
        }
    });
    if let Some(agreement) = state.agreement() {
        let share = agreement.share().map_or_else(|| "–".to_owned(), table::percent);
        line(ui, "Agreement", &share);
        let text = format!(
            "{} found by both, {} by the first alone, {} by the second alone",
            agreement.both, agreement.first, agreement.second
        );
        ui.small(text);
    }
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
pub(super) fn row(ui: &mut Ui, name: &str, hint: &str, slider: Slider<'_>) {
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
