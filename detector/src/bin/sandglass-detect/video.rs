//! Detection in a video or a camera's pictures, and its recording. Decoding, detection, and drawing with
//! coding each have a thread, so that the slowest alone sets the pace.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use sandglass_detector::complain;
use sandglass_detector::program::note;
use sandglass_detector::record::{
    Background, Line, Overlay, Quality, Recorded, Recorder, RecorderOptions, Status, Summary, WhenFull,
};
use sandglass_detector::source::{self, FrameSource, OpenOptions};
use sandglass_detector::{Detections, Detector, Device, Error, Frame};

use crate::detect::{DetectArgs, progress_bar};
use crate::output::{JsonLines, milliseconds, say, summary};

/// Frames that may wait between two stages.
const WAITING: usize = 4;

#[derive(Args)]
pub(crate) struct VideoArgs {
    /// Record the annotated video to this MP4 file (H.264, the source's own frame times)
    #[arg(long, value_name = "OUT.mp4")]
    pub(crate) record: Option<PathBuf>,
    /// Write over recordings and sidecars that exist
    #[arg(long, hide_short_help = true)]
    force: bool,
    /// Record the frames as they are, without boxes
    #[arg(long, requires = "record", hide_short_help = true)]
    raw: bool,
    /// Draw a line with time, backbone and latency onto the recording
    #[arg(long, requires = "record", conflicts_with = "raw", hide_short_help = true)]
    banner: bool,
    /// Write a line of JSON for each recorded frame to this file
    #[arg(long, value_name = "FILE.jsonl", requires = "record", hide_short_help = true)]
    sidecar: Option<PathBuf>,
    /// Constant quality: the H.264 quantiser, 0 (best) to 51
    #[arg(long, value_name = "Q", default_value_t = 26, conflicts_with = "bitrate", hide_short_help = true)]
    quality: u8,
    /// Average bits a second instead, such as 4000000
    #[arg(long, value_name = "BITS", hide_short_help = true)]
    bitrate: Option<u32>,
    /// A new file every N seconds: out.mp4, out-2.mp4 …
    #[arg(long, value_name = "N", requires = "record", hide_short_help = true)]
    segment_secs: Option<u64>,
    /// End the recording before its files have more than N bytes together
    #[arg(long, value_name = "N", requires = "record", hide_short_help = true)]
    max_bytes: Option<u64>,
    /// End the recording when the disk has less than N megabytes free
    #[arg(long, value_name = "N", default_value_t = 200, hide_short_help = true)]
    keep_free_mb: u64,
    /// At most so many frames a second are used; for pictures, how many are shown a second
    #[arg(long, value_name = "F", hide_short_help = true)]
    fps: Option<f64>,
    /// Stop after so many seconds of the source
    #[arg(long, value_name = "N", hide_short_help = true)]
    seconds: Option<f64>,
    /// Size, rate and packing (MJPEG, YUYV, NV12 …) wanted of a camera; the closest it offers is taken
    #[cfg(feature = "camera")]
    #[arg(long, value_name = "WxH[@FPS][:PACKING]", default_value = "1280x720@30", hide_short_help = true)]
    camera_format: source::camera::Wish,
}

impl VideoArgs {
    fn recorder(&self) -> Result<Option<Recorder>> {
        let Some(path) = &self.record else { return Ok(None) };
        let options = RecorderOptions {
            overwrite: self.force,
            quality: self.bitrate.map_or(Quality::Quantiser(self.quality), Quality::BitRate),
            segment: self.segment_secs.map(Duration::from_secs),
            max_bytes: self.max_bytes,
            keep_free: self.keep_free_mb.saturating_mul(1_000_000),
            sidecar: self.sidecar.clone(),
        };
        Ok(Some(Recorder::create(path, &options)?))
    }

    fn open(&self, name: &str) -> Result<Box<dyn FrameSource>, Error> {
        let options = OpenOptions {
            #[cfg(feature = "camera")]
            camera: self.camera_format,
            picture_rate: self.fps.or(Some(1.0)).filter(|_| !source::is_video(name)),
        };
        source::open_with(name, &options)
    }
}

/// What came of the source: a frame, how long it took to decode, or what was wrong with it.
type Decoded = (Result<Frame, Error>, Duration);

