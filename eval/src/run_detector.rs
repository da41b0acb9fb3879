//! Our own detector over the pictures of a set: a detector of one thread for each processor, so that
//! decoding, resizing and inference of different pictures overlap and no thread waits for another.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sandglass_detector::complain;
use sandglass_detector::program::{is_quiet, note};
use sandglass_detector::source::{Detail, read_image};
use sandglass_detector::{Detection, Detector, Device, Settings};
use sandglass_eval::{Dataset, Detections, Error, Oddity, PixelBox, Skipped, evaluate};

use crate::arguments::Run;
use crate::journal::{self, Journal, Outcome};
use crate::output::Failure;

/// What mean average precision is measured with: nearly everything, for the tail of low scores adds
/// recall. No limit a picture, 200 a class.
const SETTINGS: Settings = Settings {
    score_threshold: 0.01,
    iou_threshold: 0.45,
    max_detections: usize::MAX,
    candidates_per_class: 200,
};

/// How often the figure so far is worked out.
const FIGURE: Duration = Duration::from_secs(5);

/// What came of a run.
pub(crate) struct Found {
    pub(crate) found: Detections,
    pub(crate) failed: Vec<Failure>,
    /// Which detector it was, for people.
    pub(crate) detector: String,
}

/// Runs the detector that the arguments name over every picture of the set or of its shard. The result
/// is in the order of the set, whatever the number of threads. Pictures that fail come back with the
/// reason and have no detections.
pub(crate) fn detect_all(arguments: &Run, truth: &Dataset, skipped: &mut Skipped) -> anyhow::Result<Found> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let first = build(arguments)?;
    let threads = match (first.device(), arguments.threads) {
        // One graphics card serves one detector.
        (Device::Cuda(_), _) => 1,
        (_, 0) => processors,
        (_, n) => n,
    };
    let detector = format!("{} on {}, {threads} at once", first.backbone(), first.engine());
    note(&detector);
    if let Some(reason) = first.fallback() {
        note(format_args!("note: on the CPU: {reason}"));
    }
    if !first.is_trained() {
        complain!("warning: these weights were never trained: the score means nothing");
    }
    if arguments.weights.is_none() && sandglass_detector::models::model(first.backbone()).preliminary {
        note("note: these weights are preliminary, their training was short");
    }
    let mut found = Detections::default();
    for label in first.classes().iter().skip(1) {
        found.add_class(label);
    }
    let wanted: Vec<usize> = (0..truth.images().len())
        .filter(|&image| arguments.shard.is_none_or(|shard| shard.has(image)))
        .collect();
    let (mut journal, mut outcomes) = match &arguments.save_detections {
        Some(folder) => {
            let (journal, known) =
                journal::open(folder, &identity(arguments, &first)?, truth.images().len())?;
            if !known.is_empty() {
                note(format_args!("going on after {} pictures of an unfinished run", known.len()));
            }
            (Some(journal), known)
        }
        None => (None, HashMap::new()),
    };
    let id = |image: usize| truth.images().get(image).map(|image| image.id.as_str()).unwrap_or_default();
    let left: Vec<usize> =
        wanted.iter().copied().filter(|&image| !outcomes.contains_key(id(image))).collect();
    let progress = bar(wanted.len(), outcomes.len())?;
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let (sender, results) = channel();
        let mut first = Some(first);
        for _ in 0..threads.min(left.len()) {
            let (sender, left, next, stop) = (sender.clone(), &left, &next, &stop);
            let ready = first.take();
            scope.spawn(move || {
                let detector = match ready.map_or_else(|| build(arguments), Ok) {
                    Ok(detector) => detector,
                    Err(error) => return drop(sender.send(Err(error))),
                };
                while let Some(&image) = left.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = look(&detector, truth.picture(image)).map(|outcome| (image, outcome));
                    let failed = outcome.is_err();
                    // A closed channel: the others gave up.
                    if stop.load(Ordering::Relaxed) || sender.send(outcome).is_err() || failed {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let gathered = gather(results, truth, &mut journal, &mut outcomes, &progress);
        stop.store(gathered.is_err(), Ordering::Relaxed);
        gathered
    })?;
    progress.finish_and_clear();
    let mut failed = Vec::new();
    for image in wanted {
        match outcomes.remove(id(image)) {
            Some(Ok(items)) => {
                for (class, score, bounds) in items {
                    found.push(&class, id(image), score, bounds)?;
                }
            }
            Some(Err(reason)) => {
                let error = || Error::Value {
                    what: format!("the picture ({reason})"),
                    image: id(image).to_owned(),
                    reason: "it could not be used",
                };
                if skipped.policy() == sandglass_eval::Policy::Strict {
                    return Err(error().into());
                }
                skipped.count(Oddity::PictureFailed, || error().to_string());
                failed.push(Failure { image: id(image).to_owned(), reason });
            }
            None => {}
        }
    }
    Ok(Found { found, failed, detector })
}

/// A detector that works with one thread.
fn build(arguments: &Run) -> anyhow::Result<Detector> {
    let mut builder = Detector::builder().device(arguments.device).threads(1).settings(SETTINGS);
    if let Some(name) = &arguments.backbone {
        builder = builder.backbone(name);
    }
    if let Some(path) = &arguments.weights {
        builder = builder.weights(path);
    }
    builder.build().context("making the detector ready")
}

/// What an unfinished run must have in common with this one.
fn identity(arguments: &Run, detector: &Detector) -> anyhow::Result<String> {
    let weights = match &arguments.weights {
        None => format!("those of version {}", env!("CARGO_PKG_VERSION")),
        Some(path) => {
            let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            // FNV-1a: it tells files apart, nobody attacks it here.
            let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            format!("{hash:016x}")
        }
    };
    let shard = arguments.shard.map(|shard| format!(", part {}/{}", shard.number, shard.of));
    Ok(format!("{}, weights {weights}{}", detector.backbone(), shard.unwrap_or_default()))
}

pub(crate) fn bar(pictures: usize, done: usize) -> anyhow::Result<ProgressBar> {
    let style = "{bar:28} {pos}/{len} pictures, {per_sec}, {eta} left{msg}";
    let target = if is_quiet() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let progress = ProgressBar::with_draw_target(Some(pictures as u64), target)
        .with_style(ProgressStyle::with_template(style)?);
    progress.set_position(done as u64);
    progress.reset_eta();
    Ok(progress)
}

/// What a detector finds in a picture. The outer error is the detector's, the inner one the picture's.
fn look(detector: &Detector, picture: Option<PathBuf>) -> anyhow::Result<Outcome> {
    let frame = match load(picture.as_deref()) {
        Ok(frame) => frame,
        Err(reason) => return Ok(Err(reason)),
    };
    let found = detector.detect(&frame)?;
    let item = |d: &Detection| (d.label.to_string(), f64::from(d.score), to_pixels(d));
    Ok(Ok(found.items.iter().map(item).collect()))
}

fn load(path: Option<&Path>) -> Result<sandglass_detector::Frame, String> {
    let path = path.ok_or("there is no picture of it (jpg, jpeg or png; COCO's need --pictures)")?;
    read_image(path, Detail::Reduced).map_err(|e| e.to_string())
}

fn gather(
    results: Receiver<anyhow::Result<(usize, Outcome)>>,
    truth: &Dataset,
    journal: &mut Option<Journal>,
    outcomes: &mut HashMap<String, Outcome>,
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    let mut told = Instant::now();
    for result in results {
        let (image, outcome) = result?;
        let Some(image) = truth.images().get(image) else { continue };
        if let Some(journal) = journal {
            journal.add(&image.id, &outcome)?;
        }
        outcomes.insert(image.id.clone(), outcome);
        progress.inc(1);
        if told.elapsed() >= FIGURE && !progress.is_hidden() {
            told = Instant::now();
            if let Some(map) = so_far(truth, outcomes) {
                progress.set_message(format!(", mAP so far {:.1} %", map * 100.0));
            }
        }
    }
    Ok(())
}

/// The 11-point figure over the pictures that were looked at.
fn so_far(truth: &Dataset, outcomes: &HashMap<String, Outcome>) -> Option<f64> {
    let (mut set, mut found) = (Dataset::default(), Detections::default());
    for image in truth.images() {
        let Some(outcome) = outcomes.get(&image.id) else { continue };
        let class = |class: usize| truth.classes().get(class).map_or("", String::as_str);
        let objects = image.objects.iter().map(|o| (class(o.class), o.difficult, o.bounds));
        set.add_image(&image.id, objects).ok()?;
        for (class, score, bounds) in outcome.iter().flatten() {
            found.push(class, &image.id, *score, *bounds).ok()?;
        }
    }
    evaluate(&set, &found, 0.5).ok()?.map_11_point
}

fn to_pixels(item: &Detection) -> PixelBox {
    let b = item.bounds;
    PixelBox::from_continuous([b.x1, b.y1, b.x2, b.y2].map(f64::from))
}
