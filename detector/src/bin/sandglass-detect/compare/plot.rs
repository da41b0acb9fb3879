//! Accuracy against multiply-adds and against time, as the MobileNeXt paper draws it.

use anyhow::{Result, anyhow, bail};
use plotters::coord::Shift;
use plotters::prelude::*;
use sandglass_detector::backbone::FAMILIES;
use sandglass_detector::compare::Entry;

use crate::output::milliseconds;

/// Apart for the colour-blind, too (after Okabe and Ito); by family, in the order of [`FAMILIES`].
const COLOURS: [RGBColor; 4] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0x99, 0x99, 0x99),
];
const GREY: RGBColor = RGBColor(0xd0, 0xd0, 0xd6);

/// Pixels of one panel.
const PANEL: (u32, u32) = (480, 340);

type Figure = fn(&Entry) -> Option<f64>;

/// What is drawn upwards: a heading and a figure in percent.
const ACCURACIES: [(&str, Figure); 2] = [
    ("mAP on VOC2007 test (11-point)", |e| e.model.map.map(|map| map * 100.0)),
    ("ImageNet top-1, as published", |e| e.model.published.map(|p| f64::from(p.top1))),
];

/// What is drawn to the right.
const COSTS: [(&str, Figure); 2] = [
    ("multiply-adds of the detector, millions", |e| Some(e.model.multiply_adds as f64 / 1e6)),
    ("median time of the detector on this machine, ms", |e| Some(milliseconds(e.median()))),
];

/// The whole drawing: a row of two panels for each accuracy that is known of any.
pub(super) fn svg(entries: &[Entry]) -> Result<String> {
    let known = |accuracy: &&(&str, Figure)| entries.iter().any(|entry| accuracy.1(entry).is_some());
    let rows: Vec<_> = ACCURACIES.iter().filter(known).collect();
    if rows.is_empty() {
        bail!("--svg: no accuracy is known of any of these backbones, so there is nothing to draw");
    }
    let mut text = String::new();
    {
        let size = (PANEL.0 * COSTS.len() as u32, PANEL.1 * rows.len() as u32);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        area.fill(&WHITE).map_err(wrong)?;
        let panels = area.split_evenly((rows.len(), COSTS.len()));
        let pairs = rows.iter().flat_map(|accuracy| COSTS.iter().map(move |cost| (*accuracy, cost)));
        for (panel, (accuracy, cost)) in panels.iter().zip(pairs) {
            draw(panel, entries, accuracy, cost)?;
        }
        area.present().map_err(wrong)?;
    }
    Ok(text)
}

/// One point: where, what is written beside it, whether it is of floating point.
struct Point {
    at: (f64, f64),
    label: String,
    float: bool,
}