pub(crate) fn run(args: &DetectArgs, name: &str, detector: &mut Detector) -> Result<ExitCode> {
    let source = args.video.open(name)?;
    let stop = stop_on_interrupt()?;
    follow(args, name, source, &stop, detector)
}

fn follow(
    args: &DetectArgs,
    name: &str,
    source: Box<dyn FrameSource>,
    stop: &AtomicBool,
    detector: &mut Detector,
) -> Result<ExitCode> {
    let video = &args.video;
    if let Some(remark) = source.remark() {
        note(format_args!("note: {remark}"));
    }
    let live = source.live_since().is_some();
    let overlay = (!video.raw).then_some(Overlay { banner: video.banner });
    let when_full = if live { WhenFull::Drop } else { WhenFull::Wait };
    let start = |recorder| Background::start(recorder, overlay, when_full);
    let recording = video.recorder()?.map(start).transpose()?;
    let mut run = Run {
        name: name.into(),
        backbone: detector.backbone().to_string().into(),
        detector,
        recording,
        json: args.json.as_deref().map(JsonLines::create).transpose()?,
        to_terminal: args.json.as_deref() != Some(Path::new("-")),
        timing: !args.no_timing,
        progress: progress_bar(usize::try_from(source.frame_count().unwrap_or(0)).unwrap_or(0)),
        limits: Limits {
            fps: video.fps.filter(|_| source::is_video(name)),
            seconds: video.seconds,
            next: None,
        },
        tally: Tally::default(),
    };
    let begin = Instant::now();
    if live {
        run.follow_live(source, stop)?;
    } else {
        run.work_through(source, stop)?;
    }
    run.finish(begin.elapsed(), args)
}

/// Set once Ctrl-C was pressed or the program was asked to end; the second time it ends at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

/// Which frames are used.
struct Limits {
    fps: Option<f64>,
    seconds: Option<f64>,
    /// When the next frame is due, in the source's time.
    next: Option<f64>,
}

enum Use {
    Yes,
    PassOver,
    Stop,
}

impl Limits {
    fn judge(&mut self, frame: &Frame) -> Use {
        let time = frame.captured().as_secs_f64();
        if self.seconds.is_some_and(|most| time >= most) {
            return Use::Stop;
        }
        if let Some(fps) = self.fps.filter(|fps| *fps > 0.0) {
            let due = *self.next.get_or_insert(time);
            // Times are rounded: a frame a hair early is the one that was meant.
            if time + 0.002 < due {
                return Use::PassOver;
            }
            self.next = Some((due + 1.0 / fps).max(time - 1.0 / fps));
        }
        Use::Yes
    }
}

/// What happened, for the end.
#[derive(Default)]
struct Tally {
    frames: u64,
    decoding: Duration,
    detecting: Duration,
    /// By class: in how many frames, and the best score.
    seen: BTreeMap<String, (u64, f32)>,
    failures: Vec<String>,
    lost: u64,
    interrupted: bool,
}

/// One run over a source.
struct Run<'a> {
    detector: &'a mut Detector,
    name: Arc<str>,
    backbone: Arc<str>,
    recording: Option<Background>,
    json: Option<JsonLines>,
    to_terminal: bool,
    timing: bool,
    progress: indicatif::ProgressBar,
    limits: Limits,
    tally: Tally,
}

