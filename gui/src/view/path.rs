//! A field for a path: for those who like to type, and for systems without file dialogs.

use egui::{Align2, Context, Key, TextEdit, Window};

use crate::state::{Action, State};

pub(super) fn show(ctx: &Context, state: &State, actions: &mut Vec<Action>) {
    let Some(old) = &state.path else { return };
    let mut open = true;
    let mut text = old.clone();
    let window = Window::new("Open a path").open(&mut open).collapsible(false).resizable(false);
    window.anchor(Align2::CENTER_TOP, [0.0, 60.0]).show(ctx, |ui| {
        let field = TextEdit::singleline(&mut text).hint_text("street.mp4, photos/*.jpg, camera:1, demo");
        let response = ui.add(field.desired_width(420.0));
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Path to open"));
        let entered = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if !response.has_focus() && !entered {
            response.request_focus();
        }
        let button = ui.add_enabled(!text.trim().is_empty(), egui::Button::new("Open"));
        if text != *old {
            actions.push(Action::Path(text.clone()));
        }
        if entered || button.clicked() {
            actions.push(Action::Open(text.clone()));
        }
    });
    if !open || ctx.input(|input| input.key_pressed(Key::Escape)) {
        actions.push(Action::ClosePath);
    }
}
