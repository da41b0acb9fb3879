//! Which classes are shown.

use egui::{Align, CollapsingHeader, Key, Layout, ScrollArea, TextEdit, Ui};

use crate::settings::Hidden;
use crate::state::{Action, State};

pub(super) fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let Some(active) = &state.active else { return };
    let known = |name: &&String| active.classes.iter().any(|class| **class == ***name);
    let hidden = state.settings.hidden.iter().filter(known).count();
    let shown = active.classes.len() - hidden;
    let text = match hidden {
        0 => "Classes: all shown".to_owned(),
        _ => format!("Classes: {shown} of {} shown", active.classes.len()),
    };
    // The id stays while the words change.
    CollapsingHeader::new(text).id_salt("classes").show(ui, |ui| list(ui, state, &active.classes, actions));
}

fn list(ui: &mut Ui, state: &State, classes: &[std::sync::Arc<str>], actions: &mut Vec<Action>) {
    let hidden = &state.settings.hidden;
    let wanted = state.class_search.trim().to_lowercase();
    let found: Vec<&str> =
        classes.iter().map(|c| &**c).filter(|c| c.to_lowercase().contains(&wanted)).collect();
    let only = |names: &[&str]| -> Hidden {
        classes
            .iter()
            .map(|class| class.to_string())
            .filter(|class| !names.contains(&class.as_str()))
            .collect()
    };
    ui.horizontal(|ui| {
        let mut text = state.class_search.clone();
        let field = TextEdit::singleline(&mut text).hint_text("Search, Enter shows only these");
        let response = ui.add(field.desired_width(ui.available_width() - 108.0));
        response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Search classes"));
        if response.changed() {
            actions.push(Action::ClassSearch(text));
        }
        let enter = ui.input(|input| input.key_pressed(Key::Enter));
        if response.lost_focus() && enter && !found.is_empty() {
            actions.push(Action::Hide(only(&found)));
        }
        if ui.button("All").on_hover_text("Show all classes").clicked() {
            actions.push(Action::Hide(Hidden::new()));
        }
        if ui.button("None").on_hover_text("Show no class").clicked() {
            actions.push(Action::Hide(only(&[])));
        }
    });
    if found.is_empty() {
        ui.weak("The network knows no such class");
    }
    let counts = state.class_counts();
    ScrollArea::vertical().id_salt("classes").max_height(190.0).show(ui, |ui| {
        ui.spacing_mut().interact_size.y = 20.0;
        for class in found {
            ui.horizontal(|ui| {
                let mut shown = !hidden.contains(class);
                if ui.checkbox(&mut shown, class).changed() {
                    let mut new = hidden.clone();
                    if shown {
                        new.remove(class)
                    } else {
                        new.insert(class.to_owned())
                    };
                    actions.push(Action::Hide(new));
                }
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let response = ui.small_button("Only").on_hover_text(format!("Show nothing but {class}"));
                    response.widget_info(|| {
                        egui::WidgetInfo::labeled(egui::Role::Button, true, format!("Only {class}"))
                    });
                    if response.clicked() {
                        actions.push(Action::Hide(only(&[class])));
                    }
                    if let Some(count) = counts.get(class) {
                        ui.monospace(count.to_string()).on_hover_text("in this frame");
                    }
                });
            });
        }
    });
}
