//! `sandglass-detect quantize`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use sandglass_detector::complain;
use sandglass_detector::program::note;
use sandglass_detector::quantise::{Calibration, Method};
use sandglass_detector::source;

use crate::detect::progress_bar;

/// Makes weights of eight bits: a quarter of the size, faster on processors with integer instructions.
///
/// The pictures show the network what it will meet; their annotations are not needed. The result is a weights
/// file that every command and the viewer take as --weights. Measure it: sandglass-eval --voc DIR --weights OUT.
#[derive(Args)]
#[command(after_help = "Example:\n  sandglass-detect quantize --calibration photos/ --out small.safetensors")]
pub(crate) struct QuantizeArgs {
    /// The backbone; not needed where the weights say it
    #[arg(long, value_name = "NAME")]
    backbone: Option<String>,
    /// Weights file (.safetensors) of a detector or a classifier, instead of those that come with the program
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Pictures to calibrate with: files, folders, patterns, videos; a few hundred pictures
    #[arg(long, value_name = "SOURCE", required = true, num_args = 1..)]
    calibration: Vec<String>,
    /// Pictures taken at most, spread evenly over each source
    #[arg(long, value_name = "N", default_value_t = 300)]
    pictures: usize,
    /// How the range of a map is chosen
    #[arg(long, value_enum, default_value_t = MethodName::Mse)]
    method: MethodName,
    /// The weights file to write
    #[arg(long, value_name = "OUT.safetensors")]
    out: PathBuf,
    /// Write over a file that exists
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum MethodName {
    /// From the lowest value to the highest
    Minmax,
    /// All but one in ten thousand at either end
    Percentile,
    /// Where the squared error is least
    Mse,
}

pub(crate) fn run(args: &QuantizeArgs) -> Result<ExitCode> {
    if args.out.exists() && !args.force {
        bail!("{} exists; --force writes over it", args.out.display());
    }
    if args.pictures == 0 {
        bail!("--pictures must be at least 1");
    }
    let mut calibration = Calibration::open(args.backbone.as_deref(), args.weights.as_deref())?;
    let failures = collect(&mut calibration, args)?;
    for failure in &failures {
        complain!("failed: {failure}");
    }
    for warning in calibration.warnings() {
        complain!("warning: {warning}");
    }
    let bar = progress_bar(2);
    let method = match args.method {
        MethodName::Minmax => Method::MinMax,
        MethodName::Percentile => Method::Percentile,
        MethodName::Mse => Method::Mse,
    };
    let count = calibration.len();
    let model = calibration.finish(method, &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    model.save(&args.out)?;
    let size = std::fs::metadata(&args.out).map_or(0, |m| m.len());
    note(format_args!(
        "{}: {} of {count} pictures, {:.1} MB; in float: {}",
        args.out.display(),
        model.backbone(),
        size as f64 / 1e6,
        model.float_layers.join(", ")
    ));
    let ratios = model.signal_to_error.iter().map(|(name, db)| format!("{name} {db:.1} dB"));
    note(format_args!("signal to error: {}", ratios.collect::<Vec<_>>().join(", ")));
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Takes the pictures of all sources in. Says what failed.
fn collect(calibration: &mut Calibration, args: &QuantizeArgs) -> Result<Vec<String>> {
    let mut failures = Vec::new();
    let each = args.pictures.div_ceil(args.calibration.len());
    let bar = progress_bar(args.pictures);
    for name in &args.calibration {
        if source::is_camera(name) {
            bail!("{name}: calibrate with pictures or a video, so that it can be repeated");
        }
        if !source::is_video(name) {
            match source::expand(std::slice::from_ref(name)) {
                Ok(paths) => {
                    let step = paths.len().div_ceil(each).max(1);
                    for path in paths.iter().step_by(step) {
                        match source::load_image(path).and_then(|frame| calibration.add(&frame)) {
                            Ok(()) => bar.inc(1),
                            Err(error) => failures.push(error.to_string()),
                        }
                    }
                }
                Err(error) => failures.push(error.to_string()),
            }
            continue;
        }
        let mut frames = match source::open(name) {
            Ok(frames) => frames,
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        let step = frames.frame_count().unwrap_or(0).div_ceil(each as u64).max(1);
        let (mut number, mut taken) = (0_u64, 0);
        while taken < each {
            match frames.next_frame() {
                Ok(Some(frame)) => {
                    if number.is_multiple_of(step) {
                        calibration.add(&frame)?;
                        taken += 1;
                        bar.inc(1);
                    }
                    number += 1;
                }
                Ok(None) => break,
                Err(error) => {
                    failures.push(error.to_string());
                    break;
                }
            }
        }
    }
    bar.finish_and_clear();
    Ok(failures)
}
