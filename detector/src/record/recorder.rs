//! Recording frames to a file, with the times at which they were taken.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::encode::{Coded, H264};
use super::mux::{Muxer, TIMESCALE};
use crate::error::Error;
use crate::frame::Frame;

/// How long a single frame is shown, in ticks: a thirtieth of a second.
const LONE_FRAME: u32 = TIMESCALE / 30;

/// How to record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderOptions {
    /// Whether a file of this name is replaced; otherwise it is an error.
    pub overwrite: bool,
}

/// What was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Frames in the file.
    pub frames: u64,
    /// From the first frame to the end of the last, which counts as long as the one before it.
    pub duration: Duration,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
}

/// Writes frames to an MP4 file with H.264 as they come.
///
/// Frames keep the distance of their [`Frame::captured`] times, the first is shown at 0. An odd side gets
/// one more row or column, a repetition of the last. The file is written every second: after a crash it
/// plays up to there. Dropping a recorder without [`Recorder::finish`] writes what waits, unchecked.
pub struct Recorder {
    path: PathBuf,
    /// The empty file, until the first frame tells what goes to its front.
    file: Option<fs::File>,
    stream: Option<Stream>,
    failed: bool,
}

/// What is there from the first frame on.
struct Stream {
    size: (u32, u32),
    encoder: H264,
    muxer: Muxer,
    began: Duration,
    /// The newest picture and its tick; how long it is shown depends on the next.
    waiting: Option<(Coded, u64)>,
    interval: u32,
    frames: u64,
}

impl Recorder {
    /// Makes the file.
    ///
    /// # Errors
    /// [`Error::Recording`] where a file of this name exists and is not to be replaced; [`Error::Io`] where
    /// it cannot be made.
    pub fn create(path: impl AsRef<Path>, options: &RecorderOptions) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let mut how = OpenOptions::new();
        how.write(true);
        if options.overwrite {
            how.create(true).truncate(true);
        } else {
            how.create_new(true);
        }
        match how.open(&path) {
            Ok(file) => Ok(Self { path, file: Some(file), stream: None, failed: false }),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::Recording { path, reason: "there is a file of this name already".into() })
            }
            Err(source) => Err(Error::Io { path, source }),
        }
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// [`Error::Recording`] where the frame has another size than the first, is not later than the one
    /// before it, or is too large for H.264 (3840×2160): it is left out and recording can go on. Also where
    /// the encoder fails, and [`Error::Io`] where the file cannot be written: then what was written so
    /// far is kept, and nothing more is accepted.
    pub fn push(&mut self, frame: &Frame) -> Result<(), Error> {
        if self.failed {
            return Err(self.refuse("it ended with an earlier error".into()));
        }
        let Some(stream) = &mut self.stream else { return self.start(frame) };
        let size = (frame.width(), frame.height());
        if size != stream.size {
            let (size, first) = (format!("{}×{}", size.0, size.1), stream.size);
            return Err(self.refuse(format!("a frame has {size} pixels, the first {}×{}", first.0, first.1)));
        }
        let time = frame.captured().saturating_sub(stream.began);
        let tick = ticks(time);
        let newest = stream.waiting.as_ref().map_or(0, |(_, tick)| *tick);
        let Some(interval) = tick.checked_sub(newest).filter(|t| *t > 0) else {
            return Err(self.refuse(format!("a frame at {time:?} is not later than the one before it")));
        };
        let Ok(interval) = u32::try_from(interval) else {
            return Err(self.refuse(format!("a frame at {time:?} is more than half a day after the last")));
        };
        let coded = match stream.encoder.encode(frame, time) {
            Ok(coded) => coded,
            Err(reason) => return Err(self.fail(reason)),
        };
        stream.frames += 1;
        stream.interval = interval;
        match stream.waiting.replace((coded, tick)).map(|(coded, _)| stream.muxer.push(coded, interval)) {
            Some(Err(source)) => Err(self.fail_io(source)),
            _ => Ok(()),
        }
    }

    /// Writes what waits and how long it all is, and closes the file.
    ///
    /// # Errors
    /// [`Error::Recording`] where there was no frame, in which case no file is left, or where an earlier
    /// error ended it; [`Error::Io`] where the file cannot be written.
    pub fn finish(mut self) -> Result<Summary, Error> {
        if self.failed {
            return Err(self.refuse("it ended with an earlier error".into()));
        }
        let Some(mut stream) = self.stream.take() else {
            // Drop removes the empty file.
            return Err(self.refuse("there was no frame to record".into()));
        };
        let (width, height) = stream.encoder.size();
        let io = |source| Error::Io { path: self.path.clone(), source };
        let (ticks, bytes) = stream.finish().map_err(io)?;
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(TIMESCALE);
        let duration = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Ok(Summary { frames: stream.frames, duration, bytes, width, height })
    }

    fn start(&mut self, frame: &Frame) -> Result<(), Error> {
        let size = (frame.width(), frame.height());
        let mut encoder = H264::new(size.0, size.1).map_err(|reason| self.refuse(reason))?;
        let coded = encoder.encode(frame, Duration::ZERO).map_err(|reason| self.fail(reason))?;
        let (Some(file), Some(parameters)) = (self.file.take(), &encoder.parameters) else {
            return Err(self.fail("the H.264 encoder gave no parameter sets".into()));
        };
        let muxer = Muxer::new(file, encoder.size(), parameters).map_err(|e| self.fail_io(e))?;
        let (began, waiting) = (frame.captured(), Some((coded, 0)));
        self.stream = Some(Stream { size, encoder, muxer, began, waiting, interval: LONE_FRAME, frames: 1 });
        Ok(())
    }

    fn refuse(&self, reason: String) -> Error {
        Error::Recording { path: self.path.clone(), reason }
    }

    fn fail(&mut self, reason: String) -> Error {
        self.failed = true;
        self.refuse(reason)
    }

    fn fail_io(&mut self, source: io::Error) -> Error {
        self.failed = true;
        Error::Io { path: self.path.clone(), source }
    }
}

impl Stream {
    /// The last frame is shown as long as the one before it.
    fn finish(&mut self) -> io::Result<(u64, u64)> {
        if let Some((coded, _)) = self.waiting.take() {
            self.muxer.push(coded, self.interval)?;
        }
        self.muxer.finish()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.stream {
            // Nobody is left to tell of an error, and after an earlier one this is an attempt.
            let _ = stream.finish();
        }
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The nearest tick to a time.
fn ticks(time: Duration) -> u64 {
    let nanos = time.as_nanos() * u128::from(TIMESCALE);
    u64::try_from((nanos + 500_000_000) / 1_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
