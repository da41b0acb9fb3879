//! Recording frames to files, with the times at which they were taken.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use super::encode::Quality;
use super::line::Line;
use super::segment::{Refusal, Segment};
use super::sidecar::Sidecar;
use crate::error::Error;
use crate::frame::Frame;

/// How often the free space of the disk is looked at, in recorded time.
const LOOK_AT_DISK: Duration = Duration::from_secs(1);

/// How to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderOptions {
    /// Whether files of these names are replaced; otherwise they are errors.
    pub overwrite: bool,
    /// How well frames are coded.
    pub quality: Quality,
    /// A new file each time one has this length.
    pub segment: Option<Duration>,
    /// The recording ends before all its files together have more bytes than this.
    pub max_bytes: Option<u64>,
    /// The recording ends when the disk has fewer free bytes than this.
    pub keep_free: u64,
    /// Where a line of JSON for each frame goes.
    pub sidecar: Option<PathBuf>,
}

impl Default for RecorderOptions {
    /// One file, constant quality, 200 MB kept free.
    fn default() -> Self {
        Self {
            overwrite: false,
            quality: Quality::default(),
            segment: None,
            max_bytes: None,
            keep_free: 200_000_000,
            sidecar: None,
        }
    }
}

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The files, in order.
    pub files: Vec<PathBuf>,
    /// Frames in the files.
    pub frames: u64,
    /// From the first frame to the end of the last, which counts as long as the one before it.
    pub duration: Duration,
    /// Size of the files in bytes.
    pub bytes: u64,
    /// Width of the (last) picture in pixels.
    pub width: u32,
    /// Height of the (last) picture in pixels.
    pub height: u32,
    /// Why the recording ended before its frames did, if so.
    pub ended: Option<String>,
}

/// Writes frames to MP4 files with H.264 as they come.
///
/// Frames keep the distance of their [`Frame::captured`] times, the first of each file is shown at 0. An
/// odd side gets one more row or column, a repetition of the last. A frame of another size starts another
/// file: `out.mp4`, `out-2.mp4` and so on. Files are written every second: after a crash they play up to
/// there. Dropping a recorder without [`Recorder::finish`] writes what waits, unchecked.
pub struct Recorder {
    path: PathBuf,
    options: RecorderOptions,
    /// The empty file, until the first frame tells what goes to its front.
    file: Option<File>,
    segment: Option<Segment>,
    sidecar: Option<Sidecar>,
    done: Summary,
    looked_at_disk: Option<Duration>,
}

impl Recorder {
    /// Makes the first file and the sidecar.
    ///
    /// # Errors
    /// [`Error::Recording`] where a file of this name exists and is not to be replaced, or a setting makes
    /// no sense; [`Error::Io`] where it cannot be made.
    pub fn create(path: impl AsRef<Path>, options: &RecorderOptions) -> Result<Self, Error> {
        let (path, options) = (path.as_ref().to_owned(), options.clone());
        if options.segment.is_some_and(|length| length < Duration::from_secs(1)) {
            let reason = "files of less than a second are not made".into();
            return Err(Error::Recording { path, reason });
        }
        options.quality.check().map_err(|reason| Error::Recording { path: path.clone(), reason })?;
        let file = new_file(&path, options.overwrite)?;
        let mut recorder = Self {
            path,
            options,
            file: Some(file),
            segment: None,
            sidecar: None,
            done: Summary::default(),
            looked_at_disk: None,
        };
        if let Some(sidecar) = &recorder.options.sidecar {
            // Where this fails, drop removes the empty video.
            let file = new_file(sidecar, recorder.options.overwrite)?;
            recorder.sidecar = Some(Sidecar::new(file, sidecar.clone()));
        }
        Ok(recorder)
    }

    /// Adds a frame; false where the recording has ended (see [`Recorder::ended`]) and the frame is not in it.
    ///
    /// # Errors
    /// [`Error::Recording`] where the frame is not later than the one before it, or too large for H.264
    /// (3840×2160): it is left out and recording can go on. Also where the encoder fails, and [`Error::Io`]
    /// where a file cannot be written: then what was written so far is kept, and the recording has ended.
    pub fn push(&mut self, frame: &Frame) -> Result<bool, Error> {
        self.push_with(frame, None)
    }

    /// As [`Recorder::push`], with what goes to the sidecar, if there is one.
    ///
    /// # Errors
    /// As [`Recorder::push`].
    pub fn push_with(&mut self, frame: &Frame, line: Option<&Line<'_>>) -> Result<bool, Error> {
        if self.done.ended.is_some() || self.over_a_limit(frame)? {
            return Ok(false);
        }
        let outcome = match &mut self.segment {
            Some(segment) if segment.fits(frame) && !is_full(segment, frame, self.options.segment) => {
                segment.push(frame)
            }
            Some(_) => {
                self.close(Some(frame.captured()))?;
                self.open(frame)?
            }
            None => self.open(frame)?,
        };
        outcome.map_err(|refusal| self.refuse(refusal))?;
        if let (Some(sidecar), Some(line)) = (&mut self.sidecar, line) {
            sidecar.write(line).inspect_err(|error| self.done.ended = Some(error.to_string()))?;
        }
        Ok(true)
    }

    /// Why nothing more is recorded, if so: a limit was reached, the disk is full, or an earlier error.
    #[must_use]
    pub fn ended(&self) -> Option<&str> {
        self.done.ended.as_deref()
    }

