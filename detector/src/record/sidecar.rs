//! The lines of JSON beside a recording.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use super::line::Line;
use crate::error::Error;

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
