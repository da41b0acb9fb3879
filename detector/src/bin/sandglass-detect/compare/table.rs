//! The figures of a comparison as a table for a terminal, a text or a spreadsheet.

use std::fmt::Write;

use anyhow::Result;
use sandglass_detector::compare::{Comparison, Entry};

use crate::output::milliseconds;

/// The headings of the columns, and what each shows.
type Column = (&'static str, fn(&Entry) -> String);

const COLUMNS: [Column; 8] = [
    ("backbone", |e| e.model.name.clone()),
    ("parameters", |e| format!("{:.2} M", e.model.parameters as f64 / 1e6)),
    ("multiply-adds", |e| format!("{:.0} M", e.model.multiply_adds as f64 / 1e6)),
    ("activations (by layer)", |e| {
        format!("{} ({})", megabytes(e.footprint.traffic), megabytes(e.footprint.traffic_by_layer))
    }),
    ("memory", |e| megabytes(e.footprint.weights + e.footprint.maps)),
    ("median", |e| format!("{:.2} ms", milliseconds(e.median()))),
    ("mAP", |e| {
        let star = if e.model.preliminary { "*" } else { "" };
        e.model.map.map_or_else(none, |map| format!("{:.1}{star}", map * 100.0))
    }),
    ("top-1", |e| e.model.published.map_or_else(none, |p| format!("{:.1}", p.top1))),
];

fn none() -> String {
    "–".into()
}

fn megabytes(bytes: usize) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// For a terminal.
pub(super) fn text(comparison: &Comparison, rounds: usize) -> String {
    let aligned = |rows: &[Vec<String>]| {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |at: usize| rows.iter().filter_map(|r| r.get(at)).map(|c| c.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in rows {
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                // Names to the left, figures to the right.
                let _ =
                    if at == 0 { write!(text, "{cell:width$}") } else { write!(text, "  {cell:>width$}") };
            }
            text.push('\n');
        }
        text
    };
    tables(comparison, rounds, aligned)
}

/// For a text that takes Markdown.
pub(super) fn markdown(comparison: &Comparison, rounds: usize) -> String {
    let piped = |rows: &[Vec<String>]| {
        let mut text = String::new();
        for (at, row) in rows.iter().enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if at == 0 {
                let _ = writeln!(text, "|---|{}", "---:|".repeat(row.len().saturating_sub(1)));
            }
        }
        text
    };
    tables(comparison, rounds, piped)
}

/// All tables with what is said of them; `form` sets one, its first row being the headings.
fn tables(comparison: &Comparison, rounds: usize, form: impl Fn(&[Vec<String>]) -> String) -> String {
    let engine = comparison.describe().unwrap_or_default();
    let mut text = format!("SSDLite at 320×320 on {engine}; median of {rounds} rounds in turns\n\n");
    let mut rows = vec![COLUMNS.map(|(heading, _)| heading.to_owned()).to_vec()];
    rows.extend(comparison.entries().iter().map(|entry| COLUMNS.map(|(_, show)| show(entry)).to_vec()));
    text.push_str(&form(&rows));
    if comparison.entries().iter().any(|entry| entry.model.preliminary) {
        text.push_str("\n* preliminary weights: their training was short\n");
    }
    let identity = identity(comparison.entries());
    if identity.len() > 1 {
        text.push_str(
            "\nHow much of the identity tensor is carried, and what it takes; Pixel 4: the authors' milliseconds for \
             the classifier\n\n",
        );
        text.push_str(&form(&identity));
    }
    text
}

/// What a smaller identity tensor brings, for the networks of which the whole and a part were measured.
fn identity(entries: &[Entry]) -> Vec<Vec<String>> {
    let headings = ["backbone", "carried", "median", "of the whole", "Pixel 4", "of the whole"];
    let mut rows = vec![headings.map(String::from).to_vec()];
    for entry in entries {
        let backbone = &entry.backbone;
        let same = |other: &&Entry| {
            let other = &other.backbone;
            other.family().name == backbone.family().name
                && other.width() == backbone.width()
                && other.is_int8() == backbone.is_int8()
        };
        let whole = entries.iter().filter(same).find(|other| other.backbone.identity_divisor() == 1);
        let Some(whole) = whole.filter(|_| entries.iter().filter(same).count() > 1) else { continue };
        let pixel = |of: &Entry| of.model.published.and_then(|p| p.pixel4).map(f64::from);
        let share = |part: f64, of: f64| format!("{:.0} %", 100.0 * part / of);
        rows.push(vec![
            entry.model.name.clone(),
            match backbone.identity_divisor() {
                1 => "all".into(),
                divisor => format!("1/{divisor}"),
            },
            format!("{:.2} ms", milliseconds(entry.median())),
            share(milliseconds(entry.median()), milliseconds(whole.median())),
            pixel(entry).map_or_else(none, |ms| format!("{ms:.0} ms")),
            pixel(entry).zip(pixel(whole)).map_or_else(none, |(part, of)| share(part, of)),
        ]);
    }
    rows
}

/// For a spreadsheet: plain numbers, bytes and milliseconds; nothing where nothing is known.
pub(super) fn csv(comparison: &Comparison) -> Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record([
        "backbone",
        "parameters",
        "multiply_adds",
        "activation_bytes",
        "activation_bytes_by_layer",
        "weight_bytes",
        "map_bytes",
        "median_ms",
        "map_11_point",
        "published_top1",
        "published_pixel4_ms",
    ])?;
    for entry in comparison.entries() {
        let (model, footprint) = (&entry.model, &entry.footprint);
        let published = model.published;
        let or_nothing = |value: Option<String>| value.unwrap_or_default();
        table.write_record([
            model.name.clone(),
            model.parameters.to_string(),
            model.multiply_adds.to_string(),
            footprint.traffic.to_string(),
            footprint.traffic_by_layer.to_string(),
            footprint.weights.to_string(),
            footprint.maps.to_string(),
            milliseconds(entry.median()).to_string(),
            or_nothing(model.map.map(|map| map.to_string())),
            or_nothing(published.map(|p| p.top1.to_string())),
            or_nothing(published.and_then(|p| p.pixel4).map(|ms| ms.to_string())),
        ])?;
    }
    Ok(table.into_inner()?)
}
