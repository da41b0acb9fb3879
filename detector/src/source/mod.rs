//! Where frames come from: one trait, one file a kind of source.

use std::path::Path;
use std::time::Duration;

use crate::error::Error;
use crate::frame::Frame;

#[cfg(feature = "video")]
mod demo;
mod images;
#[cfg(feature = "video")]
mod mp4;
#[cfg(feature = "video")]
mod video;

#[cfg(feature = "video")]
pub use demo::Demo;
pub use images::{Images, expand, load_image};
#[cfg(feature = "video")]
pub use video::VideoFile;

/// File name endings of videos.
const VIDEO_EXTENSIONS: [&str; 8] = ["avi", "m4v", "mkv", "mov", "mp4", "mpg", "webm", "wmv"];

/// Something that gives frames one after the other.
pub trait FrameSource: Send {
    /// The next frame, or `None` after the last.
    ///
    /// # Errors
    /// [`Error`] where this frame cannot be had; sources that can go on (a folder with one broken
    /// picture) give the frame after it at the next call, the others give `None` from then on.
    fn next_frame(&mut self) -> Result<Option<Frame>, Error>;

    /// A name to show: the file of the current frame, `demo`, a camera's name.
    fn name(&self) -> String;

    /// How many frames there are in all, where that is known.
    fn frame_count(&self) -> Option<u64> {
        None
    }

    /// The usual time between two frames, where there is one.
    fn frame_interval(&self) -> Option<Duration> {
        None
    }
}

/// Opens a source by what a person types: `demo` (the built-in clip, once), a video file, a picture, a
/// folder of pictures, a pattern such as `photos/*.jpg`.
///
/// # Errors
/// [`Error::Source`] where it names nothing, otherwise as the source itself.
pub fn open(name: &str) -> Result<Box<dyn FrameSource>, Error> {
    #[cfg(feature = "video")]
    if name == "demo" && !Path::new(name).exists() {
        return Ok(Box::new(Demo::new(false)?));
    }
    if is_video(name) {
        #[cfg(feature = "video")]
        return Ok(Box::new(VideoFile::open(Path::new(name))?));
        #[cfg(not(feature = "video"))]
        return Err(Error::Source(format!("{name}: this build reads no videos")));
    }
    Ok(Box::new(Images::new(expand(&[name.to_owned()])?)))
}

/// Whether a name means a video: `demo`, or a file that is named as videos are.
#[must_use]
pub fn is_video(name: &str) -> bool {
    let path = Path::new(name);
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let named = extension.is_some_and(|e| VIDEO_EXTENSIONS.contains(&e.as_str()));
    (named && !path.is_dir()) || (name == "demo" && !path.exists())
}
