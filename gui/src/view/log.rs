//! What was reported, the newest first.

use egui::{RichText, Ui};

use super::{problem, title};
use crate::state::{Action, State};
use crate::status::Severity;

pub(super) fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    title(ui, "What was reported");
    if state.log.all().next().is_none() {
        ui.weak("Nothing yet: problems, recordings and snapshots are listed here.");
        return;
    }
    ui.horizontal(|ui| {
        if ui.button("Clear").clicked() {
            actions.push(Action::ClearLog);
        }
        if ui.button("Copy").on_hover_text("Copy all as text").clicked() {
            let line = |notice: &crate::notice::Notice| format!("{} {}\n", notice.clock, notice.text);
            ui.copy_text(state.log.all().map(line).collect());
        }
    });
    for notice in state.log.all() {
        ui.separator();
        let times = if notice.times > 1 { format!("  ({} times)", notice.times) } else { String::new() };
        ui.label(RichText::new(format!("{}{times}", notice.clock)).small().weak());
        let text = RichText::new(&notice.text);
        ui.label(match notice.severity {
            Severity::Problem => text.color(problem(ui)),
            Severity::Info => text,
        });
        if let Some(remedy) = &notice.remedy
            && ui.button(remedy.label).clicked()
        {
            actions.push(remedy.action.clone());
        }
    }
}
