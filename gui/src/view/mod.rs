//! What the window shows: one file a part. Parts read the state and say what the user did; they change
//! nothing themselves.

mod accuracy;
mod boxes;
mod classes;
mod detect;
mod help;
mod log;
mod menu;
mod options;
mod path;
mod plot;
mod speed;
mod table;
mod toasts;
mod transport;
mod video;

use egui::{
    Align, Button, Color32, CornerRadius, FontId, Frame, Layout, Margin, Panel, Response, RichText,
    ScrollArea, TextStyle, Ui,
};

pub use video::Texture;

use crate::command::Command;
use crate::settings::Tab;
use crate::state::{Action, State};

/// Draws the whole window and returns what the user did in it.
pub fn show(ui: &mut Ui, state: &State, texture: &Texture) -> Vec<Action> {
    let mut actions = Vec::new();
    let fill = ui.visuals().panel_fill;
    let bar = |x, y| Frame::new().fill(fill).inner_margin(Margin::symmetric(x, y));
    Panel::top("top").frame(bar(10, 5)).show(ui, |ui| menu::show(ui, state, &mut actions));
    Panel::bottom("transport").frame(bar(14, 8)).show(ui, |ui| transport::show(ui, state, &mut actions));
    if state.settings.side {
        let side = Panel::right("side").frame(bar(14, 10)).resizable(true);
        side.default_size(330.0).size_range(300.0..=520.0).show(ui, |ui| panel(ui, state, &mut actions));
    }
    let backdrop = Frame::new().fill(ui.visuals().extreme_bg_color);
    egui::CentralPanel::default().frame(backdrop).show(ui, |ui| {
        video::show(ui, state, texture, &mut actions);
    });
    toasts::show(ui, state, &mut actions);
    path::show(ui.ctx(), state, &mut actions);
    help::show(ui.ctx(), state, &mut actions);
    actions
}

/// The side panel: a row of tabs and the part that is open.
fn panel(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let open = state.settings.tab;
    ui.horizontal(|ui| {
        for tab in Tab::ALL {
            let response = ui.add(Button::selectable(open == tab, tab.name()));
            if response.on_hover_text(Command::NextTab.hint()).clicked() && open != tab {
                actions.push(Action::Tab(tab));
            }
        }
    });
    ui.add_space(2.0);
    ui.separator();
    ui.add_space(4.0);
    // Each part keeps its own place.
    ScrollArea::vertical().id_salt(open.name()).auto_shrink([false, false]).show(ui, |ui| match open {
        Tab::Detect => detect::show(ui, state, actions),
        Tab::Options => options::show(ui, state, actions),
        Tab::Speed => speed::show(ui, state, actions),
        Tab::Log => log::show(ui, state, actions),
    });
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
fn title(ui: &mut Ui, text: &str) -> Response {
    ui.label(RichText::new(text).strong().size(15.0))
}

/// The space between two sections.
fn gap(ui: &mut Ui) {
    ui.add_space(12.0);
}

/// A button for a command, with its tooltip; `on` draws it pressed in.
fn button<'a>(
    ui: &mut Ui,
    command: Command,
    text: impl egui::IntoAtoms<'a>,
    on: bool,
    actions: &mut Vec<Action>,
) -> Response {
    let response = ui.add(Button::selectable(on, text).frame_when_inactive(true));
    let response = response.on_hover_text(command.hint());
    if response.clicked() {
        actions.push(Action::Do(command));
    }
    response
}

/// A tick box whose change is an action.
fn tick(
    ui: &mut Ui,
    on: bool,
    text: &str,
    hint: &str,
    change: impl FnOnce(bool) -> Action,
) -> Option<Action> {
    let mut new = on;
    let response = ui.checkbox(&mut new, text).on_hover_text(hint);
    (response.changed() && new != on).then(|| change(new))
}

/// A name at the left and a value at the right of a line.
fn line(ui: &mut Ui, name: &str, value: &str) {
    ui.horizontal(|ui| {
        ui.label(name);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| ui.monospace(value));
    });
}

/// Milliseconds with as many digits as mean something.
fn millis(time: f32) -> String {
    if time < 10.0 { format!("{time:.2} ms") } else { format!("{time:.1} ms") }
}

/// A colour for warnings that can be read on the panel.
fn warning(ui: &Ui) -> Color32 {
    if ui.visuals().dark_mode {
        Color32::from_rgb(0xff, 0xb8, 0x4d)
    } else {
        Color32::from_rgb(0x8a, 0x4b, 0x00)
    }
}

/// A colour for problems that can be read on the panel.
fn problem(ui: &Ui) -> Color32 {
    if ui.visuals().dark_mode {
        Color32::from_rgb(0xff, 0x8a, 0x80)
    } else {
        Color32::from_rgb(0xb0, 0x10, 0x20)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits() {
        assert_eq!(super::millis(0.126), "0.13 ms");
        assert_eq!(super::millis(23.46), "23.5 ms");
    }
}
