//! `sandglass-detect classify`: what pictures are of.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use sandglass_detector::complain;
use sandglass_detector::{Classifier, source};
use serde_json::json;

use crate::NetworkArgs;
use crate::output::JsonLines;

/// Says what pictures are of, with an ImageNet classifier in torchvision's layout: MobileNetV1, MobileNetV2 or MobileNeXt.
/// No classifier's weights come with the program.
#[derive(Args)]
#[command(
    after_help = "Example:\n  sandglass-detect classify photo.jpg --weights imagenet.safetensors --top 3"
)]
pub(crate) struct ClassifyArgs {
    /// Pictures, folders, patterns such as 'photos/*.jpg'
    #[arg(value_name = "SOURCE", required = true)]
    sources: Vec<String>,
    /// The backbone, where the weights do not say it and their shapes leave it open
    #[arg(long, value_name = "NAME")]
    backbone: Option<String>,
    #[command(flatten)]
    network: NetworkArgs,
    /// How many classes are told of each picture
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: usize,
    /// Write one JSON object a picture (a line each); `-` for standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &ClassifyArgs) -> Result<ExitCode> {
    let Some(weights) = &args.network.weights else {
        bail!(
            "classify needs --weights FILE: a classifier's weights in safetensors (see `sandglass-detect import`)"
        );
    };
    if args.top == 0 {
        bail!("--top must be at least 1");
    }
    let NetworkArgs { device, threads, .. } = args.network;
    let classifier = Classifier::open(weights, args.backbone.as_deref(), device, threads)?;
    let mut json = args.json.as_deref().map(JsonLines::create).transpose()?;
    let to_terminal = args.json.as_deref() != Some(Path::new("-"));
    let (mut failures, mut count) = (Vec::new(), 0);
    for argument in &args.sources {
        let paths = match source::expand(std::slice::from_ref(argument)) {
            Ok(paths) => paths,
            Err(error) => {
                count += 1;
                failures.push(error.to_string());
                continue;
            }
        };
        for path in paths {
            count += 1;
            let name = path.display().to_string();
            match source::load_image(&path).and_then(|frame| classifier.classify(&frame, args.top)) {
                Ok(guesses) => {
                    if let Some(json) = &mut json {
                        let each = guesses.iter().map(|g| {
                            json!({"label": &*g.label, "class_id": g.class_id, "probability": g.probability})
                        });
                        let classes: Vec<_> = each.collect();
                        json.write(&json!({"source": name, "backbone": classifier.backbone().to_string(), "classes": classes}))?;
                    }
                    if to_terminal {
                        let text = guesses.iter().map(|g| format!("{} {:.3}", g.label, g.probability));
                        writeln!(std::io::stdout(), "{name}: {}", text.collect::<Vec<_>>().join(", "))?;
                    }
                }
                Err(error) => failures.push(error.to_string()),
            }
        }
    }
    json.map_or(Ok(()), JsonLines::finish)?;
    for failure in &failures {
        complain!("failed: {failure}");
    }
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    complain!("{} of {} inputs failed", failures.len(), count);
    Ok(ExitCode::from(1))
}
