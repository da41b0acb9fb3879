//! `sandglass-detect export`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use sandglass_detector::export;
use sandglass_detector::program::note;

/// Writes a detector as an ONNX model (opset 17) for ONNX Runtime, OpenVINO, TensorRT and others.
///
/// The input is N × 3 × 320 × 320 normalised RGB; mean, standard deviation and class names are in the
/// model's metadata. The outputs are class_logits (N × 3234 × classes) and box_deltas (N × 3234 × 4), and with
/// --boxes scores (softmax) and boxes (x1, y1, x2, y2 from 0 to 1) before suppression.
#[derive(Args)]
#[command(
    after_help = "Example:\n  sandglass-detect export --backbone mobilenet-v2-1.0 --boxes --onnx detector.onnx"
)]
pub(crate) struct ExportArgs {
    /// The backbone; not needed where the weights say it
    #[arg(long, value_name = "NAME")]
    backbone: Option<String>,
    /// Weights file (.safetensors) instead of those that come with the program
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// The model to write
    #[arg(long, value_name = "OUT.onnx")]
    onnx: PathBuf,
    /// Add decoded boxes and scores to the outputs
    #[arg(long)]
    boxes: bool,
    /// Write over a file that exists
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &ExportArgs) -> Result<ExitCode> {
    if args.onnx.exists() && !args.force {
        bail!("{} exists; --force writes over it", args.onnx.display());
    }
    let model = export::onnx(args.backbone.as_deref(), args.weights.as_deref(), args.boxes)?;
    std::fs::write(&args.onnx, &model).with_context(|| format!("cannot write {}", args.onnx.display()))?;
    note(format_args!("{}: {:.1} MB", args.onnx.display(), model.len() as f64 / 1e6));
    Ok(ExitCode::SUCCESS)
}
