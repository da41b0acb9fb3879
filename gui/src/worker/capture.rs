//! Takes frames from the source at the source's own pace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandglass_detector::source::FrameSource;

use super::Reporter;
use super::inference::{self, Captured};
use super::mailbox::{Mailbox, Post, Wait};
use super::pace::Pace;
use crate::engine::Backend;
use crate::message::Event;

/// What the capture thread is to do next; later words win over earlier ones.
#[derive(Default)]
pub(super) struct Orders {
    open: Option<(String, u64)>,
    pub(super) restart: bool,
    pub(super) play: Option<bool>,
    pub(super) looped: Option<bool>,
}

impl Orders {
    /// To open a source puts an end to what was said about the one before.
    pub(super) fn opening(&self, source: String, generation: u64) -> Self {
        Self { open: Some((source, generation)), restart: false, play: Some(true), looped: self.looped }
    }
}

/// The capture thread's own.
pub(super) struct Capture {
    backend: Arc<dyn Backend>,
    frames: Arc<Mailbox<inference::Orders>>,
    reporter: Reporter,
    name: String,
    generation: u64,
    source: Option<Box<dyn FrameSource>>,
    /// The next frame and when it is due.
    waiting: Option<(Captured, Instant)>,
    pace: Pace,
    playing: bool,
    looped: bool,
    /// Frames of this round.
    count: u64,
    /// When the source's first frame was taken, by its own clock.
    first: Option<Duration>,
    /// The last thing that went wrong in this round.
    problem: Option<String>,
}

impl Capture {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        frames: Arc<Mailbox<inference::Orders>>,
        reporter: Reporter,
    ) -> Self {
        Self {
            backend,
            frames,
            reporter,
            name: String::new(),
            generation: 0,
            source: None,
            waiting: None,
            pace: Pace::default(),
            playing: true,
            looped: false,
            count: 0,
            first: None,
            problem: None,
        }
    }

    /// Works until the mailbox is closed.
    pub(super) fn run(mut self, mailbox: &Mailbox<Orders>) {
        loop {
            let wait = match &self.waiting {
                _ if !self.playing => Wait::Forever,
                Some((_, due)) => Wait::Until(*due),
                None if self.source.is_some() => Wait::No,
                None => Wait::Forever,
            };
            match mailbox.take(wait) {
                Post::Came(orders) => self.obey(orders),
                Post::TimeUp => {
                    if let Some((captured, _)) = self.waiting.take() {
                        self.frames.send(|orders| orders.frame = Some(captured));
                    }
                    self.advance();
                }
                Post::Closed => return,
            }
        }
    }

    fn obey(&mut self, orders: Orders) {
        if let Some(looped) = orders.looped {
            self.looped = looped;
        }
        if let Some((name, generation)) = orders.open {
            self.name = name;
            self.generation = generation;
            self.open();
        } else if orders.restart {
            self.open();
        }
        if let Some(play) = orders.play {
            if play && !self.playing && self.waiting.is_some() {
                let now = Instant::now();
                self.pace.resume(now);
                if let Some((_, due)) = &mut self.waiting {
                    *due = now;
                }
            }
            self.playing = play;
        }
    }

    /// Opens the source from its start, at once.
    fn open(&mut self) {
        self.waiting = None;
        self.pace = Pace::default();
        self.begin();
        if let Some(source) = &self.source {
            let frames = source.frame_count();
            self.reporter.event(Event::Opened { generation: self.generation, frames });
        }
    }

    fn begin(&mut self) {
        self.count = 0;
        self.first = None;
        self.problem = None;
        // Closed before it is opened again: a device can be open once only.
        self.source = None;
        match self.backend.open(&self.name) {
            Ok(source) => self.source = Some(source),
            Err(error) => self.fail(error.to_string(), true),
        }
    }

    /// Gets the next frame ready.
    fn advance(&mut self) {
        let Some(source) = &mut self.source else { return };
        match source.next_frame() {
            Ok(Some(frame)) => {
                let captured = frame.captured();
                let first = *self.first.get_or_insert(captured);
                let now = Instant::now();
                let live = source.live_since().is_some();
                // What is live is shown as it comes: waiting could only make it older.
                let due = if live { now } else { self.pace.due(now, captured, source.frame_interval()) };
                self.problem = None;
                let captured = Captured {
                    generation: self.generation,
                    name: source.name(),
                    index: self.count,
                    position: captured.saturating_sub(first),
                    frame,
                };
                self.count += 1;
                self.waiting = Some((captured, due));
            }
            Ok(None) => self.end(),
            // The source itself knows whether it can go on: it says `None` next if it cannot.
            Err(error) => {
                // A camera that is missing says so again and again: once is enough.
                let reason = error.to_string();
                if self.problem.replace(reason.clone()).as_ref() != Some(&reason) {
                    self.fail(reason, false);
                }
            }
        }
    }

    fn end(&mut self) {
        // One picture, or none that could be read, would only come round and round.
        if self.looped && self.count > 1 {
            self.pace.rewind();
            self.begin();
            return;
        }
        self.source = None;
        if self.count == 0 {
            let unexplained = || format!("{}: there is no frame in it", self.name);
            let reason = self.problem.take().unwrap_or_else(unexplained);
            self.fail(reason, true);
        } else {
            let (generation, frames) = (self.generation, self.count);
            self.reporter.event(Event::Ended { generation, frames });
        }
    }

    fn fail(&self, reason: String, over: bool) {
        self.reporter.event(Event::SourceFailed { generation: self.generation, reason, over });
    }
}
