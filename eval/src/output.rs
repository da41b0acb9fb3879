//! The result as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use anyhow::Context as _;
use sandglass_eval::analysis::Spread;
use sandglass_eval::ties::Bounds;
use sandglass_eval::{ClassReport, Report};
use serde::Serialize;

use crate::arguments::Outputs;
use crate::result::{ROUNDS, Whole};

/// Bounds of equal scores that are closer than this need no word.
const TIES_MATTER: f64 = 1e-4;

/// A picture that could not be used.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    /// The image's id.
    pub(crate) image: String,
    /// Why.
    pub(crate) reason: String,
}

/// Prints the table and writes JSON and CSV where they are asked for.
pub(crate) fn print(whole: &Whole, output: &Outputs) -> anyhow::Result<()> {
    if let Some(path) = &output.csv {
        csv(&whole.report, path).with_context(|| format!("writing {}", path.display()))?;
    }
    let mut text = table(&whole.report);
    text += &remarks(whole);
    if let Some(coco) = whole.coco.as_ref().filter(|_| output.coco) {
        text += "\nBy COCO's rules, in percent:\n";
        for (name, value) in coco.numbers() {
            text += &format!("{name:10} {:>6}\n", percent(value));
        }
    }
    text_and_json(&text, output.json.as_deref(), || serde_json::to_string_pretty(whole))
}

/// Prints words and writes JSON: `-` is the standard output, which the words then leave to it.
pub(crate) fn text_and_json(
    text: &str,
    json: Option<&Path>,
    document: impl Fn() -> serde_json::Result<String>,
) -> anyhow::Result<()> {
    let document = || document().map(|text| text + "\n").context("writing the result as JSON");
    match json {
        Some(path) if path == Path::new("-") => {
            // Nobody reads: that is no reason to stop.
            let _ = io::stderr().write_all(text.as_bytes());
            to_stdout(&document()?)
        }
        Some(path) => {
            to_stdout(text)?;
            std::fs::write(path, document()?).with_context(|| format!("writing {}", path.display()))
        }
        None => to_stdout(text),
    }
}

/// What has to be said about a figure besides the figure.
fn remarks(whole: &Whole) -> String {
    let mut text = String::new();
    if let Some(ties) = whole
        .report
        .ties
        .filter(|t| t.ap_11_point.width() > TIES_MATTER || t.ap_all_point.width() > TIES_MATTER)
    {
        let range =
            |bounds: Bounds| format!("{} to {}", percent(Some(bounds.low)), percent(Some(bounds.high)));
        text += &format!(
            "\nEqual scores: in another order the means could be {} (11-point) and {} (all-point).\n",
            range(ties.ap_11_point),
            range(ties.ap_all_point),
        );
    }
    for (kind, tally) in whole.skipped.kinds() {
        text += &format!("\n{}: {}\n", kind.meaning(), tally.count);
        for place in &tally.first {
            text += &format!("    {place}\n");
        }
    }
    if let Some(analysis) = &whole.analysis {
        let Spread { interval, .. } = analysis.bootstrap;
        text += &format!(
            "\nAll-point mean in 95 % of {ROUNDS} drawings of the images: {} to {}\n",
            percent(Some(interval.low)),
            percent(Some(interval.high)),
        );
    }
    text
}

/// One line a class, and one for the mean.
fn csv(report: &Report, path: &Path) -> anyhow::Result<()> {
    let mut file = csv::Writer::from_path(path)?;
    file.write_record(["class", "ap_11_point", "ap_all_point", "npos", "tp", "fp", "ignored"])?;
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for (name, class) in &report.per_class {
        let counts = [class.npos, class.tp, class.fp, class.ignored].map(|count| count.to_string());
        let precisions = [name.clone(), number(class.ap_11_point), number(class.ap_all_point)];
        file.write_record(precisions.iter().chain(&counts))?;
    }
    let sum = |of: fn(&ClassReport) -> usize| report.per_class.values().map(of).sum::<usize>().to_string();
    let mean = ["mean".to_owned(), number(report.map_11_point), number(report.map_all_point)];
    file.write_record(mean.iter().chain(&[
        sum(|c| c.npos),
        sum(|c| c.tp),
        sum(|c| c.fp),
        sum(|c| c.ignored),
    ]))?;
    file.flush()?;
    Ok(())
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

pub(crate) fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{:.2}", value * 100.0))
}
