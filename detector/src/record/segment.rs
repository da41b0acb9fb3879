//! One file of a recording: frames of one size, coded and muxed.

use std::fs::File;
use std::io;
use std::time::Duration;

use super::encode::{Coded, H264, Quality};
use super::mux::{Muxer, TIMESCALE};
use crate::frame::Frame;

/// How long a single frame is shown, in ticks: a thirtieth of a second.
const LONE_FRAME: u32 = TIMESCALE / 30;

/// Why a frame was not taken.
pub(super) enum Refusal {
    /// Only this frame; the reason is a text to show.
    Frame(String),
    /// The encoder is of no more use.
    Encoder(String),
    /// The file cannot be written.
    Io(io::Error),
}

/// A file being written. Dropping it writes what waits, unchecked.
pub(super) struct Segment {
    size: (u32, u32),
    encoder: H264,
    muxer: Muxer,
    began: Duration,
    /// The newest picture and its tick; how long it is shown depends on the next.
    waiting: Option<(Coded, u64)>,
    interval: u32,
    pub(super) frames: u64,
}

impl Segment {
    /// Codes the first frame and writes the front of the file.
    pub(super) fn start(file: File, frame: &Frame, quality: Quality) -> Result<Self, Refusal> {
        let size = (frame.width(), frame.height());
        let mut encoder = H264::new(size.0, size.1, quality).map_err(Refusal::Frame)?;
        let coded = encoder.encode(frame, Duration::ZERO).map_err(Refusal::Encoder)?;
        let parameters = encoder.parameters.as_ref();
        let parameters =
            parameters.ok_or_else(|| Refusal::Encoder("the H.264 encoder gave no parameter sets".into()))?;
        let muxer = Muxer::new(file, encoder.size(), parameters).map_err(Refusal::Io)?;
        let (began, waiting) = (frame.captured(), Some((coded, 0)));
        Ok(Self { size, encoder, muxer, began, waiting, interval: LONE_FRAME, frames: 1 })
    }

    /// Whether a frame has the size that this file is made for.
    pub(super) fn fits(&self, frame: &Frame) -> bool {
        self.size == (frame.width(), frame.height())
    }

    /// The time of its first frame.
    pub(super) fn began(&self) -> Duration {
        self.began
    }

    /// The size of the coded picture: even sides.
    pub(super) fn coded_size(&self) -> (u32, u32) {
        self.encoder.size()
    }

    /// Bytes written and waiting to be written.
    pub(super) fn bytes(&self) -> u64 {
        self.muxer.bytes() + self.waiting.as_ref().map_or(0, |(coded, _)| coded.data.len() as u64)
    }

    /// Adds a frame of the right size.
    pub(super) fn push(&mut self, frame: &Frame) -> Result<(), Refusal> {
        let tick = self.tick(frame.captured());
        let interval = self.interval_to(tick, frame.captured())?;
        let time = frame.captured().saturating_sub(self.began);
        let coded = self.encoder.encode(frame, time).map_err(Refusal::Encoder)?;
        self.frames += 1;
        self.interval = interval;
        match self.waiting.replace((coded, tick)) {
            Some((coded, _)) => self.muxer.push(coded, interval).map_err(Refusal::Io),
            None => Ok(()),
        }
    }

    /// Writes what waits and how long it all is. The last frame is shown until `next`, where the recording
    /// goes on in another file, else as long as the one before it. Gives the length.
    pub(super) fn finish(&mut self, next: Option<Duration>) -> io::Result<Duration> {
        if let Some(next) = next
            && let Ok(interval) = self.interval_to(self.tick(next), next)
        {
            self.interval = interval;
        }
        if let Some((coded, _)) = self.waiting.take() {
            self.muxer.push(coded, self.interval)?;
        }
        let ticks = self.muxer.finish()?;
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(TIMESCALE);
        Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    fn interval_to(&self, tick: u64, time: Duration) -> Result<u32, Refusal> {
        let newest = self.waiting.as_ref().map_or(0, |(_, tick)| *tick);
        let Some(interval) = tick.checked_sub(newest).filter(|t| *t > 0) else {
            return Err(Refusal::Frame(format!("a frame at {time:?} is not later than the one before it")));
        };
        u32::try_from(interval).map_err(|_| {
            Refusal::Frame(format!("a frame at {time:?} is more than half a day after the last"))
        })
    }

    /// The nearest tick to a time of the recording.
    fn tick(&self, time: Duration) -> u64 {
        let nanos = time.saturating_sub(self.began).as_nanos() * u128::from(TIMESCALE);
        u64::try_from((nanos + 500_000_000) / 1_000_000_000).unwrap_or(u64::MAX)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // Nobody is left to tell of an error, and after an earlier one this is an attempt. After
        // `finish` nothing waits.
        let _ = self.finish(None);
    }
}
