//! How fast it goes, what is lost, and a measurement of all backbones.

use egui::{CornerRadius, Grid, RichText, Sense, Ui};

use super::{accuracy, button, detect, gap, line, millis, plot, title};
use crate::command::Command;
use crate::state::{Action, Playback, Recording, State};
use crate::stats::STAGES;

pub(super) fn show(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    let stats = &state.stats;
    let playing = state.playback == Playback::Playing;
    let rate = |rate: Option<f32>| match rate.filter(|_| playing) {
        Some(rate) => format!("{rate:.1}"),
        None => "–".to_owned(),
    };
    let inference = stats.inference().map_or_else(|| "–".to_owned(), |spread| millis(spread.median));
    ui.columns(2, |columns| {
        if let [left, right] = columns {
            figure(left, &rate(stats.detection.rate()), "frames looked at a second");
            figure(right, &inference, "for inference (median)");
        }
    });
    gap(ui);
    // Rows of plain text need not be as high as buttons.
    ui.spacing_mut().interact_size.y = 16.0;
    line(ui, "From the source, a second", &rate(stats.capture.rate()));
    line(ui, "On the screen, a second", &rate(stats.display.rate()));
    gap(ui);
    title(ui, "Time of a frame");
    plot::show(ui, state);
    stages(ui, state);
    gap(ui);
    losses(ui, state);
    gap(ui);
    facts(ui, state);
    gap(ui);
    benchmark(ui, state, actions);
}

fn figure(ui: &mut Ui, value: &str, unit: &str) {
    ui.label(RichText::new(value).size(24.0).strong());
    ui.small(unit);
}

/// Median and 95th percentile of each stage, with the colours of the plot.
fn stages(ui: &mut Ui, state: &State) {
    Grid::new("stages").num_columns(4).min_col_width(0.0).spacing([10.0, 4.0]).show(ui, |ui| {
        for heading in ["", "Stage", "p50", "p95"] {
            ui.small(heading);
        }
        ui.end_row();
        for (stage, (name, colour)) in STAGES.iter().zip(plot::COLOURS).enumerate() {
            let (rect, _) = ui.allocate_exact_size(egui::vec2(11.0, 11.0), Sense::hover());
            ui.painter().rect_filled(rect, CornerRadius::same(3), colour);
            ui.label(*name);
            let spread = state.stats.stage(stage);
            ui.monospace(spread.map_or_else(|| "–".to_owned(), |spread| millis(spread.median)));
            ui.monospace(spread.map_or_else(|| "–".to_owned(), |spread| millis(spread.p95)));
            ui.end_row();
        }
    });
}

fn losses(ui: &mut Ui, state: &State) {
    title(ui, "Frames");
    let losses = state.stats.losses();
    line(ui, "Captured", &losses.captured.to_string());
    line(ui, "Lost in the source", &losses.source.to_string());
    line(ui, "Not looked at: detector busy", &losses.detector.to_string());
    line(ui, "Not shown: window busy", &losses.window.to_string());
    if let Recording::On(progress) | Recording::Ending(progress) = &state.recording {
        line(ui, "Not recorded: encoder busy", &progress.dropped.to_string());
    }
}

fn facts(ui: &mut Ui, state: &State) {
    title(ui, "Facts");
    let memory = state.stats.memory.map(|bytes| format!("{:.0} MB", bytes as f64 / 1e6));
    line(ui, "Memory", &memory.unwrap_or_else(|| "–".into()));
    let window = state.stats.window().map(|spread| millis(spread.p95));
    line(ui, "Window, p95 a pass", &window.unwrap_or_else(|| "–".into()));
    if let Some(shot) = &state.shot {
        line(ui, "Picture", &format!("{} × {}", shot.size[0], shot.size[1]));
    }
    if let Some(duration) = state.duration {
        line(ui, "Length", &format!("{:.1} s", duration.as_secs_f64()));
    }
    if let Some(active) = &state.active {
        line(ui, "Backbone", &active.backbone);
        if let Some(model) = state.models.iter().find(|model| model.name == active.backbone) {
            ui.small(detect::facts(state, model));
        }
        ui.small(&active.engine);
    }
}

fn benchmark(ui: &mut Ui, state: &State, actions: &mut Vec<Action>) {
    title(ui, "All backbones on this machine");
    ui.spacing_mut().interact_size.y = 24.0;
    let running = state.benchmark.as_ref().is_some_and(|benchmark| benchmark.running);
    ui.horizontal(|ui| {
        let text = if running { "Stop" } else { "Measure" };
        button(ui, Command::Benchmark, text, running, actions);
        if let Some(benchmark) = state.benchmark.as_ref().filter(|benchmark| !benchmark.lines.is_empty()) {
            if ui.button("Copy").on_hover_text("Copy the table as text").clicked() {
                ui.copy_text(as_text(state, &benchmark.lines));
            }
            if running {
                ui.label(format!("{} of {}", benchmark.lines.len(), state.models.len()));
            }
        }
    });
    let Some(benchmark) = &state.benchmark else {
        ui.small("Times one 1280 × 720 picture, median of 15. Detection rests meanwhile.");
        return;
    };
    let model = |name: &str| state.models.iter().find(|model| model.name == name);
    let times = benchmark.lines.iter().filter_map(|(name, time)| Some((model(name)?, *time.as_ref().ok()?)));
    accuracy::show(ui, &times.collect::<Vec<_>>());
    Grid::new("benchmark").num_columns(4).striped(true).spacing([10.0, 4.0]).show(ui, |ui| {
        for heading in ["Backbone", "Time", "Multiply-adds", "mAP"] {
            ui.small(heading);
        }
        ui.end_row();
        for (name, time) in &benchmark.lines {
            ui.label(name);
            match time {
                Ok(time) => {
                    ui.monospace(millis(*time)).on_hover_text(format!("{:.1}/s", 1000.0 / time.max(0.001)))
                }
                Err(reason) => ui.label("failed").on_hover_text(reason),
            };
            if let Some(model) = model(name) {
                ui.monospace(format!("{:.0} M", model.multiply_adds as f64 / 1e6));
                ui.monospace(model.map.map_or_else(|| "–".to_owned(), |map| format!("{:.1}", map * 100.0)));
            }
            ui.end_row();
        }
    });
}

/// The measurements, columns apart by tabs: for spreadsheets and messages alike.
fn as_text(state: &State, lines: &[(String, Result<f32, String>)]) -> String {
    let engine = state.active.as_ref().map_or("", |active| &active.engine);
    let mut text = format!("backbone\tmilliseconds\tmultiply-adds\tmAP\ttop-1\t# {engine}\n");
    for (name, time) in lines {
        let model = state.models.iter().find(|model| model.name == *name);
        let adds = model.map(|model| model.multiply_adds.to_string()).unwrap_or_default();
        let map = model.and_then(|model| model.map).map(|map| format!("{:.1}", map * 100.0));
        let time = time.as_ref().map_or_else(|_| "failed".to_owned(), |time| format!("{time:.2}"));
        let top1 = model.and_then(|model| model.top1).map(|top1| top1.to_string());
        let (map, top1) = (map.unwrap_or_default(), top1.unwrap_or_default());
        text.push_str(&format!("{name}\t{time}\t{adds}\t{map}\t{top1}\n"));
    }
    text
}
