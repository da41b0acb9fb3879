//! `sandglass-detect import`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use sandglass_detector::backbone::Backbone;
use sandglass_detector::backbone::weights::StoredAs;
use sandglass_detector::import::import;
use sandglass_detector::program::note;

/// Reads a checkpoint of the authors' SSDLite detector, or of a classifier laid out as torchvision's
/// MobileNetV2, and writes a weights file with everything that a program must know about it. Nothing in the
/// checkpoint is run.
#[derive(Args)]
#[command(after_help = "Example:\n  sandglass-detect import checkpoint.pth out.safetensors")]
pub(crate) struct ImportArgs {
    /// The checkpoint (.pth, .pt, .pth.tar)
    #[arg(value_name = "IN.pth")]
    input: PathBuf,
    /// The weights file to write
    #[arg(value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Which backbone it is of; found out by the shapes without it, with the whole shortcut
    #[arg(long, value_name = "NAME")]
    backbone: Option<String>,
    /// Names of the classes, without the background
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    classes: Option<Vec<String>>,
    /// Store convolutions in 16 bits: half the size
    #[arg(long)]
    f16: bool,
    /// Write over a file that exists
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: ImportArgs) -> Result<ExitCode> {
    if args.output.exists() && !args.force {
        bail!("{} exists; --force writes over it", args.output.display());
    }
    let backbone = args.backbone.as_deref().map(str::parse::<Backbone>).transpose()?;
    let (weights, info) = import(&args.input, backbone, args.classes)?;
    let stored = if args.f16 { StoredAs::F16 } else { StoredAs::F32 };
    weights.save(&args.output, &info.to_metadata(), stored)?;
    let kind = if info.anchors.is_empty() { "classifier" } else { "detector" };
    note(format_args!(
        "{}: a {kind} with {} and {} classes, input (RGB - {:?}) / {:?}",
        args.output.display(),
        info.backbone,
        info.classes.len(),
        info.normalisation.mean,
        info.normalisation.deviation
    ));
    Ok(ExitCode::SUCCESS)
}
