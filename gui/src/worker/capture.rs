//! Takes frames from the source at the source's own pace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandglass_detector::Frame;
use sandglass_detector::source::FrameSource;

use super::Reporter;
use super::inference::{self, Captured};
use super::mailbox::{Mailbox, Post, Wait};
use super::pace::Pace;
use crate::engine::Backend;
use crate::message::{Event, Moment, Picture, Shot};
use crate::picture;

/// The time between two frames where the source does not say.
const USUAL: Duration = Duration::from_millis(40);

/// How soon to look again whether the detector has taken a frame.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// What the capture thread is to do next; later words win over earlier ones.
#[derive(Default)]
pub(super) struct Orders {
    open: Option<Opening>,
    pub(super) restart: bool,
    pub(super) seek: Option<(Duration, u64)>,
    pub(super) steps: u32,
    pub(super) play: Option<bool>,
    pub(super) looped: Option<bool>,
    pub(super) speed: Option<f64>,
    pub(super) in_step: Option<bool>,
    pub(super) patient: Option<bool>,
}

/// What is to be watched.
#[derive(Clone, Default)]
pub(super) struct Opening {
    pub(super) source: String,
    pub(super) format: Option<String>,
    pub(super) generation: u64,
}

impl Orders {
    /// To open a source puts an end to what was said about the one before.
    pub(super) fn opening(&self, opening: Opening) -> Self {
        let Self { looped, speed, in_step, patient, .. } = *self;
        let play = Some(true);
        Self { open: Some(opening), play, looped, speed, in_step, patient, ..Self::default() }
    }
}

