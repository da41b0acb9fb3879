//! The bar above: what is being watched, theme, help.

use egui::{Align, ComboBox, Label, Layout, RichText, Ui};

use super::button;
use crate::command::Command;
use crate::settings::Theme;
use crate::state::{Action, State};

pub(super) fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("Sandglass").strong().size(16.0));
        ui.separator();
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            button(ui, Command::ToggleHelp, "Shortcuts (?)", state.help, actions);
            theme(ui, state.settings.theme, actions);
            ui.label("Theme");
            button(ui, Command::ToggleBoxes, "Boxes", state.settings.boxes, actions);
            button(ui, Command::OpenDemo, "Demo", false, actions);
            // What is left of the bar belongs to the name, shortened where it is too long.
            ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                ui.add(Label::new(name(state)).truncate());
            });
        });
    });
}

/// What is being watched, as it calls itself.
fn name(state: &State) -> String {
    let shown = state.shown.as_ref().map(|shown| shown.name.as_str()).filter(|name| !name.is_empty());
    let name = shown.unwrap_or(&state.source);
    match state.shown.as_ref() {
        Some(shown) => format!("{name}  ·  {} × {}", shown.size[0], shown.size[1]),
        None => name.to_owned(),
    }
}

fn theme(ui: &mut Ui, current: Theme, actions: &mut Vec<Action>) {
    let menu = ComboBox::from_id_salt("theme").width(76.0).selected_text(current.name());
    let response = menu.show_ui(ui, |ui| {
        for theme in [Theme::System, Theme::Light, Theme::Dark] {
            if ui.selectable_label(theme == current, theme.name()).clicked() && theme != current {
                actions.push(Action::Theme(theme));
            }
        }
    });
    response.response.on_hover_text(Command::CycleTheme.hint());
}
