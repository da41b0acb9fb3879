//! What was found, as lines of JSON: one object a picture or frame.

use std::time::Duration;

use serde::Serialize;

use crate::detections::{Detection, Detections, Timing};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing_ms: Option<TimingMs>,
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
            timing_ms: Some(found.timing.into()),
        }
    }

    /// The same without times, which differ from run to run.
    #[must_use]
    pub fn without_timing(self) -> Self {
        Self { timing_ms: None, ..self }
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
