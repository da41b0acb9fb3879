//! Detection in pictures: the command without a subcommand.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sandglass_detector::backbone::Backbone;
use sandglass_detector::complain;
use sandglass_detector::program::is_quiet;
use sandglass_detector::record::{Line, draw};
use sandglass_detector::{Detector, Frame, source};

use crate::NetworkArgs;
use crate::output::{JsonLines, milliseconds, say, summary};

#[derive(Args)]
pub(crate) struct DetectArgs {
    /// Pictures, folders, patterns, videos, `camera`, `camera:1` or `demo`
    #[arg(value_name = "SOURCE", required_unless_present = "print_config")]
    sources: Vec<String>,
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
    save: Option<PathBuf>,
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
        crate::warn(&detector);
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
    let mut failures = Vec::new();
    let mut paths = Vec::new();
    for argument in &args.sources {
        match source::expand(std::slice::from_ref(argument)) {
            Ok(mut found) => paths.append(&mut found),
            Err(error) => failures.push(error.to_string()),
        }
    }
    let inputs = paths.len() + failures.len();
    let mut saver = args.save.as_deref().map(|to| Saver::new(to, paths.len())).transpose()?;
    let mut json = args.json.as_deref().map(JsonLines::create).transpose()?;
    let to_terminal = args.json.as_deref() != Some(Path::new("-"));
    let progress = progress_bar(paths.len());
    let backbone = detector.backbone().to_string();
    for path in &paths {
        let name = path.display().to_string();
        let outcome = source::load_image(path).and_then(|frame| {
            let found = detector.detect(&frame)?;
            Ok((frame, found))
        });
        match outcome {
            Ok((frame, found)) => {
                if let Some(json) = &mut json {
                    json.write(&Line::new(&name, None, &backbone, &found))?;
                }
                if let Some(saver) = &mut saver
                    && let Err(error) = saver.save(path, &draw(&frame, &found.items))
                {
                    failures.push(format!("{error:#}"));
                }
                if to_terminal {
                    let took = milliseconds(found.timing.total());
                    progress.suspend(|| say(format_args!("{name}: {} ({took:.1} ms)", summary(&found))))?;
                }
            }
            Err(error) => failures.push(error.to_string()),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    if let Some(json) = json {
        json.finish()?;
    }
    for failure in &failures {
        complain!("failed: {failure}");
    }
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    complain!("{} of {inputs} inputs failed", failures.len());
    Ok(ExitCode::from(1))
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

/// Saves annotated pictures to one file or into a folder.
struct Saver {
    to: PathBuf,
    is_folder: bool,
    used: HashSet<PathBuf>,
}

impl Saver {
    fn new(to: &Path, pictures: usize) -> Result<Self> {
        let is_folder = pictures != 1 || to.is_dir() || to.extension().is_none();
        if is_folder {
            std::fs::create_dir_all(to).with_context(|| {
                format!("cannot make the folder {} for {pictures} annotated pictures", to.display())
            })?;
        }
        Ok(Self { to: to.to_owned(), is_folder, used: HashSet::new() })
    }

    /// Where a picture goes: its own name in the folder, with a number where two have the same.
    fn target(&mut self, source: &Path) -> PathBuf {
        if !self.is_folder {
            return self.to.clone();
        }
        let stem = source.file_stem().unwrap_or(source.as_os_str()).to_string_lossy();
        // What cannot be written (or animated) becomes PNG.
        let extension = source.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        let kept =
            extension.filter(|e| ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff"].contains(&e.as_str()));
        let extension = kept.as_deref().unwrap_or("png");
        let name = |n: usize| match n {
            0 => self.to.join(format!("{stem}.{extension}")),
            n => self.to.join(format!("{stem}-{}.{extension}", n + 1)),
        };
        let target = (0..).map(name).find(|path| !self.used.contains(path)).unwrap_or_else(|| name(0));
        self.used.insert(target.clone());
        target
    }

    fn save(&mut self, source: &Path, picture: &Frame) -> Result<()> {
        let target = self.target(source);
        let cannot = || format!("cannot save {}", target.display());
        if target.canonicalize().ok().is_some_and(|t| source.canonicalize().is_ok_and(|s| s == t)) {
            bail!("{} is the picture itself; save somewhere else", target.display());
        }
        let size = (picture.width(), picture.height());
        let rgb = image::RgbImage::from_raw(size.0, size.1, picture.packed()).with_context(cannot)?;
        rgb.save(&target).with_context(cannot)
    }
}
