//! Accuracy against time and against multiply-adds, of the backbones that were measured.

use egui::{Color32, Ui};
use egui_plot::{Corner, Legend, Line, Plot, PlotPoints, Points};

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
    for (title, accuracy) in ACCURACIES {
        let known = measured.iter().filter(|(model, _)| accuracy(model).is_some()).count();
        if known > 1 {
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
        .legend(Legend::default().position(Corner::RightBottom))
        .y_axis_formatter(|mark, _| format!("{:.0} %", mark.value));
    plot.show(ui, |plot| {
        for ((family, points), colour) in families.iter().zip(colours()) {
            // A line along the widths; what differs in something else stands beside it.
            let plain = |name: &str| !name.contains("-id") && !name.ends_with("-int8");
            let line: Vec<[f64; 2]> = points.iter().filter(|p| plain(p.1)).map(|p| p.0).collect();
            let all: Vec<[f64; 2]> = points.iter().map(|p| p.0).collect();
            plot.add(Line::new(*family, PlotPoints::from(line)).color(colour));
            plot.add(Points::new(*family, PlotPoints::from(all)).color(colour).radius(3.0));
        }
    });
}

/// A colour to the family; the first of [`COLOURS`] is for what matters least.
fn colours() -> impl Iterator<Item = Color32> {
    COLOURS.into_iter().cycle().skip(1)
}