/// The points of each family, widest first.
fn families(entries: &[Entry], accuracy: Figure, cost: Figure) -> Vec<(&'static str, Vec<Point>)> {
    let mut families: Vec<(&'static str, Vec<Point>)> = Vec::new();
    for entry in entries {
        let Some(at) = cost(entry).zip(accuracy(entry)) else { continue };
        let family = entry.backbone.family();
        let short = entry.model.name.strip_prefix(family.name).unwrap_or(&entry.model.name);
        let label = short.trim_start_matches('-').to_owned();
        let point = Point { at, label, float: !entry.backbone.is_int8() };
        match families.iter_mut().find(|(title, _)| *title == family.title) {
            Some((_, points)) => points.push(point),
            None => families.push((family.title, vec![point])),
        }
    }
    families
}

fn draw(
    panel: &DrawingArea<SVGBackend<'_>, Shift>,
    entries: &[Entry],
    (accuracy, upwards): &(&str, Figure),
    (cost, right): &(&str, Figure),
) -> Result<()> {
    let families = families(entries, *upwards, *right);
    let points = || families.iter().flat_map(|(_, points)| points.iter().map(|point| point.at));
    let most = points().fold(0.0_f64, |most, (x, _)| most.max(x));
    let low = points().fold(100.0_f64, |low, (_, y)| low.min(y));
    let high = points().fold(0.0_f64, |high, (_, y)| high.max(y));
    let room = ((high - low) * 0.15).max(1.0);
    let (width, bottom, top) = (most * 1.15, (low - room).max(0.0), (high + room).min(100.0));
    let decimals = usize::from(high - low < 10.0);
    let mut chart = ChartBuilder::on(panel)
        .margin(12)
        .x_label_area_size(38)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..width, bottom..top)
        .map_err(wrong)?;
    chart
        .configure_mesh()
        .x_desc(*cost)
        .y_desc(*accuracy)
        .y_label_formatter(&|value| format!("{value:.decimals$}"))
        .x_label_formatter(&|value| format!("{value:.0}"))
        .light_line_style(TRANSPARENT)
        .bold_line_style(GREY)
        .axis_style(GREY)
        .label_style(("sans-serif", 12))
        .draw()
        .map_err(wrong)?;
    for (title, points) in &families {
        let number = FAMILIES.iter().position(|family| family.title == *title).unwrap_or(0);
        let colour = COLOURS[number % COLOURS.len()];
        // A line along the widths; smaller identity tensors and eight bits stand beside it.
        let on_line = |point: &&Point| point.float && !point.label.contains("id");
        let line = points.iter().filter(on_line).map(|point| point.at);
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2))).map_err(wrong)?;
        let dot = |point: &Point| {
            let style = if on_line(&point) { colour.filled() } else { colour.stroke_width(2) };
            EmptyElement::at(point.at) + Circle::new((0, 0), 4, style)
        };
        let series = chart.draw_series(points.iter().map(dot)).map_err(wrong)?;
        series.label(*title).legend(move |(x, y)| Circle::new((x + 8, y), 4, colour.filled()));
        let text = |point: &Point| {
            // Those beside the line are many at nearly one place: only what is on it is named, and eight bits.
            let label = if point.label.contains("id") { String::new() } else { point.label.clone() };
            EmptyElement::at(point.at) + Text::new(label, (7, 2), ("sans-serif", 11))
        };
        chart.draw_series(points.iter().map(text)).map_err(wrong)?;
    }
    chart
        .configure_series_labels()
        .position(legend(points().map(|(x, y)| (x / width, (y - bottom) / (top - bottom)))))
        .label_font(("sans-serif", 12))
        .background_style(WHITE.mix(0.8))
        .border_style(GREY)
        .draw()
        .map_err(wrong)?;
    Ok(())
}

/// A corner where the legend hides none of the points, given as shares of the width and of the height.
fn legend(points: impl Iterator<Item = (f64, f64)> + Clone) -> SeriesLabelPosition {
    use SeriesLabelPosition::{LowerLeft, LowerRight, UpperLeft, UpperRight};
    const THIRD: f64 = 0.35;
    let corners = [(LowerRight, true, false), (LowerLeft, false, false), (UpperLeft, false, true)];
    let within = |share: f64, far: bool| if far { share > 1.0 - THIRD } else { share < THIRD };
    let is_free =
        |(_, right, up): &(_, bool, bool)| !points.clone().any(|(x, y)| within(x, *right) && within(y, *up));
    corners.into_iter().find(is_free).map_or(UpperRight, |corner| corner.0)
}

fn wrong(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("drawing a plot: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_legend_hides_no_point() {
        let corner = |points: &[(f64, f64)]| format!("{:?}", legend(points.iter().copied()));
        assert_eq!(corner(&[(0.5, 0.1), (0.9, 0.9)]), "LowerRight");
        assert_eq!(corner(&[(0.9, 0.1), (0.9, 0.9)]), "LowerLeft");
        assert_eq!(corner(&[(0.9, 0.1), (0.1, 0.1)]), "UpperLeft");
    }
}
