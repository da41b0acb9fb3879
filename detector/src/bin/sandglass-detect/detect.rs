//! Detection in pictures: the command without a subcommand.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sandglass_detector::backbone::Backbone;
use sandglass_detector::program::is_quiet;
use sandglass_detector::{Detector, source};

use crate::NetworkArgs;

#[derive(Args)]
pub(crate) struct DetectArgs {
    /// Pictures, folders, patterns, videos, `camera`, `camera:1` or `demo`
    #[arg(value_name = "SOURCE", required_unless_present_any = ["print_config", "stdin_paths"], conflicts_with = "stdin_paths")]
    #[cfg_attr(
        feature = "arrow",
        arg(required_unless_present_any = ["print_config", "stdin_paths", "arrow", "parquet"], conflicts_with_all = ["arrow", "parquet"])
    )]
    pub(crate) sources: Vec<String>,
    /// Read the names of pictures from standard input, one a line, however many; each has a line in
    /// --json, those that fail one with "error"
    #[arg(long, hide_short_help = true)]
    #[cfg_attr(feature = "video", arg(conflicts_with = "record"))]
    pub(crate) stdin_paths: bool,
    /// Backbone by name; `sandglass-detect models` lists them
    #[arg(long, value_name = "NAME", value_parser = backbone)]
    backbone: Option<String>,
    #[command(flatten)]
    network: NetworkArgs,
    /// Leave out detections of this score or below, 0 to 1
    #[arg(long, value_name = "F", default_value_t = 0.3, value_parser = fraction)]
    score_threshold: f32,
    /// Of two boxes of a class that overlap by more than this IoU keep the better, 0 to 1
    #[arg(long, value_name = "F", default_value_t = 0.45, value_parser = fraction, hide_short_help = true)]
    iou_threshold: f32,
    /// Most detections of a picture
    #[arg(long, value_name = "N", default_value_t = 100, hide_short_help = true)]
    max_detections: usize,
    /// Only these classes, such as person,dog; or all but these, such as --classes=-chair
    #[arg(long, value_name = "A,B", value_delimiter = ',', allow_hyphen_values = true)]
    classes: Vec<String>,
    /// Write one JSON object a picture (a line each); `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Save annotated pictures: to this file for one picture, else into this folder
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) save: Option<PathBuf>,
    /// Leave times out of --json and tables: the same pictures then give the same bytes
    #[arg(long, hide_short_help = true)]
    pub(crate) no_timing: bool,
    #[cfg(feature = "arrow")]
    #[command(flatten, next_help_heading = "Tables of pictures")]
    pub(crate) tables: crate::tables::TableArgs,
    #[cfg(feature = "video")]
    #[command(flatten, next_help_heading = "Recording and live sources")]
    pub(crate) video: crate::video::VideoArgs,
}

impl DetectArgs {
    fn detector(&self) -> Result<Detector> {
        let builder = self.network.builder(self.backbone.as_deref());
        let builder = builder.score_threshold(self.score_threshold).iou_threshold(self.iou_threshold);
        let classes = crate::class_filter(&self.classes)?;
        let detector = builder.max_detections(self.max_detections).classes(classes).build()?;
        crate::warn(&detector, self.network.weights.is_none());
        Ok(detector)
    }
}

pub(crate) fn run(args: &DetectArgs) -> Result<ExitCode> {
    let videos = args.sources.iter().filter(|name| source::is_video(name)).count();
    #[cfg(feature = "video")]
    if videos > 0 || args.video.record.is_some() {
        let [source] = args.sources.as_slice() else {
            bail!("a video or camera is detected by itself: give one, or only pictures");
        };
        if args.save.is_some() {
            bail!("--save is for pictures; --record OUT.mp4 saves an annotated video");
        }
        return crate::video::run(args, source, &mut args.detector()?);
    }
    #[cfg(not(feature = "video"))]
    if videos > 0 {
        bail!("this build reads no videos");
    }

    let detector = args.detector()?;
    #[cfg(feature = "arrow")]
    if args.tables.is_wanted() {
        return crate::tables::run(args, &detector);
    }
    crate::pictures::run(args, &detector)
}

fn fraction(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("expected a number from 0 to 1".into()),
    }
}

fn backbone(text: &str) -> Result<String, String> {
    text.parse::<Backbone>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// A bar with rate and time left; hidden for a single picture and where nobody watches.
pub(crate) fn progress_bar(count: usize) -> ProgressBar {
    let target =
        if count > 1 && !is_quiet() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(count as u64), target);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {per_sec}  {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
