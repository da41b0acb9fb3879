//! Reports that pop up over the video for a while.

use std::time::Instant;

use egui::{Align2, Area, Button, Frame, Id, Order, RichText, Stroke, Ui};

use super::problem;
use crate::state::{Action, State};
use crate::status::Severity;

pub(super) fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let (notices, left) = state.log.popping_up(Instant::now());
    if notices.is_empty() {
        return;
    }
    if let Some(left) = left {
        // Nothing else may happen until then, and the report has to go all the same.
        ui.ctx().request_repaint_after(left);
    }
    // Above the bar with the controls.
    let area =
        Area::new(Id::unique("toasts")).order(Order::Foreground).anchor(Align2::LEFT_BOTTOM, [12.0, -78.0]);
    area.show(ui.ctx(), |ui| {
        ui.set_max_width(440.0);
        for notice in notices {
            let edge = match notice.severity {
                Severity::Problem => problem(ui),
                Severity::Info => ui.visuals().selection.bg_fill,
            };
            Frame::popup(ui.style()).stroke(Stroke::new(1.5, edge)).show(ui, |ui| {
                ui.horizontal_wrapped(|ui| ui.label(RichText::new(&notice.text)));
                ui.horizontal(|ui| {
                    if let Some(remedy) = &notice.remedy
                        && ui.button(remedy.label).clicked()
                    {
                        actions.push(remedy.action.clone());
                        actions.push(Action::Dismiss(notice.id));
                    }
                    if ui.add(Button::new("Dismiss").frame(false)).clicked() {
                        actions.push(Action::Dismiss(notice.id));
                    }
                });
            });
        }
    });
}
