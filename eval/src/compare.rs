//! Two results side by side: is the second better, and how sure is that?

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sandglass_eval::analysis::{Outcomes, difference, interval};
use serde::Deserialize;
use serde_json::json;

use crate::arguments::Outputs;
use crate::output;
use crate::result::{ROUNDS, SEED};

/// The part of a result that comparing needs.
#[derive(Deserialize)]
struct Written {
    map_11_point: Option<f64>,
    outcomes: Option<Outcomes>,
}

fn read(path: &Path) -> anyhow::Result<(Option<f64>, Outcomes)> {
    let text = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let written: Written = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no result that --json wrote", path.display()))?;
    let outcomes = written
        .outcomes
        .with_context(|| format!("{} has no outcomes: write it anew with --json", path.display()))?;
    Ok((written.map_11_point, outcomes))
}

/// Compares two files and prints the difference.
pub(crate) fn run(files: &[PathBuf], output: &Outputs) -> anyhow::Result<()> {
    let [a, b] = files else { anyhow::bail!("two files are compared, not {}", files.len()) };
    let ((first_map, first), (second_map, second)) = (read(a)?, read(b)?);
    let spread = difference(&first, &second, ROUNDS, SEED)?;
    let (one, two) = (interval(&first, ROUNDS, SEED), interval(&second, ROUNDS, SEED));
    let percent = |value: f64| format!("{:.2}", value * 100.0);
    let eleven = |map: Option<f64>| map.map_or_else(|| "–".to_owned(), percent);
    let mut text =
        format!("Mean average precision in percent at IoU {}, {} images\n\n", first.iou, first.images.len());
    for (name, map, spread) in [("A", first_map, one), ("B", second_map, two)] {
        text += &format!(
            "{name}: 11-point {}, all-point {} (95 % of drawings: {} to {})\n",
            eleven(map),
            percent(spread.value),
            percent(spread.interval.low),
            percent(spread.interval.high),
        );
    }
    text += &format!(
        "B - A, all-point: {:+.2} (95 % of drawings: {:+.2} to {:+.2}); B is ahead in {:.1} % of {ROUNDS} drawings\n",
        spread.value * 100.0,
        spread.interval.low * 100.0,
        spread.interval.high * 100.0,
        spread.above_zero * 100.0,
    );
    let verdict = match (spread.interval.low > 0.0, spread.interval.high < 0.0) {
        (true, _) => "B is better.",
        (_, true) => "A is better.",
        _ => "The set is too small to tell the two apart.",
    };
    text += verdict;
    text += "\n";
    let document = json!({ "a": one, "b": two, "difference": spread, "rounds": ROUNDS });
    output::text_and_json(&text, output.json.as_deref(), || serde_json::to_string_pretty(&document))
}
