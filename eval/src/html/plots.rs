//! The plots of the report, as inline SVG.

use anyhow::anyhow;
use plotters::prelude::*;
use sandglass_eval::analysis::Histogram;
use sandglass_eval::tide::TideReport;
use sandglass_eval::voc::Curve;

const BLUE: RGBColor = RGBColor(0x1d, 0x5f, 0xc4);
const GREEN: RGBColor = RGBColor(0x0a, 0x7f, 0x5a);
const ORANGE: RGBColor = RGBColor(0xc2, 0x41, 0x0c);
const GREY: RGBColor = RGBColor(0xd0, 0xd0, 0xd6);

/// Steps of recall that are drawn: finer ones cannot be told apart.
const STEP: f64 = 1.0 / 200.0;

/// Runs a drawing of a size and returns its SVG.
fn svg(
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Result<(), String>,
) -> anyhow::Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        draw(&area).map_err(|error| anyhow!("drawing a plot: {error}"))?;
        area.present().map_err(|error| anyhow!("drawing a plot: {error}"))?;
    }
    Ok(text.replacen("<svg ", "<svg class=\"plot\" ", 1))
}

/// Precision against recall.
pub(super) fn curve(curve: &Curve) -> anyhow::Result<String> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (&recall, &precision) in curve.recall.iter().zip(&curve.precision) {
        if points.last().is_none_or(|(last, _)| recall >= last + STEP) {
            points.push((recall, precision));
        }
    }
    svg((220, 150), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .x_label_area_size(18)
            .y_label_area_size(26)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)
            .map_err(text)?;
        chart
            .configure_mesh()
            .x_labels(3)
            .y_labels(3)
            .light_line_style(TRANSPARENT)
            .bold_line_style(GREY)
            .axis_style(GREY)
            .label_style(("sans-serif", 10))
            .draw()
            .map_err(text)?;
        let fill = AreaSeries::new(points.iter().copied(), 0.0, BLUE.mix(0.15));
        chart.draw_series(fill).map_err(text)?;
        chart.draw_series(LineSeries::new(points, BLUE.stroke_width(2))).map_err(text)?;
        Ok(())
    })
}

/// A bar for each kind of error, in points of mean average precision.
pub(super) fn errors(report: &TideReport) -> anyhow::Result<String> {
    let bars: Vec<(&str, f64)> =
        report.errors.iter().map(|(kind, cost)| (kind.name(), cost.d_ap * 100.0)).collect();
    let most = bars.iter().fold(1.0_f64, |most, (_, value)| most.max(*value));
    let count = bars.len();
    svg((640, 40 + 28 * count as u32), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(20)
            .y_label_area_size(100)
            .build_cartesian_2d(0.0..most * 1.1, (0..count.saturating_sub(1)).into_segmented())
            .map_err(text)?;
        let name = |at: &SegmentValue<usize>| match at {
            SegmentValue::CenterOf(at) | SegmentValue::Exact(at) => {
                // The first stands above.
                count.checked_sub(at + 1).and_then(|at| bars.get(at)).map_or("", |(name, _)| name).to_owned()
            }
            SegmentValue::Last => String::new(),
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(count)
            .y_label_formatter(&name)
            .x_label_formatter(&|value| format!("{value:.0}"))
            .light_line_style(TRANSPARENT)
            .bold_line_style(GREY)
            .axis_style(GREY)
            .label_style(("sans-serif", 12))
            .draw()
            .map_err(text)?;
        let bar = |(at, (_, value)): (usize, &(&str, f64))| {
            let row = count - 1 - at;
            let ends = [(0.0, SegmentValue::Exact(row)), (*value, SegmentValue::Exact(row + 1))];
            let mut bar = Rectangle::new(ends, ORANGE.mix(0.85).filled());
            bar.set_margin(5, 5, 0, 0);
            bar
        };
        chart.draw_series(bars.iter().enumerate().map(bar)).map_err(text)?;
        Ok(())
    })
}

/// Hits and false alarms by score, side by side, on a logarithmic scale.
pub(super) fn histogram(histogram: &Histogram) -> anyhow::Result<String> {
    let most = histogram.hits.iter().chain(&histogram.false_alarms).copied().max().unwrap_or(0).max(10);
    let (from, to) = histogram.range;
    let width = (to - from) / histogram.hits.len().max(1) as f64;
    svg((760, 240), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(48)
            .build_cartesian_2d(from..to, (0.8..most as f64 * 1.4).log_scale())
            .map_err(text)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_desc("score")
            .y_labels(6)
            .y_label_formatter(&|value| format!("{value:.0}"))
            .light_line_style(TRANSPARENT)
            .bold_line_style(GREY)
            .axis_style(GREY)
            .label_style(("sans-serif", 11))
            .draw()
            .map_err(text)?;
        let lists =
            [(&histogram.hits, GREEN, 0.1, "hits"), (&histogram.false_alarms, ORANGE, 0.5, "false alarms")];
        for (counts, colour, shift, name) in lists {
            let bar = |(at, count): (usize, &usize)| {
                let left = from + (at as f64 + shift) * width;
                Rectangle::new(
                    [(left, 0.8), (left + 0.38 * width, (*count as f64).max(0.8))],
                    colour.filled(),
                )
            };
            let series = chart.draw_series(counts.iter().enumerate().map(bar)).map_err(text)?;
            series
                .label(name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], colour.filled()));
        }
        let legend = &mut chart.configure_series_labels();
        legend
            .position(SeriesLabelPosition::UpperRight)
            .label_font(("sans-serif", 12))
            .background_style(WHITE.mix(0.8))
            .draw()
            .map_err(text)?;
        Ok(())
    })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
