//! Accuracy against time and against multiply-adds, of the backbones that were measured.

use egui::{Color32, Sense, Ui};
use egui_plot::{Line, Plot, PlotPoints, Points};

use super::plot::COLOURS;
use crate::state::ModelInfo;

/// One backbone with the time that it took here, in milliseconds.
pub(super) type Measured<'a> = (&'a ModelInfo, f32);

/// A point: where, and of which backbone.
type Point<'a> = ([f64; 2], &'a str);

/// An accuracy in percent, where it is known.
type Accuracy = fn(&ModelInfo) -> Option<f64>;

const ACCURACIES: [(&str, Accuracy); 2] = [
    ("mAP on VOC2007 test", |model| model.map.map(|map| map * 100.0)),
    ("ImageNet top-1, as published", |model| model.top1.map(f64::from)),
];

/// A plot for each accuracy that is known of at least two, first against time, then against multiply-adds.
pub(super) fn show(ui: &mut Ui, measured: &[Measured<'_>]) {
    let known = |accuracy: Accuracy| measured.iter().filter(|(model, _)| accuracy(model).is_some()).count();
    if ACCURACIES.iter().any(|(_, accuracy)| known(*accuracy) > 1) {
        ui.horizontal_wrapped(|ui| {
            for family in families(measured) {
                let (swatch, _) = ui.allocate_exact_size(egui::vec2(9.0, 9.0), Sense::hover());
                ui.painter().circle_filled(swatch.center(), 4.0, colour(measured, family));
                ui.small(family);
            }
        });
    }
    for (title, accuracy) in ACCURACIES {
        if known(accuracy) > 1 {
            plot(ui, title, "ms", measured, accuracy, |(_, time)| f64::from(time));
            plot(ui, title, "M multiply-adds", measured, accuracy, |(model, _)| {
                model.multiply_adds as f64 / 1e6
            });
        }
    }
}

fn plot(
    ui: &mut Ui,
    title: &str,
    unit: &str,
    measured: &[Measured<'_>],
    accuracy: Accuracy,
    cost: fn(Measured<'_>) -> f64,
) {
    let mut families: Vec<(&str, Vec<Point<'_>>)> = Vec::new();
    for &(model, time) in measured {
        let Some(percent) = accuracy(model) else { continue };
        let point = ([cost((model, time)), percent], model.name.as_str());
        match families.iter_mut().find(|(family, _)| *family == model.family) {
            Some((_, points)) => points.push(point),
            None => families.push((model.family, vec![point])),
        }
    }
    ui.small(format!("{title}, against {unit}"));
    let plot = Plot::new((title, unit))
        .height(150.0)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .include_x(0.0)
        // No point lies on the edge.
        .set_margin_fraction(egui::vec2(0.06, 0.12))
        .y_axis_formatter(|mark, _| format!("{:.0} %", mark.value));
    plot.show(ui, |plot| {
        for (family, points) in &families {
            let colour = colour(measured, family);
            // A line along the widths; what differs in something else stands beside it.
            let plain = |name: &str| !name.contains("-id") && !name.ends_with("-int8");
            let line: Vec<[f64; 2]> = points.iter().filter(|p| plain(p.1)).map(|p| p.0).collect();
            let all: Vec<[f64; 2]> = points.iter().map(|p| p.0).collect();
            plot.add(Line::new(*family, PlotPoints::from(line)).color(colour));
            plot.add(Points::new(*family, PlotPoints::from(all)).color(colour).radius(3.0));
        }
    });
}

/// The families in the order in which they come.
fn families<'a>(measured: &[Measured<'a>]) -> Vec<&'a str> {
    let mut families = Vec::new();
    for (model, _) in measured {
        if !families.contains(&model.family) {
            families.push(model.family);
        }
    }
    families
}

/// A colour to the family, the same in every plot; the first of [`COLOURS`] is for what matters least.
fn colour(measured: &[Measured<'_>], family: &str) -> Color32 {
    let number = families(measured).iter().position(|other| *other == family).unwrap_or(0);
    COLOURS[(number + 1) % COLOURS.len()]
}
