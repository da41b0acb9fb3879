//! What the window shows: one file a panel. Panels read the state and say what the user did; they
//! change nothing themselves.

mod help;
mod settings;
mod statistics;
mod table;
mod top;
mod transport;
mod video;

use egui::{Color32, CornerRadius, FontId, Frame, Margin, Panel, RichText, TextStyle, Ui};

pub use video::Picture;

use crate::command::Command;
use crate::state::{Action, State};

/// Draws the whole window and returns what the user did in it.
pub fn show(ui: &mut Ui, state: &State, picture: &Picture) -> Vec<Action> {
    let mut actions = Vec::new();
    let fill = ui.visuals().panel_fill;
    let bar = |x, y| Frame::new().fill(fill).inner_margin(Margin::symmetric(x, y));
    Panel::top("top").frame(bar(14, 8)).show(ui, |ui| top::show(ui, state, &mut actions));
    Panel::bottom("transport").frame(bar(14, 8)).show(ui, |ui| transport::show(ui, state, &mut actions));
    Panel::right("side").frame(bar(14, 12)).resizable(false).exact_size(316.0).show(ui, |ui| {
        settings::show(ui, state, &mut actions);
        ui.add_space(14.0);
        statistics::show(ui, state);
        ui.add_space(14.0);
        table::show(ui, state);
    });
    let backdrop = Frame::new().fill(ui.visuals().extreme_bg_color);
    egui::CentralPanel::default().frame(backdrop).show(ui, |ui| video::show(ui, state, picture));
    help::show(ui.ctx(), state, &mut actions);
    actions
}

/// Spacing and corners, the same in light and dark.
pub fn style(ctx: &egui::Context) {
    ctx.all_styles_mut(|style| {
        style.spacing.item_spacing = egui::vec2(8.0, 6.0);
        style.spacing.button_padding = egui::vec2(9.0, 4.0);
        style.spacing.interact_size.y = 24.0;
        for (text, size) in [(TextStyle::Body, 13.5), (TextStyle::Button, 13.5), (TextStyle::Small, 12.0)] {
            style.text_styles.insert(text, FontId::proportional(size));
        }
        let widgets = &mut style.visuals.widgets;
        for look in [&mut widgets.inactive, &mut widgets.hovered, &mut widgets.active, &mut widgets.open] {
            look.corner_radius = CornerRadius::same(5);
        }
    });
    // The default grey of text is too faint on a dark panel to be read at a glance.
    ctx.style_mut_of(egui::Theme::Dark, |style| {
        style.visuals.widgets.noninteractive.fg_stroke.color = Color32::from_gray(200);
        style.visuals.widgets.inactive.fg_stroke.color = Color32::from_gray(215);
    });
    ctx.style_mut_of(egui::Theme::Light, |style| {
        style.visuals.widgets.noninteractive.fg_stroke.color = Color32::from_gray(45);
        style.visuals.extreme_bg_color = Color32::from_gray(232);
    });
}

/// A section's title.
fn title(ui: &mut Ui, text: &str) {
    ui.label(RichText::new(text).strong().size(15.0));
}

/// A button for a command, with its tooltip; `on` draws it pressed in.
fn button(ui: &mut Ui, command: Command, text: &str, on: bool, actions: &mut Vec<Action>) {
    let response = ui.add(egui::Button::selectable(on, text).frame_when_inactive(true));
    if response.on_hover_text(command.hint()).clicked() {
        actions.push(Action::Do(command));
    }
}
