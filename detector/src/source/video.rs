//! Video files. H.264 in MP4 or QuickTime and Motion JPEG in AVI need nothing else; what is in other
//! forms is read by an `ffmpeg` program, where one is installed.

mod avi;
mod ffmpeg;
mod mp4;

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use super::FrameSource;
use crate::error::Error;

pub use avi::AviFile;
pub use ffmpeg::{FfmpegFile, ffmpeg_version};
pub use mp4::Mp4File;

/// What is read and searched for pictures: a file or bytes.
trait Input: Read + Seek + Send {}
impl<T: Read + Seek + Send> Input for T {}

/// Why a file is not read by ourselves.
#[derive(Debug)]
enum Refusal {
    /// It is empty, damaged or no video at all: nobody reads it.
    Broken(String),
    /// It is of a kind that others may read.
    Foreign(String),
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self::Broken(reason.into())
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Broken(reason)
    }
}

impl Refusal {
    /// As an error about a file, with what to do about it.
    fn about(self, path: &Path) -> Error {
        let reason = match self {
            Self::Broken(reason) => reason,
            Self::Foreign(what) => format!(
                "{what}, which is not read without help: install ffmpeg (apt install ffmpeg) and try again, or \
                 convert it to H.264 in MP4"
            ),
        };
        Error::Media { path: path.to_owned(), reason }
    }
}

/// Opens a video file, whatever its name ends in.
///
/// # Errors
/// [`Error::Io`] where it cannot be opened; [`Error::Media`], saying what it is and what helps, where it is
/// empty, damaged, no video, or of a kind that only ffmpeg reads and there is no ffmpeg.
pub fn open(path: &Path) -> Result<Box<dyn FrameSource>, Error> {
    let refusal = match mp4::open(path)? {
        Ok(file) => return Ok(Box::new(file)),
        Err(refusal) => refusal,
    };
    if let Some(avi) = avi::open(path)? {
        match avi {
            Ok(file) => return Ok(Box::new(file)),
            Err(Refusal::Foreign(what)) if ffmpeg::is_installed() => {
                return Ok(Box::new(FfmpegFile::open(path, &what)?));
            }
            Err(refusal) => return Err(refusal.about(path)),
        }
    }
    match refusal {
        Refusal::Foreign(what) if ffmpeg::is_installed() => Ok(Box::new(FfmpegFile::open(path, &what)?)),
        refusal => Err(refusal.about(path)),
    }
}

/// Opens a file and tells its length.
fn open_file(path: &Path) -> Result<(File, u64), Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let about = file.metadata().map_err(io)?;
    if about.is_dir() {
        return Err(Error::Media { path: path.to_owned(), reason: "is a folder".into() });
    }
    Ok((file, about.len()))
}

/// The file's own name, to show.
fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into())
}

#[cfg(test)]
mod tests;