    /// Bytes written so far, in all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.done.bytes + self.segment.as_ref().map_or(0, Segment::bytes)
    }

    /// Writes what waits and how long it all is, and closes the files.
    ///
    /// # Errors
    /// [`Error::Recording`] where there was no frame, in which case no file is left; [`Error::Io`] where a
    /// file cannot be written.
    pub fn finish(mut self) -> Result<Summary, Error> {
        self.close(None)?;
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.flush()?;
        }
        if self.done.frames == 0 {
            // Drop removes the empty file.
            let reason = self.done.ended.take().unwrap_or_else(|| "there was no frame to record".into());
            return Err(Error::Recording { path: self.path.clone(), reason });
        }
        Ok(std::mem::take(&mut self.done))
    }

    /// Starts a file with a frame. The inner result is the frame's, the outer one the file's.
    fn open(&mut self, frame: &Frame) -> Result<Result<(), Refusal>, Error> {
        let path = self.segment_path(self.done.files.len());
        let file = match self.file.take() {
            Some(file) => file,
            None => new_file(&path, self.options.overwrite).inspect_err(|error| {
                self.done.ended = Some(error.to_string());
            })?,
        };
        // For the next frame, should only this one be refused.
        let spare = file.try_clone();
        Ok(match Segment::start(file, frame, self.options.quality) {
            Ok(segment) => {
                self.done.files.push(path);
                (self.done.width, self.done.height) = segment.coded_size();
                self.segment = Some(segment);
                Ok(())
            }
            Err(refusal) => {
                self.file = spare.ok().filter(|_| matches!(refusal, Refusal::Frame(_)));
                Err(refusal)
            }
        })
    }

    /// Finishes the file being written, if any.
    fn close(&mut self, next: Option<Duration>) -> Result<(), Error> {
        let Some(mut segment) = self.segment.take() else { return Ok(()) };
        let path = self.done.files.last().unwrap_or(&self.path).clone();
        let length = segment.finish(next);
        self.done.frames += segment.frames;
        self.done.bytes += segment.bytes();
        match length {
            Ok(length) => {
                self.done.duration += length;
                Ok(())
            }
            Err(source) => {
                let error = Error::Io { path, source };
                self.done.ended = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// Ends the recording where a limit is reached.
    fn over_a_limit(&mut self, frame: &Frame) -> Result<bool, Error> {
        let mut reason = None;
        if self.options.max_bytes.is_some_and(|most| self.bytes() + margin(frame) > most) {
            reason = Some("its size has reached the limit".to_owned());
        }
        let due =
            self.looked_at_disk.is_none_or(|last| frame.captured().saturating_sub(last) >= LOOK_AT_DISK);
        if due {
            self.looked_at_disk = Some(frame.captured());
            // Where the system does not tell, only a failing write can.
            if let Ok(free) = fs4::available_space(folder_of(&self.path))
                && free < self.options.keep_free
            {
                let mb = |bytes: u64| bytes / 1_000_000;
                reason = Some(format!(
                    "the disk is nearly full: {} MB are free, {} MB are kept",
                    mb(free),
                    mb(self.options.keep_free)
                ));
            }
        }
        let Some(reason) = reason else { return Ok(false) };
        self.close(Some(frame.captured()))?;
        self.done.ended = Some(reason);
        Ok(true)
    }

    /// `out.mp4`, then `out-2.mp4` and so on.
    fn segment_path(&self, number: usize) -> PathBuf {
        if number == 0 {
            return self.path.clone();
        }
        let mut name = self.path.file_stem().unwrap_or_default().to_owned();
        name.push(format!("-{}", number + 1));
        if let Some(extension) = self.path.extension() {
            name.push(".");
            name.push(extension);
        }
        self.path.with_file_name(name)
    }

    fn refuse(&mut self, refusal: Refusal) -> Error {
        let path = self.done.files.last().unwrap_or(&self.path).clone();
        let (error, over) = match refusal {
            Refusal::Frame(reason) => (Error::Recording { path, reason }, false),
            Refusal::Encoder(reason) => (Error::Recording { path, reason }, true),
            Refusal::Io(source) => (Error::Io { path, source }, true),
        };
        if over {
            self.done.ended = Some(error.to_string());
        }
        error
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // An empty file is of no use to anybody; a device that was written to stays.
        let is_file = |file: File| file.metadata().is_ok_and(|about| about.is_file());
        if self.done.files.is_empty() && self.file.take().is_some_and(is_file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Bytes that one more frame may take: as much as a badly compressible one.
fn margin(frame: &Frame) -> u64 {
    u64::from(frame.width()) * u64::from(frame.height()) / 4
}

fn is_full(segment: &Segment, frame: &Frame, length: Option<Duration>) -> bool {
    length.is_some_and(|length| frame.captured().saturating_sub(segment.began()) >= length)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn new_file(path: &Path, overwrite: bool) -> Result<File, Error> {
    let mut how = OpenOptions::new();
    how.write(true);
    if overwrite {
        how.create(true).truncate(true);
    } else {
        how.create_new(true);
    }
    how.open(path).map_err(|source| {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::AlreadyExists {
            Error::Recording {
                path,
                reason: "there is a file of this name already (--force replaces it)".into(),
            }
        } else {
            Error::Io { path, source }
        }
    })
}

#[cfg(test)]
mod tests;
