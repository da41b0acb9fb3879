//! What was found, as lines of JSON: one object a picture or frame.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::detections::{Detection, Detections, Timing};
use crate::error::Error;

/// One picture or frame as a line of JSON, in the form that the README describes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Line<'a> {
    /// The picture's file or the video's name.
    pub source: &'a str,
    /// The number of a video's frame, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
    /// When a video's frame is shown, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<f64>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The backbone that found them. A change from one line to the next is a switch.
    pub backbone: &'a str,
    /// What was found, best score first.
    pub detections: &'a [Detection],
    /// How long it took, in milliseconds.
    pub timing_ms: TimingMs,
}

impl<'a> Line<'a> {
    /// A line for what was found in a picture, or in frame `frame` of a video with its time.
    #[must_use]
    pub fn new(
        source: &'a str,
        frame: Option<(u64, Duration)>,
        backbone: &'a str,
        found: &'a Detections,
    ) -> Self {
        Self {
            source,
            frame: frame.map(|(number, _)| number),
            time: frame.map(|(_, time)| time.as_secs_f64()),
            width: found.width,
            height: found.height,
            backbone,
            detections: &found.items,
            timing_ms: found.timing.into(),
        }
    }
}

/// The parts of a detection's time, in milliseconds to the microsecond.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TimingMs {
    /// Resizing and normalising.
    pub preprocess: f64,
    /// The network.
    pub network: f64,
    /// Softmax, boxes, suppression.
    pub postprocess: f64,
    /// All of it.
    pub total: f64,
}

impl From<Timing> for TimingMs {
    fn from(timing: Timing) -> Self {
        let ms = |duration: Duration| duration.as_micros() as f64 / 1000.0;
        Self {
            preprocess: ms(timing.preprocess),
            network: ms(timing.network),
            postprocess: ms(timing.postprocess),
            total: ms(timing.total()),
        }
    }
}

/// A file of such lines beside a recording.
pub(super) struct Sidecar {
    to: BufWriter<File>,
    path: PathBuf,
    flushed: Option<f64>,
}

impl Sidecar {
    pub(super) fn new(file: File, path: PathBuf) -> Self {
        Self { to: BufWriter::new(file), path, flushed: None }
    }

    /// Writes a line; every second of recorded time what is written goes to the file.
    pub(super) fn write(&mut self, line: &Line<'_>) -> Result<(), Error> {
        let io = |source| Error::Io { path: self.path.clone(), source };
        serde_json::to_writer(&mut self.to, line).map_err(|e| io(e.into()))?;
        self.to.write_all(b"\n").map_err(io)?;
        let time = line.time.unwrap_or(0.0);
        if self.flushed.is_none_or(|flushed| (time - flushed).abs() >= 1.0) {
            self.flushed = Some(time);
            self.flush()?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        self.to.flush().map_err(|source| Error::Io { path: self.path.clone(), source })
    }
}