impl Run<'_> {
    /// A file: every frame counts, decoded ahead on a thread.
    fn work_through(&mut self, mut source: Box<dyn FrameSource>, stop: &AtomicBool) -> Result<()> {
        let (sender, frames) = sync_channel::<Decoded>(WAITING);
        thread::scope(|scope| {
            let decoder = scope.spawn(move || {
                loop {
                    let begin = Instant::now();
                    let next = source.next_frame().transpose();
                    let Some(next) = next else { break };
                    // A closed channel: nobody wants more.
                    if sender.send((next, begin.elapsed())).is_err() {
                        break;
                    }
                }
                source.dropped()
            });
            let outcome = self.take_all(&frames, stop);
            drop(frames);
            match decoder.join() {
                Ok(lost) => self.tally.lost = lost,
                // Its panic is told already; what there is is kept, and it is not all.
                Err(_) => self.tally.failures.push(format!("{}: reading it broke down", self.name)),
            }
            outcome
        })
    }

    fn take_all(&mut self, frames: &Receiver<Decoded>, stop: &AtomicBool) -> Result<()> {
        for (frame, took) in frames {
            self.tally.decoding += took;
            match frame {
                Ok(frame) => {
                    if !self.take(&frame)? {
                        break;
                    }
                }
                Err(error) => self.tally.failures.push(error.to_string()),
            }
            if stop.load(Ordering::SeqCst) {
                self.tally.interrupted = true;
                break;
            }
        }
        Ok(())
    }

    /// A camera: the newest frame counts, and what goes wrong may come right again.
    fn follow_live(&mut self, mut source: Box<dyn FrameSource>, stop: &AtomicBool) -> Result<()> {
        let mut trouble = String::new();
        note(format_args!("{}: until Ctrl-C", source.name()));
        while !stop.load(Ordering::SeqCst) {
            match source.next_frame() {
                Ok(Some(frame)) => {
                    trouble.clear();
                    if !self.take(&frame)? {
                        break;
                    }
                }
                Ok(None) => break,
                Err(Error::Camera { name, reason, over: false }) => {
                    if trouble != reason {
                        self.progress.suspend(|| complain!("warning: {name}: {reason}"));
                        trouble = reason;
                    }
                }
                Err(error) => {
                    self.tally.failures.push(error.to_string());
                    break;
                }
            }
        }
        self.tally.lost = source.dropped();
        Ok(())
    }

    /// Detects in a frame and hands it on; false when it is time to end.
    fn take(&mut self, frame: &Frame) -> Result<bool> {
        match self.limits.judge(frame) {
            Use::Yes => {}
            Use::PassOver => return Ok(true),
            Use::Stop => return Ok(false),
        }
        let found = match self.detector.detect(frame) {
            Ok(found) => found,
            Err(error) if self.detector.device() != Device::Cpu => {
                self.progress.suspend(|| complain!("warning: {error}; going on on the CPU"));
                self.detector.switch_device(Device::Cpu)?;
                self.detector.detect(frame)?
            }
            Err(error) => return Err(error.into()),
        };
        let number = self.tally.frames;
        self.tally.frames += 1;
        self.tally.detecting += found.timing.total();
        self.tally.note(&found);
        self.progress.inc(1);
        if let Some(json) = &mut self.json {
            let line = Line::new(&self.name, Some((number, frame.captured())), &self.backbone, &found);
            json.write(&if self.timing { line } else { line.without_timing() })?;
        } else if self.recording.is_none() {
            let time = frame.captured().as_secs_f64();
            self.progress.suspend(|| say(format_args!("{time:8.3} s: {}", summary(&found))))?;
        }
        let Some(recording) = &self.recording else { return Ok(true) };
        recording.push(Recorded {
            frame: frame.clone(),
            source: Arc::clone(&self.name),
            number,
            backbone: Arc::clone(&self.backbone),
            found,
        });
        Ok(recording.status().ended.is_none())
    }

    fn finish(self, took: Duration, args: &DetectArgs) -> Result<ExitCode> {
        self.progress.finish_and_clear();
        if let Some(json) = self.json {
            json.finish()?;
        }
        let mut tally = self.tally;
        let recorded = match self.recording.map(Background::finish) {
            None => None,
            Some(Ok((summary, status))) => {
                // A limit that was asked for is no failure; a full disk is.
                if let Some(reason) = summary.ended.as_ref().filter(|_| args.video.max_bytes.is_none()) {
                    tally.failures.push(format!("the recording ended: {reason}"));
                }
                if let Some((count, reason)) = &status.refused {
                    tally.failures.push(format!("{count} frames could not be recorded, the last: {reason}"));
                }
                Some((summary, status))
            }
            Some(Err(error)) => {
                tally.failures.push(error.to_string());
                None
            }
        };
        if self.to_terminal {
            let (name, detector) = (&self.name, self.detector);
            let rate = tally.frames as f64 / took.as_secs_f64().max(1e-9);
            note(format_args!(
                "{name}: {} frames in {:.1} s ({rate:.1} a second), {}, {}{}",
                tally.frames,
                took.as_secs_f64(),
                self.backbone,
                detector.engine(),
                if tally.interrupted { ", interrupted" } else { "" }
            ));
            tally.print(took, recorded.as_ref());
        }
        for failure in &tally.failures {
            complain!("failed: {failure}");
        }
        Ok(ExitCode::from(u8::from(!tally.failures.is_empty())))
    }
}

