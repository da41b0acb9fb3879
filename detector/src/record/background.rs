//! A recorder on a thread of its own, behind a queue of a few frames.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::draw::{Overlay, draw_with};
use super::line::Line;
use super::recorder::{Recorder, Summary};
use crate::detections::Detections;
use crate::error::Error;
use crate::frame::Frame;

/// Frames that may wait for the encoder.
const WAITING: usize = 8;

/// What happens to a frame when the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits: nothing is lost. For files.
    Wait,
    /// It is dropped and counted, and nobody is held up. For what is live.
    Drop,
}

/// A frame with what was found in it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The frame as it was taken.
    pub frame: Frame,
    /// The source's name, for the sidecar.
    pub source: Arc<str>,
    /// The frame's number in its source, from 0.
    pub number: u64,
    /// The backbone that was used.
    pub backbone: Arc<str>,
    /// What was found.
    pub found: Detections,
}

/// How a recording stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Frames recorded.
    pub frames: u64,
    /// Frames dropped because the encoder or the disk was too slow.
    pub dropped: u64,
    /// Frames that could not be recorded, and why the last of them.
    pub refused: Option<(u64, String)>,
    /// Bytes written.
    pub bytes: u64,
    /// From the first to the newest frame.
    pub duration: Duration,
    /// Why nothing more is recorded, if so.
    pub ended: Option<String>,
    /// Time spent drawing.
    pub drawing: Duration,
    /// Time spent coding and writing.
    pub encoding: Duration,
}

/// Tells how a [`Background`] recording stands, from any thread and also after its end.
#[derive(Clone)]
pub struct Monitor(Arc<Mutex<Status>>);

impl Monitor {
    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        lock(&self.0).clone()
    }
}

/// A recording that goes on by itself.
pub struct Background {
    queue: Option<SyncSender<Recorded>>,
    thread: Option<JoinHandle<Result<Summary, Error>>>,
    status: Arc<Mutex<Status>>,
    when_full: WhenFull,
}

impl Background {
    /// Starts the thread; `overlay` says what is drawn onto the frames, nothing where it is `None`.
    ///
    /// # Errors
    /// [`Error::Device`] where the system refuses a thread.
    pub fn start(recorder: Recorder, overlay: Option<Overlay>, when_full: WhenFull) -> Result<Self, Error> {
        let (queue, frames) = sync_channel::<Recorded>(WAITING);
        let status = Arc::new(Mutex::new(Status::default()));
        let shared = Arc::clone(&status);
        let work = move || {
            let mut recorder = recorder;
            let mut first = None;
            for item in frames {
                record(&mut recorder, &item, overlay.as_ref(), &mut first, &shared);
            }
            recorder.finish()
        };
        let thread = std::thread::Builder::new().name("sandglass-record".into());
        let thread = thread.spawn(work).map_err(|e| Error::Device(format!("no thread to record: {e}")))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), status, when_full })
    }

    /// Hands a frame over; false where it was dropped or nothing is recorded any more.
    pub fn push(&self, item: Recorded) -> bool {
        let Some(queue) = &self.queue else { return false };
        match self.when_full {
            WhenFull::Wait => queue.send(item).is_ok(),
            WhenFull::Drop => match queue.try_send(item) {
                Ok(()) => true,
                Err(TrySendError::Full(_)) => {
                    lock(&self.status).dropped += 1;
                    false
                }
                Err(TrySendError::Disconnected(_)) => false,
            },
        }
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    /// Something that tells how it stands to others.
    #[must_use]
    pub fn monitor(&self) -> Monitor {
        Monitor(Arc::clone(&self.status))
    }

    /// Waits until everything handed over is written, and closes the files.
    ///
    /// # Errors
    /// As [`Recorder::finish`].
    pub fn finish(mut self) -> Result<(Summary, Status), Error> {
        self.queue = None;
        let Some(thread) = self.thread.take() else { return Ok(Default::default()) };
        let summary =
            thread.join().unwrap_or_else(|_| Err(Error::Device("the recording thread died".into())))?;
        Ok((summary, self.status()))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.queue = None;
        // So that the file is whole before the program ends.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

// Every change is a plain assignment, so a thread that died left a whole status behind.
fn lock(status: &Mutex<Status>) -> MutexGuard<'_, Status> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

fn record(
    recorder: &mut Recorder,
    item: &Recorded,
    overlay: Option<&Overlay>,
    first: &mut Option<Duration>,
    shared: &Mutex<Status>,
) {
    let begin = Instant::now();
    let time = item.frame.captured();
    let drawn = overlay.map(|overlay| draw_with(&item.frame, &item.found, &item.backbone, overlay));
    let drawn_by = Instant::now();
    let line = Line::new(&item.source, Some((item.number, time)), &item.backbone, &item.found);
    let outcome = recorder.push_with(drawn.as_ref().unwrap_or(&item.frame), Some(&line));
    let mut status = lock(shared);
    status.drawing += drawn_by - begin;
    status.encoding += drawn_by.elapsed();
    match outcome {
        Ok(true) => {
            status.frames += 1;
            status.duration = time.saturating_sub(*first.get_or_insert(time));
        }
        Ok(false) => {}
        Err(error) => {
            let count = status.refused.as_ref().map_or(0, |(count, _)| *count) + 1;
            status.refused = Some((count, error.to_string()));
        }
    }
    status.bytes = recorder.bytes();
    status.ended = recorder.ended().map(str::to_owned);
}
