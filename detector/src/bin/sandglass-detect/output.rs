//! Where results go: JSON lines, and lines for people.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use sandglass_detector::{Detection, Detections, Timing};
use serde::Serialize;

/// One picture or frame as a line of JSON.
#[derive(Serialize)]
pub(crate) struct Record<'a> {
    pub(crate) source: &'a str,
    /// The number of a video's frame, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frame: Option<u64>,
    /// When a video's frame is shown, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time: Option<f64>,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) backbone: &'a str,
    pub(crate) detections: &'a [Detection],
    pub(crate) timing_ms: Milliseconds,
}

#[derive(Serialize)]
pub(crate) struct Milliseconds {
    preprocess: f64,
    network: f64,
    postprocess: f64,
    total: f64,
}

impl From<Timing> for Milliseconds {
    fn from(timing: Timing) -> Self {
        let ms = milliseconds;
        Self {
            preprocess: ms(timing.preprocess),
            network: ms(timing.network),
            postprocess: ms(timing.postprocess),
            total: ms(timing.total()),
        }
    }
}

/// Milliseconds to the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// JSON lines to a file, or to standard output for `-`.
pub(crate) struct JsonLines {
    to: Box<dyn Write>,
    name: String,
}

impl JsonLines {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let to: Box<dyn Write> = match name.as_str() {
            "-" => Box::new(std::io::stdout().lock()),
            _ => {
                Box::new(BufWriter::new(File::create(path).with_context(|| format!("cannot write {name}"))?))
            }
        };
        Ok(Self { to, name })
    }

    pub(crate) fn write(&mut self, record: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(record)?;
        writeln!(self.to, "{line}").with_context(|| format!("cannot write {}", self.name))
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        self.to.flush().with_context(|| format!("cannot write {}", self.name))
    }
}

/// `person 0.96, dog 0.41`, or `nothing`.
pub(crate) fn summary(found: &Detections) -> String {
    if found.items.is_empty() {
        return "nothing".into();
    }
    found.items.iter().map(|d| format!("{} {:.2}", d.label, d.score)).collect::<Vec<_>>().join(", ")
}