/// The capture thread's own.
pub(super) struct Capture {
    backend: Arc<dyn Backend>,
    frames: Arc<Mailbox<inference::Orders>>,
    reporter: Reporter,
    opening: Opening,
    jump: u64,
    source: Option<Box<dyn FrameSource>>,
    /// The next frame and when it is due.
    waiting: Option<(Shot, Frame, Instant)>,
    pace: Pace,
    playing: bool,
    looped: bool,
    in_step: bool,
    /// Whether every frame of a file has to be looked at, however long that takes.
    patient: bool,
    /// Frames of a held source that are to be shown all the same.
    owed: u32,
    /// The number of the next frame of this round.
    next: u64,
    /// When the source's first frame was taken, by its own clock.
    first: Option<Duration>,
    /// Frames of this source, all rounds together, and what it lost in earlier rounds.
    captured: u64,
    lost: u64,
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
            opening: Opening::default(),
            jump: 0,
            source: None,
            waiting: None,
            pace: Pace::default(),
            playing: true,
            looped: false,
            in_step: false,
            patient: false,
            owed: 0,
            next: 0,
            first: None,
            captured: 0,
            lost: 0,
            problem: None,
        }
    }

    /// Works until the mailbox is closed.
    pub(super) fn run(mut self, mailbox: &Mailbox<Orders>) {
        loop {
            let wait = match &self.waiting {
                Some(_) if self.is_early() => Wait::Until(Instant::now() + LOOK_AGAIN),
                Some(_) if self.owed > 0 => Wait::No,
                None if self.owed > 0 && self.source.is_some() => Wait::No,
                _ if !self.playing => Wait::Forever,
                Some((_, _, due)) => Wait::Until(*due),
                None if self.source.is_some() => Wait::No,
                None => Wait::Forever,
            };
            match mailbox.take(wait) {
                Post::Came(orders) => self.obey(orders),
                Post::TimeUp if self.is_early() => {}
                Post::TimeUp => {
                    self.deliver();
                    self.advance();
                }
                Post::Closed => return,
            }
        }
    }

    /// Whether the detector has not even begun with the frame before, and no frame is to be lost.
    fn is_early(&self) -> bool {
        let live = self.source.as_ref().is_some_and(|source| source.live_since().is_some());
        self.patient && !live && self.playing && self.frames.peek(|orders| orders.frame.is_some())
    }

    fn obey(&mut self, orders: Orders) {
        self.looped = orders.looped.unwrap_or(self.looped);
        self.in_step = orders.in_step.unwrap_or(self.in_step);
        self.patient = orders.patient.unwrap_or(self.patient);
        if let Some(speed) = orders.speed {
            self.pace.set_speed(speed);
            self.hasten();
        }
        if let Some(opening) = orders.open {
            self.opening = opening;
            self.jump = 0;
            (self.captured, self.lost) = (0, 0);
            self.open();
        } else if orders.restart {
            self.open();
        }
        if let Some((to, jump)) = orders.seek {
            self.seek(to, jump);
        }
        if let Some(play) = orders.play {
            if play && !self.playing {
                self.hasten();
            }
            self.playing = play;
        }
        self.owed = if self.playing { 0 } else { self.owed.saturating_add(orders.steps) };
    }

    /// The waiting frame is due at once: its time was reckoned under other conditions.
    fn hasten(&mut self) {
        if let Some((_, _, due)) = &mut self.waiting {
            let now = Instant::now();
            self.pace.resume(now);
            *due = now;
        }
    }

    /// Opens the source from its start, at once.
    fn open(&mut self) {
        self.waiting = None;
        self.owed = 0;
        self.pace.forget();
        self.begin();
        if let Some(source) = &self.source {
            let live = source.live_since().is_some();
            self.reporter.event(Event::Opened {
                generation: self.opening.generation,
                frames: source.frame_count(),
                duration: source.duration().filter(|_| !live),
                live,
                remark: source.remark(),
            });
        }
    }

    fn begin(&mut self) {
        self.next = 0;
        self.first = None;
        self.problem = None;
        self.lost += self.source.as_ref().map_or(0, |source| source.dropped());
        // Closed before it is opened again: a device can be open once only.
        self.source = None;
        match self.backend.open(&self.opening.source, self.opening.format.as_deref()) {
            Ok(source) => self.source = Some(source),
            Err(error) => self.fail(error.to_string(), true),
        }
    }

    fn seek(&mut self, to: Duration, jump: u64) {
        self.jump = jump;
        self.waiting = None;
        self.pace.forget();
        if self.source.is_none() {
            // It had ended.
            self.begin();
        }
        let Some(source) = &mut self.source else { return };
        let first = self.first.unwrap_or_default();
        match source.seek(first + to) {
            Ok(()) => {
                self.owed = 1;
                // Known again once the frame tells its time.
                self.next = u64::MAX;
            }
            Err(error) => self.fail(error.to_string(), false),
        }
    }

    /// Hands the waiting frame over.
    fn deliver(&mut self) {
        let Some((mut shot, frame, _)) = self.waiting.take() else { return };
        self.owed = self.owed.saturating_sub(1);
        self.captured += 1;
        shot.captured = self.captured;
        let image = picture::image(&frame);
        if !self.in_step {
            self.reporter.picture(Picture { image: Arc::clone(&image), shot: shot.clone() });
        }
        let live = self.source.as_ref().is_some_and(|source| source.live_since().is_some());
        self.frames.send(|orders| orders.frame = Some(Captured { frame, shot, image, live }));
    }

    /// Gets the next frame ready.
    fn advance(&mut self) {
        let Some(source) = &mut self.source else { return };
        match source.next_frame() {
            Ok(Some(frame)) => {
                let captured = frame.captured();
                let first = *self.first.get_or_insert(captured);
                let position = captured.saturating_sub(first);
                let now = Instant::now();
                let live = source.live_since().is_some();
                // What is live is shown as it comes: waiting could only make it older.
                let due = if live { now } else { self.pace.due(now, captured, source.frame_interval()) };
                if self.next == u64::MAX {
                    let interval = source.frame_interval().unwrap_or(USUAL).max(Duration::from_micros(1));
                    let count = source.frame_count().unwrap_or(u64::MAX);
                    let index = (position.as_secs_f64() / interval.as_secs_f64()).round() as u64;
                    self.next = index.min(count.saturating_sub(1));
                }
                let shot = Shot {
                    moment: Moment { generation: self.opening.generation, jump: self.jump },
                    name: source.name(),
                    index: self.next,
                    position,
                    size: [frame.width(), frame.height()],
                    taken: source.live_since().map_or(now.max(due), |since| since + captured),
                    captured: self.captured,
                    lost: self.lost + source.dropped(),
                };
                self.next += 1;
                self.waiting = Some((shot, frame, due));
                if self.problem.take().is_some() {
                    self.reporter.event(Event::SourceBack { generation: self.opening.generation });
                }
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
        self.owed = 0;
        // A source that was left by a jump beyond its end has frames all the same.
        let frames = if self.next == u64::MAX { self.captured } else { self.next };
        // One picture, or none that could be read, would only come round and round.
        if self.looped && frames > 1 {
            self.pace.rewind();
            self.begin();
            return;
        }
        self.lost += self.source.as_ref().map_or(0, |source| source.dropped());
        self.source = None;
        if frames == 0 {
            let unexplained = || format!("{}: there is no frame in it", self.opening.source);
            let reason = self.problem.take().unwrap_or_else(unexplained);
            self.fail(reason, true);
        } else {
            self.reporter.event(Event::Ended { generation: self.opening.generation, frames });
        }
    }

    fn fail(&self, reason: String, over: bool) {
        self.reporter.event(Event::SourceFailed { generation: self.opening.generation, reason, over });
    }
}
