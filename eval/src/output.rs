//! The result as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use anyhow::Context as _;
use sandglass_eval::Report;
use serde::Serialize;

/// A picture that could not be used.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    /// The image's id.
    pub(crate) image: String,
    /// Why.
    pub(crate) reason: String,
}

/// What the JSON holds.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a Report,
    failed: &'a [Failure],
}

/// Prints the table and writes the JSON where it is asked for: `-` is the standard output, which the
/// table then leaves to it.
pub(crate) fn print(report: &Report, failed: &[Failure], json: Option<&Path>) -> anyhow::Result<()> {
    let table = table(report);
    let document = || {
        let text = serde_json::to_string_pretty(&Document { report, failed });
        text.map(|t| t + "\n").context("writing the result as JSON")
    };
    match json {
        Some(path) if path == Path::new("-") => {
            eprint!("{table}");
            to_stdout(&document()?)
        }
        Some(path) => {
            to_stdout(&table)?;
            std::fs::write(path, document()?).with_context(|| format!("writing {}", path.display()))
        }
        None => to_stdout(&table),
    }
}

/// Writes to the standard output; a reader that has seen enough, such as `head`, is no failure.
fn to_stdout(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("writing the result"),
        _ => Ok(()),
    }
}

fn table(report: &Report) -> String {
    let width = report.per_class.keys().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(
        text,
        "Average precision in percent at IoU {}, {} images\n\n{:width$} {:>9} {:>9} {:>8} {:>8} {:>8} {:>8}",
        report.iou, report.images, "class", "11-point", "all-point", "objects", "TP", "FP", "ignored",
    );
    let (mut npos, mut tp, mut fp, mut ignored) = (0, 0, 0, 0);
    for (name, class) in &report.per_class {
        let (eleven, all) = (percent(class.ap_11_point), percent(class.ap_all_point));
        let _ = writeln!(
            text,
            "{name:width$} {eleven:>9} {all:>9} {:>8} {:>8} {:>8} {:>8}",
            class.npos, class.tp, class.fp, class.ignored,
        );
        npos += class.npos;
        tp += class.tp;
        fp += class.fp;
        ignored += class.ignored;
    }
    let (eleven, all) = (percent(report.map_11_point), percent(report.map_all_point));
    let _ = writeln!(text, "{:width$} {eleven:>9} {all:>9} {npos:>8} {tp:>8} {fp:>8} {ignored:>8}", "mean");
    text
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{:.2}", value * 100.0))
}
