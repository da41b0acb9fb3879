//! Our own detector over the pictures of a set.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use sandglass_detector::source::load_image;
use sandglass_detector::{Detection, Detector, Frame, Settings};
use sandglass_eval::{Dataset, Detections, PixelBox};

use crate::arguments::Arguments;
use crate::output::Failure;

/// What mean average precision is measured with: nearly everything, for the tail of low scores adds
/// recall. No limit a picture, 200 a class.
const SETTINGS: Settings = Settings {
    score_threshold: 0.01,
    iou_threshold: 0.45,
    max_detections: usize::MAX,
    candidates_per_class: 200,
};

/// Pictures decoded ahead of the detector.
const AHEAD: usize = 4;

/// Runs the detector that the arguments name over every picture, in the order of the set. Pictures
/// that fail come back with the reason and have no detections.
pub(crate) fn detect_all(
    arguments: &Arguments,
    truth: &Dataset,
) -> anyhow::Result<(Detections, Vec<Failure>)> {
    let mut builder =
        Detector::builder().device(arguments.device).threads(arguments.threads).settings(SETTINGS);
    if let Some(name) = &arguments.backbone {
        builder = builder.backbone(name);
    }
    if let Some(path) = &arguments.weights {
        builder = builder.weights(path);
    }
    let detector = builder.build().context("making the detector ready")?;
    eprintln!("{} on {}", detector.backbone(), detector.engine());
    if !detector.is_trained() {
        eprintln!("warning: these weights were never trained: the score means nothing");
    }
    let mut found = Detections::default();
    for label in detector.classes().iter().skip(1) {
        found.add_class(label);
    }
    let mut failed = Vec::new();
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} pictures, {per_sec}, {eta} left")?;
    let progress = ProgressBar::new(truth.images().len() as u64).with_style(style);
    thread::scope(|scope| {
        // Decoding takes a good part of the time of a picture: the next ones are decoded meanwhile.
        let (sender, pictures) = sync_channel(AHEAD);
        scope.spawn(move || {
            for index in 0..truth.images().len() {
                // A closed channel: the detector gave up.
                if sender.send(load(truth.picture(index))).is_err() {
                    break;
                }
            }
        });
        for (image, picture) in truth.images().iter().zip(pictures) {
            match picture {
                Ok(frame) => {
                    for item in &detector.detect(&frame)?.items {
                        found.push(&item.label, &image.id, f64::from(item.score), to_pixels(item))?;
                    }
                }
                Err(reason) => failed.push(Failure { image: image.id.clone(), reason }),
            }
            progress.inc(1);
        }
        anyhow::Ok(())
    })?;
    progress.finish_and_clear();
    Ok((found, failed))
}

fn load(path: Option<PathBuf>) -> Result<Frame, String> {
    let path = path.ok_or("JPEGImages has no picture of it (jpg, jpeg or png)")?;
    load_image(&path).map_err(|e| e.to_string())
}

fn to_pixels(item: &Detection) -> PixelBox {
    let b = item.bounds;
    PixelBox::from_continuous([b.x1, b.y1, b.x2, b.y2].map(f64::from))
}
