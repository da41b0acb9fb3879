//! What is drawn, how it is recorded, how it looks.

use egui::{ComboBox, Label, Slider, Ui};

use super::{detect, gap, tick, title};
use crate::command::Command;
use crate::message::Errand;
use crate::settings::{Colours, Overlay, Recordings, Theme};
use crate::state::{Action, State};

pub(super) fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    title(ui, "Over the picture");
    overlay(ui, state.settings.overlay, actions);
    gap(ui);
    title(ui, "Playback");
    let hint = Command::ToggleInStep.hint();
    let toggle = |_| Action::Do(Command::ToggleInStep);
    actions.extend(tick(ui, state.settings.in_step, "Show only frames that were looked at", &hint, toggle));
    gap(ui);
    title(ui, "Recordings and snapshots");
    recordings(ui, &state.settings.recordings, actions);
    gap(ui);
    title(ui, "Window");
    theme(ui, state.settings.theme, actions);
    ui.small("Ctrl + and Ctrl - change the size of everything, Ctrl 0 resets it.");
}

fn overlay(ui: &mut Ui, old: Overlay, actions: &mut Vec<Action>) {
    let mut new = old;
    ui.checkbox(&mut new.boxes, "Boxes").on_hover_text(Command::ToggleBoxes.hint());
    ui.add_enabled_ui(new.boxes, |ui| {
        ui.checkbox(&mut new.labels, "Class names");
        ui.checkbox(&mut new.scores, "Scores");
        ui.checkbox(&mut new.smooth, "Steady boxes").on_hover_text(Command::ToggleSmooth.hint());
        let width = Slider::new(&mut new.line_width, Overlay::LINE_WIDTH).fixed_decimals(1);
        detect::row(ui, "Line width", "In points", width);
        ui.horizontal(|ui| {
            let label = ui.label("Colours");
            let name = |colours| match colours {
                Colours::Class => "By class",
                Colours::Score => "By score: red, yellow, green",
            };
            let menu = ComboBox::from_id_salt("colours").width(190.0).selected_text(name(old.colours));
            let response = menu.show_ui(ui, |ui| {
                for colours in [Colours::Class, Colours::Score] {
                    ui.selectable_value(&mut new.colours, colours, name(colours));
                }
            });
            response.response.labelled_by(label.id);
        });
    });
    ui.checkbox(&mut new.mirror, "Mirror").on_hover_text(Command::ToggleMirror.hint());
    if new != old {
        actions.push(Action::Overlay(new));
    }
}

fn recordings(ui: &mut Ui, old: &Recordings, actions: &mut Vec<Action>) {
    let mut new = old.clone();
    ui.checkbox(&mut new.annotated, "Draw boxes and labels").on_hover_text("Otherwise the bare picture");
    ui.checkbox(&mut new.sidecar, "Write detections beside the video")
        .on_hover_text("A .jsonl file with a line for each frame, which sandglass-eval can score");
    if new != *old {
        actions.push(Action::Recordings(new));
    }
    let folder = old.folder();
    let shown = folder.display().to_string();
    ui.add(Label::new(format!("Folder: {shown}")).truncate()).on_hover_text(shown);
    ui.horizontal(|ui| {
        if ui.button("Change…").on_hover_text("Choose where recordings and snapshots go").clicked() {
            actions.push(Action::Run(Errand::PickRecordings(folder.clone())));
        }
        if ui.button("Show").on_hover_text(Command::OpenRecordings.hint()).clicked() {
            actions.push(Action::Do(Command::OpenRecordings));
        }
    });
    ui.small(
        "A recording holds every frame of a file, and of a camera those that were looked at, at their times.",
    );
}

fn theme(ui: &mut Ui, current: Theme, actions: &mut Vec<Action>) {
    ui.horizontal(|ui| {
        let label = ui.label("Theme");
        let menu = ComboBox::from_id_salt("theme").width(90.0).selected_text(current.name());
        let response = menu.show_ui(ui, |ui| {
            for theme in [Theme::System, Theme::Light, Theme::Dark] {
                if ui.selectable_label(theme == current, theme.name()).clicked() && theme != current {
                    actions.push(Action::Theme(theme));
                }
            }
        });
        response.response.labelled_by(label.id).on_hover_text(Command::CycleTheme.hint());
    });
}
