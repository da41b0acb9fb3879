//! `sandglass-detect models`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use sandglass_detector::models;

#[derive(Args)]
#[command(after_help = "Example:\n  sandglass-detect models --json")]
pub(crate) struct ListArgs {
    /// Print one JSON object a backbone instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ListArgs) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let all = models::all();
    if args.json {
        for model in &all {
            let line = serde_json::json!({
                "name": model.name,
                "parameters": model.parameters,
                "multiply_adds": model.multiply_adds,
                "trained": model.trained,
                "preliminary": model.preliminary,
                "map_11_point": model.map,
            });
            writeln!(out, "{line}")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "SSDLite at 320×320, 21 classes (Pascal VOC); mAP: 11-point on VOC2007 test\n")?;
    writeln!(
        out,
        "{:22}{:>12}{:>16}  {:12}{:>6}",
        "backbone", "parameters", "multiply-adds", "weights", "mAP"
    )?;
    for model in &all {
        let parameters = format!("{:.2} M", model.parameters as f64 / 1e6);
        let multiply_adds = format!("{:.0} M", model.multiply_adds as f64 / 1e6);
        let weights = match (model.trained, model.preliminary) {
            (true, false) => "trained",
            (true, true) => "preliminary",
            (false, _) => "untrained",
        };
        let map = model.map.map_or("–".into(), |map| format!("{:.1}", map * 100.0));
        let default = if model.name == models::DEFAULT { "  (default)" } else { "" };
        writeln!(out, "{:22}{parameters:>12}{multiply_adds:>16}  {weights:12}{map:>6}{default}", model.name)?;
    }
    writeln!(
        out,
        "\nPreliminary weights find objects, but their training was short: they could be better.\n\
         Untrained backbones run, for timing and for weights of your own; what they find means nothing."
    )?;
    Ok(ExitCode::SUCCESS)
}
