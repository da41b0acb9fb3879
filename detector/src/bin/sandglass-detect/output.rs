//! Where results go: JSON lines, and lines for people.

use std::fmt::Display;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use sandglass_detector::Detections;
use serde::Serialize;

/// Milliseconds to the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// A line of results on standard output.
///
/// # Errors
/// Where it cannot be written; a pipe that was closed ends the program quietly, in `main`.
pub(crate) fn say(line: impl Display) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
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

    pub(crate) fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(line)?;
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
