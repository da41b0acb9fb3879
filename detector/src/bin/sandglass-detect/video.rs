//! Detection in a video, and its annotated recording.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use sandglass_detector::record::draw::draw;
use sandglass_detector::record::{Recorder, RecorderOptions};
use sandglass_detector::{Detector, source};

use crate::detect::{DetectArgs, progress_bar};
use crate::output::{JsonLines, Record, milliseconds, summary};

pub(crate) fn run(args: &DetectArgs, name: &str, detector: &Detector) -> Result<ExitCode> {
    let mut source = source::open(name)?;
    let mut recorder = None;
    let mut json = args.json.as_deref().map(JsonLines::create).transpose()?;
    let to_terminal = args.json.as_deref() != Some(Path::new("-"));
    let progress = progress_bar(usize::try_from(source.frame_count().unwrap_or(0)).unwrap_or(0));
    let backbone = detector.backbone().to_string();
    let begin = Instant::now();
    let (mut frames, mut network) = (0u64, std::time::Duration::ZERO);
    // By class: how many frames it was found in, and its best score.
    let mut seen: BTreeMap<String, (u64, f32)> = BTreeMap::new();
    let mut failure = None;
    loop {
        let frame = match source.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => {
                failure = Some(error);
                break;
            }
        };
        let found = detector.detect(&frame)?;
        network += found.timing.total();
        if let Some(json) = &mut json {
            json.write(&Record {
                source: name,
                frame: Some(frames),
                time: Some(frame.captured().as_secs_f64()),
                width: found.width,
                height: found.height,
                backbone: &backbone,
                detections: &found.items,
                timing_ms: found.timing.into(),
            })?;
        } else if args.record.is_none() {
            let time = frame.captured().as_secs_f64();
            progress.suspend(|| println!("{time:8.3} s: {}", summary(&found)));
        }
        let mut in_frame: BTreeMap<&str, f32> = BTreeMap::new();
        for item in &found.items {
            let best = in_frame.entry(&item.label).or_default();
            *best = best.max(item.score);
        }
        for (label, score) in in_frame {
            let entry = seen.entry(label.to_owned()).or_default();
            *entry = (entry.0 + 1, entry.1.max(score));
        }
        if let Some(path) = &args.record {
            let recorder = match &mut recorder {
                Some(recorder) => recorder,
                none => {
                    let options = RecorderOptions { overwrite: args.force };
                    none.insert(Recorder::create(path, &options)?)
                }
            };
            recorder.push(&draw(&frame, &found.items))?;
        }
        frames += 1;
        progress.inc(1);
    }
    progress.finish_and_clear();
    if let Some(json) = json {
        json.finish()?;
    }
    let recorded = recorder.map(Recorder::finish).transpose()?;
    if to_terminal {
        let seconds = begin.elapsed().as_secs_f64();
        let each = milliseconds(network) / frames.max(1) as f64;
        println!(
            "{name}: {frames} frames in {seconds:.1} s ({:.0} a second), detection {each:.1} ms a frame, \
             {backbone}, {}",
            frames as f64 / seconds.max(1e-9),
            detector.engine()
        );
        for (label, (count, best)) in &seen {
            println!("  {label:12} in {count:4} frames, best score {best:.2}");
        }
        if let (Some(path), Some(recorded)) = (&args.record, recorded) {
            let length = recorded.duration.as_secs_f64();
            println!("recorded {} ({} frames, {length:.2} s)", path.display(), recorded.frames);
        }
    }
    match failure {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => {
            eprintln!("failed: {error}");
            Ok(ExitCode::from(1))
        }
    }
}
