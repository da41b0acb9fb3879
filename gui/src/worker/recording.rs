//! Begins recordings, watches them, and ends them: the thread that waits for disks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sandglass_detector::record::{
    Background, Monitor, Overlay, Recorder, RecorderOptions, Summary, WhenFull,
};

use super::inference::{self, Take};
use super::mailbox::{Mailbox, Post, Wait};
use super::{Reporter, capture, files};
use crate::message::{Event, Progress, RecordPlan};

/// How often the window hears how a recording stands.
const NEWS: Duration = Duration::from_millis(250);

/// A jump forward in a file by more than this is no gap of the recording.
const GAP: Duration = Duration::from_secs(1);

/// The time between two frames where nothing better is known.
const USUAL: Duration = Duration::from_millis(40);

/// What the recording thread is to do next.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) plan: Option<RecordPlan>,
    pub(super) stop: bool,
    /// What the inference thread gives back at the end.
    pub(super) ended: Option<Box<Recording>>,
}

/// A recording as the inference thread has it.
pub(super) struct Recording {
    pub(super) background: Background,
    timeline: Timeline,
}

impl Recording {
    /// The time of a frame in the recording.
    pub(super) fn time(&mut self, captured: Duration, live: bool) -> Duration {
        self.timeline.time(captured, live)
    }
}

/// Turns the times of sources into the times of one recording: they go on where a file begins again, is
/// moved in or gives way to another source, and cameras keep their distances.
#[derive(Default)]
struct Timeline {
    last: Option<(Duration, Duration)>,
    step: Option<Duration>,
}

impl Timeline {
    fn time(&mut self, captured: Duration, live: bool) -> Duration {
        let time = match self.last {
            None => Duration::ZERO,
            Some((before, at)) => {
                let passed = captured.checked_sub(before).filter(|passed| !passed.is_zero());
                let step = passed.filter(|passed| live || *passed <= GAP);
                self.step = step.or(self.step);
                at + step.or(self.step).unwrap_or(USUAL)
            }
        };
        self.last = Some((captured, time));
        time
    }
}

/// The recording thread's own.
pub(super) struct Keeper {
    capture: Arc<Mailbox<capture::Orders>>,
    frames: Arc<Mailbox<inference::Orders>>,
    reporter: Reporter,
    running: Option<(Monitor, PathBuf)>,
}

impl Keeper {
    pub(super) fn new(
        capture: Arc<Mailbox<capture::Orders>>,
        frames: Arc<Mailbox<inference::Orders>>,
        reporter: Reporter,
    ) -> Self {
        Self { capture, frames, reporter, running: None }
    }

    /// Works until the mailbox is closed.
    pub(super) fn run(mut self, mailbox: &Mailbox<Orders>) {
        loop {
            let wait = match self.running {
                Some(_) => Wait::Until(Instant::now() + NEWS),
                None => Wait::Forever,
            };
            match mailbox.take(wait) {
                Post::Came(orders) => self.obey(orders),
                Post::TimeUp => self.look(),
                Post::Closed => return,
            }
        }
    }

    fn obey(&mut self, orders: Orders) {
        if let Some(recording) = orders.ended {
            self.running = None;
            self.capture.send(|orders| orders.patient = Some(false));
            let outcome = recording.background.finish().map(|(summary, _)| summary);
            self.reporter.event(Event::Recorded(outcome.map_err(|error| error.to_string())));
        }
        if let Some(plan) = orders.plan {
            match begin(&plan) {
                Ok((recording, file)) => {
                    // Of files nothing is dropped, ever: they wait for the detector.
                    self.capture.send(|orders| orders.patient = Some(true));
                    self.running = Some((recording.background.monitor(), file));
                    self.frames.send(|orders| orders.take = Some(Take::Begin(Box::new(recording))));
                    self.look();
                }
                Err(reason) => self.reporter.event(Event::Recorded(Err(reason))),
            }
        }
        if orders.stop && self.running.is_some() {
            self.frames.send(|orders| orders.take = Some(Take::End));
        }
    }

    /// Tells the window how the recording stands, and ends one that has come to its end.
    fn look(&mut self) {
        let Some((monitor, file)) = &self.running else { return };
        let status = monitor.status();
        if status.ended.is_some() {
            self.frames.send(|orders| orders.take = Some(Take::End));
        }
        self.reporter.event(Event::Recording(Progress {
            file: file.clone(),
            duration: status.duration,
            frames: status.frames,
            dropped: status.dropped + status.refused.map_or(0, |(count, _)| count),
            bytes: status.bytes,
        }));
    }
}

fn begin(plan: &RecordPlan) -> Result<(Recording, PathBuf), String> {
    let path = files::new_name(&plan.folder, "mp4")?;
    let sidecar = plan.sidecar.then(|| path.with_extension("jsonl"));
    let options = RecorderOptions { sidecar, ..RecorderOptions::default() };
    let recorder = Recorder::create(&path, &options).map_err(|error| error.to_string())?;
    let overlay = plan.annotated.then(Overlay::default);
    let when_full = if plan.live { WhenFull::Drop } else { WhenFull::Wait };
    let background = Background::start(recorder, overlay, when_full).map_err(|error| error.to_string())?;
    Ok((Recording { background, timeline: Timeline::default() }, path))
}

/// What became of a recording, in words.
#[must_use]
pub(crate) fn outcome(summary: &Summary) -> String {
    let seconds = summary.duration.as_secs_f64();
    let megabytes = summary.bytes as f64 / 1e6;
    let text = format!("Recorded {seconds:.1} s, {} frames, {megabytes:.1} MB", summary.frames);
    match &summary.ended {
        Some(reason) => format!("{text}; it ended early: {reason}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_recording_goes_on_through_loops_jumps_and_sources() {
        let mut timeline = Timeline::default();
        let times = [1000, 1040, 1080, 0, 40, 9000, 9040];
        let at: Vec<_> = times.iter().map(|t| timeline.time(MS * *t, false).as_millis()).collect();
        assert_eq!(at, [0, 40, 80, 120, 160, 200, 240]);
    }

    #[test]
    fn a_camera_keeps_its_gaps() {
        let mut timeline = Timeline::default();
        let at: Vec<_> = [0, 33, 5033].iter().map(|t| timeline.time(MS * *t, true).as_millis()).collect();
        assert_eq!(at, [0, 33, 5033]);
    }
}
