//! The list of keyboard shortcuts.

use egui::{Align2, Context, Grid, Key, RichText, Window};

use crate::command::Command;
use crate::state::{Action, State};

pub(super) fn show(ctx: &Context, state: &State, actions: &mut Vec<Action>) {
    if !state.help {
        return;
    }
    let mut open = true;
    let window = Window::new("Keyboard shortcuts").open(&mut open).collapsible(false).resizable(false);
    window.anchor(Align2::CENTER_CENTER, [0.0, 0.0]).show(ctx, |ui| {
        let half = Command::ALL.len().div_ceil(2);
        Grid::new("shortcuts").num_columns(4).spacing([20.0, 6.0]).show(ui, |ui| {
            for row in 0..half {
                for command in [row, row + half].into_iter().filter_map(|at| Command::ALL.get(at)) {
                    ui.label(RichText::new(command.keys()).monospace().strong());
                    ui.label(command.name()).on_hover_text(command.tooltip());
                }
                ui.end_row();
            }
        });
        ui.separator();
        ui.label("Drop a video, a picture or a folder on the window to open it.");
    });
    if !open || ctx.input(|input| input.key_pressed(Key::Escape)) {
        actions.push(Action::Do(Command::ToggleHelp));
    }
}