impl Tally {
    fn note(&mut self, found: &Detections) {
        let mut in_frame: BTreeMap<&str, f32> = BTreeMap::new();
        for item in &found.items {
            let best = in_frame.entry(&item.label).or_default();
            *best = best.max(item.score);
        }
        for (label, score) in in_frame {
            let entry = self.seen.entry(label.to_owned()).or_default();
            *entry = (entry.0 + 1, entry.1.max(score));
        }
    }

    fn print(&self, took: Duration, recorded: Option<&(Summary, Status)>) {
        for (label, (count, best)) in &self.seen {
            note(format_args!("  {label:12} in {count:4} frames, best score {best:.2}"));
        }
        if self.lost > 0 {
            note(format_args!("  {} frames lost (damaged, or overwritten by newer ones)", self.lost));
        }
        let each = |time: Duration| milliseconds(time) / self.frames.max(1) as f64;
        let mut stages = vec![("decode", self.decoding), ("detect", self.detecting)];
        if let Some((_, status)) = recorded {
            stages.extend([("draw", status.drawing), ("encode, write", status.encoding)]);
        }
        // Cameras decode on a thread of their own, which is not timed here.
        stages.retain(|(_, time)| !time.is_zero());
        for (stage, time) in &stages {
            note(format_args!("  {stage:13} {:7.2} ms a frame", each(*time)));
        }
        note(format_args!("  {:13} {:7.2} ms a frame", "all of it", each(took)));
        let Some((summary, status)) = recorded else { return };
        for file in &summary.files {
            note(format_args!("recorded {}", file.display()));
        }
        let dropped = match status.dropped {
            0 => String::new(),
            count => format!(", {count} dropped because coding was too slow"),
        };
        note(format_args!(
            "  {} frames, {:.2} s, {}×{}, {:.1} MB{dropped}",
            summary.frames,
            summary.duration.as_secs_f64(),
            summary.width,
            summary.height,
            summary.bytes as f64 / 1e6
        ));
        if let Some(reason) = &summary.ended {
            note(format_args!("  it ended because {reason}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// Some frames, and then a mistake of ours.
    struct Breaking {
        frames: u64,
        live: Option<Instant>,
    }

    impl FrameSource for Breaking {
        fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
            assert!(self.frames < 7, "made up");
            self.frames += 1;
            let frame = Frame::rgb8(64, 48, vec![self.frames as u8 * 20; 64 * 48 * 3])?;
            Ok(Some(frame.at(Duration::from_millis(40 * self.frames))))
        }

        fn name(&self) -> String {
            "breaking".into()
        }

        fn live_since(&self) -> Option<Instant> {
            self.live
        }
    }

    #[test]
    fn a_panic_in_mid_recording_leaves_a_recording_that_plays() {
        for live in [None, Some(Instant::now())] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("out.mp4");
            let line =
                ["sandglass-detect", "breaking", "--record", &file.to_string_lossy(), "--keep-free-mb=0"];
            let args = crate::Cli::parse_from(line).detect;
            let mut detector = Detector::builder().threads(1).build().unwrap();
            let source = Box::new(Breaking { frames: 0, live });
            let run = || follow(&args, "breaking", source, &AtomicBool::new(false), &mut detector);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            match (live, outcome) {
                // A thread reads ahead: the others end in order, and the status is no success.
                (None, Ok(Ok(code))) => assert_eq!(code, ExitCode::from(1)),
                (Some(_), Err(_)) => {}
                (_, outcome) => panic!("{outcome:?}"),
            }
            let mut back = source::open(&file.to_string_lossy()).unwrap();
            let mut count = 0;
            while back.next_frame().unwrap().is_some() {
                count += 1;
            }
            // What is live may pass over frames.
            assert!(if live.is_some() { count > 0 } else { count == 7 }, "{count}");
        }
    }
}
